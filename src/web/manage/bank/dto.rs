//! The question bank on the wire.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::web::manage::WireResource;
use invigil_management::{
    ManagementError,
    bank::{
        BankQuestion, MediaType, QuestionCategory, QuestionCategoryDraft, QuestionCategoryResource,
        QuestionDifficulty, QuestionDraft, QuestionHit, QuestionResource, QuestionReview,
        ReviewAction,
    },
    ids::{OrganizationId, QuestionCategoryId},
    media::QuestionFile,
};

/// The editable fields of a question category.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CategoryDraft)]
pub(in crate::web) struct QuestionCategoryBody {
    /// Number of the owning organisation.
    organization_id: i64,
    /// Display name.
    name: String,
    /// Unique within the organisation.
    code: String,
    /// Number of the parent category; none: a top-level category.
    #[serde(default)]
    parent_id: Option<i64>,
    /// Description of the questions that belong here.
    #[serde(default)]
    description: Option<String>,
    /// Sort position in lists.
    #[serde(default)]
    sort_order: i32,
    /// Name of an icon.
    #[serde(default)]
    icon: Option<String>,
    /// Colour, `#rrggbb`.
    #[serde(default)]
    color: Option<String>,
    /// True if new questions may be filed here.
    #[serde(default = "yes")]
    is_active: bool,
}

/// A question category as staff read it.
#[derive(Serialize, ToSchema)]
#[schema(as = Category)]
pub(in crate::web) struct QuestionCategoryView {
    /// Number of the category.
    id: i64,
    /// Incremented by every change; served as the `ETag`.
    revision: i32,
    /// The fields that people edit.
    #[serde(flatten)]
    draft: QuestionCategoryBody,
    /// Questions in this category, newest versions only.
    questions: i64,
}

impl WireResource for QuestionCategoryResource {
    type Body = QuestionCategoryBody;
    type View = QuestionCategoryView;

    fn into_draft(body: QuestionCategoryBody) -> Result<QuestionCategoryDraft, ManagementError> {
        Ok(QuestionCategoryDraft {
            organization_id: OrganizationId(body.organization_id),
            name: body.name,
            code: body.code,
            parent_id: body.parent_id.map(QuestionCategoryId),
            description: body.description,
            sort_order: body.sort_order,
            icon: body.icon,
            color: body.color,
            is_active: body.is_active,
        })
    }
}

impl From<QuestionCategoryDraft> for QuestionCategoryBody {
    fn from(draft: QuestionCategoryDraft) -> Self {
        Self {
            organization_id: draft.organization_id.0,
            name: draft.name,
            code: draft.code,
            parent_id: draft.parent_id.map(i64::from),
            description: draft.description,
            sort_order: draft.sort_order,
            icon: draft.icon,
            color: draft.color,
            is_active: draft.is_active,
        }
    }
}

impl From<QuestionCategory> for QuestionCategoryView {
    fn from(row: QuestionCategory) -> Self {
        Self {
            id: row.id.0,
            revision: row.revision,
            draft: row.draft.into(),
            questions: row.questions,
        }
    }
}

fn yes() -> bool {
    true
}

/// The editable fields of a question.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QuestionDraft)]
pub(in crate::web) struct BankQuestionBody {
    /// Number of the owning organisation.
    organization_id: i64,
    /// Content and key: a question of the exam file without `id` and `points`.
    #[schema(value_type = Object)]
    definition: Map<String, Value>,
    /// Points, unless an exam sets its own.
    #[serde(default = "one", with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    default_points: Decimal,
    /// Name in lists.
    #[serde(default)]
    title: Option<String>,
    /// `easy`, `medium`, `hard` or `expert`.
    #[serde(default = "medium")]
    difficulty: String,
    /// Number of the question's category.
    #[serde(default)]
    category_id: Option<i64>,
    /// Subject, such as History.
    #[serde(default)]
    subject: Option<String>,
    /// Topic, such as The Opium Wars.
    #[serde(default)]
    topic: Option<String>,
    /// Subdivision of the topic.
    #[serde(default)]
    subtopic: Option<String>,
    /// Search keywords.
    #[serde(default)]
    keywords: Vec<String>,
    /// Labels that random draws select by.
    #[serde(default)]
    tags: Vec<String>,
    /// Hints, as Markdown.
    #[serde(default)]
    hints: Vec<String>,
    /// `image`, `audio`, `video` or `document`.
    #[serde(default)]
    media_type: Option<String>,
    /// Address of the media file.
    #[serde(default)]
    media_url: Option<String>,
    /// Source that the question is taken from.
    #[serde(default)]
    source: Option<String>,
    /// Copyright notice.
    #[serde(default)]
    copyright_info: Option<String>,
}

/// A version of a question as staff read it.
#[derive(Serialize, ToSchema)]
#[schema(as = BankQuestion)]
pub(in crate::web) struct QuestionView {
    /// Number of this version.
    id: i64,
    /// Incremented by every change; served as the `ETag`.
    revision: i32,
    /// The fields that people edit.
    #[serde(flatten)]
    draft: BankQuestionBody,
    /// Question type, one of ten.
    r#type: String,
    /// `draft`, `review`, `active`, `deprecated` or `archived`.
    status: String,
    /// `pending`, `approved` or `rejected`.
    review_status: String,
    /// Notes of the reviewer.
    review_notes: Option<String>,
    /// Version, from 1.
    version: i32,
    /// Number of the first version; none: this is the first.
    root_id: Option<i64>,
    /// True if no newer version exists.
    is_latest_version: bool,
    /// Count of marked answers.
    usage_count: i32,
    /// Percentage of fully correct answers.
    correct_rate: Option<f64>,
    /// Mean share of the points, 0 to 1.
    difficulty_index: Option<f64>,
    /// Correlation with the rest of the exam, -1 to 1.
    discrimination_index: Option<f64>,
    /// Mean time on the question, in seconds.
    avg_time_seconds: Option<i32>,
    /// Number of the author.
    created_by: Option<i64>,
    /// Time of creation.
    created_at: DateTime<Utc>,
    /// Time of the last change.
    updated_at: DateTime<Utc>,
}

impl WireResource for QuestionResource {
    type Body = BankQuestionBody;
    type View = QuestionView;

    fn into_draft(body: BankQuestionBody) -> Result<QuestionDraft, ManagementError> {
        Ok(QuestionDraft {
            organization_id: OrganizationId(body.organization_id),
            definition: body.definition,
            default_points: body.default_points,
            title: body.title,
            difficulty: QuestionDifficulty::from_field("difficulty", &body.difficulty)?,
            category_id: body.category_id.map(QuestionCategoryId),
            subject: body.subject,
            topic: body.topic,
            subtopic: body.subtopic,
            keywords: body.keywords,
            tags: body.tags,
            hints: body.hints,
            media_type: body
                .media_type
                .map(|name| MediaType::from_field("media_type", &name))
                .transpose()?,
            media_url: body.media_url,
            source: body.source,
            copyright_info: body.copyright_info,
        })
    }
}

impl From<QuestionDraft> for BankQuestionBody {
    fn from(draft: QuestionDraft) -> Self {
        Self {
            organization_id: draft.organization_id.0,
            definition: draft.definition,
            default_points: draft.default_points,
            title: draft.title,
            difficulty: draft.difficulty.to_string(),
            category_id: draft.category_id.map(i64::from),
            subject: draft.subject,
            topic: draft.topic,
            subtopic: draft.subtopic,
            keywords: draft.keywords,
            tags: draft.tags,
            hints: draft.hints,
            media_type: draft.media_type.map(|name| name.to_string()),
            media_url: draft.media_url,
            source: draft.source,
            copyright_info: draft.copyright_info,
        }
    }
}

impl From<BankQuestion> for QuestionView {
    fn from(row: BankQuestion) -> Self {
        Self {
            id: row.id.0,
            revision: row.revision,
            draft: row.draft.into(),
            r#type: row.r#type.as_str().to_owned(),
            status: row.status.to_string(),
            review_status: row.review_status.to_string(),
            review_notes: row.review_notes,
            version: row.version,
            root_id: row.root_id.map(i64::from),
            is_latest_version: row.is_latest_version,
            usage_count: row.usage_count,
            correct_rate: row.correct_rate,
            difficulty_index: row.difficulty_index,
            discrimination_index: row.discrimination_index,
            avg_time_seconds: row.avg_time_seconds,
            created_by: row.created_by.map(i64::from),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

fn one() -> Decimal {
    Decimal::ONE
}

fn medium() -> String {
    "medium".to_owned()
}

/// A step of a question's review.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Review)]
pub(in crate::web) struct ReviewBody {
    /// `submit`, `approve`, `reject`, `deprecate`, `archive` or `reopen`.
    action: String,
    /// Notes for the author.
    #[serde(default)]
    notes: Option<String>,
}

impl TryFrom<ReviewBody> for QuestionReview {
    type Error = ManagementError;

    fn try_from(body: ReviewBody) -> Result<Self, ManagementError> {
        let action = ReviewAction::from_name(&body.action);
        let unknown = || ManagementError::invalid_field("action", "is not an action of a review");
        Ok(Self {
            action: action.ok_or_else(unknown)?,
            notes: body.notes,
        })
    }
}

/// A question that matches a search.
#[derive(Serialize, ToSchema)]
#[schema(as = Found)]
pub(in crate::web) struct QuestionHitView {
    /// The matching question.
    #[serde(flatten)]
    question: QuestionView,
    /// Relevance; 0 for a search without words.
    rank: f64,
    /// Matches in the question's text, as pairs of start and end in characters.
    #[serde(default)]
    highlights: Vec<(usize, usize)>,
}

impl From<QuestionHit> for QuestionHitView {
    fn from(hit: QuestionHit) -> Self {
        Self {
            question: hit.question.into(),
            rank: hit.rank,
            highlights: hit.highlights,
        }
    }
}

/// A media file of a question.
#[derive(Serialize, ToSchema)]
#[schema(as = File)]
pub(in crate::web) struct FileView {
    /// Number of the file.
    id: i64,
    /// Number of the question that the file belongs to.
    question_id: i64,
    /// Address of the file, for the `image` of a question.
    address: String,
    /// Media type, detected from the content.
    kind: String,
    /// Size in bytes.
    bytes: i64,
    /// Text alternative for people who do not see the file.
    alt: String,
    /// Time of the first upload.
    created_at: DateTime<Utc>,
}

impl From<QuestionFile> for FileView {
    fn from(file: QuestionFile) -> Self {
        Self {
            id: file.id.0,
            question_id: file.question_id.0,
            address: file.address,
            kind: file.kind,
            bytes: file.bytes,
            alt: file.alt,
            created_at: file.created_at,
        }
    }
}

//! Fields of questions and their categories.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};

use crate::{
    ids::{BankQuestionId, OrganizationId, QuestionCategoryId, UserId},
    names::named_column,
};
use invigil_domain::exam::QuestionType;

named_column!(
    /// Stage of a question.
    QuestionStatus {
        /// The author edits it.
        Draft = "draft",
        /// Waits for a reviewer.
        Review = "review",
        /// Exams may use it.
        Active = "active",
        /// No longer recommended.
        Deprecated = "deprecated",
        /// Out of use.
        Archived = "archived",
    }
);

named_column!(
    /// Result of the last review of a question.
    ReviewStatus {
        /// Not reviewed yet.
        Pending = "pending",
        /// The reviewer approved it.
        Approved = "approved",
        /// The reviewer returned it to its author.
        Rejected = "rejected",
    }
);

named_column!(
    /// A step of the review of a question.
    ReviewAction {
        /// Asks for a review.
        Submit = "submit",
        /// Lets exams use the question.
        Approve = "approve",
        /// Returns the question to its author.
        Reject = "reject",
        /// Advises against the question.
        Deprecate = "deprecate",
        /// Takes the question out of use.
        Archive = "archive",
        /// Makes it a draft again.
        Reopen = "reopen",
    }
);

named_column!(
    /// Level of difficulty of a question.
    QuestionDifficulty {
        /// Easy.
        Easy = "easy",
        /// Of medium difficulty.
        Medium = "medium",
        /// Hard.
        Hard = "hard",
        /// For experts.
        Expert = "expert",
    }
);

named_column!(
    /// Kind of the media file of a question.
    MediaType {
        /// A picture.
        Image = "image",
        /// A sound.
        Audio = "audio",
        /// A film.
        Video = "video",
        /// A document.
        Document = "document",
    }
);

/// The editable fields of a question category.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QuestionCategoryDraft {
    /// Number of the owning organisation.
    pub organization_id: OrganizationId,
    /// Display name.
    pub name: String,
    /// Unique within the organisation.
    pub code: String,
    /// Number of the parent category; none: a top-level category.
    pub parent_id: Option<QuestionCategoryId>,
    /// Description of the questions that belong here.
    pub description: Option<String>,
    /// Sort position in lists.
    pub sort_order: i32,
    /// Name of an icon.
    pub icon: Option<String>,
    /// Colour, `#rrggbb`.
    pub color: Option<String>,
    /// True if new questions may be filed here.
    pub is_active: bool,
}

/// A question category as staff read it.
#[derive(Debug, Clone, Deserialize)]
pub struct QuestionCategory {
    /// Number of the category.
    pub id: QuestionCategoryId,
    /// Incremented by every change; served as the `ETag`.
    pub revision: i32,
    /// The fields that people edit.
    #[serde(flatten)]
    pub draft: QuestionCategoryDraft,
    /// Questions in this category, newest versions only.
    pub questions: i64,
}

/// The editable fields of a question.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QuestionDraft {
    /// Number of the owning organisation.
    pub organization_id: OrganizationId,
    /// Content and key: a question of the exam file without `id` and `points`.
    pub definition: Map<String, Value>,
    /// Points, unless an exam sets its own.
    #[serde(with = "rust_decimal::serde::float")]
    pub default_points: Decimal,
    /// Name in lists.
    pub title: Option<String>,
    /// Level of difficulty.
    pub difficulty: QuestionDifficulty,
    /// Number of the question's category.
    pub category_id: Option<QuestionCategoryId>,
    /// Subject, such as History.
    pub subject: Option<String>,
    /// Topic, such as The Opium Wars.
    pub topic: Option<String>,
    /// Subdivision of the topic.
    pub subtopic: Option<String>,
    /// Search keywords.
    pub keywords: Vec<String>,
    /// Labels that random draws select by.
    pub tags: Vec<String>,
    /// Hints, as Markdown.
    pub hints: Vec<String>,
    /// Kind of the media file.
    pub media_type: Option<MediaType>,
    /// Address of the media file.
    pub media_url: Option<String>,
    /// Source that the question is taken from.
    pub source: Option<String>,
    /// Copyright notice.
    pub copyright_info: Option<String>,
}

/// A version of a question as staff read it.
#[derive(Debug, Clone, Deserialize)]
pub struct BankQuestion {
    /// Number of this version.
    pub id: BankQuestionId,
    /// Incremented by every change; served as the `ETag`.
    pub revision: i32,
    /// The fields that people edit.
    #[serde(flatten)]
    pub draft: QuestionDraft,
    /// Question type.
    #[serde(deserialize_with = "question_type")]
    pub r#type: QuestionType,
    /// Stage of this version.
    pub status: QuestionStatus,
    /// Result of the last review.
    pub review_status: ReviewStatus,
    /// Notes of the reviewer.
    pub review_notes: Option<String>,
    /// Version, from 1.
    pub version: i32,
    /// Number of the first version; none: this is the first.
    pub root_id: Option<BankQuestionId>,
    /// True if no newer version exists.
    pub is_latest_version: bool,
    /// Count of marked answers.
    pub usage_count: i32,
    /// Percentage of fully correct answers.
    pub correct_rate: Option<f64>,
    /// Mean share of the points, 0 to 1.
    pub difficulty_index: Option<f64>,
    /// Correlation with the rest of the exam, -1 to 1.
    pub discrimination_index: Option<f64>,
    /// Mean time on the question, in seconds.
    pub avg_time_seconds: Option<i32>,
    /// Number of the author.
    pub created_by: Option<UserId>,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
}

fn question_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<QuestionType, D::Error> {
    let name = String::deserialize(deserializer)?;
    QuestionType::from_name(&name)
        .ok_or_else(|| D::Error::custom(format!("question type `{name}`")))
}

/// A step of a question's review.
#[derive(Debug)]
pub struct QuestionReview {
    /// The step.
    pub action: ReviewAction,
    /// Notes for the author.
    pub notes: Option<String>,
}

/// Conditions of a search in the question bank.
#[derive(Debug, Default)]
pub struct QuestionSearch {
    /// Words in any language; `"a phrase"`, `-not` and `or` are understood.
    pub text: Option<String>,
    /// Category, including its subcategories.
    pub category_id: Option<QuestionCategoryId>,
    /// Question type.
    pub kind: Option<String>,
    /// Difficulty.
    pub difficulty: Option<String>,
    /// Status.
    pub status: Option<String>,
    /// Tags, all of which the question must have.
    pub tags: Vec<String>,
    /// Organisation.
    pub organization_id: Option<OrganizationId>,
    /// Count of leading matches to skip.
    pub offset: i64,
    /// Largest number of matches, 1 to 100.
    pub limit: i64,
}

/// A question that matches a search.
#[derive(Debug, Clone, Deserialize)]
pub struct QuestionHit {
    /// The matching question.
    #[serde(flatten)]
    pub question: BankQuestion,
    /// Relevance; 0 for a search without words.
    pub rank: f64,
    /// Matches in the question's text, as pairs of start and end in characters.
    #[serde(skip)]
    pub highlights: Vec<(usize, usize)>,
}

//! The question bank: categories, versioned questions, their review and search.
//!
//! A draft that no exam has used is edited in place. A change of any other
//! question creates its next version, so that published exams and their answers
//! keep the version that candidates saw.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use sqlx::types::Json;
use utoipa::ToSchema;

use crate::{
    FieldFault, ManagementError, UnitOfWork,
    resource::{self, ListPage, Resource},
};
use invigil_domain::exam::{QuestionType, definition};

/// The editable fields of a question category.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CategoryDraft)]
pub struct QuestionCategoryDraft {
    /// Number of the owning organisation.
    pub organization_id: i64,
    /// Display name.
    pub name: String,
    /// Unique within the organisation.
    pub code: String,
    /// Number of the parent category; none: a top-level category.
    #[serde(default)]
    pub parent_id: Option<i64>,
    /// Description of the questions that belong here.
    #[serde(default)]
    pub description: Option<String>,
    /// Sort position in lists.
    #[serde(default)]
    pub sort_order: i32,
    /// Name of an icon.
    #[serde(default)]
    pub icon: Option<String>,
    /// Colour, `#rrggbb`.
    #[serde(default)]
    pub color: Option<String>,
    /// True if new questions may be filed here.
    #[serde(default = "yes")]
    pub is_active: bool,
}

fn yes() -> bool {
    true
}

/// A question category as staff read it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Category)]
pub struct QuestionCategory {
    /// Number of the category.
    pub id: i64,
    /// Incremented by every change; served as the `ETag`.
    pub revision: i32,
    /// The fields that people edit.
    #[serde(flatten)]
    pub draft: QuestionCategoryDraft,
    /// Questions in this category, newest versions only.
    pub questions: i64,
}

/// The resource of question categories.
#[derive(Debug)]
pub struct QuestionCategoryResource;

impl Resource for QuestionCategoryResource {
    type Id = i64;
    type Draft = QuestionCategoryDraft;
    type Row = QuestionCategory;
    const TABLE: &'static str = "question_categories";
    const NAME: &'static str = "category";
    const COLUMNS: &'static [&'static str] = &[
        "organization_id",
        "name",
        "code",
        "parent_id",
        "description",
        "sort_order",
        "icon",
        "color",
        "is_active",
    ];
    const SELECT: &'static str = "
        SELECT t.id, to_jsonb(t) || jsonb_build_object('questions', (
            SELECT count(*) FROM questions AS q WHERE q.category_id = t.id AND q.is_latest_version))
        FROM question_categories AS t";

    fn revision(row: &QuestionCategory) -> i32 {
        row.revision
    }
}

/// The editable fields of a question.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuestionDraft {
    /// Number of the owning organisation.
    pub organization_id: i64,
    /// Content and key: a question of the exam file without `id` and `points`.
    #[schema(value_type = Object)]
    pub definition: Map<String, Value>,
    /// Points, unless an exam sets its own.
    #[serde(default = "one", with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    pub default_points: Decimal,
    /// Name in lists.
    #[serde(default)]
    pub title: Option<String>,
    /// `easy`, `medium`, `hard` or `expert`.
    #[serde(default = "medium")]
    pub difficulty: String,
    /// Number of the question's category.
    #[serde(default)]
    pub category_id: Option<i64>,
    /// Subject, such as History.
    #[serde(default)]
    pub subject: Option<String>,
    /// Topic, such as The Opium Wars.
    #[serde(default)]
    pub topic: Option<String>,
    /// Subdivision of the topic.
    #[serde(default)]
    pub subtopic: Option<String>,
    /// Search keywords.
    #[serde(default)]
    pub keywords: Vec<String>,
    /// Labels that random draws select by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Hints, as Markdown.
    #[serde(default)]
    pub hints: Vec<String>,
    /// `image`, `audio`, `video` or `document`.
    #[serde(default)]
    pub media_type: Option<String>,
    /// Address of the media file.
    #[serde(default)]
    pub media_url: Option<String>,
    /// Source that the question is taken from.
    #[serde(default)]
    pub source: Option<String>,
    /// Copyright notice.
    #[serde(default)]
    pub copyright_info: Option<String>,
}

fn one() -> Decimal {
    Decimal::ONE
}

fn medium() -> String {
    "medium".to_owned()
}

/// A version of a question as staff read it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BankQuestion {
    /// Number of this version.
    pub id: i64,
    /// Incremented by every change; served as the `ETag`.
    pub revision: i32,
    /// The fields that people edit.
    #[serde(flatten)]
    pub draft: QuestionDraft,
    /// Question type, one of ten.
    pub r#type: String,
    /// `draft`, `review`, `active`, `deprecated` or `archived`.
    pub status: String,
    /// `pending`, `approved` or `rejected`.
    pub review_status: String,
    /// Notes of the reviewer.
    pub review_notes: Option<String>,
    /// Version, from 1.
    pub version: i32,
    /// Number of the first version; none: this is the first.
    pub root_id: Option<i64>,
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
    pub created_by: Option<i64>,
    /// Time of creation.
    pub created_at: DateTime<Utc>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
}

/// The resource of questions.
#[derive(Debug)]
pub struct QuestionResource;

impl Resource for QuestionResource {
    type Id = i64;
    type Draft = QuestionDraft;
    type Row = BankQuestion;
    const TABLE: &'static str = "questions";
    const NAME: &'static str = "question";
    const COLUMNS: &'static [&'static str] = &[
        "organization_id",
        "definition",
        "default_points",
        "title",
        "difficulty",
        "category_id",
        "subject",
        "topic",
        "subtopic",
        "keywords",
        "tags",
        "hints",
        "media_type",
        "media_url",
        "source",
        "copyright_info",
    ];
    const SELECT: &'static str = "
        SELECT t.id, to_jsonb(t) - 'search_vector' - 'definition_sha256'
        FROM questions AS t";

    fn revision(row: &BankQuestion) -> i32 {
        row.revision
    }
}

/// Returns the type of a question that is valid in an exam, or all errors in it.
fn check_question(draft: &QuestionDraft) -> Result<&'static str, ManagementError> {
    let mut question = draft.definition.clone();
    let own = ["id", "points"]
        .into_iter()
        .find(|key| question.contains_key(*key));
    if let Some(key) = own {
        let message = "is set by the exam: leave it out";
        return Err(ManagementError::invalid_field(
            format!("definition.{key}"),
            message,
        ));
    }
    question.insert("id".to_owned(), json!("q"));
    let exam = json!({
        "code": "CHECK", "title": "Check", "duration_minutes": 1,
        "sections": [{"id": "s", "questions": [question]}],
    });
    let parsed = definition::from_definition(&exam.to_string()).map_err(|faults| {
        let faults = faults.into_iter().map(|fault| {
            let place = fault.path.strip_prefix("sections[0].questions[0]");
            let place = place.unwrap_or(&fault.path);
            FieldFault::new(format!("definition{place}"), fault.message)
        });
        ManagementError::Invalid(faults.collect())
    })?;
    let kind = parsed
        .questions()
        .next()
        .map(|question| question.body.question_type());
    kind.map(QuestionType::as_str)
        .ok_or(ManagementError::NotFound)
}

const ADD: &str = "
INSERT INTO questions (organization_id, definition_sha256, type, definition, default_points, title, difficulty,
    category_id, subject, topic, subtopic, keywords, tags, hints, media_type, media_url, source,
    copyright_info, created_by, status, version, root_id)
SELECT r.organization_id, $2, $3, $4::json, r.default_points, r.title, r.difficulty, r.category_id, r.subject,
       r.topic, r.subtopic, r.keywords, r.tags, r.hints, r.media_type, r.media_url, r.source,
       r.copyright_info, $5, 'draft', $6, $7
FROM jsonb_populate_record(NULL::questions, $1) AS r
RETURNING id";

async fn insert_version(
    work: &mut UnitOfWork,
    draft: &QuestionDraft,
    (version, root): (i32, Option<i64>),
) -> Result<i64, ManagementError> {
    let kind = check_question(draft)?;
    let text = Value::Object(draft.definition.clone()).to_string();
    let row = serde_json::to_value(draft).map_err(ManagementError::internal)?;
    Ok(sqlx::query_scalar(ADD)
        .bind(Json(row))
        .bind(Sha256::digest(&text).to_vec())
        .bind(kind)
        .bind(text)
        .bind(work.user_id)
        .bind(version)
        .bind(root)
        .fetch_one(&mut *work.tx)
        .await?)
}

/// Creates a draft of a question.
///
/// # Errors
/// [`ManagementError::Invalid`] with all errors in the question.
pub async fn create_question(
    work: &mut UnitOfWork,
    draft: &QuestionDraft,
) -> Result<BankQuestion, ManagementError> {
    let id = insert_version(work, draft, (1, None)).await?;
    resource::get_row::<QuestionResource>(work, id).await
}

/// Changes a question: an unused draft in place, any other question by a new
/// version, whose review starts again.
///
/// # Errors
/// [`ManagementError::Stale`]; [`ManagementError::Invalid`] with all errors in the question.
pub async fn change_question(
    work: &mut UnitOfWork,
    id: i64,
    revision: i32,
    patch: &Value,
) -> Result<BankQuestion, ManagementError> {
    let draft = resource::patched_draft::<QuestionResource>(work, id, patch).await?;
    let current = resource::get_row::<QuestionResource>(work, id).await?;
    if current.revision != revision {
        return Err(ManagementError::Stale);
    }
    if !current.is_latest_version {
        return Err(ManagementError::WrongState(
            "a newer version of the question exists".to_owned(),
        ));
    }
    if draft.organization_id != current.draft.organization_id {
        return Err(ManagementError::invalid_field(
            "organization_id",
            "cannot be changed",
        ));
    }
    let used: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM exam_version_questions WHERE question_id = $1)",
    )
    .bind(id)
    .fetch_one(&mut *work.tx)
    .await?;
    if current.status == "draft" && !used {
        let kind = check_question(&draft)?;
        let text = Value::Object(draft.definition.clone()).to_string();
        let row = resource::update_row::<QuestionResource>(work, id, revision, &draft).await?;
        sqlx::query("UPDATE questions SET type = $2, definition_sha256 = $3 WHERE id = $1")
            .bind(id)
            .bind(kind)
            .bind(Sha256::digest(&text).to_vec())
            .execute(&mut *work.tx)
            .await?;
        return resource::get_row::<QuestionResource>(work, row.id).await;
    }
    // The row lock lets one of several editors create the next version.
    let ended = sqlx::query(
        "UPDATE questions SET is_latest_version = false, revision = revision + 1
         WHERE id = $1 AND revision = $2 AND is_latest_version",
    )
    .bind(id)
    .bind(revision)
    .execute(&mut *work.tx)
    .await?;
    if ended.rows_affected() == 0 {
        return Err(ManagementError::Forbidden);
    }
    let root = current.root_id.unwrap_or(id);
    let next = insert_version(work, &draft, (current.version + 1, Some(root))).await?;
    resource::get_row::<QuestionResource>(work, next).await
}

/// A step of a question's review.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Review)]
pub struct QuestionReview {
    /// `submit`, `approve`, `reject`, `deprecate`, `archive` or `reopen`.
    pub action: String,
    /// Notes for the author.
    #[serde(default)]
    pub notes: Option<String>,
}

/// Moves a question through `draft`, `review`, `active`, `deprecated` and
/// `archived`. Approval needs an administrator or a teacher of the organisation
/// who is not the author.
///
/// # Errors
/// [`ManagementError::WrongState`] if the question's status does not allow the step.
pub async fn review_question(
    work: &mut UnitOfWork,
    id: i64,
    revision: i32,
    review: &QuestionReview,
) -> Result<BankQuestion, ManagementError> {
    let current = resource::get_row::<QuestionResource>(work, id).await?;
    if current.revision != revision {
        return Err(ManagementError::Stale);
    }
    let own = current.created_by == Some(work.user_id.0);
    let (from, to, outcome): (&[&str], _, _) = match review.action.as_str() {
        "submit" => (&["draft"], "review", "pending"),
        "approve" => (&["review"], "active", "approved"),
        "reject" => (&["review"], "draft", "rejected"),
        "deprecate" => (&["active"], "deprecated", "approved"),
        "archive" => (&["draft", "deprecated"], "archived", "approved"),
        "reopen" => (&["deprecated", "archived"], "draft", "pending"),
        _ => {
            return Err(ManagementError::invalid_field(
                "action",
                "is not an action of a review",
            ));
        }
    };
    if !from.contains(&current.status.as_str()) {
        let sentence = format!("the question is {}", current.status);
        return Err(ManagementError::WrongState(sentence));
    }
    let judged = matches!(review.action.as_str(), "approve" | "reject");
    if judged && own {
        return Err(ManagementError::WrongState(
            "authors do not review their own questions".to_owned(),
        ));
    }
    let changed = sqlx::query("SELECT review_question($1, $2, $3, $4, $5, $6)")
        .bind(id)
        .bind(revision)
        .bind(to)
        .bind(outcome)
        .bind(&review.notes)
        .bind(judged)
        .execute(&mut *work.tx)
        .await?;
    if changed.rows_affected() == 0 {
        return Err(ManagementError::Forbidden);
    }
    resource::get_row::<QuestionResource>(work, id).await
}

/// Conditions of a search in the question bank.
#[derive(Debug, Default)]
pub struct QuestionSearch {
    /// Words in any language; `"a phrase"`, `-not` and `or` are understood.
    pub text: Option<String>,
    /// Category, including its subcategories.
    pub category_id: Option<i64>,
    /// Question type.
    pub kind: Option<String>,
    /// Difficulty.
    pub difficulty: Option<String>,
    /// Status.
    pub status: Option<String>,
    /// Tags, all of which the question must have.
    pub tags: Vec<String>,
    /// Organisation.
    pub organization_id: Option<i64>,
    /// Count of leading matches to skip.
    pub offset: i64,
    /// Largest number of matches, 1 to 100.
    pub limit: i64,
}

/// A question that matches a search.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Found)]
pub struct QuestionHit {
    /// The matching question.
    #[serde(flatten)]
    pub question: BankQuestion,
    /// Relevance; 0 for a search without words.
    pub rank: f64,
    /// Matches in the question's text, as pairs of start and end in characters.
    #[serde(default)]
    pub highlights: Vec<(usize, usize)>,
}

const SEARCH: &str = "
SELECT to_jsonb(t) - 'search_vector' - 'definition_sha256' || jsonb_build_object('rank', f.rank)
FROM search_questions($1, $2, $3, $4, $5, $6, $7, $8, $9) WITH ORDINALITY AS f (id, rank, place)
JOIN questions AS t ON t.id = f.id
ORDER BY f.place";

/// Returns a page of matching questions, the most relevant first.
///
/// # Errors
/// Database errors.
pub async fn search_questions(
    work: &mut UnitOfWork,
    search: &QuestionSearch,
) -> Result<ListPage<QuestionHit>, ManagementError> {
    let limit = search.limit.clamp(1, 100);
    let rows: Vec<Json<QuestionHit>> = sqlx::query_scalar(SEARCH)
        .bind(&search.text)
        .bind(search.category_id)
        .bind(&search.kind)
        .bind(&search.difficulty)
        .bind(&search.status)
        .bind(&search.tags)
        .bind(search.organization_id)
        .bind(search.offset.max(0))
        .bind(limit + 1)
        .fetch_all(&mut *work.tx)
        .await?;
    let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    let mut items: Vec<QuestionHit> = rows.into_iter().map(|Json(row)| row).collect();
    if more {
        items.pop();
    }
    if let Some(text) = &search.text {
        for found in &mut items {
            let content = found.question.draft.definition.get("content");
            let content = content.and_then(Value::as_str).unwrap_or_default();
            found.highlights = find_highlights(content, text);
        }
    }
    Ok(ListPage {
        items,
        next: more.then_some(search.offset + limit),
    })
}

/// Returns the matches of search words in a text, as start and end in characters.
/// Case is ignored, and so are excluded words.
fn find_highlights(text: &str, words: &str) -> Vec<(usize, usize)> {
    let lower: Vec<char> = text
        .chars()
        .map(|c| c.to_lowercase().next().unwrap_or(c))
        .collect();
    let mut places = Vec::new();
    for word in words.split_whitespace() {
        let word = word.trim_matches('"');
        if word.is_empty() || word.starts_with('-') || word.eq_ignore_ascii_case("or") {
            continue;
        }
        let word: Vec<char> = word.to_lowercase().chars().collect();
        let mut from = 0;
        while let Some(at) = lower
            .get(from..)
            .and_then(|rest| rest.windows(word.len()).position(|window| window == word))
        {
            places.push((from + at, from + at + word.len()));
            from += at + word.len();
        }
    }
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_where_they_stand() {
        let text = "\u{5149}\u{5408}\u{4f5c}\u{7528}: Light and light.";
        assert_eq!(find_highlights(text, "\u{5408}\u{4f5c}"), [(1, 3)]);
        assert_eq!(find_highlights(text, "LIGHT -and"), [(6, 11), (16, 21)]);
        assert_eq!(
            find_highlights(text, "\"light\" or zebra"),
            [(6, 11), (16, 21)]
        );
        assert_eq!(find_highlights("", "x"), []);
    }

    #[test]
    fn a_question_is_checked_as_an_exam_would() {
        let draft = |definition: Value| QuestionDraft {
            definition: definition.as_object().unwrap().clone(),
            ..serde_json::from_value(json!({"organization_id": 1, "definition": {}})).unwrap()
        };
        let essay = draft(json!({"type": "essay", "content": "Why?"}));
        assert_eq!(check_question(&essay).unwrap(), "essay");
        let wrong = draft(json!({
            "type": "single_choice", "content": "?", "answer": "c",
            "options": [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}],
        }));
        let Err(ManagementError::Invalid(faults)) = check_question(&wrong) else {
            panic!("the key names a missing option");
        };
        assert_eq!(faults[0].field, "definition.answer");
        assert!(
            check_question(&draft(json!({"id": "q", "type": "essay", "content": "?"}))).is_err()
        );
    }
}

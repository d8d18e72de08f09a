//! The question bank: categories, questions in versions, their review, and the
//! search.
//!
//! A question that no exam has used is edited in place. One that an exam uses,
//! or that was approved, is not: a change makes its next version, and what was
//! asked and answered stays as it was.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use sqlx::types::Json;
use utoipa::ToSchema;

use super::{
    Fault, FieldFault, Work,
    resource::{self, Page, Resource},
};
use crate::domain::exam::{QuestionType, definition};

/// A category as it is written.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CategoryDraft {
    /// Whose it is.
    pub organization_id: i64,
    /// Shown to people.
    pub name: String,
    /// Unique within the organisation.
    pub code: String,
    /// The category above.
    #[serde(default)]
    pub parent_id: Option<i64>,
    /// What belongs in it.
    #[serde(default)]
    pub description: Option<String>,
    /// Place in lists.
    #[serde(default)]
    pub sort_order: i32,
    /// A picture's name.
    #[serde(default)]
    pub icon: Option<String>,
    /// `#rrggbb`.
    #[serde(default)]
    pub color: Option<String>,
    /// Whether new questions may go there.
    #[serde(default = "yes")]
    pub is_active: bool,
}

fn yes() -> bool {
    true
}

/// A category.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Category {
    /// Its number.
    pub id: i64,
    /// Rises with every change; the `ETag`.
    pub revision: i32,
    /// What people wrote.
    #[serde(flatten)]
    pub draft: CategoryDraft,
    /// Questions in it, newest versions only.
    pub questions: i64,
}

/// Categories of questions.
#[derive(Debug)]
pub struct Categories;

impl Resource for Categories {
    type Draft = CategoryDraft;
    type Row = Category;
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
}

/// A question as it is written.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuestionDraft {
    /// Whose it is.
    pub organization_id: i64,
    /// What is asked, and the key: a question of the exam file without `id` and `points`.
    #[schema(value_type = Object)]
    pub definition: Map<String, Value>,
    /// Points where an exam does not say otherwise.
    #[serde(default = "one", with = "rust_decimal::serde::float")]
    #[schema(value_type = f64)]
    pub default_points: Decimal,
    /// A name in lists.
    #[serde(default)]
    pub title: Option<String>,
    /// `easy`, `medium`, `hard` or `expert`.
    #[serde(default = "medium")]
    pub difficulty: String,
    /// Where it is filed.
    #[serde(default)]
    pub category_id: Option<i64>,
    /// Such as History.
    #[serde(default)]
    pub subject: Option<String>,
    /// Such as The Opium Wars.
    #[serde(default)]
    pub topic: Option<String>,
    /// Finer still.
    #[serde(default)]
    pub subtopic: Option<String>,
    /// Words to find it by.
    #[serde(default)]
    pub keywords: Vec<String>,
    /// Labels to draw by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Hints, as Markdown.
    #[serde(default)]
    pub hints: Vec<String>,
    /// `image`, `audio`, `video` or `document`.
    #[serde(default)]
    pub media_type: Option<String>,
    /// Where that is.
    #[serde(default)]
    pub media_url: Option<String>,
    /// Where the question comes from.
    #[serde(default)]
    pub source: Option<String>,
    /// Whose rights are on it.
    #[serde(default)]
    pub copyright_info: Option<String>,
}

fn one() -> Decimal {
    Decimal::ONE
}

fn medium() -> String {
    "medium".to_owned()
}

/// A version of a question.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = BankQuestion)]
pub struct Question {
    /// Its number.
    pub id: i64,
    /// Rises with every change; the `ETag`.
    pub revision: i32,
    /// What people wrote.
    #[serde(flatten)]
    pub draft: QuestionDraft,
    /// One of the ten types.
    pub r#type: String,
    /// `draft`, `review`, `active`, `deprecated` or `archived`.
    pub status: String,
    /// `pending`, `approved` or `rejected`.
    pub review_status: String,
    /// What the reviewer wrote.
    pub review_notes: Option<String>,
    /// 1 for the first.
    pub version: i32,
    /// Number of the first version; none: this is it.
    pub root_id: Option<i64>,
    /// Whether there is no newer one.
    pub is_latest_version: bool,
    /// Marked answers.
    pub usage_count: i32,
    /// Percent of them that were wholly right.
    pub correct_rate: Option<f64>,
    /// Mean share of the points, 0 to 1.
    pub difficulty_index: Option<f64>,
    /// Correlation with the rest of the exam, -1 to 1.
    pub discrimination_index: Option<f64>,
    /// Mean time on it, seconds.
    pub avg_time_seconds: Option<i32>,
    /// Who wrote it.
    pub created_by: Option<i64>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Last change.
    pub updated_at: DateTime<Utc>,
}

/// Questions.
#[derive(Debug)]
pub struct Questions;

impl Resource for Questions {
    type Draft = QuestionDraft;
    type Row = Question;
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
}

/// A question that an exam would take, or everything that is wrong with it.
fn check(draft: &QuestionDraft) -> Result<&'static str, Fault> {
    let mut question = draft.definition.clone();
    let own = ["id", "points"]
        .into_iter()
        .find(|key| question.contains_key(*key));
    if let Some(key) = own {
        let message = "is the exam's: leave it out";
        return Err(Fault::field(format!("definition.{key}"), message));
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
        Fault::Invalid(faults.collect())
    })?;
    let kind = parsed
        .questions()
        .next()
        .map(|question| question.body.kind());
    kind.map(QuestionType::as_str).ok_or(Fault::NotFound)
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

async fn add(
    work: &mut Work,
    draft: &QuestionDraft,
    (version, root): (i32, Option<i64>),
) -> Result<i64, Fault> {
    let kind = check(draft)?;
    let text = Value::Object(draft.definition.clone()).to_string();
    let row = serde_json::to_value(draft).map_err(Fault::internal)?;
    Ok(sqlx::query_scalar(ADD)
        .bind(Json(row))
        .bind(Sha256::digest(&text).to_vec())
        .bind(kind)
        .bind(text)
        .bind(work.actor.user_id)
        .bind(version)
        .bind(root)
        .fetch_one(&mut *work.tx)
        .await?)
}

/// Makes a draft of a question.
///
/// # Errors
/// With everything that is wrong with it.
pub async fn create(work: &mut Work, draft: &QuestionDraft) -> Result<Question, Fault> {
    let id = add(work, draft, (1, None)).await?;
    resource::get::<Questions>(work, id).await
}

/// Changes a question: a draft that nobody uses in place, anything else by a
/// new version, whose review begins anew.
///
/// # Errors
/// [`Fault::Stale`]; everything that is wrong with it.
pub async fn change(
    work: &mut Work,
    id: i64,
    revision: i32,
    patch: &Value,
) -> Result<Question, Fault> {
    let draft = resource::patched::<Questions>(work, id, patch).await?;
    let current = resource::get::<Questions>(work, id).await?;
    if current.revision != revision {
        return Err(Fault::Stale);
    }
    if !current.is_latest_version {
        return Err(Fault::State("there is a newer version".to_owned()));
    }
    if draft.organization_id != current.draft.organization_id {
        return Err(Fault::field("organization_id", "cannot be changed"));
    }
    let used: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM exam_version_questions WHERE question_id = $1)",
    )
    .bind(id)
    .fetch_one(&mut *work.tx)
    .await?;
    if current.status == "draft" && !used {
        let kind = check(&draft)?;
        let text = Value::Object(draft.definition.clone()).to_string();
        let row = resource::update::<Questions>(work, id, revision, &draft).await?;
        sqlx::query("UPDATE questions SET type = $2, definition_sha256 = $3 WHERE id = $1")
            .bind(id)
            .bind(kind)
            .bind(Sha256::digest(&text).to_vec())
            .execute(&mut *work.tx)
            .await?;
        return resource::get::<Questions>(work, row.id).await;
    }
    // The row's lock decides who makes the next version.
    let ended = sqlx::query(
        "UPDATE questions SET is_latest_version = false, revision = revision + 1
         WHERE id = $1 AND revision = $2 AND is_latest_version",
    )
    .bind(id)
    .bind(revision)
    .execute(&mut *work.tx)
    .await?;
    if ended.rows_affected() == 0 {
        return Err(Fault::Forbidden);
    }
    let root = current.root_id.unwrap_or(id);
    let next = add(work, &draft, (current.version + 1, Some(root))).await?;
    resource::get::<Questions>(work, next).await
}

/// What is done to a question in its review.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// `submit`, `approve`, `reject`, `deprecate`, `archive` or `reopen`.
    pub action: String,
    /// For the author.
    #[serde(default)]
    pub notes: Option<String>,
}

/// Moves a question through `draft`, `review`, `active`, `deprecated`,
/// `archived`. Whoever approves is not the author, and is an administrator or
/// another teacher of the organisation.
///
/// # Errors
/// [`Fault::State`] where the step is not possible.
pub async fn review(
    work: &mut Work,
    id: i64,
    revision: i32,
    review: &Review,
) -> Result<Question, Fault> {
    let current = resource::get::<Questions>(work, id).await?;
    if current.revision != revision {
        return Err(Fault::Stale);
    }
    let own = current.created_by == Some(work.actor.user_id);
    let (from, to, outcome): (&[&str], _, _) = match review.action.as_str() {
        "submit" => (&["draft"], "review", "pending"),
        "approve" => (&["review"], "active", "approved"),
        "reject" => (&["review"], "draft", "rejected"),
        "deprecate" => (&["active"], "deprecated", "approved"),
        "archive" => (&["draft", "deprecated"], "archived", "approved"),
        "reopen" => (&["deprecated", "archived"], "draft", "pending"),
        _ => return Err(Fault::field("action", "is not an action")),
    };
    if !from.contains(&current.status.as_str()) {
        let sentence = format!("the question is {}", current.status);
        return Err(Fault::State(sentence));
    }
    let judged = matches!(review.action.as_str(), "approve" | "reject");
    if judged && own {
        return Err(Fault::State(
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
        return Err(Fault::Forbidden);
    }
    resource::get::<Questions>(work, id).await
}

/// What is looked for.
#[derive(Debug, Default)]
pub struct Search {
    /// Words, in any language; `"in quotes"` together, `-not`, `or`.
    pub text: Option<String>,
    /// In this category, or one below it.
    pub category_id: Option<i64>,
    /// Of this type.
    pub kind: Option<String>,
    /// As hard as this.
    pub difficulty: Option<String>,
    /// In this status.
    pub status: Option<String>,
    /// With all of these.
    pub tags: Vec<String>,
    /// Of this organisation.
    pub organization_id: Option<i64>,
    /// How many to leave out before the first.
    pub offset: i64,
    /// At most so many.
    pub limit: i64,
}

/// A question that was found.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Found {
    /// The question.
    #[serde(flatten)]
    pub question: Question,
    /// How well it fits; 0 without words.
    pub rank: f64,
    /// Where the words stand in the question's text: pairs of first and end, in
    /// characters.
    #[serde(default)]
    pub highlights: Vec<(usize, usize)>,
}

const SEARCH: &str = "
SELECT to_jsonb(t) - 'search_vector' - 'definition_sha256' || jsonb_build_object('rank', f.rank)
FROM search_questions($1, $2, $3, $4, $5, $6, $7, $8, $9) WITH ORDINALITY AS f (id, rank, place)
JOIN questions AS t ON t.id = f.id
ORDER BY f.place";

/// Questions that fit, the best first.
///
/// # Errors
/// As every query.
pub async fn search(work: &mut Work, search: &Search) -> Result<Page<Found>, Fault> {
    let limit = search.limit.clamp(1, 100);
    let rows: Vec<Json<Found>> = sqlx::query_scalar(SEARCH)
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
    let mut items: Vec<Found> = rows.into_iter().map(|Json(row)| row).collect();
    if more {
        items.pop();
    }
    if let Some(text) = &search.text {
        for found in &mut items {
            let content = found.question.draft.definition.get("content");
            let content = content.and_then(Value::as_str).unwrap_or_default();
            found.highlights = highlights(content, text);
        }
    }
    Ok(Page {
        items,
        next: more.then_some(search.offset + limit),
    })
}

/// Where the words of a search stand in a text, in characters. Case does not
/// count; words that are to be absent do not stand anywhere.
fn highlights(text: &str, words: &str) -> Vec<(usize, usize)> {
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
        assert_eq!(highlights(text, "\u{5408}\u{4f5c}"), [(1, 3)]);
        assert_eq!(highlights(text, "LIGHT -and"), [(6, 11), (16, 21)]);
        assert_eq!(highlights(text, "\"light\" or zebra"), [(6, 11), (16, 21)]);
        assert_eq!(highlights("", "x"), []);
    }

    #[test]
    fn a_question_is_checked_as_an_exam_would() {
        let draft = |definition: Value| QuestionDraft {
            definition: definition.as_object().unwrap().clone(),
            ..serde_json::from_value(json!({"organization_id": 1, "definition": {}})).unwrap()
        };
        let essay = draft(json!({"type": "essay", "content": "Why?"}));
        assert_eq!(check(&essay).unwrap(), "essay");
        let wrong = draft(json!({
            "type": "single_choice", "content": "?", "answer": "c",
            "options": [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}],
        }));
        let Err(Fault::Invalid(faults)) = check(&wrong) else {
            panic!("it has no option c");
        };
        assert_eq!(faults[0].field, "definition.answer");
        assert!(check(&draft(json!({"id": "q", "type": "essay", "content": "?"}))).is_err());
    }
}

//! Tables of questions and their categories.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::types::Json;

use super::{BankQuestion, QuestionCategory, QuestionCategoryDraft, QuestionDraft, QuestionStatus};
use crate::{
    FieldFault, ManagementError, UnitOfWork,
    ids::{BankQuestionId, QuestionCategoryId},
    resource::{self, Resource},
};
use invigil_domain::exam::{QuestionType, definition};

/// The resource of question categories.
#[derive(Debug)]
pub struct QuestionCategoryResource;

impl Resource for QuestionCategoryResource {
    type Id = QuestionCategoryId;
    type Draft = QuestionCategoryDraft;
    type Row = QuestionCategory;
    const TABLE: &'static str = "question_categories";
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

/// The resource of questions.
#[derive(Debug)]
pub struct QuestionResource;

impl Resource for QuestionResource {
    type Id = BankQuestionId;
    type Draft = QuestionDraft;
    type Row = BankQuestion;
    const TABLE: &'static str = "questions";
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
fn check_question(draft: &QuestionDraft) -> Result<QuestionType, ManagementError> {
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
    kind.ok_or(ManagementError::NotFound)
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
    (version, root): (i32, Option<BankQuestionId>),
) -> Result<BankQuestionId, ManagementError> {
    let kind = check_question(draft)?;
    let text = Value::Object(draft.definition.clone()).to_string();
    let row = serde_json::to_value(draft).map_err(ManagementError::internal)?;
    Ok(sqlx::query_scalar(ADD)
        .bind(Json(row))
        .bind(Sha256::digest(&text).to_vec())
        .bind(kind.as_str())
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
    id: BankQuestionId,
    revision: i32,
    draft: &QuestionDraft,
) -> Result<BankQuestion, ManagementError> {
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
    if current.status == QuestionStatus::Draft && !used {
        let kind = check_question(draft)?;
        let text = Value::Object(draft.definition.clone()).to_string();
        let row = resource::update_row::<QuestionResource>(work, id, revision, draft).await?;
        sqlx::query("UPDATE questions SET type = $2, definition_sha256 = $3 WHERE id = $1")
            .bind(id)
            .bind(kind.as_str())
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
    let next = insert_version(work, draft, (current.version + 1, Some(root))).await?;
    resource::get_row::<QuestionResource>(work, next).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_checked_as_an_exam_would() {
        let draft = |definition: Value| -> QuestionDraft {
            serde_json::from_value(json!({
                "organization_id": 1, "definition": definition, "default_points": 1,
                "difficulty": "easy", "keywords": [], "tags": [], "hints": [],
            }))
            .unwrap()
        };
        let essay = draft(json!({"type": "essay", "content": "Why?"}));
        assert_eq!(check_question(&essay).unwrap(), QuestionType::Essay);
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

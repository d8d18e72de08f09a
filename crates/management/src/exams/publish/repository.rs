//! Statements on published versions.

use crate::{
    ManagementError, UnitOfWork,
    bank::QuestionStatus,
    ids::{BankQuestionId, ExamId, ExamVersionId},
};
use invigil_domain::exam::Exam;

/// The definition of a question that an exam has placed.
#[derive(sqlx_macros::FromRow)]
pub(super) struct PlacedDefinition {
    pub id: BankQuestionId,
    pub definition: String,
    pub status: QuestionStatus,
}

pub(super) async fn placed_definitions(
    work: &mut UnitOfWork,
    exam: ExamId,
) -> Result<Vec<PlacedDefinition>, ManagementError> {
    let definitions = sqlx::query_as(
        "SELECT q.id, q.definition::text, q.status
         FROM exam_questions AS x
         JOIN questions AS q ON q.id = x.question_id
         WHERE x.exam_id = $1",
    )
    .bind(exam)
    .fetch_all(&mut *work.tx)
    .await?;
    Ok(definitions)
}

/// A statement apart from the version's own: the row policy has to see the version.
const NUMBER: &str = "
INSERT INTO exam_version_questions (exam_version_id, question_id, question_key, position, points)
SELECT $2, q.question_id, q.question_key, row_number() OVER (ORDER BY s.position, q.position), q.points
FROM exam_questions AS q
JOIN exam_sections AS s ON s.exam_id = q.exam_id AND s.section_key = q.section_key
WHERE q.exam_id = $1";

/// Freezes a version of an exam with its questions, unless it is known.
pub(super) async fn insert_version(
    work: &mut UnitOfWork,
    exam: ExamId,
    frozen: &Exam,
    definition: &str,
) -> Result<(), ManagementError> {
    let fresh: Option<ExamVersionId> = sqlx::query_scalar(
        "INSERT INTO exam_versions (exam_id, version, title, definition)
         VALUES ($1, $2, $3, $4::json)
         ON CONFLICT (version) DO NOTHING
         RETURNING id",
    )
    .bind(exam)
    .bind(frozen.version.as_str())
    .bind(&frozen.title)
    .bind(definition)
    .fetch_optional(&mut *work.tx)
    .await?;
    if let Some(version) = fresh {
        sqlx::query(NUMBER)
            .bind(exam)
            .bind(version)
            .execute(&mut *work.tx)
            .await?;
    }
    Ok(())
}

/// Makes a version that of new attempts, and opens the exam.
pub(super) async fn open_version(
    work: &mut UnitOfWork,
    exam: ExamId,
    frozen: &Exam,
) -> Result<(), ManagementError> {
    sqlx::query(
        "UPDATE exams AS e
         SET current_version_id = v.id, status = 'published', published_at = now()
         FROM exam_versions AS v
         WHERE e.id = $1 AND v.version = $2 AND v.exam_id = e.id",
    )
    .bind(exam)
    .bind(frozen.version.as_str())
    .execute(&mut *work.tx)
    .await?;
    Ok(())
}

//! Statements on compositions.

use sqlx::types::Json;

use super::model::{ExamComposition, QuestionDraw};
use crate::{
    ManagementError, UnitOfWork,
    ids::{BankQuestionId, ExamId},
};

const COMPOSITION: &str = "
SELECT jsonb_build_object('sections', coalesce(jsonb_agg(jsonb_build_object(
    'id', s.section_key, 'title', s.title, 'time_limit_minutes', s.time_limit_minutes,
    'questions', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'question_id', q.question_id, 'id', q.question_key, 'points', q.points) ORDER BY q.position)
        FROM exam_questions AS q
        WHERE q.exam_id = s.exam_id AND q.section_key = s.section_key), '[]')
    ) ORDER BY s.position), '[]'))
FROM exam_sections AS s
WHERE s.exam_id = $1";

pub(super) async fn read_composition(
    work: &mut UnitOfWork,
    exam: ExamId,
) -> Result<ExamComposition, ManagementError> {
    let Json(composition) = sqlx::query_scalar(COMPOSITION)
        .bind(exam)
        .fetch_one(&mut *work.tx)
        .await?;
    Ok(composition)
}

const PLACE: &str = "
INSERT INTO exam_questions (exam_id, question_id, question_key, section_key, position, points)
SELECT $1, b.id, coalesce(q.question ->> 'id', 'q' || b.id), s.section ->> 'id', q.position,
       coalesce((q.question ->> 'points')::numeric, b.default_points)
FROM jsonb_array_elements($2 -> 'sections') AS s (section)
CROSS JOIN LATERAL jsonb_array_elements(s.section -> 'questions') WITH ORDINALITY AS q (question, position)
JOIN questions AS b ON b.id = (q.question ->> 'question_id')::bigint
JOIN exams AS e ON e.id = $1 AND e.organization_id = b.organization_id";

const COUNT: &str = "
UPDATE exams AS e
SET questions_count = s.questions, total_points = s.points
FROM (
    SELECT count(*) AS questions, coalesce(sum(q.points), 0) AS points
    FROM exam_questions AS q WHERE q.exam_id = $1
) AS s
WHERE e.id = $1";

/// Replaces the sections and questions of an exam. Returns the count of placed questions;
/// those that are not in the organisation's bank are left out.
pub(super) async fn write_composition(
    work: &mut UnitOfWork,
    exam: ExamId,
    composition: &ExamComposition,
) -> Result<u64, ManagementError> {
    let sections = serde_json::to_value(composition).map_err(ManagementError::internal)?;
    sqlx::query("DELETE FROM exam_sections WHERE exam_id = $1")
        .bind(exam)
        .execute(&mut *work.tx)
        .await?;
    sqlx::query(
        "INSERT INTO exam_sections (exam_id, section_key, title, time_limit_minutes, position)
         SELECT $1, s.section ->> 'id', s.section ->> 'title',
                (s.section ->> 'time_limit_minutes')::integer, s.position
         FROM jsonb_array_elements($2 -> 'sections') WITH ORDINALITY AS s (section, position)",
    )
    .bind(exam)
    .bind(Json(&sections))
    .execute(&mut *work.tx)
    .await?;
    let placed = sqlx::query(PLACE)
        .bind(exam)
        .bind(Json(&sections))
        .execute(&mut *work.tx)
        .await?;
    Ok(placed.rows_affected())
}

/// Writes the count of an exam's questions and the sum of their points.
pub(super) async fn write_sums(work: &mut UnitOfWork, exam: ExamId) -> Result<(), ManagementError> {
    sqlx::query(COUNT).bind(exam).execute(&mut *work.tx).await?;
    Ok(())
}

/// Returns the questions that an exam has.
pub(super) async fn placed_questions(
    work: &mut UnitOfWork,
    exam: ExamId,
) -> Result<Vec<BankQuestionId>, ManagementError> {
    let placed = sqlx::query_scalar("SELECT question_id FROM exam_questions WHERE exam_id = $1")
        .bind(exam)
        .fetch_all(&mut *work.tx)
        .await?;
    Ok(placed)
}

const DRAW: &str = "
WITH RECURSIVE below AS (
    SELECT $3::bigint AS id
    UNION
    SELECT c.id FROM question_categories AS c JOIN below ON c.parent_id = below.id
)
SELECT q.id
FROM questions AS q
JOIN exams AS e ON e.id = $1 AND e.organization_id = q.organization_id
WHERE q.status = 'active' AND q.is_latest_version
  AND ($3::bigint IS NULL OR q.category_id IN (SELECT id FROM below))
  AND ($4::text IS NULL OR q.difficulty = $4)
  AND ($5::text IS NULL OR q.type = $5)
  AND q.tags @> $6
  AND NOT EXISTS (SELECT FROM exam_questions AS x WHERE x.exam_id = e.id AND x.question_id = q.id)
ORDER BY sha256(convert_to($7::bigint || ' ' || q.id, 'UTF8'))
LIMIT $2";

/// Returns questions that match a draw, in an order that follows from the seed.
pub(super) async fn draw_questions(
    work: &mut UnitOfWork,
    exam: ExamId,
    draw: &QuestionDraw,
    seed: i64,
) -> Result<Vec<BankQuestionId>, ManagementError> {
    let drawn = sqlx::query_scalar(DRAW)
        .bind(exam)
        .bind(draw.count)
        .bind(draw.category_id)
        .bind(&draw.difficulty)
        .bind(&draw.kind)
        .bind(&draw.tags)
        .bind(seed)
        .fetch_all(&mut *work.tx)
        .await?;
    Ok(drawn)
}

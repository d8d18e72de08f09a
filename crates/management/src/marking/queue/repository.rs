//! Statements on the grading queue.

use sqlx::types::Json;

use super::model::GradingQueueItem;
use crate::{ManagementError, UnitOfWork, ids::ExamId};

const WAITING: &str = "
SELECT jsonb_build_object(
    'attempt_id', k.attempt_id, 'question', x.question_key, 'question_id', a.question_id, 'type', q.type,
    'definition', q.definition, 'value', a.user_answer, 'points_possible', a.points_possible,
    'marks', m.marks, 'claimed', m.claimed)
FROM exam_attempt_keys AS k
JOIN answers AS a ON a.attempt_id = k.attempt_id AND a.status = 'pending_review'
JOIN exam_version_questions AS x
  ON x.exam_version_id = k.exam_version_id AND x.question_id = a.question_id
JOIN questions AS q ON q.id = a.question_id
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE n.points IS NOT NULL) AS marks,
           count(*) FILTER (WHERE n.points IS NULL AND n.claimed_at > now() - interval '1 hour') > 0 AS claimed,
           count(*) FILTER (WHERE n.marker_id = $3 AND n.points IS NOT NULL) > 0 AS own
    FROM answer_marks AS n
    WHERE n.attempt_id = a.attempt_id AND n.question_id = a.question_id
) AS m
WHERE k.exam_id = $1 AND k.closed_at IS NOT NULL AND ($2::text IS NULL OR x.question_key = $2)
  AND NOT m.own";

/// Returns the first answers of the queue.
pub(super) async fn list_waiting(
    work: &mut UnitOfWork,
    exam: ExamId,
    question: Option<&str>,
    limit: i64,
) -> Result<Vec<GradingQueueItem>, ManagementError> {
    let sql = format!("{WAITING} ORDER BY x.position, k.attempt_id LIMIT $4");
    let rows: Vec<Json<GradingQueueItem>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(exam)
        .bind(question)
        .bind(work.user_id)
        .bind(limit)
        .fetch_all(&mut *work.tx)
        .await?;
    Ok(rows.into_iter().map(|Json(row)| row).collect())
}

/// Lets one claim at an exam wait for another: simultaneous ones would get the same answer.
pub(super) async fn lock_claims(
    work: &mut UnitOfWork,
    exam: ExamId,
) -> Result<(), ManagementError> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('marking'), $1::integer)")
        .bind(i32::try_from(exam.0).unwrap_or(i32::MAX))
        .execute(&mut *work.tx)
        .await?;
    Ok(())
}

/// Returns the first answer of the queue that nobody claimed.
pub(super) async fn next_unclaimed(
    work: &mut UnitOfWork,
    exam: ExamId,
    question: Option<&str>,
) -> Result<Option<GradingQueueItem>, ManagementError> {
    let sql = format!("{WAITING} AND NOT m.claimed ORDER BY x.position, k.attempt_id LIMIT 1");
    let next: Option<Json<GradingQueueItem>> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(exam)
        .bind(question)
        .bind(work.user_id)
        .fetch_optional(&mut *work.tx)
        .await?;
    Ok(next.map(|Json(item)| item))
}

/// Replaces the ended claims on an answer by one of the acting person.
pub(super) async fn insert_claim(
    work: &mut UnitOfWork,
    item: &GradingQueueItem,
) -> Result<(), ManagementError> {
    sqlx::query(
        "DELETE FROM answer_marks
         WHERE attempt_id = $1 AND question_id = $2 AND points IS NULL
           AND claimed_at <= now() - interval '1 hour'",
    )
    .bind(item.attempt_id.0)
    .bind(item.question_id)
    .execute(&mut *work.tx)
    .await?;
    sqlx::query(
        "INSERT INTO answer_marks (attempt_id, question_id, marker_id, round)
         SELECT $1, $2, $3, count(*) + 1 FROM answer_marks WHERE attempt_id = $1 AND question_id = $2",
    )
    .bind(item.attempt_id.0)
    .bind(item.question_id)
    .bind(work.user_id)
    .execute(&mut *work.tx)
    .await?;
    Ok(())
}

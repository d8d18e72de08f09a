//! Statements on statistics and attempts.

use serde_json::Value;
use sqlx::types::Json;

use super::model::AttemptCursor;
use crate::{ManagementError, UnitOfWork, ids::ExamId};

/// Returns the statistics of an exam without its questions.
pub(super) async fn read_statistics(
    work: &mut UnitOfWork,
    exam: ExamId,
) -> Result<Value, ManagementError> {
    let Json(head) = sqlx::query_scalar(
        "SELECT to_jsonb(s) FROM visible_exam_statistics AS s WHERE s.exam_id = $1",
    )
    .bind(exam)
    .fetch_one(&mut *work.tx)
    .await?;
    Ok(head)
}

const ITEMS: &str = "
SELECT to_jsonb(s) || jsonb_build_object(
    'question', x.question_key, 'type', q.type, 'title', q.title,
    'distractors', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
            'value', d.value, 'chosen', d.chosen, 'mean_rest', d.mean_rest) ORDER BY d.chosen DESC, d.value)
        FROM (
            SELECT n.user_answer::text AS value, count(*) AS chosen,
                   round(avg(a.score - coalesce(n.points_earned, 0)), 2) AS mean_rest
            FROM exam_attempt_keys AS k
            JOIN exam_attempts AS a ON a.id = k.attempt_id AND a.started_at = k.started_at
            JOIN answers AS n ON n.attempt_id = k.attempt_id AND n.question_id = s.question_id
            WHERE k.exam_id = s.exam_id AND a.submitted_at IS NOT NULL AND NOT a.needs_marking
              AND a.status <> 'cancelled' AND n.user_answer IS NOT NULL
              AND q.type IN ('single_choice', 'multiple_choice', 'true_false')
            GROUP BY n.user_answer::text
        ) AS d), '[]'))
FROM visible_question_statistics AS s
JOIN questions AS q ON q.id = s.question_id
JOIN LATERAL (
    SELECT v.question_key FROM exam_version_questions AS v
    JOIN exam_versions AS e ON e.id = v.exam_version_id AND e.exam_id = s.exam_id
    WHERE v.question_id = s.question_id
    ORDER BY v.exam_version_id DESC
    LIMIT 1
) AS x ON true
WHERE s.exam_id = $1
ORDER BY x.question_key";

/// Returns the statistics of an exam's questions.
pub(super) async fn read_items(
    work: &mut UnitOfWork,
    exam: ExamId,
) -> Result<Vec<Value>, ManagementError> {
    let questions: Vec<Json<Value>> = sqlx::query_scalar(ITEMS)
        .bind(exam)
        .fetch_all(&mut *work.tx)
        .await?;
    Ok(questions.into_iter().map(|Json(row)| row).collect())
}

const ATTEMPTS: &str = "
SELECT jsonb_build_object(
    'id', a.id, 'code', k.attempt_code, 'candidate', u.username, 'name', u.name, 'number', k.attempt_no,
    'status', a.status, 'started_at', a.started_at, 'submitted_at', a.submitted_at,
    'time_spent_seconds', extract(epoch FROM a.time_spent), 'late', a.late, 'score', a.score,
    'max_score', a.max_score, 'percentage', a.percentage, 'grade', a.grade, 'passed', a.passed,
    'needs_marking', a.needs_marking, 'released', a.released_at IS NOT NULL,
    'rank', CASE WHEN a.submitted_at IS NOT NULL AND NOT a.needs_marking THEN r.rank END,
    'percentile', CASE WHEN a.submitted_at IS NOT NULL AND NOT a.needs_marking THEN r.percentile END)
FROM exam_attempts AS a
JOIN exam_attempt_keys AS k ON k.attempt_id = a.id
JOIN users AS u ON u.id = a.user_id
LEFT JOIN (
    SELECT id, rank() OVER (ORDER BY score DESC) AS rank,
           round((100 * percent_rank() OVER (ORDER BY score))::numeric, 2) AS percentile
    FROM exam_attempts
    WHERE exam_id = $1 AND submitted_at IS NOT NULL AND NOT needs_marking AND status <> 'cancelled'
) AS r ON r.id = a.id
WHERE a.exam_id = $1
  AND ($2::timestamptz IS NULL OR (a.started_at, a.id) < ($2, $3))
ORDER BY a.started_at DESC, a.id DESC
LIMIT $4";

/// Returns attempts of an exam, newest first, with ranks.
pub(super) async fn list_attempts(
    work: &mut UnitOfWork,
    exam: ExamId,
    before: Option<AttemptCursor>,
    limit: i64,
) -> Result<Vec<Value>, ManagementError> {
    let rows: Vec<Json<Value>> = sqlx::query_scalar(ATTEMPTS)
        .bind(exam)
        .bind(before.map(|cursor| cursor.started_at))
        .bind(before.map(|cursor| cursor.id.0))
        .bind(limit)
        .fetch_all(&mut *work.tx)
        .await?;
    Ok(rows.into_iter().map(|Json(row)| row).collect())
}

//! What staff look at: statistics, rankings, attempts, the audit trail and
//! security events.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;
use utoipa::ToSchema;

use super::{Fault, Work};

/// Statistics of an exam and of its questions, as of the last refresh.
#[derive(Debug, Serialize, ToSchema)]
pub struct Statistics {
    /// Of the exam: attempts, mean, deviation, quartiles, duration, Cronbach's alpha.
    #[schema(value_type = Object)]
    pub exam: Value,
    /// One entry a question: facility, discrimination, mean time, distractors.
    #[schema(value_type = Vec<Object>)]
    pub questions: Vec<Value>,
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

/// The statistics of an exam.
///
/// # Errors
/// [`Fault::NotFound`] where it has none yet.
pub async fn statistics(work: &mut Work, exam: i64) -> Result<Statistics, Fault> {
    let Json(head): Json<Value> = sqlx::query_scalar(
        "SELECT to_jsonb(s) FROM visible_exam_statistics AS s WHERE s.exam_id = $1",
    )
    .bind(exam)
    .fetch_one(&mut *work.tx)
    .await?;
    let questions: Vec<Json<Value>> = sqlx::query_scalar(ITEMS)
        .bind(exam)
        .fetch_all(&mut *work.tx)
        .await?;
    Ok(Statistics {
        exam: head,
        questions: questions.into_iter().map(|Json(row)| row).collect(),
    })
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

/// A page of an exam's attempts, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Attempts {
    /// With rank and percentile among those that are wholly marked.
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<Value>,
    /// `before` of the next page; null: this was the last.
    pub next: Option<String>,
}

/// Attempts of an exam, newest first, from a cursor on.
///
/// # Errors
/// Where the cursor is none.
pub async fn attempts(
    work: &mut Work,
    exam: i64,
    before: Option<&str>,
    limit: i64,
) -> Result<Attempts, Fault> {
    // The start alone would lose those that began in the same moment.
    let cursor = before.map(|text| {
        let (at, id) = text.split_once('_')?;
        let at = DateTime::<Utc>::from_timestamp_micros(at.parse().ok()?)?;
        Some((at, id.parse::<i64>().ok()?))
    });
    let cursor = match cursor {
        Some(None) => return Err(Fault::field("before", "is no cursor")),
        Some(Some(cursor)) => Some(cursor),
        None => None,
    };
    let limit = limit.clamp(1, 500);
    let rows: Vec<Json<Value>> = sqlx::query_scalar(ATTEMPTS)
        .bind(exam)
        .bind(cursor.map(|(at, _)| at))
        .bind(cursor.map(|(_, id)| id))
        .bind(limit + 1)
        .fetch_all(&mut *work.tx)
        .await?;
    let mut items: Vec<Value> = rows.into_iter().map(|Json(row)| row).collect();
    let more = items.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        items.pop();
    }
    let next = items.last().filter(|_| more).and_then(|last| {
        let at: DateTime<Utc> = last["started_at"].as_str()?.parse().ok()?;
        Some(format!("{}_{}", at.timestamp_micros(), last["id"]))
    });
    Ok(Attempts { items, next })
}

/// What proctors did to the attempts of an exam, newest first.
///
/// # Errors
/// As every query.
pub async fn proctor_log(work: &mut Work, exam: i64, limit: i64) -> Result<Vec<Value>, Fault> {
    let rows: Vec<Json<Value>> = sqlx::query_scalar(
        "SELECT to_jsonb(p) || jsonb_build_object('reason', coalesce(p.details ->> 'reason', t.data ->> 'reason'))
         FROM exam_attempt_keys AS k
         JOIN proctor_logs AS p ON p.attempt_id = k.attempt_id
         LEFT JOIN attempt_timeline AS t
           ON t.attempt_id = p.attempt_id AND t.entry_no = (p.details ->> 'entry')::bigint
         WHERE k.exam_id = $1
         ORDER BY p.occurred_at DESC, p.id DESC
         LIMIT $2",
    )
    .bind(exam)
    .bind(limit.clamp(1, 500))
    .fetch_all(&mut *work.tx)
    .await?;
    Ok(rows.into_iter().map(|Json(row)| row).collect())
}

/// What is looked for in the audit trail.
#[derive(Debug, Default)]
pub struct AuditSearch {
    /// Of this table.
    pub table: Option<String>,
    /// Of this row.
    pub record: Option<String>,
    /// By this person.
    pub user_id: Option<i64>,
    /// With a lower number.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

/// Entries of the audit trail, newest first.
///
/// # Errors
/// [`Fault::Forbidden`] for teachers.
pub async fn audit(work: &mut Work, search: &AuditSearch) -> Result<Vec<Value>, Fault> {
    work.require_admin()?;
    let rows: Vec<Json<Value>> = sqlx::query_scalar(
        "SELECT to_jsonb(a) - 'seal' - 'transaction_id' || jsonb_build_object('sealed', a.seal IS NOT NULL)
         FROM audit_logs AS a
         WHERE ($1::text IS NULL OR a.table_name = $1)
           AND ($2::text IS NULL OR a.record_id = $2)
           AND ($3::bigint IS NULL OR a.user_id = $3)
           AND ($4::bigint IS NULL OR a.id < $4)
         ORDER BY a.id DESC
         LIMIT $5",
    )
    .bind(&search.table)
    .bind(&search.record)
    .bind(search.user_id)
    .bind(search.before)
    .bind(search.limit.clamp(1, 500))
    .fetch_all(&mut *work.tx)
    .await?;
    Ok(rows.into_iter().map(|Json(row)| row).collect())
}

/// Security events, newest first.
///
/// # Errors
/// [`Fault::Forbidden`] for teachers.
pub async fn security_events(
    work: &mut Work,
    status: Option<&str>,
    limit: i64,
) -> Result<Vec<Value>, Fault> {
    work.require_admin()?;
    let rows: Vec<Json<Value>> = sqlx::query_scalar(
        "SELECT to_jsonb(e) FROM security_events AS e
         WHERE $1::text IS NULL OR e.status = $1
         ORDER BY e.created_at DESC, e.id DESC
         LIMIT $2",
    )
    .bind(status)
    .bind(limit.clamp(1, 500))
    .fetch_all(&mut *work.tx)
    .await?;
    Ok(rows.into_iter().map(|Json(row)| row).collect())
}

/// What becomes of a security event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Handling {
    /// `new`, `investigating`, `resolved` or `false_positive`.
    pub status: String,
    /// Who looks into it, by number.
    #[serde(default)]
    pub assigned_to: Option<i64>,
    /// What was found.
    #[serde(default)]
    pub notes: String,
}

/// Assigns or resolves a security event.
///
/// # Errors
/// [`Fault::Stale`] where somebody was quicker.
pub async fn handle(
    work: &mut Work,
    event: i64,
    revision: i32,
    handling: &Handling,
) -> Result<Value, Fault> {
    work.require_admin()?;
    let changed = sqlx::query(
        "UPDATE security_events
         SET status = $3, assigned_to = $4, resolution_notes = $5, revision = revision + 1,
             resolved_at = CASE WHEN $3 IN ('resolved', 'false_positive') THEN now() END,
             resolved_by = CASE WHEN $3 IN ('resolved', 'false_positive') THEN $6::bigint END
         WHERE id = $1 AND revision = $2",
    )
    .bind(event)
    .bind(revision)
    .bind(&handling.status)
    .bind(handling.assigned_to)
    .bind(&handling.notes)
    .bind(work.actor.user_id)
    .execute(&mut *work.tx)
    .await?;
    let Json(row): Json<Value> =
        sqlx::query_scalar("SELECT to_jsonb(e) FROM security_events AS e WHERE e.id = $1")
            .bind(event)
            .fetch_one(&mut *work.tx)
            .await?;
    if changed.rows_affected() == 0 {
        return Err(Fault::Stale);
    }
    Ok(row)
}

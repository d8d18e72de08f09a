//! Reports for staff: statistics, rankings, attempts, the audit trail and
//! security events.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;
use utoipa::ToSchema;

use crate::{ManagementError, UnitOfWork};

/// Statistics of an exam and its questions, as of the last refresh.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statistics)]
pub struct ExamStatistics {
    /// Attempts, mean, deviation, quartiles, duration and Cronbach's alpha of the exam.
    #[schema(value_type = Object)]
    pub exam: Value,
    /// Facility, discrimination, mean time and distractors of each question.
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

/// Returns the statistics of an exam.
///
/// # Errors
/// [`ManagementError::NotFound`] before their first refresh.
pub async fn exam_statistics(
    work: &mut UnitOfWork,
    exam: i64,
) -> Result<ExamStatistics, ManagementError> {
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
    Ok(ExamStatistics {
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
#[schema(as = Attempts)]
pub struct AttemptPage {
    /// Attempts, with rank and percentile among the fully marked ones.
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<Value>,
    /// `before` of the next page; null: this is the last.
    pub next: Option<String>,
}

/// Returns a page of an exam's attempts, newest first.
///
/// # Errors
/// [`ManagementError::Invalid`] if `before` is not the `next` of a page.
pub async fn list_attempts(
    work: &mut UnitOfWork,
    exam: i64,
    before: Option<&str>,
    limit: i64,
) -> Result<AttemptPage, ManagementError> {
    // The start alone would skip attempts that started at the same instant.
    let cursor = before.map(|text| {
        let (at, id) = text.split_once('_')?;
        let at = DateTime::<Utc>::from_timestamp_micros(at.parse().ok()?)?;
        Some((at, id.parse::<i64>().ok()?))
    });
    let cursor = match cursor {
        Some(None) => {
            return Err(ManagementError::invalid_field(
                "before",
                "must be the `next` of another page",
            ));
        }
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
    Ok(AttemptPage { items, next })
}

/// Returns the actions of proctors on an exam's attempts, newest first.
///
/// # Errors
/// Database errors.
pub async fn proctor_log(
    work: &mut UnitOfWork,
    exam: i64,
    limit: i64,
) -> Result<Vec<Value>, ManagementError> {
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

/// Conditions of a search in the audit trail.
#[derive(Debug, Default)]
pub struct AuditSearch {
    /// Name of the changed table.
    pub table: Option<String>,
    /// Id of the changed row.
    pub record: Option<String>,
    /// Number of the acting person.
    pub user_id: Option<i64>,
    /// Upper bound of the entries' numbers, exclusive.
    pub before: Option<i64>,
    /// Largest number of entries, 1 to 500.
    pub limit: i64,
}

/// Returns matching entries of the audit trail, newest first.
///
/// # Errors
/// [`ManagementError::Forbidden`] for teachers.
pub async fn search_audit(
    work: &mut UnitOfWork,
    search: &AuditSearch,
) -> Result<Vec<Value>, ManagementError> {
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

/// Returns security events, newest first.
///
/// # Errors
/// [`ManagementError::Forbidden`] for teachers.
pub async fn security_events(
    work: &mut UnitOfWork,
    status: Option<&str>,
    limit: i64,
) -> Result<Vec<Value>, ManagementError> {
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

/// An assignment or resolution of a security event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Handling)]
pub struct SecurityEventUpdate {
    /// `new`, `investigating`, `resolved` or `false_positive`.
    pub status: String,
    /// Number of the person who investigates it.
    #[serde(default)]
    pub assigned_to: Option<i64>,
    /// Findings.
    #[serde(default)]
    pub notes: String,
}

/// Assigns or resolves a security event.
///
/// # Errors
/// [`ManagementError::Stale`] if it has another revision by now.
pub async fn update_security_event(
    work: &mut UnitOfWork,
    event: i64,
    revision: i32,
    handling: &SecurityEventUpdate,
) -> Result<Value, ManagementError> {
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
    .bind(work.user_id)
    .execute(&mut *work.tx)
    .await?;
    let Json(row): Json<Value> =
        sqlx::query_scalar("SELECT to_jsonb(e) FROM security_events AS e WHERE e.id = $1")
            .bind(event)
            .fetch_one(&mut *work.tx)
            .await?;
    if changed.rows_affected() == 0 {
        return Err(ManagementError::Stale);
    }
    Ok(row)
}

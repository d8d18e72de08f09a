//! Statements on the runs of jobs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::model::{MaintenanceJob, MaintenanceStatus};
use crate::ManagementError;

/// Upper limit of the time share of statistics, one part in so many: they read all answers
/// ever given.
const STATISTICS_SHARE: i64 = 20;

/// Query that tells if a job is due by its last run on any node. Statistics are due only after
/// changes and within their time share; an exam that closed makes them due before their interval
/// ends.
const DUE: &str = "
SELECT coalesce(
    CASE WHEN j.job = 'statistics' THEN
        ($4 IS DISTINCT FROM r.changes)
        AND $2 >= r.ended_at + r.took_ms * $5 * interval '1 millisecond'
        AND ($2 >= r.ended_at + $3 OR EXISTS (
            SELECT FROM exams AS e WHERE e.available_until > r.ended_at AND e.available_until <= $2))
    ELSE $2 >= r.ended_at + $3 END, true)
FROM (SELECT $1::text) AS j (job)
LEFT JOIN maintenance_runs AS r ON r.job = j.job";

/// Query of a counter that changes with every write to attempts, answers or exams.
const CHANGES: &str = "
SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint
FROM pg_stat_user_tables
WHERE relname ~ '^(exams|exam_attempts|answers|exam_versions|key_corrections)'";

/// Takes the lock of a job until the end of the transaction; false if another node has it.
pub(super) async fn lock_job(
    connection: &mut PgConnection,
    job: MaintenanceJob,
) -> Result<bool, ManagementError> {
    let mine = sqlx::query_scalar(
        "SELECT pg_try_advisory_xact_lock(hashtext('maintenance'), hashtext($1))",
    )
    .bind(job.name())
    .fetch_one(connection)
    .await?;
    Ok(mine)
}

/// Returns the counter of writes to attempts, answers and exams.
pub(super) async fn count_changes(connection: &mut PgConnection) -> Result<i64, ManagementError> {
    let changes = sqlx::query_scalar(CHANGES).fetch_one(connection).await?;
    Ok(changes)
}

/// Returns true if a job is due by its last run on any node.
pub(super) async fn is_due(
    connection: &mut PgConnection,
    job: MaintenanceJob,
    now: DateTime<Utc>,
    changes: i64,
) -> Result<bool, ManagementError> {
    let due = sqlx::query_scalar(DUE)
        .bind(job.name())
        .bind(now)
        .bind(job.interval())
        .bind(changes)
        .bind(STATISTICS_SHARE)
        .fetch_one(connection)
        .await?;
    Ok(due)
}

/// A finished run of a job.
pub(super) struct FinishedRun {
    pub job: MaintenanceJob,
    pub began: DateTime<Utc>,
    pub took: Duration,
    pub said: String,
    pub changes: i64,
}

pub(super) async fn record_run(
    connection: &mut PgConnection,
    run: &FinishedRun,
) -> Result<(), ManagementError> {
    sqlx::query(
        "INSERT INTO maintenance_runs (job, ended_at, said, took_ms, changes)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (job) DO UPDATE SET ended_at = excluded.ended_at, said = excluded.said,
             took_ms = excluded.took_ms, changes = excluded.changes",
    )
    .bind(run.job.name())
    .bind(run.began + run.took)
    .bind(&run.said)
    .bind(i32::try_from(run.took.as_millis()).unwrap_or(i32::MAX))
    .bind(run.changes)
    .execute(connection)
    .await?;
    Ok(())
}

/// Returns the last run of every job and the last month of every table.
pub(super) async fn read_status(pool: &PgPool) -> Result<MaintenanceStatus, ManagementError> {
    let runs = sqlx::query_as("SELECT job, ended_at, said FROM maintenance_runs ORDER BY job")
        .fetch_all(pool)
        .await?;
    let runway = sqlx::query_as("SELECT table_name, last_month FROM partition_runway ORDER BY 1")
        .fetch_all(pool)
        .await?;
    let unsealed: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_logs WHERE seal IS NULL")
        .fetch_one(pool)
        .await?;
    Ok(MaintenanceStatus {
        runs,
        runway,
        unsealed,
    })
}

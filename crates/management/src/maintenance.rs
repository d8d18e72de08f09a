//! Periodic jobs: partitions for the months ahead, archiving of old months,
//! statistics, attack detection, seals of the audit trail, and regrading of
//! attempts after a corrected key.
//!
//! Every node tries each job; an advisory lock admits one. A failed job is retried
//! after its interval, and does not delay the others.

use std::{future::Future, time::Duration};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use sqlx::{FromRow, PgConnection, PgPool, Postgres, Transaction};

use crate::{ManagementError, UnitOfWork, marking};
use invigil_domain::time::Timestamp;
use invigil_objects::media::MediaStore;
use invigil_secrets::sealed::{self, SealedField, SealingKeys};
use invigil_store_sql::postgres::{MONTHLY_TABLES, MONTHS_AHEAD, PostgresStore as Store};

/// A periodic job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaintenanceJob {
    /// Creation of partitions for months ahead and organisations; archiving of old months.
    Partitions,
    /// Statistics of exams and questions.
    Statistics,
    /// Attack detection.
    Security,
    /// Seals of the audit trail.
    Seals,
    /// Regrading of attempts after a corrected key.
    Regrading,
    /// Removal of expired log-ins.
    Sessions,
    /// Removal of media files without a question.
    Media,
}

impl MaintenanceJob {
    /// All jobs, in the order of a round.
    pub const ALL: [Self; 7] = [
        Self::Partitions,
        Self::Sessions,
        Self::Media,
        Self::Regrading,
        Self::Statistics,
        Self::Security,
        Self::Seals,
    ];

    /// Returns the job's name in metrics and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Partitions => "partitions",
            Self::Statistics => "statistics",
            Self::Security => "security",
            Self::Seals => "seals",
            Self::Regrading => "regrading",
            Self::Sessions => "sessions",
            Self::Media => "media",
        }
    }

    /// Returns the time between two runs.
    pub const fn interval(self) -> Duration {
        match self {
            Self::Partitions | Self::Sessions | Self::Media => Duration::from_hours(6),
            Self::Statistics | Self::Security => Duration::from_mins(5),
            Self::Seals | Self::Regrading => Duration::from_mins(1),
        }
    }
}

/// Months after which old data is archived; 0 keeps it in its tables.
#[derive(Debug, Clone)]
pub struct RetentionSettings {
    /// Attempts.
    pub attempts: u32,
    /// Log-ins, actions of proctors, security events.
    pub logs: u32,
    /// The audit trail.
    pub audit: u32,
}

/// Runs periodic jobs on a database.
#[derive(Debug, Clone)]
pub struct Maintenance {
    pool: PgPool,
    keys: SealingKeys,
    retention: RetentionSettings,
    media: MediaStore,
}

/// Outcome of a job that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobResult {
    /// The job ran; its report is a sentence for people.
    Completed(String),
    /// Another node is running the job.
    RunningElsewhere,
    /// The job ran less than an interval ago, on any node.
    NotDue,
}

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

impl Maintenance {
    /// Creates the maintenance of a database, with the rights of the engine or an operator.
    pub fn new(
        store: &Store,
        keys: SealingKeys,
        retention: RetentionSettings,
        media: MediaStore,
    ) -> Self {
        Self {
            pool: store.pool().clone(),
            keys,
            retention,
            media,
        }
    }

    /// Runs one job, unless another node is running it.
    ///
    /// # Errors
    /// Database errors, and those of media files and keys.
    pub async fn run_job(
        &self,
        job: MaintenanceJob,
        now: DateTime<Utc>,
    ) -> Result<JobResult, ManagementError> {
        self.run_when(job, now, false).await
    }

    /// Runs one job if it is due.
    ///
    /// # Errors
    /// As [`Maintenance::run_job`].
    pub async fn run_if_due(
        &self,
        job: MaintenanceJob,
        now: DateTime<Utc>,
    ) -> Result<JobResult, ManagementError> {
        self.run_when(job, now, true).await
    }

    async fn run_when(
        &self,
        job: MaintenanceJob,
        now: DateTime<Utc>,
        if_due: bool,
    ) -> Result<JobResult, ManagementError> {
        let begun = tokio::time::Instant::now();
        let mut tx = self.pool.begin().await?;
        sqlx::query("SET LOCAL statement_timeout = '10min'")
            .execute(&mut *tx)
            .await?;
        let mine: bool = sqlx::query_scalar(
            "SELECT pg_try_advisory_xact_lock(hashtext('maintenance'), hashtext($1))",
        )
        .bind(job.name())
        .fetch_one(&mut *tx)
        .await?;
        let changes: i64 = sqlx::query_scalar(CHANGES).fetch_one(&mut *tx).await?;
        let due: bool = sqlx::query_scalar(DUE)
            .bind(job.name())
            .bind(now)
            .bind(job.interval())
            .bind(changes)
            .bind(STATISTICS_SHARE)
            .fetch_one(&mut *tx)
            .await?;
        if !mine || if_due && !due {
            // Explicit, because a drop would release the lock some time later.
            tx.rollback().await?;
            return Ok(if mine {
                JobResult::NotDue
            } else {
                JobResult::RunningElsewhere
            });
        }
        let (mut tx, said) = self.carry_out(job, tx, now).await?;
        let took = begun.elapsed();
        sqlx::query(
            "INSERT INTO maintenance_runs (job, ended_at, said, took_ms, changes)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (job) DO UPDATE SET ended_at = excluded.ended_at, said = excluded.said,
                 took_ms = excluded.took_ms, changes = excluded.changes",
        )
        .bind(job.name())
        .bind(now + took)
        .bind(&said)
        .bind(i32::try_from(took.as_millis()).unwrap_or(i32::MAX))
        .bind(changes)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(JobResult::Completed(said))
    }

    async fn carry_out(
        &self,
        job: MaintenanceJob,
        mut tx: Transaction<'static, Postgres>,
        now: DateTime<Utc>,
    ) -> Result<(Transaction<'static, Postgres>, String), ManagementError> {
        let said = match job {
            MaintenanceJob::Partitions => self.maintain_partitions(&mut tx).await?,
            MaintenanceJob::Statistics => {
                sqlx::query("SELECT refresh_statistics()")
                    .execute(&mut *tx)
                    .await?;
                "statistics refreshed".to_owned()
            }
            MaintenanceJob::Security => {
                let found = sqlx::query("SELECT * FROM detect_security_events($1)")
                    .bind(now)
                    .fetch_all(&mut *tx)
                    .await?
                    .len();
                if found > 0 {
                    tracing::warn!(found, "new security events");
                }
                format!("{found} new security events")
            }
            MaintenanceJob::Seals => {
                let sealed = seal_entries(&mut tx, &self.keys.audit_key()).await?;
                format!("{sealed} audit entries sealed")
            }
            MaintenanceJob::Regrading => return regrade_stale(tx).await,
            MaintenanceJob::Sessions => {
                let gone = sqlx::query("DELETE FROM user_sessions WHERE expires_at <= $1")
                    .bind(now)
                    .execute(&mut *tx)
                    .await?
                    .rows_affected();
                format!("{gone} expired log-ins removed")
            }
            MaintenanceJob::Media => self.sweep_media(&mut tx, now).await?,
        };
        Ok((tx, said))
    }

    /// Removes media files without a question. They stay for a day, because the row of a new
    /// file is written after the file.
    async fn sweep_media(
        &self,
        tx: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> Result<String, ManagementError> {
        let yesterday = Timestamp::from_ms((now - TimeDelta::days(1)).timestamp_millis());
        let old = self.media.older_than(yesterday).await;
        let old = old.map_err(ManagementError::internal)?;
        let unused: Vec<String> = sqlx::query_scalar("SELECT unused_media($1)")
            .bind(&old)
            .fetch_all(tx)
            .await?;
        for name in &unused {
            self.media
                .remove_file(name)
                .await
                .map_err(ManagementError::internal)?;
        }
        Ok(format!("{} media files removed", unused.len()))
    }

    async fn maintain_partitions(&self, tx: &mut PgConnection) -> Result<String, ManagementError> {
        let made: i64 = sqlx::query_scalar(
            "SELECT sum(ensure_monthly_partitions(t, $1)) FROM unnest($2::text[]::regclass[]) AS t",
        )
        .bind(MONTHS_AHEAD)
        .bind(MONTHLY_TABLES)
        .fetch_one(&mut *tx)
        .await?;
        let organizations: i32 = sqlx::query_scalar("SELECT ensure_activity_partitions()")
            .fetch_one(&mut *tx)
            .await?;
        let mut detached: Vec<String> = Vec::new();
        for (table, months) in [
            ("exam_attempts", self.retention.attempts),
            ("login_attempts", self.retention.logs),
            ("proctor_logs", self.retention.logs),
            ("security_events", self.retention.logs),
            ("audit_logs", self.retention.audit),
        ] {
            if months == 0 {
                continue;
            }
            let gone: Vec<String> =
                sqlx::query_scalar("SELECT * FROM detach_old_partitions($1::text::regclass, $2)")
                    .bind(table)
                    .bind(i32::try_from(months).unwrap_or(i32::MAX))
                    .fetch_all(&mut *tx)
                    .await?;
            detached.extend(gone);
        }
        if !detached.is_empty() {
            tracing::info!(
                ?detached,
                "moved months past their retention to schema archive"
            );
        }
        Ok(format!(
            "{made} months and {organizations} organisations' parts made, {} months detached",
            detached.len()
        ))
    }

    /// Reads the last run of every job and the last month of every table.
    ///
    /// # Errors
    /// Database errors.
    pub async fn read_status(&self) -> Result<MaintenanceStatus, ManagementError> {
        let runs = sqlx::query_as("SELECT job, ended_at, said FROM maintenance_runs ORDER BY job")
            .fetch_all(&self.pool)
            .await?;
        let runway =
            sqlx::query_as("SELECT table_name, last_month FROM partition_runway ORDER BY 1")
                .fetch_all(&self.pool)
                .await?;
        let unsealed: i64 =
            sqlx::query_scalar("SELECT count(*) FROM audit_logs WHERE seal IS NULL")
                .fetch_one(&self.pool)
                .await?;
        Ok(MaintenanceStatus {
            runs,
            runway,
            unsealed,
        })
    }

    /// Runs all due jobs once a minute, forever, and calls `report` with each outcome.
    pub async fn run_forever(
        &self,
        now: impl Fn() -> DateTime<Utc>,
        report: impl Fn(MaintenanceJob, Result<JobResult, ManagementError>),
    ) {
        let mut timer = tokio::time::interval(Duration::from_mins(1));
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failed: Vec<Option<tokio::time::Instant>> = vec![None; MaintenanceJob::ALL.len()];
        loop {
            timer.tick().await;
            for (job, failed) in MaintenanceJob::ALL.into_iter().zip(&mut failed) {
                if failed.is_some_and(|failed| failed.elapsed() < job.interval()) {
                    continue;
                }
                let outcome = self.run_if_due(job, now()).await;
                *failed = outcome.is_err().then(tokio::time::Instant::now);
                report(job, outcome);
            }
        }
    }
}

/// State of the maintenance.
#[derive(Debug)]
pub struct MaintenanceStatus {
    /// Last run of each job that ever ran.
    pub runs: Vec<JobRun>,
    /// Last month with a partition, by table.
    pub runway: Vec<(String, Option<NaiveDate>)>,
    /// Count of audit entries without a seal.
    pub unsealed: i64,
}

/// The last run of a job.
#[derive(Debug, FromRow)]
pub struct JobRun {
    /// Name of the job.
    pub job: String,
    /// End of the run.
    pub ended_at: DateTime<Utc>,
    /// Report of the run, for people.
    pub said: String,
}

/// Regrades attempts that were graded by a key corrected since.
async fn regrade_stale(
    mut tx: Transaction<'static, Postgres>,
) -> Result<(Transaction<'static, Postgres>, String), ManagementError> {
    let stale: Vec<i64> = sqlx::query_scalar(marking::correction::STALE_ATTEMPTS)
        .fetch_all(&mut *tx)
        .await?;
    let mut work = UnitOfWork::of_engine(tx);
    for attempt in &stale {
        marking::recompute_attempt(&mut work, *attempt).await?;
    }
    Ok((work.tx, format!("{} attempts graded again", stale.len())))
}

/// Largest number of entries sealed in one transaction.
const SEALS: i64 = 5_000;

#[derive(FromRow)]
struct AuditEntry {
    id: i64,
    created_at: DateTime<Utc>,
    table_name: String,
    day: NaiveDate,
    body: String,
    seal_no: Option<i64>,
    seal: Option<Vec<u8>>,
}

/// Query of entries with the text that a seal covers: all columns but the seal itself.
/// `jsonb` makes the text of equal values equal.
const ENTRY: &str = "
SELECT a.id, a.created_at, a.table_name, (a.created_at AT TIME ZONE 'UTC')::date AS day,
       (to_jsonb(a) - 'seal' - 'seal_no')::text AS body, a.seal_no, a.seal
FROM audit_logs AS a";

fn entry_seal(key: &[u8; 32], before: &[u8], number: i64, body: &str) -> Vec<u8> {
    let mut mac =
        <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(before);
    mac.update(&number.to_be_bytes());
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Extends the chains with all entries that no open transaction can still precede.
async fn seal_entries(
    connection: &mut PgConnection,
    key: &[u8; 32],
) -> Result<usize, ManagementError> {
    sqlx::query("SET LOCAL TimeZone = 'UTC'")
        .execute(&mut *connection)
        .await?;
    let sql = format!(
        "{ENTRY} WHERE a.seal IS NULL AND a.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
         ORDER BY a.table_name, day, a.id LIMIT $1"
    );
    let entries: Vec<AuditEntry> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(SEALS)
        .fetch_all(&mut *connection)
        .await?;
    let (mut ids, mut at, mut numbers, mut seals) = (vec![], vec![], vec![], vec![]);
    for chain in entries.chunk_by(|a, b| (&a.table_name, a.day) == (&b.table_name, b.day)) {
        let (table, day) = (&chain[0].table_name, chain[0].day);
        let end: Option<(i64, Vec<u8>)> = sqlx::query_as(
            "SELECT length, seal FROM audit_chains WHERE table_name = $1 AND day = $2 FOR UPDATE",
        )
        .bind(table)
        .bind(day)
        .fetch_optional(&mut *connection)
        .await?;
        let (mut number, mut seal) = end.unwrap_or_default();
        for entry in chain {
            number += 1;
            seal = entry_seal(key, &seal, number, &entry.body);
            ids.push(entry.id);
            at.push(entry.created_at);
            numbers.push(number);
            seals.push(seal.clone());
        }
        sqlx::query(
            "INSERT INTO audit_chains (table_name, day, length, seal) VALUES ($1, $2, $3, $4)
             ON CONFLICT (table_name, day) DO UPDATE
             SET length = excluded.length, seal = excluded.seal, updated_at = now()",
        )
        .bind(table)
        .bind(day)
        .bind(number)
        .bind(&seal)
        .execute(&mut *connection)
        .await?;
    }
    sqlx::query(
        "UPDATE audit_logs AS a SET seal_no = n.number, seal = n.seal
         FROM unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::bytea[]) AS n (id, at, number, seal)
         WHERE a.id = n.id AND a.created_at = n.at",
    )
    .bind(&ids)
    .bind(&at)
    .bind(&numbers)
    .bind(&seals)
    .execute(&mut *connection)
    .await?;
    Ok(entries.len())
}

/// Result of verifying the audit trail.
#[derive(Debug, Default)]
pub struct AuditVerification {
    /// Count of entries with a valid seal.
    pub entries: u64,
    /// Count of intact chains.
    pub chains: u64,
    /// Count of chains in archived months, which are skipped.
    pub archived: u64,
    /// Broken chains, a sentence each.
    pub breaks: Vec<String>,
}

/// Verifies every chain from its first entry to its end.
///
/// # Errors
/// Database errors.
pub async fn verify_audit_trail(
    store: &Store,
    key: &[u8; 32],
) -> Result<AuditVerification, ManagementError> {
    let mut tx = store.pool().begin().await?;
    sqlx::query("SET LOCAL TimeZone = 'UTC'")
        .execute(&mut *tx)
        .await?;
    let chains: Vec<(String, NaiveDate, i64, Vec<u8>)> = sqlx::query_as(
        "SELECT table_name, day, length, seal FROM audit_chains ORDER BY day, table_name",
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut verified = AuditVerification::default();
    for (table, day, length, end) in chains {
        let month = format!("audit_logs_{}", day.format("y%Ym%m"));
        let archived: bool =
            sqlx::query_scalar("SELECT to_regclass('archive.' || quote_ident($1)) IS NOT NULL")
                .bind(month)
                .fetch_one(&mut *tx)
                .await?;
        if archived {
            verified.archived += 1;
            continue;
        }
        let sql = format!(
            "{ENTRY} WHERE a.table_name = $1 AND a.created_at >= $2::date AND a.created_at < $2::date + 1
               AND a.seal IS NOT NULL
             ORDER BY a.seal_no"
        );
        let entries: Vec<AuditEntry> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(&table)
            .bind(day)
            .fetch_all(&mut *tx)
            .await?;
        match find_break(key, &entries, length, &end) {
            None => {
                verified.entries += entries.len() as u64;
                verified.chains += 1;
            }
            Some(place) => verified.breaks.push(format!("{table} of {day}: {place}")),
        }
    }
    Ok(verified)
}

/// Returns the first break of a chain; none if the chain is intact.
fn find_break(key: &[u8; 32], entries: &[AuditEntry], length: i64, end: &[u8]) -> Option<String> {
    let mut seal = Vec::new();
    for (entry, number) in entries.iter().zip(1..) {
        if entry.seal_no != Some(number) {
            return Some(format!("entry {number} is missing or duplicated"));
        }
        seal = entry_seal(key, &seal, number, &entry.body);
        if entry.seal.as_ref() != Some(&seal) {
            return Some(format!("entry {number} (id {}) was changed", entry.id));
        }
    }
    let missing = i64::try_from(entries.len()) != Ok(length) || seal != end;
    missing.then(|| format!("the chain ends after {} of {length} entries", entries.len()))
}

/// Grants a person the role `super_admin`; false if the sign-in name is unknown.
///
/// # Errors
/// Database errors.
pub async fn grant_super_admin(store: &Store, username: &str) -> Result<bool, ManagementError> {
    let done = sqlx::query(
        "INSERT INTO user_roles (user_id, role)
         SELECT id, 'super_admin' FROM users WHERE username = $1
         ON CONFLICT (user_id, organization_id, role)
         DO UPDATE SET is_active = true, expires_at = NULL",
    )
    .bind(username)
    .execute(store.pool())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Seals all personal data with a new key, then removes the old keys. Returns the count of
/// sealed values.
///
/// # Errors
/// If a value does not open; then the old keys stay.
pub async fn rotate_keys(store: &Store, keys: &mut SealingKeys) -> Result<u64, ManagementError> {
    keys.add_key().map_err(ManagementError::internal)?;
    let mut count = 0;
    for column in ["phone", "id_card"] {
        count += for_each_batch(|after| reseal_batch(store.pool(), keys, column, after)).await?;
    }
    keys.forget_old().map_err(ManagementError::internal)?;
    Ok(count)
}

async fn for_each_batch<F: Future<Output = Result<Option<(i64, u64)>, ManagementError>>>(
    batch: impl Fn(i64) -> F,
) -> Result<u64, ManagementError> {
    let (mut after, mut count) = (0, 0);
    while let Some((last, done)) = batch(after).await? {
        after = last;
        count += done;
    }
    Ok(count)
}

/// Seals one batch again. Returns the number of its last person and the count of values; none
/// after the last batch.
async fn reseal_batch(
    pool: &PgPool,
    keys: &SealingKeys,
    column: &'static str,
    after: i64,
) -> Result<Option<(i64, u64)>, ManagementError> {
    let mut tx = pool.begin().await?;
    let sql = format!(
        "SELECT id, {column}_sealed FROM users
         WHERE id > $1 AND {column}_sealed IS NOT NULL ORDER BY id LIMIT 500 FOR UPDATE"
    );
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(after)
        .fetch_all(&mut *tx)
        .await?;
    let Some((last, _)) = rows.last() else {
        return Ok(None);
    };
    let sealed: Result<Vec<Vec<u8>>, sealed::Error> = rows
        .iter()
        .map(|(user, sealed)| {
            let place = SealedField {
                user: *user,
                column,
            };
            keys.seal_value(&place, &keys.open_value(&place, sealed)?)
        })
        .collect();
    let sealed = sealed.map_err(ManagementError::internal)?;
    let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
    let sql = format!(
        "UPDATE users AS u SET {column}_sealed = n.sealed
         FROM unnest($1::bigint[], $2::bytea[]) AS n (id, sealed) WHERE u.id = n.id"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(&ids)
        .bind(&sealed)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Some((*last, rows.len() as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn sealed_chain(bodies: &[&str]) -> (Vec<AuditEntry>, Vec<u8>) {
        let mut seal = Vec::new();
        let entries = bodies.iter().zip(1..).map(|(body, number)| {
            seal = entry_seal(&KEY, &seal, number, body);
            AuditEntry {
                id: number,
                created_at: DateTime::UNIX_EPOCH,
                table_name: "users".to_owned(),
                day: NaiveDate::default(),
                body: (*body).to_owned(),
                seal_no: Some(number),
                seal: Some(seal.clone()),
            }
        });
        let entries: Vec<AuditEntry> = entries.collect();
        (entries, seal)
    }

    #[test]
    fn a_chain_shows_what_was_done_to_it() {
        let whole = || sealed_chain(&["a", "b", "c"]);
        let check = |change: fn(&mut Vec<AuditEntry>)| {
            let (mut entries, end) = whole();
            change(&mut entries);
            find_break(&KEY, &entries, 3, &end)
        };
        assert_eq!(check(|_| {}), None);
        let changed = Some("entry 2 (id 2) was changed".to_owned());
        assert_eq!(check(|entries| entries[1].body = "x".to_owned()), changed);
        assert_eq!(
            check(|entries| drop(entries.remove(1))),
            Some("entry 2 is missing or duplicated".to_owned())
        );
        assert_eq!(
            check(|entries| drop(entries.pop())),
            Some("the chain ends after 2 of 3 entries".to_owned())
        );
        let (forged, _) = sealed_chain(&["a", "x", "c"]);
        assert!(find_break(&[8; 32], &forged, 3, &whole().1).is_some());
    }
}

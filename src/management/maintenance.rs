//! What has to be done again and again: partitions for the months ahead, old
//! months out of the way, statistics, the search for attacks, seals of the audit
//! trail, attempts that were graded by a key that is corrected since.
//!
//! Every node tries; an advisory lock lets one of them do it. A job that fails is
//! tried again at its next turn, and keeps none of the others from theirs.

use std::{future::Future, time::Duration};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use sqlx::{FromRow, PgConnection, PgPool, Postgres, Transaction};

use super::{Actor, Fault, Work, marking};
use crate::{
    config::Retention,
    domain::time::Timestamp,
    media::Media,
    secrets::sealed::{self, Keys, Place},
    store::postgres::{MONTHLY, MONTHS_AHEAD, Postgres as Store},
};

/// A job of the maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Months ahead, organisations' parts, old months.
    Partitions,
    /// Statistics of exams and questions.
    Statistics,
    /// The search for attacks.
    Security,
    /// Seals of the audit trail.
    Seals,
    /// Attempts graded by a key that is corrected since.
    Regrading,
    /// Log-ins that are no longer valid.
    Sessions,
    /// Files that no question has any more.
    Media,
}

impl Job {
    /// All of them, in the order in which they are done.
    pub const ALL: [Self; 7] = [
        Self::Partitions,
        Self::Sessions,
        Self::Media,
        Self::Regrading,
        Self::Statistics,
        Self::Security,
        Self::Seals,
    ];

    /// Its name in metrics and on the command line.
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

    /// How often it is done.
    pub const fn interval(self) -> Duration {
        match self {
            Self::Partitions | Self::Sessions | Self::Media => Duration::from_hours(6),
            Self::Statistics | Self::Security => Duration::from_mins(5),
            Self::Seals | Self::Regrading => Duration::from_mins(1),
        }
    }
}

/// Does jobs on a database.
#[derive(Debug, Clone)]
pub struct Maintenance {
    pool: PgPool,
    keys: Keys,
    retention: Retention,
    media: Media,
}

/// How far a job came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// It did something, or there was nothing to do; a sentence for people.
    Yes(String),
    /// Another node is doing it.
    Elsewhere,
    /// It is not its turn: it was done a moment ago, here or elsewhere.
    NotYet,
}

/// Statistics read everything that was ever answered. However much that becomes,
/// they take no more than one part in so many of the time.
const STATISTICS_SHARE: i64 = 20;

/// Whether a job is due. Nodes share the schedule: what counts is when any of them did it.
/// Statistics wait until something changed since, and for an exam that closed only as
/// long as their share of the time asks.
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

/// A number that is another one whenever attempts, answers or exams were written.
const CHANGES: &str = "
SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint
FROM pg_stat_user_tables
WHERE relname ~ '^(exams|exam_attempts|answers|exam_versions|key_corrections)'";

impl Maintenance {
    /// On this database, with the rights of the engine or of an operator.
    pub fn new(store: &Store, keys: Keys, retention: Retention, media: Media) -> Self {
        Self {
            pool: store.pool().clone(),
            keys,
            retention,
            media,
        }
    }

    /// Does one job, unless another node is doing it.
    ///
    /// # Errors
    /// Where the database does not let it.
    pub async fn run(&self, job: Job, now: DateTime<Utc>) -> Result<Done, Fault> {
        self.run_when(job, now, false).await
    }

    /// Does one job where it is its turn.
    ///
    /// # Errors
    /// Where the database does not let it.
    pub async fn run_if_due(&self, job: Job, now: DateTime<Utc>) -> Result<Done, Fault> {
        self.run_when(job, now, true).await
    }

    async fn run_when(&self, job: Job, now: DateTime<Utc>, if_due: bool) -> Result<Done, Fault> {
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
            // Now, and not some time after: the lock is another node's to have.
            tx.rollback().await?;
            return Ok(if mine { Done::NotYet } else { Done::Elsewhere });
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
        Ok(Done::Yes(said))
    }

    async fn carry_out(
        &self,
        job: Job,
        mut tx: Transaction<'static, Postgres>,
        now: DateTime<Utc>,
    ) -> Result<(Transaction<'static, Postgres>, String), Fault> {
        let said = match job {
            Job::Partitions => self.partitions(&mut tx).await?,
            Job::Statistics => {
                sqlx::query("SELECT refresh_statistics()")
                    .execute(&mut *tx)
                    .await?;
                "statistics are fresh".to_owned()
            }
            Job::Security => {
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
            Job::Seals => {
                let sealed = seal(&mut tx, &self.keys.audit_key()).await?;
                format!("{sealed} audit entries sealed")
            }
            Job::Regrading => return regrade(tx).await,
            Job::Sessions => {
                let gone = sqlx::query("DELETE FROM user_sessions WHERE expires_at <= $1")
                    .bind(now)
                    .execute(&mut *tx)
                    .await?
                    .rows_affected();
                format!("{gone} expired log-ins forgotten")
            }
            Job::Media => self.sweep_media(&mut tx, now).await?,
        };
        Ok((tx, said))
    }

    /// A file without a question stays for a day: its upload may not be noted yet.
    async fn sweep_media(
        &self,
        tx: &mut PgConnection,
        now: DateTime<Utc>,
    ) -> Result<String, Fault> {
        let yesterday = Timestamp::from_ms((now - TimeDelta::days(1)).timestamp_millis());
        let old = self.media.older_than(yesterday).await;
        let old = old.map_err(Fault::internal)?;
        let unused: Vec<String> = sqlx::query_scalar("SELECT unused_media($1)")
            .bind(&old)
            .fetch_all(tx)
            .await?;
        for name in &unused {
            self.media.remove(name).await.map_err(Fault::internal)?;
        }
        Ok(format!("{} media files removed", unused.len()))
    }

    async fn partitions(&self, tx: &mut PgConnection) -> Result<String, Fault> {
        let made: i64 = sqlx::query_scalar(
            "SELECT sum(ensure_monthly_partitions(t, $1)) FROM unnest($2::text[]::regclass[]) AS t",
        )
        .bind(MONTHS_AHEAD)
        .bind(MONTHLY)
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
                "months over their retention are in schema archive"
            );
        }
        Ok(format!(
            "{made} months and {organizations} organisations' parts made, {} months detached",
            detached.len()
        ))
    }

    /// Every job with when it was last done, and how far the months reach.
    ///
    /// # Errors
    /// As every query.
    pub async fn status(&self) -> Result<Status, Fault> {
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
        Ok(Status {
            runs,
            runway,
            unsealed,
        })
    }

    /// Does the jobs whenever it is their turn. Never ends. `told` is told what
    /// came of each.
    pub async fn run_forever(
        &self,
        now: impl Fn() -> DateTime<Utc>,
        told: impl Fn(Job, Result<Done, Fault>),
    ) {
        let mut timer = tokio::time::interval(Duration::from_mins(1));
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failed: Vec<Option<tokio::time::Instant>> = vec![None; Job::ALL.len()];
        loop {
            timer.tick().await;
            for (job, failed) in Job::ALL.into_iter().zip(&mut failed) {
                if failed.is_some_and(|failed| failed.elapsed() < job.interval()) {
                    continue;
                }
                let outcome = self.run_if_due(job, now()).await;
                *failed = outcome.is_err().then(tokio::time::Instant::now);
                told(job, outcome);
            }
        }
    }
}

/// How maintenance stands.
#[derive(Debug)]
pub struct Status {
    /// Each job that was ever done.
    pub runs: Vec<Run>,
    /// The last month of each table.
    pub runway: Vec<(String, Option<NaiveDate>)>,
    /// Audit entries without a seal.
    pub unsealed: i64,
}

/// A job that was done.
#[derive(Debug, FromRow)]
pub struct Run {
    /// Its name.
    pub job: String,
    /// When.
    pub ended_at: DateTime<Utc>,
    /// What came of it.
    pub said: String,
}

/// Grades attempts again that were handed in by a key that is corrected since.
async fn regrade(
    mut tx: Transaction<'static, Postgres>,
) -> Result<(Transaction<'static, Postgres>, String), Fault> {
    let stale: Vec<i64> = sqlx::query_scalar(marking::correction::STALE)
        .fetch_all(&mut *tx)
        .await?;
    let mut work = Work {
        tx,
        actor: Actor::nobody(),
        undo: false,
    };
    for attempt in &stale {
        marking::settle(&mut work, *attempt).await?;
    }
    Ok((work.tx, format!("{} attempts graded again", stale.len())))
}

/// Entries sealed at a time.
const SEALS: i64 = 5_000;

#[derive(FromRow)]
struct Entry {
    id: i64,
    created_at: DateTime<Utc>,
    table_name: String,
    day: NaiveDate,
    body: String,
    seal_no: Option<i64>,
    seal: Option<Vec<u8>>,
}

/// An entry's text under its seal: everything but the seal itself. `jsonb` writes
/// equal values alike.
const ENTRY: &str = "
SELECT a.id, a.created_at, a.table_name, (a.created_at AT TIME ZONE 'UTC')::date AS day,
       (to_jsonb(a) - 'seal' - 'seal_no')::text AS body, a.seal_no, a.seal
FROM audit_logs AS a";

fn link(key: &[u8; 32], before: &[u8], number: i64, body: &str) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("any length is a key");
    mac.update(before);
    mac.update(&number.to_be_bytes());
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Continues the chains with the entries that no open transaction can come before.
async fn seal(connection: &mut PgConnection, key: &[u8; 32]) -> Result<usize, Fault> {
    sqlx::query("SET LOCAL TimeZone = 'UTC'")
        .execute(&mut *connection)
        .await?;
    let sql = format!(
        "{ENTRY} WHERE a.seal IS NULL AND a.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
         ORDER BY a.table_name, day, a.id LIMIT $1"
    );
    let entries: Vec<Entry> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
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
            seal = link(key, &seal, number, &entry.body);
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

/// What a look at the audit trail found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Entries whose seal holds.
    pub entries: u64,
    /// Chains that were followed to their end.
    pub chains: u64,
    /// Chains whose month is archived.
    pub archived: u64,
    /// Where a chain is broken, a sentence each.
    pub breaks: Vec<String>,
}

/// Follows every chain from its first entry to its end.
///
/// # Errors
/// As every query.
pub async fn verify(store: &Store, key: &[u8; 32]) -> Result<Verified, Fault> {
    let mut tx = store.pool().begin().await?;
    sqlx::query("SET LOCAL TimeZone = 'UTC'")
        .execute(&mut *tx)
        .await?;
    let chains: Vec<(String, NaiveDate, i64, Vec<u8>)> = sqlx::query_as(
        "SELECT table_name, day, length, seal FROM audit_chains ORDER BY day, table_name",
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut verified = Verified::default();
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
        let entries: Vec<Entry> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(&table)
            .bind(day)
            .fetch_all(&mut *tx)
            .await?;
        match follow(key, &entries, length, &end) {
            None => {
                verified.entries += entries.len() as u64;
                verified.chains += 1;
            }
            Some(place) => verified.breaks.push(format!("{table} of {day}: {place}")),
        }
    }
    Ok(verified)
}

/// Where a chain is broken; none: nowhere.
fn follow(key: &[u8; 32], entries: &[Entry], length: i64, end: &[u8]) -> Option<String> {
    let mut seal = Vec::new();
    for (entry, number) in entries.iter().zip(1..) {
        if entry.seal_no != Some(number) {
            return Some(format!("entry {number} is missing or there twice"));
        }
        seal = link(key, &seal, number, &entry.body);
        if entry.seal.as_ref() != Some(&seal) {
            return Some(format!("entry {number} (id {}) was changed", entry.id));
        }
    }
    let missing = i64::try_from(entries.len()) != Ok(length) || seal != end;
    missing.then(|| format!("it ends after {} of {length} entries", entries.len()))
}

/// Lets somebody administer the whole installation; false: nobody is called so.
///
/// # Errors
/// As every statement.
pub async fn grant_super_admin(store: &Store, username: &str) -> Result<bool, Fault> {
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

/// Seals everything personal with a new key, and forgets the old ones.
///
/// # Errors
/// Where a value does not open: then nothing is forgotten.
pub async fn rotate(store: &Store, keys: &mut Keys) -> Result<u64, Fault> {
    keys.add().map_err(Fault::internal)?;
    let mut count = 0;
    for column in ["phone", "id_card"] {
        count += each_batch(|after| reseal(store.pool(), keys, column, after)).await?;
    }
    keys.forget_old().map_err(Fault::internal)?;
    Ok(count)
}

async fn each_batch<F: Future<Output = Result<Option<(i64, u64)>, Fault>>>(
    batch: impl Fn(i64) -> F,
) -> Result<u64, Fault> {
    let (mut after, mut count) = (0, 0);
    while let Some((last, done)) = batch(after).await? {
        after = last;
        count += done;
    }
    Ok(count)
}

/// Seals one batch again; the last person of it, none where there was none.
async fn reseal(
    pool: &PgPool,
    keys: &Keys,
    column: &'static str,
    after: i64,
) -> Result<Option<(i64, u64)>, Fault> {
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
            let place = Place {
                user: *user,
                column,
            };
            keys.seal(&place, &keys.open_value(&place, sealed)?)
        })
        .collect();
    let sealed = sealed.map_err(Fault::internal)?;
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

    fn chain(bodies: &[&str]) -> (Vec<Entry>, Vec<u8>) {
        let mut seal = Vec::new();
        let entries = bodies.iter().zip(1..).map(|(body, number)| {
            seal = link(&KEY, &seal, number, body);
            Entry {
                id: number,
                created_at: DateTime::UNIX_EPOCH,
                table_name: "users".to_owned(),
                day: NaiveDate::default(),
                body: (*body).to_owned(),
                seal_no: Some(number),
                seal: Some(seal.clone()),
            }
        });
        let entries: Vec<Entry> = entries.collect();
        (entries, seal)
    }

    #[test]
    fn a_chain_shows_what_was_done_to_it() {
        let whole = || chain(&["a", "b", "c"]);
        let check = |change: fn(&mut Vec<Entry>)| {
            let (mut entries, end) = whole();
            change(&mut entries);
            follow(&KEY, &entries, 3, &end)
        };
        assert_eq!(check(|_| {}), None);
        let changed = Some("entry 2 (id 2) was changed".to_owned());
        assert_eq!(check(|entries| entries[1].body = "x".to_owned()), changed);
        assert_eq!(
            check(|entries| drop(entries.remove(1))),
            Some("entry 2 is missing or there twice".to_owned())
        );
        assert_eq!(
            check(|entries| drop(entries.pop())),
            Some("it ends after 2 of 3 entries".to_owned())
        );
        let (forged, _) = chain(&["a", "x", "c"]);
        assert!(follow(&[8; 32], &forged, 3, &whole().1).is_some());
    }
}

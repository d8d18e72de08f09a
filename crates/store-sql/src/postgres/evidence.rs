//! The calls of the evidence store.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};
use sqlx_macros::FromRow;

use super::{
    PostgresStore,
    rows::{instant_from_column, instant_to_column as at_column},
};
use crate::convert::{from_column, kind_from_column, to_column};
use invigil_domain::{
    id::{AttemptId, EvidenceId, SessionId},
    time::Timestamp,
};
use invigil_store::{AnnounceOutcome, Error, EvidenceQuota, EvidenceRow, EvidenceStore};

type Result<T> = std::result::Result<T, sqlx::Error>;

#[async_trait]
impl EvidenceStore for PostgresStore {
    async fn announce_file(
        &self,
        row: &EvidenceRow,
        allowed: EvidenceQuota,
    ) -> std::result::Result<AnnounceOutcome, Error> {
        self.run_call("announce evidence", async |db| {
            announce_file(db, row, allowed).await
        })
        .await
    }

    async fn confirm_file(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
        at: Timestamp,
    ) -> std::result::Result<bool, Error> {
        self.run_call("confirm evidence", async |db| {
            confirm_file(db, attempt, id, at).await
        })
        .await
    }

    async fn list_files(&self, attempt: AttemptId) -> std::result::Result<Vec<EvidenceRow>, Error> {
        self.run_call("list evidence", async |db| list_files(db, attempt).await)
            .await
    }

    async fn find_file(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
    ) -> std::result::Result<Option<EvidenceRow>, Error> {
        self.run_call("read evidence", async |db| find_file(db, attempt, id).await)
            .await
    }

    async fn list_expired(
        &self,
        before: Timestamp,
        unstored_before: Timestamp,
        limit: u32,
    ) -> std::result::Result<Vec<EvidenceRow>, Error> {
        self.run_call("find old evidence", async |db| {
            list_expired(db, before, unstored_before, limit).await
        })
        .await
    }

    async fn delete_rows(&self, ids: &[EvidenceId]) -> std::result::Result<(), Error> {
        self.run_call("delete evidence", async |db| delete_rows(db, ids).await)
            .await
    }
}

/// A row of `attempt_evidence`.
#[derive(FromRow)]
struct PostgresEvidenceRow {
    id: String,
    attempt_id: i64,
    kind: String,
    content_type: String,
    bytes: i64,
    file: String,
    session: Option<String>,
    event_no: Option<i64>,
    at: DateTime<Utc>,
    stored_at: Option<DateTime<Utc>>,
}

impl TryFrom<PostgresEvidenceRow> for EvidenceRow {
    type Error = sqlx::Error;

    fn try_from(row: PostgresEvidenceRow) -> Result<Self> {
        Ok(Self {
            attempt: AttemptId(row.attempt_id),
            id: row.id.into(),
            kind: kind_from_column(&row.kind)?,
            content_type: row.content_type,
            bytes: from_column(row.bytes)?,
            file: row.file,
            session: row.session.map(Into::into),
            event: row.event_no.map(from_column).transpose()?,
            at: instant_from_column(row.at),
            stored_at: row.stored_at.map(instant_from_column),
        })
    }
}

async fn announce_file(
    connection: &mut PgConnection,
    row: &EvidenceRow,
    allowed: EvidenceQuota,
) -> Result<AnnounceOutcome> {
    let mut transaction = connection.begin().await?;
    // Concurrent announcements must not both find room. A lock on the attempt's row would block
    // its saves.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('attempt_evidence', $1))")
        .bind(row.attempt.0)
        .execute(&mut *transaction)
        .await?;
    let (files, oldest): (i64, Option<DateTime<Utc>>) = sqlx::query_as(
        "SELECT count(*), min(at) FROM attempt_evidence WHERE attempt_id = $1 AND at > $2",
    )
    .bind(row.attempt.0)
    .bind(at_column(allowed.since)?)
    .fetch_one(&mut *transaction)
    .await?;
    if let Some(oldest) = oldest.filter(|_| files >= allowed.max_files.into()) {
        return Ok(AnnounceOutcome::TooMany(instant_from_column(oldest)));
    }
    sqlx::query(
        "INSERT INTO attempt_evidence
             (id, attempt_id, kind, content_type, bytes, file, session, event_no, at, stored_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(row.id.as_str())
    .bind(row.attempt.0)
    .bind(row.kind.as_str())
    .bind(&row.content_type)
    .bind(to_column(row.bytes)?)
    .bind(&row.file)
    .bind(row.session.as_ref().map(SessionId::as_str))
    .bind(row.event.map(to_column).transpose()?)
    .bind(at_column(row.at)?)
    .bind(row.stored_at.map(at_column).transpose()?)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(AnnounceOutcome::Kept)
}

async fn confirm_file(
    connection: &mut PgConnection,
    attempt: AttemptId,
    id: &EvidenceId,
    at: Timestamp,
) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE attempt_evidence
         SET stored_at = coalesce(stored_at, $3)
         WHERE attempt_id = $1 AND id = $2",
    )
    .bind(attempt.0)
    .bind(id.as_str())
    .bind(at_column(at)?)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

async fn list_files(connection: &mut PgConnection, attempt: AttemptId) -> Result<Vec<EvidenceRow>> {
    let rows: Vec<PostgresEvidenceRow> =
        sqlx::query_as("SELECT * FROM attempt_evidence WHERE attempt_id = $1 ORDER BY at, id")
            .bind(attempt.0)
            .fetch_all(connection)
            .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

async fn find_file(
    connection: &mut PgConnection,
    attempt: AttemptId,
    id: &EvidenceId,
) -> Result<Option<EvidenceRow>> {
    let row: Option<PostgresEvidenceRow> =
        sqlx::query_as("SELECT * FROM attempt_evidence WHERE id = $1 AND attempt_id = $2")
            .bind(id.as_str())
            .bind(attempt.0)
            .fetch_optional(connection)
            .await?;
    row.map(TryInto::try_into).transpose()
}

async fn list_expired(
    connection: &mut PgConnection,
    before: Timestamp,
    unstored_before: Timestamp,
    limit: u32,
) -> Result<Vec<EvidenceRow>> {
    // Each half has an index of its own; a single condition for both could use none.
    let rows: Vec<PostgresEvidenceRow> = sqlx::query_as(
        "(SELECT * FROM attempt_evidence WHERE at < $1 ORDER BY at LIMIT $3)
         UNION
         (SELECT * FROM attempt_evidence
          WHERE stored_at IS NULL AND at < $2 ORDER BY at LIMIT $3)",
    )
    .bind(at_column(before)?)
    .bind(at_column(unstored_before)?)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

async fn delete_rows(connection: &mut PgConnection, ids: &[EvidenceId]) -> Result<()> {
    let ids: Vec<&str> = ids.iter().map(EvidenceId::as_str).collect();
    sqlx::query("DELETE FROM attempt_evidence WHERE id = ANY ($1)")
        .bind(ids)
        .execute(connection)
        .await?;
    Ok(())
}

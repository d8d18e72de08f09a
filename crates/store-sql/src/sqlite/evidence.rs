//! The calls of the evidence store.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx_macros::FromRow;

use super::SqliteStore;
use crate::convert::{from_column, kind_from_column, to_column};
use invigil_domain::{
    id::{AttemptId, EvidenceId, SessionId},
    time::Timestamp,
};
use invigil_store::{AnnounceOutcome, Error, EvidenceQuota, EvidenceRow, EvidenceStore};

type Result<T> = std::result::Result<T, sqlx::Error>;

#[async_trait]
impl EvidenceStore for SqliteStore {
    async fn announce_file(
        &self,
        row: &EvidenceRow,
        allowed: EvidenceQuota,
    ) -> std::result::Result<AnnounceOutcome, Error> {
        self.run_write("announce evidence", async |db| {
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
        self.run_write("confirm evidence", async |db| {
            confirm_file(db, attempt, id, at).await
        })
        .await
    }

    async fn list_files(&self, attempt: AttemptId) -> std::result::Result<Vec<EvidenceRow>, Error> {
        self.run_read("list evidence", async |db| list_files(db, attempt).await)
            .await
    }

    async fn find_file(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
    ) -> std::result::Result<Option<EvidenceRow>, Error> {
        self.run_read("read evidence", async |db| find_file(db, attempt, id).await)
            .await
    }

    async fn list_expired(
        &self,
        before: Timestamp,
        unstored_before: Timestamp,
        limit: u32,
    ) -> std::result::Result<Vec<EvidenceRow>, Error> {
        self.run_read("find old evidence", async |db| {
            list_expired(db, before, unstored_before, limit).await
        })
        .await
    }

    async fn delete_rows(&self, ids: &[EvidenceId]) -> std::result::Result<(), Error> {
        self.run_write("delete evidence", async |db| delete_rows(db, ids).await)
            .await
    }
}

/// A row of `attempt_evidence`.
#[derive(FromRow)]
struct SqliteEvidenceRow {
    id: String,
    attempt_id: i64,
    kind: String,
    content_type: String,
    bytes: i64,
    file: String,
    session: Option<String>,
    event_no: Option<i64>,
    at: i64,
    stored_at: Option<i64>,
}

impl TryFrom<SqliteEvidenceRow> for EvidenceRow {
    type Error = sqlx::Error;

    fn try_from(row: SqliteEvidenceRow) -> Result<Self> {
        Ok(Self {
            attempt: AttemptId(row.attempt_id),
            id: row.id.into(),
            kind: kind_from_column(&row.kind)?,
            content_type: row.content_type,
            bytes: from_column(row.bytes)?,
            file: row.file,
            session: row.session.map(Into::into),
            event: row.event_no.map(from_column).transpose()?,
            at: Timestamp::from_ms(row.at),
            stored_at: row.stored_at.map(Timestamp::from_ms),
        })
    }
}

async fn announce_file(
    connection: &mut SqliteConnection,
    row: &EvidenceRow,
    allowed: EvidenceQuota,
) -> Result<AnnounceOutcome> {
    let (files, oldest): (i64, Option<i64>) = sqlx::query_as(
        "SELECT count(*), min(at) FROM attempt_evidence WHERE attempt_id = ?1 AND at > ?2",
    )
    .bind(row.attempt.0)
    .bind(allowed.since.as_ms())
    .fetch_one(&mut *connection)
    .await?;
    if let Some(oldest) = oldest.filter(|_| files >= allowed.max_files.into()) {
        return Ok(AnnounceOutcome::TooMany(Timestamp::from_ms(oldest)));
    }
    sqlx::query(
        "INSERT INTO attempt_evidence
             (id, attempt_id, kind, content_type, bytes, file, session, event_no, at, stored_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )
    .bind(row.id.as_str())
    .bind(row.attempt.0)
    .bind(row.kind.as_str())
    .bind(&row.content_type)
    .bind(to_column(row.bytes)?)
    .bind(&row.file)
    .bind(row.session.as_ref().map(SessionId::as_str))
    .bind(row.event.map(to_column).transpose()?)
    .bind(row.at.as_ms())
    .bind(row.stored_at.map(Timestamp::as_ms))
    .execute(connection)
    .await?;
    Ok(AnnounceOutcome::Kept)
}

async fn confirm_file(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
    id: &EvidenceId,
    at: Timestamp,
) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE attempt_evidence
         SET stored_at = coalesce(stored_at, ?3)
         WHERE attempt_id = ?1 AND id = ?2",
    )
    .bind(attempt.0)
    .bind(id.as_str())
    .bind(at.as_ms())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

async fn list_files(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
) -> Result<Vec<EvidenceRow>> {
    let rows: Vec<SqliteEvidenceRow> =
        sqlx::query_as("SELECT * FROM attempt_evidence WHERE attempt_id = ?1 ORDER BY at, id")
            .bind(attempt.0)
            .fetch_all(connection)
            .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

async fn find_file(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
    id: &EvidenceId,
) -> Result<Option<EvidenceRow>> {
    let row: Option<SqliteEvidenceRow> =
        sqlx::query_as("SELECT * FROM attempt_evidence WHERE id = ?1 AND attempt_id = ?2")
            .bind(id.as_str())
            .bind(attempt.0)
            .fetch_optional(connection)
            .await?;
    row.map(TryInto::try_into).transpose()
}

async fn list_expired(
    connection: &mut SqliteConnection,
    before: Timestamp,
    unstored_before: Timestamp,
    limit: u32,
) -> Result<Vec<EvidenceRow>> {
    // Each half has an index of its own; a single condition for both could use none.
    let rows: Vec<SqliteEvidenceRow> = sqlx::query_as(
        "SELECT * FROM (SELECT * FROM attempt_evidence WHERE at < ?1 ORDER BY at LIMIT ?3)
         UNION
         SELECT * FROM (SELECT * FROM attempt_evidence
                        WHERE stored_at IS NULL AND at < ?2 ORDER BY at LIMIT ?3)",
    )
    .bind(before.as_ms())
    .bind(unstored_before.as_ms())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

async fn delete_rows(connection: &mut SqliteConnection, ids: &[EvidenceId]) -> Result<()> {
    for id in ids {
        sqlx::query("DELETE FROM attempt_evidence WHERE id = ?1")
            .bind(id.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

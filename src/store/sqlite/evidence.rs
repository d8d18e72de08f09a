//! What is known of files of evidence.

use async_trait::async_trait;
use sqlx::{FromRow, SqliteConnection};

use super::Sqlite;
use crate::{
    domain::{
        id::{AttemptId, EvidenceId, SessionId},
        time::Timestamp,
    },
    store::{
        Allowed, Announced, Error, EvidenceRow, EvidenceStore,
        convert::{from_column, kind_from_column, to_column},
    },
};

type Result<T> = std::result::Result<T, sqlx::Error>;

#[async_trait]
impl EvidenceStore for Sqlite {
    async fn put(
        &self,
        row: &EvidenceRow,
        allowed: Allowed,
    ) -> std::result::Result<Announced, Error> {
        self.write("announce evidence", async |db| put(db, row, allowed).await)
            .await
    }

    async fn confirm(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
        at: Timestamp,
    ) -> std::result::Result<bool, Error> {
        self.write("confirm evidence", async |db| {
            confirm(db, attempt, id, at).await
        })
        .await
    }

    async fn list(&self, attempt: AttemptId) -> std::result::Result<Vec<EvidenceRow>, Error> {
        self.read("list evidence", async |db| list(db, attempt).await)
            .await
    }

    async fn get(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
    ) -> std::result::Result<Option<EvidenceRow>, Error> {
        self.read("read evidence", async |db| get(db, attempt, id).await)
            .await
    }

    async fn expired(
        &self,
        before: Timestamp,
        unstored_before: Timestamp,
        limit: u32,
    ) -> std::result::Result<Vec<EvidenceRow>, Error> {
        self.read("find old evidence", async |db| {
            expired(db, before, unstored_before, limit).await
        })
        .await
    }

    async fn remove(&self, ids: &[EvidenceId]) -> std::result::Result<(), Error> {
        self.write("forget evidence", async |db| remove(db, ids).await)
            .await
    }
}

/// A row of `attempt_evidence`.
#[derive(FromRow)]
struct StoredEvidence {
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

impl TryFrom<StoredEvidence> for EvidenceRow {
    type Error = sqlx::Error;

    fn try_from(row: StoredEvidence) -> Result<Self> {
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

async fn put(
    connection: &mut SqliteConnection,
    row: &EvidenceRow,
    allowed: Allowed,
) -> Result<Announced> {
    let (files, oldest): (i64, Option<i64>) = sqlx::query_as(
        "SELECT count(*), min(at) FROM attempt_evidence WHERE attempt_id = ?1 AND at > ?2",
    )
    .bind(row.attempt.0)
    .bind(allowed.since.as_ms())
    .fetch_one(&mut *connection)
    .await?;
    if let Some(oldest) = oldest.filter(|_| files >= allowed.files.into()) {
        return Ok(Announced::TooMany(Timestamp::from_ms(oldest)));
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
    Ok(Announced::Kept)
}

async fn confirm(
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

async fn list(connection: &mut SqliteConnection, attempt: AttemptId) -> Result<Vec<EvidenceRow>> {
    let rows: Vec<StoredEvidence> =
        sqlx::query_as("SELECT * FROM attempt_evidence WHERE attempt_id = ?1 ORDER BY at, id")
            .bind(attempt.0)
            .fetch_all(connection)
            .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

async fn get(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
    id: &EvidenceId,
) -> Result<Option<EvidenceRow>> {
    let row: Option<StoredEvidence> =
        sqlx::query_as("SELECT * FROM attempt_evidence WHERE id = ?1 AND attempt_id = ?2")
            .bind(id.as_str())
            .bind(attempt.0)
            .fetch_optional(connection)
            .await?;
    row.map(TryInto::try_into).transpose()
}

async fn expired(
    connection: &mut SqliteConnection,
    before: Timestamp,
    unstored_before: Timestamp,
    limit: u32,
) -> Result<Vec<EvidenceRow>> {
    // Each half has an index of its own; no plan for both at once has any.
    let rows: Vec<StoredEvidence> = sqlx::query_as(
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

async fn remove(connection: &mut SqliteConnection, ids: &[EvidenceId]) -> Result<()> {
    for id in ids {
        sqlx::query("DELETE FROM attempt_evidence WHERE id = ?1")
            .bind(id.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

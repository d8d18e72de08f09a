//! Rows about evidence.

use sqlx_macros::FromRow;

use super::{columns::TimeColumn, connection::SqlConnection};
use crate::convert::{from_column, kind_from_column, to_column};
use invigil_domain::{
    id::{AttemptId, EvidenceId, SessionId},
    time::Timestamp,
};
use invigil_store::{AnnounceOutcome, EvidenceQuota, EvidenceRow};

type Result<T> = std::result::Result<T, sqlx::Error>;

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
    at: TimeColumn,
    stored_at: Option<TimeColumn>,
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
            at: row.at.0,
            stored_at: row.stored_at.map(|at| at.0),
        })
    }
}

/// Stores a row unless the attempt has reached its quota. The caller keeps concurrent
/// announcements for the attempt out: they must not both find room.
pub(crate) async fn announce_file(
    connection: &mut impl SqlConnection,
    row: &EvidenceRow,
    allowed: EvidenceQuota,
) -> Result<AnnounceOutcome> {
    let counted: Option<(i64, Option<TimeColumn>)> = connection
        .query_row(
            "SELECT count(*), min(at) FROM attempt_evidence WHERE attempt_id = $1 AND at > $2",
            &[&row.attempt.0, &TimeColumn(allowed.since)],
        )
        .await?;
    let (files, oldest) = counted.ok_or(sqlx::Error::RowNotFound)?;
    if let Some(oldest) = oldest.filter(|_| files >= allowed.max_files.into()) {
        return Ok(AnnounceOutcome::TooMany(oldest.0));
    }
    connection
        .execute_statement(
            "INSERT INTO attempt_evidence
                 (id, attempt_id, kind, content_type, bytes, file, session, event_no, at, stored_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            &[
                &row.id.as_str(),
                &row.attempt.0,
                &row.kind.as_str(),
                &row.content_type,
                &to_column(row.bytes)?,
                &row.file,
                &row.session.as_ref().map(SessionId::as_str),
                &row.event.map(to_column).transpose()?,
                &TimeColumn(row.at),
                &row.stored_at.map(TimeColumn),
            ],
        )
        .await?;
    Ok(AnnounceOutcome::Kept)
}

/// Records that a file is stored; returns false if there is no such row.
pub(crate) async fn confirm_file(
    connection: &mut impl SqlConnection,
    attempt: AttemptId,
    id: &EvidenceId,
    at: Timestamp,
) -> Result<bool> {
    let rows = connection
        .execute_statement(
            "UPDATE attempt_evidence
             SET stored_at = coalesce(stored_at, $3)
             WHERE attempt_id = $1 AND id = $2",
            &[&attempt.0, &id.as_str(), &TimeColumn(at)],
        )
        .await?;
    Ok(rows > 0)
}

/// Returns the evidence of an attempt, oldest first.
pub(crate) async fn list_files(
    connection: &mut impl SqlConnection,
    attempt: AttemptId,
) -> Result<Vec<EvidenceRow>> {
    let rows: Vec<StoredEvidence> = connection
        .query_rows(
            "SELECT * FROM attempt_evidence WHERE attempt_id = $1 ORDER BY at, id",
            &[&attempt.0],
        )
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Returns a row of the attempt.
pub(crate) async fn find_file(
    connection: &mut impl SqlConnection,
    attempt: AttemptId,
    id: &EvidenceId,
) -> Result<Option<EvidenceRow>> {
    let row: Option<StoredEvidence> = connection
        .query_row(
            "SELECT * FROM attempt_evidence WHERE id = $1 AND attempt_id = $2",
            &[&id.as_str(), &attempt.0],
        )
        .await?;
    row.map(TryInto::try_into).transpose()
}

/// Returns old rows, and rows that were never stored.
pub(crate) async fn list_expired(
    connection: &mut impl SqlConnection,
    before: Timestamp,
    unstored_before: Timestamp,
    limit: u32,
) -> Result<Vec<EvidenceRow>> {
    // Each half has an index of its own; a single condition for both could use none.
    let rows: Vec<StoredEvidence> = connection
        .query_rows(
            "SELECT * FROM (
                 SELECT * FROM attempt_evidence WHERE at < $1 ORDER BY at LIMIT $3
             ) AS old
             UNION
             SELECT * FROM (
                 SELECT * FROM attempt_evidence
                 WHERE stored_at IS NULL AND at < $2 ORDER BY at LIMIT $3
             ) AS unstored",
            &[
                &TimeColumn(before),
                &TimeColumn(unstored_before),
                &i64::from(limit),
            ],
        )
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

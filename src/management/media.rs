//! Files that questions show.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Fault, Work,
    bank::Questions,
    resource::{self, Cursor, Page},
};
use crate::media::Kept;

/// Where files are read: this and their name.
pub const ADDRESS: &str = "/api/v1/media/";

/// A file of a question.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct File {
    /// Its number.
    pub id: i64,
    /// The question that it came with.
    pub question_id: i64,
    /// Where it is read; what a question's `image` names.
    pub address: String,
    /// Its media type, as the content shows it.
    pub kind: String,
    /// Its size.
    pub bytes: i64,
    /// What it shows, for those who do not see it.
    pub alt: String,
    /// First upload.
    pub created_at: DateTime<Utc>,
}

/// A file as (id, file); `$1` is where files are read.
const SELECT: &str = "
SELECT m.id, jsonb_build_object(
    'id', m.id, 'question_id', m.question_id, 'address', $1 || m.name, 'kind', m.kind,
    'bytes', m.bytes, 'alt', m.alt, 'created_at', m.created_at)
FROM question_media AS m";

/// Notes that a question has a file; again, that it shows something else.
///
/// # Errors
/// Where the question is not the actor's to change.
pub async fn add(work: &mut Work, question: i64, kept: &Kept, alt: &str) -> Result<File, Fault> {
    resource::get::<Questions>(work, question).await?;
    let id: i64 = sqlx::query_scalar(
        "INSERT INTO question_media (question_id, name, kind, bytes, alt, added_by)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (question_id, name) DO UPDATE SET alt = excluded.alt
         RETURNING id",
    )
    .bind(question)
    .bind(&kept.name)
    .bind(kept.kind)
    .bind(i64::try_from(kept.bytes).unwrap_or(i64::MAX))
    .bind(alt)
    .bind(work.actor.user_id)
    .fetch_one(&mut *work.tx)
    .await?;
    let sql = format!("{SELECT} WHERE m.id = $2");
    let (_, file): (i64, sqlx::types::Json<File>) = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(ADDRESS)
        .bind(id)
        .fetch_one(&mut *work.tx)
        .await?;
    Ok(file.0)
}

/// The files of a question, by number.
///
/// # Errors
/// [`Fault::NotFound`] where the question is not the actor's to see.
pub async fn list(work: &mut Work, question: i64, cursor: Cursor) -> Result<Page<File>, Fault> {
    resource::get::<Questions>(work, question).await?;
    let limit = cursor.limit();
    let sql = format!("{SELECT} WHERE m.question_id = $2 AND m.id > $3 ORDER BY m.id LIMIT $4");
    let rows = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(ADDRESS)
        .bind(question)
        .bind(cursor.after)
        .bind(limit + 1)
        .fetch_all(&mut *work.tx)
        .await?;
    Ok(Page::of(rows, limit))
}

/// Forgets a file of a question; the maintenance removes it a day later, where nothing else
/// has it.
///
/// # Errors
/// [`Fault::InUse`] while a version of the question shows it.
pub async fn remove(work: &mut Work, question: i64, file: i64) -> Result<(), Fault> {
    let name: String =
        sqlx::query_scalar("SELECT name FROM question_media WHERE id = $1 AND question_id = $2")
            .bind(file)
            .bind(question)
            .fetch_one(&mut *work.tx)
            .await?;
    // Versions that were published are among them: what they show must stay.
    let shown: bool = sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM questions AS q
             WHERE q.organization_id = (SELECT o.organization_id FROM questions AS o WHERE o.id = $1)
               AND position($2 IN q.definition::text) > 0)",
    )
    .bind(question)
    .bind(&name)
    .fetch_one(&mut *work.tx)
    .await?;
    if shown {
        return Err(Fault::InUse("questions".to_owned()));
    }
    let gone = sqlx::query("DELETE FROM question_media WHERE id = $1")
        .bind(file)
        .execute(&mut *work.tx)
        .await?;
    if gone.rows_affected() == 0 {
        return Err(Fault::Forbidden);
    }
    Ok(())
}

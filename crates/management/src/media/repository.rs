//! Table of media files.

use sqlx::types::Json;

use super::{ADDRESS_PREFIX, QuestionFile};
use crate::{
    ManagementError, UnitOfWork,
    bank::QuestionResource,
    ids::{BankQuestionId, MediaFileId},
    resource::{self, ListPage, PageCursor},
};
use invigil_objects::media::StoredFile;

/// Query of all files as (id, file); `$1` is [`ADDRESS_PREFIX`].
const SELECT: &str = "
SELECT m.id, jsonb_build_object(
    'id', m.id, 'question_id', m.question_id, 'address', $1 || m.name, 'kind', m.kind,
    'bytes', m.bytes, 'alt', m.alt, 'created_at', m.created_at)
FROM question_media AS m";

/// Adds a stored file to a question; a repeat replaces the text alternative.
///
/// # Errors
/// [`ManagementError::Forbidden`] if the person may not change the question.
pub async fn add_file(
    work: &mut UnitOfWork,
    question: BankQuestionId,
    kept: &StoredFile,
    alt: &str,
) -> Result<QuestionFile, ManagementError> {
    resource::get_row::<QuestionResource>(work, question).await?;
    let id: MediaFileId = sqlx::query_scalar(
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
    .bind(work.user_id)
    .fetch_one(&mut *work.tx)
    .await?;
    let sql = format!("{SELECT} WHERE m.id = $2");
    let (_, Json(file)): (i64, Json<QuestionFile>) = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(ADDRESS_PREFIX)
        .bind(id)
        .fetch_one(&mut *work.tx)
        .await?;
    Ok(file)
}

/// Returns a page of a question's files, in the order of their numbers.
///
/// # Errors
/// [`ManagementError::NotFound`] if the question is not visible to the person.
pub async fn list_files(
    work: &mut UnitOfWork,
    question: BankQuestionId,
    cursor: PageCursor,
) -> Result<ListPage<QuestionFile>, ManagementError> {
    resource::get_row::<QuestionResource>(work, question).await?;
    let limit = cursor.clamped_limit();
    let sql = format!("{SELECT} WHERE m.question_id = $2 AND m.id > $3 ORDER BY m.id LIMIT $4");
    let rows = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(ADDRESS_PREFIX)
        .bind(question)
        .bind(cursor.after)
        .bind(limit + 1)
        .fetch_all(&mut *work.tx)
        .await?;
    Ok(ListPage::from_rows(rows, limit))
}

/// Detaches a file from a question; maintenance removes a file without a question after a day.
///
/// # Errors
/// [`ManagementError::InUse`] while a question of the organisation shows it.
pub async fn remove_file(
    work: &mut UnitOfWork,
    question: BankQuestionId,
    file: MediaFileId,
) -> Result<(), ManagementError> {
    let name: String =
        sqlx::query_scalar("SELECT name FROM question_media WHERE id = $1 AND question_id = $2")
            .bind(file)
            .bind(question)
            .fetch_one(&mut *work.tx)
            .await?;
    // Published versions are among them: their files must stay.
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
        return Err(ManagementError::InUse("questions".to_owned()));
    }
    let gone = sqlx::query("DELETE FROM question_media WHERE id = $1")
        .bind(file)
        .execute(&mut *work.tx)
        .await?;
    if gone.rows_affected() == 0 {
        return Err(ManagementError::Forbidden);
    }
    Ok(())
}

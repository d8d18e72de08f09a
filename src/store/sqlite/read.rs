//! Attempts, looked at.

use std::sync::Arc;

use sqlx::{SqliteConnection, types::Json};

use super::rows::{StoredAnswer, StoredEntry, SummaryRow, UnrecordedEntry};
use crate::{
    domain::{
        id::{AttemptId, ExamCode, NodeId, PersonId},
        time::Timestamp,
    },
    store::{
        AnswerRow, GradeRow, Owner, ResultLine, Summary, TimelineRow,
        convert::{from_column, to_column},
    },
};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Attempts that the engine must look at, earliest first.
pub(super) async fn overdue(
    connection: &mut SqliteConnection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<(AttemptId, u64)>> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT id, owner_epoch
         FROM exam_attempts
         WHERE close_at <= ?1
         ORDER BY close_at, id
         LIMIT ?2",
    )
    .bind(now.as_ms())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    let found = rows.into_iter();
    found
        .map(|(id, epoch)| Ok((AttemptId(id), from_column(epoch)?)))
        .collect()
}

/// Who has these attempts.
pub(super) async fn owners(
    connection: &mut SqliteConnection,
    attempts: &[AttemptId],
) -> Result<Vec<Owner>> {
    let rows: Vec<(i64, Option<String>, i64)> = sqlx::query_as(
        "SELECT id, owner_node, owner_epoch
         FROM exam_attempts
         WHERE id IN (SELECT value FROM json_each(?1))",
    )
    .bind(Json(attempts))
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|(attempt, node, epoch)| {
            Ok(Owner {
                attempt: AttemptId(attempt),
                node: node.map(NodeId::from),
                epoch: from_column(epoch)?,
            })
        })
        .collect()
}

/// One attempt.
pub(super) async fn summary(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
) -> Result<Option<Summary>> {
    let line = line(connection, attempt).await?;
    Ok(line.map(|line| line.summary))
}

/// One attempt, with the candidate's name.
pub(super) async fn line(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
) -> Result<Option<ResultLine>> {
    let row: Option<SummaryRow> =
        sqlx::query_as("SELECT * FROM attempt_summaries WHERE attempt_id = ?1")
            .bind(attempt.0)
            .fetch_optional(connection)
            .await?;
    row.map(ResultLine::try_from).transpose()
}

/// A person's attempts, oldest first.
pub(super) async fn attempts_of(
    connection: &mut SqliteConnection,
    person: &PersonId,
) -> Result<Vec<Summary>> {
    let rows: Vec<SummaryRow> =
        sqlx::query_as("SELECT * FROM attempt_summaries WHERE candidate = ?1 ORDER BY attempt_id")
            .bind(person.as_str())
            .fetch_all(connection)
            .await?;
    rows.into_iter().map(Summary::try_from).collect()
}

/// An exam's attempts, by candidate and number.
pub(super) async fn results(
    connection: &mut SqliteConnection,
    exam: &ExamCode,
) -> Result<Vec<ResultLine>> {
    let rows: Vec<SummaryRow> = sqlx::query_as(
        "SELECT * FROM attempt_summaries WHERE exam = ?1 ORDER BY candidate, attempt_no",
    )
    .bind(exam.as_str())
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(ResultLine::try_from).collect()
}

/// An attempt's answers with their marks, by question.
pub(super) async fn graded_answers(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
) -> Result<Vec<(AnswerRow, Option<GradeRow>)>> {
    let rows: Vec<StoredAnswer> = sqlx::query_as(
        "SELECT question_key, user_answer, flagged, rev, seq, answered_at, spent_ms,
                points_earned, points_possible
         FROM answers
         WHERE attempt_id = ?1
         ORDER BY question_key",
    )
    .bind(attempt.0)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// An attempt's receipt.
pub(super) async fn receipt(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
) -> Result<Option<Arc<str>>> {
    let receipt: Option<Option<String>> =
        sqlx::query_scalar("SELECT receipt FROM exam_attempts WHERE id = ?1")
            .bind(attempt.0)
            .fetch_optional(connection)
            .await?;
    Ok(receipt.flatten().map(Into::into))
}

/// A part of an attempt's timeline, oldest first.
pub(super) async fn timeline(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
    after: u64,
    limit: u32,
) -> Result<Vec<TimelineRow>> {
    let rows: Vec<StoredEntry> = sqlx::query_as(
        "SELECT entry_no, at, kind, data
         FROM attempt_timeline
         WHERE attempt_id = ?1 AND entry_no > ?2
         ORDER BY entry_no
         LIMIT ?3",
    )
    .bind(attempt.0)
    .bind(to_column(after)?)
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Timeline entries from before an instant that come after one.
pub(super) async fn unrecorded(
    connection: &mut SqliteConnection,
    after: (AttemptId, u64),
    before: Timestamp,
    limit: u32,
) -> Result<Vec<(AttemptId, ExamCode, TimelineRow)>> {
    let rows: Vec<UnrecordedEntry> = sqlx::query_as(
        "SELECT t.attempt_id, a.exam, t.entry_no, t.at, t.kind, t.data
         FROM attempt_timeline AS t
         JOIN exam_attempts AS a ON a.id = t.attempt_id
         WHERE (t.attempt_id, t.entry_no) > (?1, ?2) AND t.at < ?3
         ORDER BY t.attempt_id, t.entry_no
         LIMIT ?4",
    )
    .bind(after.0.0)
    .bind(to_column(after.1)?)
    .bind(before.as_ms())
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let attempt = AttemptId(row.attempt_id);
            Ok((attempt, row.exam.into(), row.entry.try_into()?))
        })
        .collect()
}

/// Forgets timeline entries.
pub(super) async fn recorded(
    connection: &mut SqliteConnection,
    entries: &[(AttemptId, u64)],
) -> Result<()> {
    for (attempt, number) in entries {
        sqlx::query("DELETE FROM attempt_timeline WHERE attempt_id = ?1 AND entry_no = ?2")
            .bind(attempt.0)
            .bind(to_column(*number)?)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

//! Reading attempts.

use std::sync::Arc;

use sqlx::{SqliteConnection, types::Json};

use super::rows::{SqliteAnswerRow, SqliteHistoryRow, SqliteSummaryRow, SqliteTimelineRow};
use crate::convert::{from_column, to_column};
use invigil_domain::{
    id::{AttemptId, ExamCode, NodeId, PersonId},
    time::Timestamp,
};
use invigil_store::{AnswerRow, AttemptOwner, AttemptSummary, GradeRow, ResultLine, TimelineRow};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Returns the attempts that the engine must load, earliest first.
pub(super) async fn find_overdue(
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

/// Returns the owners of attempts.
pub(super) async fn read_owners(
    connection: &mut SqliteConnection,
    attempts: &[AttemptId],
) -> Result<Vec<AttemptOwner>> {
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
            Ok(AttemptOwner {
                attempt: AttemptId(attempt),
                node: node.map(NodeId::from),
                epoch: from_column(epoch)?,
            })
        })
        .collect()
}

/// Reads an attempt.
pub(super) async fn read_summary(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
) -> Result<Option<AttemptSummary>> {
    let line = read_result_line(connection, attempt).await?;
    Ok(line.map(|line| line.summary))
}

/// Reads an attempt with the candidate's name.
pub(super) async fn read_result_line(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
) -> Result<Option<ResultLine>> {
    let row: Option<SqliteSummaryRow> =
        sqlx::query_as("SELECT * FROM attempt_summaries WHERE attempt_id = ?1")
            .bind(attempt.0)
            .fetch_optional(connection)
            .await?;
    row.map(ResultLine::try_from).transpose()
}

/// Returns a person's attempts, oldest first.
pub(super) async fn list_attempts_of(
    connection: &mut SqliteConnection,
    person: &PersonId,
) -> Result<Vec<AttemptSummary>> {
    let rows: Vec<SqliteSummaryRow> =
        sqlx::query_as("SELECT * FROM attempt_summaries WHERE candidate = ?1 ORDER BY attempt_id")
            .bind(person.as_str())
            .fetch_all(connection)
            .await?;
    rows.into_iter().map(AttemptSummary::try_from).collect()
}

/// Returns an exam's attempts, by candidate and number.
pub(super) async fn list_results(
    connection: &mut SqliteConnection,
    exam: &ExamCode,
) -> Result<Vec<ResultLine>> {
    let rows: Vec<SqliteSummaryRow> = sqlx::query_as(
        "SELECT * FROM attempt_summaries WHERE exam = ?1 ORDER BY candidate, attempt_no",
    )
    .bind(exam.as_str())
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(ResultLine::try_from).collect()
}

/// Returns an attempt's answers with their marks, by question.
pub(super) async fn read_graded_answers(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
) -> Result<Vec<(AnswerRow, Option<GradeRow>)>> {
    let rows: Vec<SqliteAnswerRow> = sqlx::query_as(
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

/// Reads an attempt's receipt.
pub(super) async fn read_receipt(
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

/// Returns a page of an attempt's timeline, oldest first.
pub(super) async fn read_timeline(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
    after: u64,
    limit: u32,
) -> Result<Vec<TimelineRow>> {
    let rows: Vec<SqliteTimelineRow> = sqlx::query_as(
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

/// Returns timeline entries older than `before`, beginning `after` one.
pub(super) async fn list_unrecorded(
    connection: &mut SqliteConnection,
    after: (AttemptId, u64),
    before: Timestamp,
    limit: u32,
) -> Result<Vec<(AttemptId, ExamCode, TimelineRow)>> {
    let rows: Vec<SqliteHistoryRow> = sqlx::query_as(
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

/// Deletes timeline entries.
pub(super) async fn delete_recorded(
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

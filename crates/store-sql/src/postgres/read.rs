//! Reading attempts.

use std::sync::Arc;

use sqlx::PgConnection;

use super::rows::{
    PostgresAnswerRow, PostgresHistoryRow, PostgresSummaryRow, PostgresTimelineRow,
    instant_to_column as instant,
};
use crate::convert::{from_column, to_column};
use invigil_domain::{
    id::{AttemptId, ExamCode, NodeId, PersonId},
    time::Timestamp,
};
use invigil_store::{AnswerRow, AttemptOwner, AttemptSummary, GradeRow, ResultLine, TimelineRow};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Returns the owners of attempts.
pub(super) async fn read_owners(
    connection: &mut PgConnection,
    attempts: &[AttemptId],
) -> Result<Vec<AttemptOwner>> {
    let ids: Vec<i64> = attempts.iter().map(|attempt| attempt.0).collect();
    let rows: Vec<(i64, Option<String>, i64)> = sqlx::query_as(
        "SELECT attempt_id, owner_node, owner_epoch
         FROM exam_attempt_keys
         WHERE attempt_id = ANY ($1)",
    )
    .bind(ids)
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
    connection: &mut PgConnection,
    attempt: AttemptId,
) -> Result<Option<AttemptSummary>> {
    let line = read_result_line(connection, attempt).await?;
    Ok(line.map(|line| line.summary))
}

/// Reads an attempt with the candidate's name.
pub(super) async fn read_result_line(
    connection: &mut PgConnection,
    attempt: AttemptId,
) -> Result<Option<ResultLine>> {
    let row: Option<PostgresSummaryRow> =
        sqlx::query_as("SELECT * FROM attempt_summaries WHERE attempt_id = $1")
            .bind(attempt.0)
            .fetch_optional(connection)
            .await?;
    row.map(ResultLine::try_from).transpose()
}

/// Returns a person's attempts, oldest first.
pub(super) async fn list_attempts_of(
    connection: &mut PgConnection,
    person: &PersonId,
) -> Result<Vec<AttemptSummary>> {
    let rows: Vec<PostgresSummaryRow> =
        sqlx::query_as("SELECT * FROM attempt_summaries WHERE candidate = $1 ORDER BY attempt_id")
            .bind(person.as_str())
            .fetch_all(connection)
            .await?;
    rows.into_iter().map(AttemptSummary::try_from).collect()
}

/// Returns an exam's attempts, by candidate and number.
pub(super) async fn list_results(
    connection: &mut PgConnection,
    exam: &ExamCode,
) -> Result<Vec<ResultLine>> {
    let rows: Vec<PostgresSummaryRow> = sqlx::query_as(
        "SELECT * FROM attempt_summaries WHERE exam = $1 ORDER BY candidate, attempt_no",
    )
    .bind(exam.as_str())
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(ResultLine::try_from).collect()
}

/// Returns an attempt's answers with their marks, by question.
pub(super) async fn read_graded_answers(
    connection: &mut PgConnection,
    attempt: AttemptId,
) -> Result<Vec<(AnswerRow, Option<GradeRow>)>> {
    let rows: Vec<PostgresAnswerRow> = sqlx::query_as(
        "SELECT q.question_key, a.user_answer::text AS user_answer, a.flagged, a.rev, a.seq,
                a.answered_at, a.spent_ms, a.points_earned, a.points_possible
         FROM exam_attempt_keys AS k
         JOIN answers AS a ON a.attempt_id = k.attempt_id
         JOIN exam_version_questions AS q
           ON q.exam_version_id = k.exam_version_id AND q.question_id = a.question_id
         WHERE k.attempt_id = $1
         ORDER BY q.question_key",
    )
    .bind(attempt.0)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Reads an attempt's receipt.
pub(super) async fn read_receipt(
    connection: &mut PgConnection,
    attempt: AttemptId,
) -> Result<Option<Arc<str>>> {
    let receipt: Option<Option<String>> = sqlx::query_scalar(
        "SELECT receipt::text
         FROM exam_attempts
         WHERE id = $1
           AND started_at = (SELECT started_at FROM exam_attempt_keys WHERE attempt_id = $1)",
    )
    .bind(attempt.0)
    .fetch_optional(connection)
    .await?;
    Ok(receipt.flatten().map(Into::into))
}

/// Returns a page of an attempt's timeline, oldest first.
pub(super) async fn read_timeline(
    connection: &mut PgConnection,
    attempt: AttemptId,
    after: u64,
    limit: u32,
) -> Result<Vec<TimelineRow>> {
    let rows: Vec<PostgresTimelineRow> = sqlx::query_as(
        "SELECT entry_no, at, kind, data::text AS data
         FROM attempt_timeline
         WHERE attempt_id = $1 AND entry_no > $2
         ORDER BY entry_no
         LIMIT $3",
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
    connection: &mut PgConnection,
    after: (AttemptId, u64),
    before: Timestamp,
    limit: u32,
) -> Result<Vec<(AttemptId, ExamCode, TimelineRow)>> {
    let rows: Vec<PostgresHistoryRow> = sqlx::query_as(
        "SELECT t.attempt_id, e.code AS exam, t.entry_no, t.at, t.kind, t.data::text AS data
         FROM attempt_timeline AS t
         JOIN exam_attempt_keys AS k USING (attempt_id)
         JOIN exams AS e ON e.id = k.exam_id
         WHERE (t.attempt_id, t.entry_no) > ($1, $2) AND t.at < $3
         ORDER BY t.attempt_id, t.entry_no
         LIMIT $4",
    )
    .bind(after.0.0)
    .bind(to_column(after.1)?)
    .bind(instant(before)?)
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
    connection: &mut PgConnection,
    entries: &[(AttemptId, u64)],
) -> Result<()> {
    let attempts: Vec<i64> = entries.iter().map(|(attempt, _)| attempt.0).collect();
    let numbers: Vec<i64> = entries
        .iter()
        .map(|(_, number)| to_column(*number))
        .collect::<Result<_>>()?;
    sqlx::query(
        "DELETE FROM attempt_timeline AS t
         USING unnest($1::bigint[], $2::bigint[]) AS n (attempt_id, entry_no)
         WHERE t.attempt_id = n.attempt_id AND t.entry_no = n.entry_no",
    )
    .bind(attempts)
    .bind(numbers)
    .execute(connection)
    .await?;
    Ok(())
}

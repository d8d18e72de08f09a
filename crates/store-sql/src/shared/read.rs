//! Reading attempts.

use std::sync::Arc;

use super::{
    columns::{ListColumn, TimeColumn},
    connection::SqlConnection,
    rows::owner_from_columns,
    rows::{OwnerColumns, StoredAnswer, StoredEntry, StoredSummary, UnrecordedEntry},
};
use crate::convert::to_column;
use invigil_domain::{
    id::{AttemptId, ExamCode, PersonId},
    time::Timestamp,
};
use invigil_store::{
    Acquired, AnswerRow, AttemptIdentity, AttemptOwner, AttemptSummary, GradeRow, ResultLine,
    TimelineRow,
};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Returns the owners of attempts; the statement takes their ids.
pub(crate) async fn read_owners(
    connection: &mut impl SqlConnection,
    statement: &'static str,
    attempts: &[AttemptId],
) -> Result<Vec<AttemptOwner>> {
    let ids = ListColumn(
        attempts
            .iter()
            .map(|attempt| attempt.0)
            .collect::<Vec<i64>>(),
    );
    let rows: Vec<OwnerColumns> = connection.query_rows(statement, &[&ids]).await?;
    rows.into_iter().map(owner_from_columns).collect()
}

/// Reads an attempt.
pub(crate) async fn read_summary(
    connection: &mut impl SqlConnection,
    attempt: AttemptId,
) -> Result<Option<AttemptSummary>> {
    let line = read_result_line(connection, attempt).await?;
    Ok(line.map(|line| line.summary))
}

/// Reads an attempt with the candidate's name.
async fn read_result_line(
    connection: &mut impl SqlConnection,
    attempt: AttemptId,
) -> Result<Option<ResultLine>> {
    let row: Option<StoredSummary> = connection
        .query_row(
            "SELECT * FROM attempt_summaries WHERE attempt_id = $1",
            &[&attempt.0],
        )
        .await?;
    row.map(ResultLine::try_from).transpose()
}

/// Returns a person's attempts, oldest first.
pub(crate) async fn list_attempts_of(
    connection: &mut impl SqlConnection,
    person: &PersonId,
) -> Result<Vec<AttemptSummary>> {
    let rows: Vec<StoredSummary> = connection
        .query_rows(
            "SELECT * FROM attempt_summaries WHERE candidate = $1 ORDER BY attempt_id",
            &[&person.as_str()],
        )
        .await?;
    rows.into_iter().map(AttemptSummary::try_from).collect()
}

/// Returns an exam's attempts, by candidate and number.
pub(crate) async fn list_results(
    connection: &mut impl SqlConnection,
    exam: &ExamCode,
) -> Result<Vec<ResultLine>> {
    let rows: Vec<StoredSummary> = connection
        .query_rows(
            "SELECT * FROM attempt_summaries WHERE exam = $1 ORDER BY candidate, attempt_no",
            &[&exam.as_str()],
        )
        .await?;
    rows.into_iter().map(ResultLine::try_from).collect()
}

/// The attempts of a person at an exam, for a start.
pub(crate) enum EarlierAttempts {
    /// One is open.
    Open(Box<AttemptIdentity>),
    /// All are closed, and the next one has this number.
    Closed { next: u16 },
}

/// Reads the attempts of the person at the exam.
pub(crate) async fn read_earlier_attempts(
    connection: &mut impl SqlConnection,
    wanted: &AttemptIdentity,
) -> Result<EarlierAttempts> {
    let rows: Vec<StoredSummary> = connection
        .query_rows(
            "SELECT * FROM attempt_summaries WHERE exam = $1 AND candidate = $2 ORDER BY attempt_no",
            &[&wanted.exam.as_str(), &wanted.candidate.as_str()],
        )
        .await?;
    let mut next = 1;
    for row in rows {
        let attempt = AttemptSummary::try_from(row)?;
        if attempt.control.closed_at.is_none() {
            return Ok(EarlierAttempts::Open(Box::new(attempt.identity)));
        }
        next = attempt.identity.number + 1;
    }
    Ok(EarlierAttempts::Closed { next })
}

/// Reads an attempt for its new owner; the statement selects its answers.
pub(crate) async fn read_acquired(
    connection: &mut impl SqlConnection,
    answers_statement: &'static str,
    attempt: AttemptId,
    epoch: u64,
    lost_at: Option<Timestamp>,
) -> Result<Option<Acquired>> {
    let Some(line) = read_result_line(connection, attempt).await? else {
        return Ok(None);
    };
    let summary = line.summary;
    let answers = read_graded_answers(connection, answers_statement, attempt).await?;
    Ok(Some(Acquired {
        epoch,
        identity: summary.identity,
        candidate_name: line.candidate_name,
        control: summary.control.state,
        progress: summary.progress,
        answers: answers.into_iter().map(|(answer, _)| answer).collect(),
        lost_at,
    }))
}

/// Returns an attempt's answers with their marks, by question; the statement takes the
/// attempt's id.
pub(crate) async fn read_graded_answers(
    connection: &mut impl SqlConnection,
    statement: &'static str,
    attempt: AttemptId,
) -> Result<Vec<(AnswerRow, Option<GradeRow>)>> {
    let rows: Vec<StoredAnswer> = connection.query_rows(statement, &[&attempt.0]).await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Reads an attempt's receipt; the statement takes the attempt's id.
pub(crate) async fn read_receipt(
    connection: &mut impl SqlConnection,
    statement: &'static str,
    attempt: AttemptId,
) -> Result<Option<Arc<str>>> {
    let receipt: Option<(Option<String>,)> = connection.query_row(statement, &[&attempt.0]).await?;
    Ok(receipt.and_then(|(text,)| text).map(Into::into))
}

/// Returns a page of an attempt's timeline, oldest first.
pub(crate) async fn read_timeline(
    connection: &mut impl SqlConnection,
    attempt: AttemptId,
    after: u64,
    limit: u32,
) -> Result<Vec<TimelineRow>> {
    let rows: Vec<StoredEntry> = connection
        .query_rows(
            "SELECT entry_no, at, kind, CAST(data AS text) AS data
             FROM attempt_timeline
             WHERE attempt_id = $1 AND entry_no > $2
             ORDER BY entry_no
             LIMIT $3",
            &[&attempt.0, &to_column(after)?, &i64::from(limit)],
        )
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Returns timeline entries older than `before`, beginning `after` one. The statement takes
/// the attempt and number of that entry, the instant and the limit.
pub(crate) async fn list_unrecorded(
    connection: &mut impl SqlConnection,
    statement: &'static str,
    after: (AttemptId, u64),
    before: Timestamp,
    limit: u32,
) -> Result<Vec<(AttemptId, ExamCode, TimelineRow)>> {
    let (attempt, number) = (after.0.0, to_column(after.1)?);
    let before = TimeColumn(before);
    let rows: Vec<UnrecordedEntry> = connection
        .query_rows(statement, &[&attempt, &number, &before, &i64::from(limit)])
        .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

//! Staff commands and outages.

use super::{
    columns::{ListColumn, TimeColumn},
    connection::SqlConnection,
};
use crate::convert::encode_error;
use invigil_domain::{
    id::{AttemptId, ExamCode, PersonId},
    time::Timestamp,
};
use invigil_store::{CandidateScope, CommandState, GroupSet};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Begins a command or finds its state. The statement takes the person, the command's id and
/// hash, the exam and the groups, and returns hash, result and targets.
pub(crate) async fn begin_command(
    connection: &mut impl SqlConnection,
    statement: &'static str,
    person: &PersonId,
    command: &str,
    body: &[u8; 32],
    exam: Option<(&ExamCode, &CandidateScope)>,
) -> Result<CommandState> {
    let code = exam.map(|(code, _)| code.as_str());
    let groups = exam
        .and_then(|(_, candidates)| candidates.groups())
        .map(GroupSet::names)
        .map(ListColumn);
    let known: Option<(Vec<u8>, Option<String>, ListColumn<i64>)> = connection
        .query_row(
            statement,
            &[&person.as_str(), &command, &body.as_slice(), &code, &groups],
        )
        .await?;
    match known {
        None => Err(encode_error("no such person")),
        Some((known, ..)) if known != body => Ok(CommandState::Conflict),
        Some((_, Some(result), _)) => Ok(CommandState::Done(result.into())),
        Some((_, None, ListColumn(targets))) => {
            let targets = targets.into_iter().map(AttemptId);
            Ok(CommandState::Begun(targets.collect()))
        }
    }
}

/// Stores the result of a command. The first result stays: a person has seen it.
pub(crate) async fn end_command(
    connection: &mut impl SqlConnection,
    statement: &'static str,
    person: &PersonId,
    command: &str,
    result: &str,
) -> Result<()> {
    connection
        .execute_statement(statement, &[&person.as_str(), &command, &result])
        .await?;
    Ok(())
}

/// Stores an interval without a living node.
pub(crate) async fn record_outage(
    connection: &mut impl SqlConnection,
    from: Timestamp,
    until: Timestamp,
) -> Result<()> {
    connection
        .execute_statement(
            "INSERT INTO engine_outages (from_at, until_at)
             VALUES ($1, $2)
             ON CONFLICT (from_at, until_at) DO NOTHING",
            &[&TimeColumn(from), &TimeColumn(until)],
        )
        .await?;
    Ok(())
}

/// Returns the intervals without a living node, oldest first.
pub(crate) async fn list_outages(
    connection: &mut impl SqlConnection,
) -> Result<Vec<(Timestamp, Timestamp)>> {
    let rows: Vec<(TimeColumn, TimeColumn)> = connection
        .query_rows(
            "SELECT from_at, until_at FROM engine_outages ORDER BY from_at, until_at",
            &[],
        )
        .await?;
    Ok(rows
        .into_iter()
        .map(|(from, until)| (from.0, until.0))
        .collect())
}

//! Starting and acquiring attempts. There is no concurrent writer.

use sqlx::{SqliteConnection, types::Json};

use super::{read, rows::SqliteSummaryRow};
use crate::convert::{duration_to_column, from_column};
use invigil_domain::{
    id::{AttemptId, NodeId},
    time::Timestamp,
};
use invigil_store::{
    AcquireOutcome, Acquired, AttemptIdentity, AttemptOwner, AttemptSummary, NewAttempt,
    StartOutcome,
};

/// Creates an attempt or finds the open one.
pub(super) async fn start_attempt(
    connection: &mut SqliteConnection,
    new: &NewAttempt,
) -> Result<StartOutcome, sqlx::Error> {
    let wanted = &new.identity;
    let attempts: Vec<SqliteSummaryRow> = sqlx::query_as(
        "SELECT * FROM attempt_summaries WHERE exam = ?1 AND candidate = ?2 ORDER BY attempt_no",
    )
    .bind(wanted.exam.as_str())
    .bind(wanted.candidate.as_str())
    .fetch_all(&mut *connection)
    .await?;
    let mut number = 1;
    for row in attempts {
        let attempt = AttemptSummary::try_from(row)?;
        if attempt.control.closed_at.is_none() {
            return Ok(StartOutcome::Open(attempt.identity));
        }
        number = attempt.identity.number + 1;
    }
    if number > new.max_attempts {
        return Ok(StartOutcome::NoneLeft);
    }
    let id = insert_attempt(connection, new, number).await?;
    Ok(StartOutcome::Created(AttemptIdentity {
        id: AttemptId(id),
        number,
        ..wanted.clone()
    }))
}

async fn insert_attempt(
    connection: &mut SqliteConnection,
    new: &NewAttempt,
    number: u16,
) -> Result<i64, sqlx::Error> {
    let (wanted, control) = (&new.identity, &new.control);
    let ms = |at: Option<Timestamp>| at.map(Timestamp::as_ms);
    sqlx::query_scalar(
        "INSERT INTO exam_attempts
             (exam, exam_version, candidate, attempt_no, seed, time_factor, extra_time_ms,
              started_at, last_activity_at, ip_address, status, control, entered_at, deadline_at,
              close_at, closed_at, groups)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         RETURNING id",
    )
    .bind(wanted.exam.as_str())
    .bind(wanted.exam_version.as_str())
    .bind(wanted.candidate.as_str())
    .bind(number)
    .bind(wanted.seed.cast_signed())
    .bind(wanted.time_factor.to_string())
    .bind(duration_to_column(wanted.extra_time))
    .bind(wanted.started_at.as_ms())
    .bind(new.address.to_string())
    .bind(control.status.as_str())
    .bind(&*control.state)
    .bind(ms(control.entered_at))
    .bind(ms(control.deadline_at))
    .bind(ms(control.close_at))
    .bind(ms(control.closed_at))
    .bind(Json(&wanted.groups))
    .fetch_one(connection)
    .await
}

/// Acquires an attempt, unless one of `living` owns it by a lease with another epoch than
/// `expected_epoch`.
pub(super) async fn acquire_attempt(
    connection: &mut SqliteConnection,
    attempt: AttemptId,
    node: &NodeId,
    living: &[NodeId],
    expected_epoch: Option<u64>,
) -> Result<Option<AcquireOutcome>, sqlx::Error> {
    let owner = read::read_owners(&mut *connection, &[attempt]).await?.pop();
    if let Some(AttemptOwner { node, epoch, .. }) = owner
        && let Some(node) = node.filter(|node| living.contains(node))
        && expected_epoch != Some(epoch)
    {
        return Ok(Some(AcquireOutcome::Held { node, epoch }));
    }
    let epoch: Option<i64> = sqlx::query_scalar(
        "UPDATE exam_attempts
         SET owner_epoch = owner_epoch + 1, owner_node = ?2
         WHERE id = ?1
         RETURNING owner_epoch",
    )
    .bind(attempt.0)
    .bind(node.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(epoch) = epoch else { return Ok(None) };
    let Some(line) = read::read_result_line(connection, attempt).await? else {
        return Ok(None);
    };
    let summary = line.summary;
    let answers = read::read_graded_answers(connection, attempt).await?;
    Ok(Some(AcquireOutcome::Acquired(Box::new(Acquired {
        epoch: from_column(epoch)?,
        identity: summary.identity,
        candidate_name: line.candidate_name,
        control: summary.control.state,
        progress: summary.progress,
        answers: answers.into_iter().map(|(answer, _)| answer).collect(),
        // The data directory belongs to one process at a time, so no other node was lost.
        lost_at: None,
    }))))
}

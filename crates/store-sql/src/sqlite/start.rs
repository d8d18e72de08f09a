//! Starting and acquiring attempts. There is no concurrent writer.

use sqlx::{SqliteConnection, types::Json};

use super::read;
use crate::{
    convert::{duration_to_column, from_column},
    shared::{self, read::EarlierAttempts},
};
use invigil_domain::{
    id::{AttemptId, NodeId},
    time::Timestamp,
};
use invigil_store::{AcquireOutcome, AttemptIdentity, AttemptOwner, NewAttempt, StartOutcome};

/// Creates an attempt or finds the open one.
pub(super) async fn start_attempt(
    connection: &mut SqliteConnection,
    new: &NewAttempt,
) -> Result<StartOutcome, sqlx::Error> {
    let wanted = &new.identity;
    let number = match shared::read::read_earlier_attempts(connection, wanted).await? {
        EarlierAttempts::Open(identity) => return Ok(StartOutcome::Open(*identity)),
        EarlierAttempts::Closed { next } => next,
    };
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
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $11, $12, $13, $14, $15, $16)
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
    let owner = shared::read::read_owners(connection, read::READ_OWNERS, &[attempt])
        .await?
        .pop();
    if let Some(AttemptOwner { node, epoch, .. }) = owner
        && let Some(node) = node.filter(|node| living.contains(node))
        && expected_epoch != Some(epoch)
    {
        return Ok(Some(AcquireOutcome::Held { node, epoch }));
    }
    let epoch: Option<i64> = sqlx::query_scalar(
        "UPDATE exam_attempts
         SET owner_epoch = owner_epoch + 1, owner_node = $2
         WHERE id = $1
         RETURNING owner_epoch",
    )
    .bind(attempt.0)
    .bind(node.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(epoch) = epoch else { return Ok(None) };
    // The data directory belongs to one process at a time, so no other node was lost.
    let lost_at = None;
    let epoch = from_column(epoch)?;
    let acquired =
        shared::read::read_acquired(connection, read::READ_ANSWERS, attempt, epoch, lost_at)
            .await?;
    Ok(acquired.map(|acquired| AcquireOutcome::Acquired(Box::new(acquired))))
}

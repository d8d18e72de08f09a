//! Starting and acquiring attempts.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::{Connection, PgConnection};
use sqlx_macros::FromRow;

use super::read;
use crate::{
    convert::{
        duration_from_column, duration_to_column, encode_error, from_column,
        instant_from_column as from_instant, instant_to_column as instant, to_column,
    },
    shared::{self, read::EarlierAttempts, rows::leases_from_columns},
};
use invigil_domain::{
    id::{AttemptId, NodeId},
    time::Timestamp,
};
use invigil_store::{AcquireOutcome, AttemptIdentity, NewAttempt, OverdueScope, StartOutcome};

#[derive(FromRow)]
struct StartRow {
    exam: i64,
    exam_version: i64,
    user: i64,
    is_current: bool,
    time_factor: Option<Decimal>,
    extra_time_ms: Option<i64>,
}

const INSERT_ATTEMPT: &str = "
WITH key AS (
    INSERT INTO exam_attempt_keys
        (exam_id, exam_version_id, user_id, attempt_no, started_at, closed_at, last_activity_at,
         groups)
    VALUES ($1, $2, $3, $4, $5, $6, $5, $16)
    RETURNING attempt_id, started_at
),
active AS (
    INSERT INTO user_activity_logs
        (user_id, organization_id, activity_type, activity_data, ip_address, created_at)
    SELECT $3, u.organization_id, 'attempt_started', jsonb_build_object('attempt', key.attempt_id),
           $10::text::inet, key.started_at
    FROM key, users AS u
    WHERE u.id = $3
)
INSERT INTO exam_attempts
    (id, started_at, exam_id, user_id, seed, time_factor, extra_time_ms, ip_address,
     status, control, entered_at, deadline_at, close_at)
SELECT key.attempt_id, key.started_at, $1, $3, $7, $8, $9, $10::text::inet,
       $11, $12::text::json, $13, $14, $15
FROM key
RETURNING id";

/// Creates an attempt or finds the open one. The person's row is locked first,
/// so that starts run one after the other, and the second start's reading (a
/// statement with a snapshot of its own) sees the attempt of the first.
pub(super) async fn start_attempt(
    connection: &mut PgConnection,
    new: &NewAttempt,
) -> Result<StartOutcome, sqlx::Error> {
    let wanted = &new.identity;
    let mut transaction = connection.begin().await?;
    let keys: StartRow = sqlx::query_as(
        "SELECT e.id AS exam, v.id AS exam_version, u.id AS user,
                v.id = e.current_version_id AND e.status IN ('published', 'active') AND u.is_active
                    AND (s.codes IS NULL OR e.code = ANY (s.codes)) AS is_current,
                a.time_factor, a.extra_time_ms
         FROM users AS u
         CROSS JOIN exams AS e
         JOIN exam_versions AS v ON v.exam_id = e.id
         CROSS JOIN LATERAL exam_scope(u.id) AS s (codes)
         LEFT JOIN exam_accommodations AS a ON a.exam_id = e.id AND a.user_id = u.id
         WHERE u.username = $1 AND e.code = $2 AND v.version = $3
         FOR NO KEY UPDATE OF u",
    )
    .bind(wanted.candidate.as_str())
    .bind(wanted.exam.as_str())
    .bind(wanted.exam_version.as_str())
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or_else(|| encode_error("no such person, exam or version of the exam"))?;

    let number = match shared::read::read_earlier_attempts(&mut *transaction, wanted).await? {
        EarlierAttempts::Open(identity) => return Ok(StartOutcome::Open(*identity)),
        EarlierAttempts::Closed { next } => next,
    };
    // The rules were checked before this transaction: meanwhile there may be a new
    // version, or the enrolment or the exam may have ended.
    if !keys.is_current {
        return Ok(StartOutcome::Changed);
    }
    if number > new.max_attempts {
        return Ok(StartOutcome::NoneLeft);
    }
    let extra_time = keys.extra_time_ms.map(duration_from_column).transpose()?;
    let mut identity = AttemptIdentity {
        number,
        time_factor: keys.time_factor.unwrap_or(wanted.time_factor),
        extra_time: extra_time.unwrap_or(wanted.extra_time),
        ..wanted.clone()
    };
    identity.id = AttemptId(insert_attempt(&mut transaction, new, &keys, &identity).await?);
    transaction.commit().await?;
    Ok(StartOutcome::Created(identity))
}

async fn insert_attempt(
    connection: &mut PgConnection,
    new: &NewAttempt,
    keys: &StartRow,
    identity: &AttemptIdentity,
) -> Result<i64, sqlx::Error> {
    let control = &new.control;
    let number = identity.number;
    let optional = |at: Option<_>| at.map(instant).transpose();
    sqlx::query_scalar(INSERT_ATTEMPT)
        .bind(keys.exam)
        .bind(keys.exam_version)
        .bind(keys.user)
        .bind(
            i16::try_from(number)
                .map_err(|error| encode_error(format!("attempt {number}: {error}")))?,
        )
        .bind(instant(identity.started_at)?)
        .bind(optional(control.closed_at)?)
        .bind(identity.seed.cast_signed())
        .bind(identity.time_factor)
        .bind(duration_to_column(identity.extra_time))
        .bind(new.address.to_string())
        .bind(control.status.as_str())
        .bind(&*control.state)
        .bind(optional(control.entered_at)?)
        .bind(optional(control.deadline_at)?)
        .bind(optional(control.close_at)?)
        .bind(identity.groups.names())
        .fetch_one(connection)
        .await
}

/// Silence after which the owner of a wanted attempt counts as lost; a node reports
/// every second.
const LOST_AFTER: &str = "2 s";

/// Silence after which other nodes hand in a node's overdue attempts.
const DEAD_AFTER: &str = "5 s";

/// The same for a node that is alive but cannot reach the database: it may have answers
/// to save. After this its attempts are handed in as they are stored.
const CUT_OFF_AFTER: &str = "60 s";

/// Locks the directory row, then acquires the attempt unless one of `$3` owns it by a
/// lease with another epoch than `$5`. `lost_at`, from which the candidate gets time
/// back, stays set until an owner saves: the new owner may die before that, too.
///
/// The row lock waits for a batch in flight. The update, whose snapshot may be older
/// than that wait, continues from the newest version of the row, as the lock did.
const ACQUIRE_ATTEMPT: &str = "
WITH held AS MATERIALIZED (
    SELECT k.attempt_id, k.owner_node, k.owner_epoch,
           CASE WHEN n.left_at IS NULL AND n.heard_at < clock_timestamp() - $4::interval
                     AND n.node_id <> ALL ($3)
                THEN n.last_alive_at END AS lost_at
    FROM exam_attempt_keys AS k
    LEFT JOIN engine_nodes AS n ON n.node_id = k.owner_node AND k.owner_node <> $2
    WHERE k.attempt_id = $1
    FOR NO KEY UPDATE OF k
),
taken AS (
    UPDATE exam_attempt_keys AS k
    SET owner_epoch = k.owner_epoch + 1,
        owner_node = $2,
        lost_at = coalesce(k.lost_at, h.lost_at)
    FROM held AS h
    WHERE k.attempt_id = h.attempt_id
      AND (h.owner_node = ANY ($3) AND h.owner_epoch IS DISTINCT FROM $5) IS NOT TRUE
    RETURNING k.owner_epoch, k.lost_at
)
SELECT t.owner_epoch AS epoch, h.owner_node AS holder, h.owner_epoch AS before, t.lost_at
FROM held AS h
LEFT JOIN taken AS t ON true";

#[derive(FromRow)]
struct LeaseRow {
    epoch: Option<i64>,
    holder: Option<String>,
    before: i64,
    lost_at: Option<DateTime<Utc>>,
}

/// Acquires an attempt, unless one of `living` owns it by a lease with another epoch than
/// `expected_epoch`. The first statement waits for a batch in flight; the others begin
/// after its commit, so they see its writes (the first statement's own snapshot would
/// not), and no node with a lower epoch writes any more.
pub(super) async fn acquire_attempt(
    connection: &mut PgConnection,
    attempt: AttemptId,
    node: &NodeId,
    living: &[NodeId],
    expected_epoch: Option<u64>,
) -> Result<Option<AcquireOutcome>, sqlx::Error> {
    let held: Option<LeaseRow> = sqlx::query_as(ACQUIRE_ATTEMPT)
        .bind(attempt.0)
        .bind(node.as_str())
        .bind(node_names(living))
        .bind(LOST_AFTER)
        .bind(expected_epoch.map(to_column).transpose()?)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(held) = held else { return Ok(None) };
    let Some(epoch) = held.epoch else {
        let epoch = from_column(held.before)?;
        let node = held.holder.map(NodeId::from);
        return Ok(node.map(|node| AcquireOutcome::Held { node, epoch }));
    };
    let lost_at = held.lost_at.map(from_instant);
    let epoch = from_column(epoch)?;
    let acquired =
        shared::read::read_acquired(connection, read::READ_ANSWERS, attempt, epoch, lost_at)
            .await?;
    Ok(acquired.map(|acquired| AcquireOutcome::Acquired(Box::new(acquired))))
}

fn node_names(nodes: &[NodeId]) -> Vec<&str> {
    nodes.iter().map(NodeId::as_str).collect()
}

/// Returns overdue attempts that a node should hand in.
pub(super) async fn find_overdue(
    connection: &mut PgConnection,
    now: Timestamp,
    node: &NodeId,
    whose: OverdueScope<'_>,
    limit: u32,
) -> Result<Vec<(AttemptId, u64)>, sqlx::Error> {
    let living = match whose {
        OverdueScope::Own => None,
        OverdueScope::OwnAndLost(living) => Some(node_names(living)),
    };
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT a.id, k.owner_epoch
         FROM exam_attempts AS a
         JOIN exam_attempt_keys AS k ON k.attempt_id = a.id
         LEFT JOIN engine_nodes AS n ON n.node_id = k.owner_node
         WHERE a.close_at <= $1
           AND (k.owner_node IS NULL
                OR k.owner_node = $2
                OR ($3 IS NOT NULL
                    AND (k.owner_node <> ALL ($3)
                         OR n.heard_at < clock_timestamp() - $6::interval)
                    AND (n.left_at IS NULL AND n.heard_at > clock_timestamp() - $4::interval)
                        IS NOT TRUE))
         ORDER BY a.close_at, a.id
         LIMIT $5",
    )
    .bind(instant(now)?)
    .bind(node.as_str())
    .bind(living)
    .bind(DEAD_AFTER)
    .bind(i64::from(limit))
    .bind(CUT_OFF_AFTER)
    .fetch_all(connection)
    .await?;
    leases_from_columns(rows)
}

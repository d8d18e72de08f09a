//! Making attempts, and taking them.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::{Connection, FromRow, PgConnection};

use super::{
    read,
    rows::{SummaryRow, instant as from_instant, to_column as instant},
};
use crate::{
    domain::{
        id::{AttemptId, NodeId},
        time::Timestamp,
    },
    store::{
        Identity, NewAttempt, Started, Summary, Take, Taken, Whose,
        convert::{duration_from_column, duration_to_column, from_column, refuse, to_column},
    },
};

#[derive(FromRow)]
struct Keys {
    exam: i64,
    exam_version: i64,
    user: i64,
    is_current: bool,
    time_factor: Option<Decimal>,
    extra_time_ms: Option<i64>,
}

const MAKE: &str = "
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

/// Makes an attempt or finds the open one. The person's row is locked first,
/// so that two starts come one after the other, and the second one's reading
/// (a statement, so a snapshot of its own) sees what the first one made.
pub(super) async fn start(
    connection: &mut PgConnection,
    new: &NewAttempt,
) -> Result<Started, sqlx::Error> {
    let wanted = &new.identity;
    let mut transaction = connection.begin().await?;
    let keys: Keys = sqlx::query_as(
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
    .ok_or_else(|| refuse("no such person, exam or version of the exam"))?;

    let attempts: Vec<SummaryRow> = sqlx::query_as(
        "SELECT * FROM attempt_summaries WHERE exam = $1 AND candidate = $2 ORDER BY attempt_no",
    )
    .bind(wanted.exam.as_str())
    .bind(wanted.candidate.as_str())
    .fetch_all(&mut *transaction)
    .await?;
    let mut number = 1;
    for row in attempts {
        let attempt = Summary::try_from(row)?;
        if attempt.control.closed_at.is_none() {
            return Ok(Started::Open(attempt.identity));
        }
        number = attempt.identity.number + 1;
    }
    // The rules were asked before this transaction: a new version, the end of an
    // enrolment or of the exam may have come between.
    if !keys.is_current {
        return Ok(Started::Changed);
    }
    if number > new.max_attempts {
        return Ok(Started::NoneLeft);
    }
    let extra_time = keys.extra_time_ms.map(duration_from_column).transpose()?;
    let mut identity = Identity {
        number,
        time_factor: keys.time_factor.unwrap_or(wanted.time_factor),
        extra_time: extra_time.unwrap_or(wanted.extra_time),
        ..wanted.clone()
    };
    identity.id = AttemptId(make(&mut transaction, new, &keys, &identity).await?);
    transaction.commit().await?;
    Ok(Started::Created(identity))
}

async fn make(
    connection: &mut PgConnection,
    new: &NewAttempt,
    keys: &Keys,
    identity: &Identity,
) -> Result<i64, sqlx::Error> {
    let control = &new.control;
    let number = identity.number;
    let optional = |at: Option<_>| at.map(instant).transpose();
    sqlx::query_scalar(MAKE)
        .bind(keys.exam)
        .bind(keys.exam_version)
        .bind(keys.user)
        .bind(i16::try_from(number).map_err(|error| refuse(format!("attempt {number}: {error}")))?)
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

/// How long a node whose attempt is asked for is believed to live after its last word,
/// which comes every second.
const LOST_AFTER: &str = "2 s";

/// How long a node is believed to hand in what is overdue, after its last word.
const DEAD_AFTER: &str = "5 s";

/// The same of a node that lives and does not reach the database: it may have answers to
/// save. After this its attempts are handed in as they are stored.
const CUT_OFF_AFTER: &str = "60 s";

/// Locks the directory row, then takes the attempt unless one of `$3` has it by another
/// taking than `$5`. What a dead node owes the candidate stays known until somebody saves:
/// whoever takes the attempt may be dead before that, too.
///
/// The row lock waits for a batch in flight. The update, whose snapshot may be older
/// than that wait, goes on from the newest version of the row, as the lock did.
const TAKE: &str = "
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
struct Held {
    epoch: Option<i64>,
    holder: Option<String>,
    before: i64,
    lost_at: Option<DateTime<Utc>>,
}

/// Takes an attempt, unless one of `living` has it by another taking than `from`. The
/// first statement waits for a batch in flight; the others begin after it is committed,
/// so they see what that batch wrote (the first one's own snapshot would not), and nobody
/// with a lower epoch writes any more.
pub(super) async fn take(
    connection: &mut PgConnection,
    attempt: AttemptId,
    node: &NodeId,
    living: &[NodeId],
    from: Option<u64>,
) -> Result<Option<Take>, sqlx::Error> {
    let held: Option<Held> = sqlx::query_as(TAKE)
        .bind(attempt.0)
        .bind(node.as_str())
        .bind(names(living))
        .bind(LOST_AFTER)
        .bind(from.map(to_column).transpose()?)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(held) = held else { return Ok(None) };
    let Some(epoch) = held.epoch else {
        let epoch = from_column(held.before)?;
        let node = held.holder.map(NodeId::from);
        return Ok(node.map(|node| Take::Held { node, epoch }));
    };
    let Some(line) = read::line(connection, attempt).await? else {
        return Ok(None);
    };
    let summary = line.summary;
    let answers = read::graded_answers(connection, attempt).await?;
    Ok(Some(Take::Taken(Box::new(Taken {
        epoch: from_column(epoch)?,
        identity: summary.identity,
        candidate_name: line.candidate_name,
        control: summary.control.state,
        progress: summary.progress,
        answers: answers.into_iter().map(|(answer, _)| answer).collect(),
        lost_at: held.lost_at.map(from_instant),
    }))))
}

fn names(nodes: &[NodeId]) -> Vec<&str> {
    nodes.iter().map(NodeId::as_str).collect()
}

/// Overdue attempts that are for a node to hand in.
pub(super) async fn overdue(
    connection: &mut PgConnection,
    now: Timestamp,
    node: &NodeId,
    whose: Whose<'_>,
    limit: u32,
) -> Result<Vec<(AttemptId, u64)>, sqlx::Error> {
    let living = match whose {
        Whose::Own => None,
        Whose::Lost(living) => Some(names(living)),
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
    let found = rows.into_iter();
    found
        .map(|(id, epoch)| Ok((AttemptId(id), from_column(epoch)?)))
        .collect()
}

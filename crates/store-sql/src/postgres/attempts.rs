//! The calls of the attempt store, and the engine's own rows.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{PostgresStore, read, save, start};
use crate::{
    convert::{instant_from_column, instant_to_column},
    shared::{self, commands},
};
use invigil_domain::{
    id::{AttemptId, ExamCode, NodeId, PersonId},
    time::Timestamp,
};
use invigil_store::{
    AcquireOutcome, AnswerRow, AttemptOwner, AttemptStore, AttemptSummary, AttemptWrite,
    CandidateScope, CommandState, Error, GradeRow, NewAttempt, OverdueScope, ResultLine,
    StartOutcome, TimelineRow, WriteOutcome,
};

#[async_trait]
impl AttemptStore for PostgresStore {
    async fn start_attempt(&self, new: NewAttempt) -> Result<StartOutcome, Error> {
        self.run_call("start attempt", async |db| {
            start::start_attempt(db, &new).await
        })
        .await
    }

    async fn acquire_attempt(
        &self,
        attempt: AttemptId,
        node: &NodeId,
        living: &[NodeId],
        expected_epoch: Option<u64>,
    ) -> Result<Option<AcquireOutcome>, Error> {
        self.run_call("acquire attempt", async |db| {
            start::acquire_attempt(db, attempt, node, living, expected_epoch).await
        })
        .await
    }

    async fn read_owners(&self, attempts: &[AttemptId]) -> Result<Vec<AttemptOwner>, Error> {
        self.run_call("read owners", async |db| {
            shared::read::read_owners(db, read::READ_OWNERS, attempts).await
        })
        .await
    }

    async fn save_batch(&self, batch: &[AttemptWrite]) -> Result<Vec<WriteOutcome>, Error> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.run_call("save batch", async |db| {
            save::save_batch(db, &self.question_numbers, batch).await
        })
        .await
    }

    async fn find_overdue(
        &self,
        now: Timestamp,
        node: &NodeId,
        whose: OverdueScope<'_>,
        limit: u32,
    ) -> Result<Vec<(AttemptId, u64)>, Error> {
        self.run_call("find overdue attempts", async |db| {
            start::find_overdue(db, now, node, whose, limit).await
        })
        .await
    }

    async fn read_summary(&self, attempt: AttemptId) -> Result<Option<AttemptSummary>, Error> {
        self.run_call("read attempt", async |db| {
            shared::read::read_summary(db, attempt).await
        })
        .await
    }

    async fn list_attempts_of(&self, person: &PersonId) -> Result<Vec<AttemptSummary>, Error> {
        self.run_call("read attempts of a person", async |db| {
            shared::read::list_attempts_of(db, person).await
        })
        .await
    }

    async fn list_results(&self, exam: &ExamCode) -> Result<Vec<ResultLine>, Error> {
        self.run_call("read results", async |db| {
            shared::read::list_results(db, exam).await
        })
        .await
    }

    async fn read_graded_answers(
        &self,
        attempt: AttemptId,
    ) -> Result<Vec<(AnswerRow, Option<GradeRow>)>, Error> {
        self.run_call("read answers", async |db| {
            shared::read::read_graded_answers(db, read::READ_ANSWERS, attempt).await
        })
        .await
    }

    async fn read_receipt(&self, attempt: AttemptId) -> Result<Option<Arc<str>>, Error> {
        self.run_call("read receipt", async |db| {
            shared::read::read_receipt(db, read::READ_RECEIPT, attempt).await
        })
        .await
    }

    async fn read_timeline(
        &self,
        attempt: AttemptId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<TimelineRow>, Error> {
        self.run_call("read timeline", async |db| {
            shared::read::read_timeline(db, attempt, after, limit).await
        })
        .await
    }

    async fn list_unrecorded(
        &self,
        after: (AttemptId, u64),
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<(AttemptId, ExamCode, TimelineRow)>, Error> {
        self.run_call("read unrecorded history", async |db| {
            shared::read::list_unrecorded(db, read::LIST_UNRECORDED, after, before, limit).await
        })
        .await
    }

    async fn delete_recorded(&self, entries: &[(AttemptId, u64)]) -> Result<(), Error> {
        self.run_call("delete recorded history", async |db| {
            read::delete_recorded(db, entries).await
        })
        .await
    }

    async fn begin_command(
        &self,
        person: &PersonId,
        command: &str,
        body: &[u8; 32],
        exam: Option<(&ExamCode, &CandidateScope)>,
    ) -> Result<CommandState, Error> {
        self.run_call("begin command", async |db| {
            commands::begin_command(db, BEGIN_COMMAND, person, command, body, exam).await
        })
        .await
    }

    async fn end_command(
        &self,
        person: &PersonId,
        command: &str,
        result: &str,
    ) -> Result<(), Error> {
        self.run_call("end command", async |db| {
            commands::end_command(db, END_COMMAND, person, command, result).await
        })
        .await
    }

    async fn mark_node_alive(
        &self,
        node: &NodeId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        self.run_call("mark node alive", async |db| {
            mark_node_alive(db, node, now).await
        })
        .await
    }

    async fn mark_node_left(&self, node: &NodeId) -> Result<(), Error> {
        self.run_call("mark node left", async |db| mark_node_left(db, node).await)
            .await
    }

    async fn record_outage(&self, from: Timestamp, until: Timestamp) -> Result<(), Error> {
        self.run_call("record outage", async |db| {
            commands::record_outage(db, from, until).await
        })
        .await
    }

    async fn list_outages(&self) -> Result<Vec<(Timestamp, Timestamp)>, Error> {
        self.run_call("read outages", async |db| commands::list_outages(db).await)
            .await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.run_call("ping", async |db| sqlx::Connection::ping(db).await)
            .await
    }
}

/// Begins command `$2` of person `$1` with hash `$3`; the targets are the open attempts of
/// exam `$4` in the groups `$5`. The update changes nothing: it makes RETURNING give the
/// existing row.
const BEGIN_COMMAND: &str = "
INSERT INTO staff_commands AS c (user_id, command_id, body_sha256, targets)
SELECT u.id, $2, $3, ARRAY(
    SELECT k.attempt_id
    FROM exam_attempt_keys AS k
    JOIN exams AS e ON e.id = k.exam_id
    WHERE e.code = $4 AND k.closed_at IS NULL AND ($5::text[] IS NULL OR k.groups && $5)
    ORDER BY k.attempt_id
)
FROM users AS u
WHERE u.username = $1
ON CONFLICT (user_id, command_id) DO UPDATE SET body_sha256 = c.body_sha256
RETURNING body_sha256, result::text, targets";

/// Stores `$3` as the result of command `$2` of person `$1`, if it has none.
const END_COMMAND: &str = "
UPDATE staff_commands AS c
SET result = $3::text::json, ended_at = now()
FROM users AS u
WHERE u.username = $1 AND c.user_id = u.id AND c.command_id = $2 AND c.result IS NULL";

async fn mark_node_alive(
    connection: &mut PgConnection,
    node: &NodeId,
    now: Timestamp,
) -> Result<Option<Timestamp>, sqlx::Error> {
    // The SELECT sees the table as it was before the INSERT.
    let before: Option<DateTime<Utc>> = sqlx::query_scalar(
        "WITH alive AS (
             INSERT INTO engine_nodes AS n (node_id, last_alive_at)
             VALUES ($1, $2)
             ON CONFLICT (node_id) DO UPDATE
             SET last_alive_at = greatest(n.last_alive_at, excluded.last_alive_at),
                 heard_at = clock_timestamp(),
                 left_at = NULL
         )
         SELECT max(last_alive_at) FROM engine_nodes",
    )
    .bind(node.as_str())
    .bind(instant_to_column(now)?)
    .fetch_one(connection)
    .await?;
    Ok(before.map(instant_from_column))
}

async fn mark_node_left(connection: &mut PgConnection, node: &NodeId) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE engine_nodes SET left_at = clock_timestamp() WHERE node_id = $1")
        .bind(node.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

//! The calls of the attempt store, and the engine's own rows.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{SqliteStore, read, save, start};
use crate::shared::{self, commands};
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
impl AttemptStore for SqliteStore {
    async fn start_attempt(&self, new: NewAttempt) -> Result<StartOutcome, Error> {
        self.run_write("start attempt", async |db| {
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
        self.run_write("acquire attempt", async |db| {
            start::acquire_attempt(db, attempt, node, living, expected_epoch).await
        })
        .await
    }

    async fn read_owners(&self, attempts: &[AttemptId]) -> Result<Vec<AttemptOwner>, Error> {
        self.run_read("read owners", async |db| {
            shared::read::read_owners(db, read::READ_OWNERS, attempts).await
        })
        .await
    }

    async fn save_batch(&self, batch: &[AttemptWrite]) -> Result<Vec<WriteOutcome>, Error> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.run_write("save batch", async |db| save::save_batch(db, batch).await)
            .await
    }

    async fn find_overdue(
        &self,
        now: Timestamp,
        _node: &NodeId,
        _whose: OverdueScope<'_>,
        limit: u32,
    ) -> Result<Vec<(AttemptId, u64)>, Error> {
        self.run_read("find overdue attempts", async |db| {
            // There is no other node.
            read::find_overdue(db, now, limit).await
        })
        .await
    }

    async fn read_summary(&self, attempt: AttemptId) -> Result<Option<AttemptSummary>, Error> {
        self.run_read("read attempt", async |db| {
            shared::read::read_summary(db, attempt).await
        })
        .await
    }

    async fn list_attempts_of(&self, person: &PersonId) -> Result<Vec<AttemptSummary>, Error> {
        self.run_read("read attempts of a person", async |db| {
            shared::read::list_attempts_of(db, person).await
        })
        .await
    }

    async fn list_results(&self, exam: &ExamCode) -> Result<Vec<ResultLine>, Error> {
        self.run_read("read results", async |db| {
            shared::read::list_results(db, exam).await
        })
        .await
    }

    async fn read_graded_answers(
        &self,
        attempt: AttemptId,
    ) -> Result<Vec<(AnswerRow, Option<GradeRow>)>, Error> {
        self.run_read("read answers", async |db| {
            shared::read::read_graded_answers(db, read::READ_ANSWERS, attempt).await
        })
        .await
    }

    async fn read_receipt(&self, attempt: AttemptId) -> Result<Option<Arc<str>>, Error> {
        self.run_read("read receipt", async |db| {
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
        self.run_read("read timeline", async |db| {
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
        self.run_read("read unrecorded history", async |db| {
            shared::read::list_unrecorded(db, read::LIST_UNRECORDED, after, before, limit).await
        })
        .await
    }

    async fn delete_recorded(&self, entries: &[(AttemptId, u64)]) -> Result<(), Error> {
        self.run_write("delete recorded history", async |db| {
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
        self.run_write("begin command", async |db| {
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
        self.run_write("end command", async |db| {
            commands::end_command(db, END_COMMAND, person, command, result).await
        })
        .await
    }

    async fn mark_node_alive(
        &self,
        node: &NodeId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        self.run_write("mark node alive", async |db| {
            mark_node_alive(db, node, now).await
        })
        .await
    }

    async fn mark_node_left(&self, _node: &NodeId) -> Result<(), Error> {
        // The next process finds the interval without a node by itself.
        Ok(())
    }

    async fn record_outage(&self, from: Timestamp, until: Timestamp) -> Result<(), Error> {
        self.run_write("record outage", async |db| {
            commands::record_outage(db, from, until).await
        })
        .await
    }

    async fn list_outages(&self) -> Result<Vec<(Timestamp, Timestamp)>, Error> {
        self.run_read("read outages", async |db| commands::list_outages(db).await)
            .await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.run_read("ping", async |db| sqlx::Connection::ping(db).await)
            .await
    }
}

/// Begins command `$2` of person `$1` with hash `$3`; the targets are the open attempts of
/// exam `$4` in the groups `$5`. The update changes nothing: it makes RETURNING give the
/// existing row.
const BEGIN_COMMAND: &str = "
INSERT INTO staff_commands (username, command_id, body_sha256, targets)
VALUES ($1, $2, $3, (
    SELECT json_group_array(id ORDER BY id) FROM exam_attempts
    WHERE exam = $4 AND closed_at IS NULL
        AND ($5 IS NULL OR EXISTS (
            SELECT 1 FROM json_each(groups) AS own
            JOIN json_each($5) AS wanted ON wanted.value = own.value
        ))
))
ON CONFLICT (username, command_id) DO UPDATE SET body_sha256 = body_sha256
RETURNING body_sha256, result, targets";

/// Stores `$3` as the result of command `$2` of person `$1`, if it has none.
const END_COMMAND: &str = "
UPDATE staff_commands
SET result = $3
WHERE username = $1 AND command_id = $2 AND result IS NULL";

async fn mark_node_alive(
    connection: &mut SqliteConnection,
    node: &NodeId,
    now: Timestamp,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let before: Option<i64> = sqlx::query_scalar("SELECT max(last_alive_at) FROM engine_nodes")
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO engine_nodes (node_id, last_alive_at)
         VALUES ($1, $2)
         ON CONFLICT (node_id) DO UPDATE
         SET last_alive_at = max(last_alive_at, excluded.last_alive_at)",
    )
    .bind(node.as_str())
    .bind(now.as_ms())
    .execute(connection)
    .await?;
    Ok(before.map(Timestamp::from_ms))
}

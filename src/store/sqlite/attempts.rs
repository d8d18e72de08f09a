//! The attempt store's calls, each under its name, and the engine's own rows.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{SqliteConnection, types::Json};

use super::{Sqlite, read, save, start};
use crate::{
    domain::{
        id::{AttemptId, ExamCode, NodeId, PersonId},
        time::Timestamp,
    },
    store::{
        AnswerRow, AttemptStore, AttemptWrite, CandidateScope, CommandState, Error, GradeRow,
        NewAttempt, Owner, ResultLine, Started, Summary, Take, TimelineRow, Whose, Written,
    },
};

#[async_trait]
impl AttemptStore for Sqlite {
    async fn start(&self, new: NewAttempt) -> Result<Started, Error> {
        self.write("start attempt", async |db| start::start(db, &new).await)
            .await
    }

    async fn take(
        &self,
        attempt: AttemptId,
        node: &NodeId,
        living: &[NodeId],
        from: Option<u64>,
    ) -> Result<Option<Take>, Error> {
        self.write("take attempt", async |db| {
            start::take(db, attempt, node, living, from).await
        })
        .await
    }

    async fn owners(&self, attempts: &[AttemptId]) -> Result<Vec<Owner>, Error> {
        self.read("read owners", async |db| read::owners(db, attempts).await)
            .await
    }

    async fn save(&self, batch: &[AttemptWrite]) -> Result<Vec<Written>, Error> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.write("save batch", async |db| save::save(db, batch).await)
            .await
    }

    async fn overdue(
        &self,
        now: Timestamp,
        _node: &NodeId,
        _whose: Whose<'_>,
        limit: u32,
    ) -> Result<Vec<(AttemptId, u64)>, Error> {
        self.read("find overdue attempts", async |db| {
            // Another node than this one there is not.
            read::overdue(db, now, limit).await
        })
        .await
    }

    async fn summary(&self, attempt: AttemptId) -> Result<Option<Summary>, Error> {
        self.read("read attempt", async |db| read::summary(db, attempt).await)
            .await
    }

    async fn attempts_of(&self, person: &PersonId) -> Result<Vec<Summary>, Error> {
        self.read("read attempts of a person", async |db| {
            read::attempts_of(db, person).await
        })
        .await
    }

    async fn results(&self, exam: &ExamCode) -> Result<Vec<ResultLine>, Error> {
        self.read("read results", async |db| read::results(db, exam).await)
            .await
    }

    async fn graded_answers(
        &self,
        attempt: AttemptId,
    ) -> Result<Vec<(AnswerRow, Option<GradeRow>)>, Error> {
        self.read("read answers", async |db| {
            read::graded_answers(db, attempt).await
        })
        .await
    }

    async fn receipt(&self, attempt: AttemptId) -> Result<Option<Arc<str>>, Error> {
        self.read("read receipt", async |db| read::receipt(db, attempt).await)
            .await
    }

    async fn timeline(
        &self,
        attempt: AttemptId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<TimelineRow>, Error> {
        self.read("read timeline", async |db| {
            read::timeline(db, attempt, after, limit).await
        })
        .await
    }

    async fn unrecorded(
        &self,
        after: (AttemptId, u64),
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<(AttemptId, ExamCode, TimelineRow)>, Error> {
        self.read("read unrecorded history", async |db| {
            read::unrecorded(db, after, before, limit).await
        })
        .await
    }

    async fn recorded(&self, entries: &[(AttemptId, u64)]) -> Result<(), Error> {
        self.write("forget recorded history", async |db| {
            read::recorded(db, entries).await
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
        self.write("begin command", async |db| {
            begin_command(db, person, command, body, exam).await
        })
        .await
    }

    async fn end_command(
        &self,
        person: &PersonId,
        command: &str,
        result: &str,
    ) -> Result<(), Error> {
        self.write("end command", async |db| {
            end_command(db, person, command, result).await
        })
        .await
    }

    async fn node_alive(&self, node: &NodeId, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        self.write("tell that the node lives", async |db| {
            node_alive(db, node, now).await
        })
        .await
    }

    async fn node_left(&self, _node: &NodeId) -> Result<(), Error> {
        // The next process finds the interval in which there was none.
        Ok(())
    }

    async fn record_outage(&self, from: Timestamp, until: Timestamp) -> Result<(), Error> {
        self.write("record outage", async |db| {
            record_outage(db, from, until).await
        })
        .await
    }

    async fn outages(&self) -> Result<Vec<(Timestamp, Timestamp)>, Error> {
        self.read("read outages", outages).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.read("ping", async |db| sqlx::Connection::ping(db).await)
            .await
    }
}

async fn begin_command(
    connection: &mut SqliteConnection,
    person: &PersonId,
    command: &str,
    body: &[u8; 32],
    exam: Option<(&ExamCode, &CandidateScope)>,
) -> Result<CommandState, sqlx::Error> {
    // The update changes nothing: it makes RETURNING give the row that is there.
    let known: (Vec<u8>, Option<String>, Json<Vec<i64>>) = sqlx::query_as(
        "INSERT INTO staff_commands (username, command_id, body_sha256, targets)
         VALUES (?1, ?2, ?3, (
             SELECT json_group_array(id ORDER BY id) FROM exam_attempts
             WHERE exam = ?4 AND closed_at IS NULL
                 AND (?5 IS NULL OR EXISTS (
                     SELECT 1 FROM json_each(groups) AS own
                     JOIN json_each(?5) AS wanted ON wanted.value = own.value
                 ))
         ))
         ON CONFLICT (username, command_id) DO UPDATE SET body_sha256 = body_sha256
         RETURNING body_sha256, result, targets",
    )
    .bind(person.as_str())
    .bind(command)
    .bind(body.as_slice())
    .bind(exam.map(|(code, _)| code.as_str()))
    .bind(
        exam.and_then(|(_, candidates)| candidates.groups())
            .map(Json),
    )
    .fetch_one(connection)
    .await?;
    match known {
        (known, ..) if known != body => Ok(CommandState::Conflict),
        (_, Some(result), _) => Ok(CommandState::Done(result.into())),
        (_, None, Json(targets)) => {
            let targets = targets.into_iter().map(AttemptId);
            Ok(CommandState::Begun(targets.collect()))
        }
    }
}

async fn end_command(
    connection: &mut SqliteConnection,
    person: &PersonId,
    command: &str,
    result: &str,
) -> Result<(), sqlx::Error> {
    // The first result stays: it is what somebody was told.
    sqlx::query(
        "UPDATE staff_commands
         SET result = ?3
         WHERE username = ?1 AND command_id = ?2 AND result IS NULL",
    )
    .bind(person.as_str())
    .bind(command)
    .bind(result)
    .execute(connection)
    .await?;
    Ok(())
}

async fn node_alive(
    connection: &mut SqliteConnection,
    node: &NodeId,
    now: Timestamp,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let before: Option<i64> = sqlx::query_scalar("SELECT max(last_alive_at) FROM engine_nodes")
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO engine_nodes (node_id, last_alive_at)
         VALUES (?1, ?2)
         ON CONFLICT (node_id) DO UPDATE
         SET last_alive_at = max(last_alive_at, excluded.last_alive_at)",
    )
    .bind(node.as_str())
    .bind(now.as_ms())
    .execute(connection)
    .await?;
    Ok(before.map(Timestamp::from_ms))
}

async fn record_outage(
    connection: &mut SqliteConnection,
    from: Timestamp,
    until: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO engine_outages (from_at, until_at)
         VALUES (?1, ?2)
         ON CONFLICT (from_at, until_at) DO NOTHING",
    )
    .bind(from.as_ms())
    .bind(until.as_ms())
    .execute(connection)
    .await?;
    Ok(())
}

async fn outages(
    connection: &mut SqliteConnection,
) -> Result<Vec<(Timestamp, Timestamp)>, sqlx::Error> {
    let rows: Vec<(i64, i64)> =
        sqlx::query_as("SELECT from_at, until_at FROM engine_outages ORDER BY from_at, until_at")
            .fetch_all(connection)
            .await?;
    Ok(rows
        .into_iter()
        .map(|(from, until)| (Timestamp::from_ms(from), Timestamp::from_ms(until)))
        .collect())
}

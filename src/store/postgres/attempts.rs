//! The attempt store's calls, each under its name, and the engine's own rows.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{
    Postgres, read,
    rows::{instant, to_column},
    save, start,
};
use crate::{
    domain::{
        id::{AttemptId, ExamCode, NodeId, PersonId},
        time::Timestamp,
    },
    store::{
        AnswerRow, AttemptStore, AttemptWrite, CandidateScope, CommandState, Error, GradeRow,
        Groups, NewAttempt, Owner, ResultLine, Started, Summary, Take, TimelineRow, Whose, Written,
        convert::refuse,
    },
};

#[async_trait]
impl AttemptStore for Postgres {
    async fn start(&self, new: NewAttempt) -> Result<Started, Error> {
        self.call("start attempt", async |db| start::start(db, &new).await)
            .await
    }

    async fn take(
        &self,
        attempt: AttemptId,
        node: &NodeId,
        living: &[NodeId],
        from: Option<u64>,
    ) -> Result<Option<Take>, Error> {
        self.call("take attempt", async |db| {
            start::take(db, attempt, node, living, from).await
        })
        .await
    }

    async fn owners(&self, attempts: &[AttemptId]) -> Result<Vec<Owner>, Error> {
        self.call("read owners", async |db| read::owners(db, attempts).await)
            .await
    }

    async fn save(&self, batch: &[AttemptWrite]) -> Result<Vec<Written>, Error> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.call("save batch", async |db| {
            save::save(db, &self.question_keys, batch).await
        })
        .await
    }

    async fn overdue(
        &self,
        now: Timestamp,
        node: &NodeId,
        whose: Whose<'_>,
        limit: u32,
    ) -> Result<Vec<(AttemptId, u64)>, Error> {
        self.call("find overdue attempts", async |db| {
            start::overdue(db, now, node, whose, limit).await
        })
        .await
    }

    async fn summary(&self, attempt: AttemptId) -> Result<Option<Summary>, Error> {
        self.call("read attempt", async |db| read::summary(db, attempt).await)
            .await
    }

    async fn attempts_of(&self, person: &PersonId) -> Result<Vec<Summary>, Error> {
        self.call("read attempts of a person", async |db| {
            read::attempts_of(db, person).await
        })
        .await
    }

    async fn results(&self, exam: &ExamCode) -> Result<Vec<ResultLine>, Error> {
        self.call("read results", async |db| read::results(db, exam).await)
            .await
    }

    async fn graded_answers(
        &self,
        attempt: AttemptId,
    ) -> Result<Vec<(AnswerRow, Option<GradeRow>)>, Error> {
        self.call("read answers", async |db| {
            read::graded_answers(db, attempt).await
        })
        .await
    }

    async fn receipt(&self, attempt: AttemptId) -> Result<Option<Arc<str>>, Error> {
        self.call("read receipt", async |db| read::receipt(db, attempt).await)
            .await
    }

    async fn timeline(
        &self,
        attempt: AttemptId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<TimelineRow>, Error> {
        self.call("read timeline", async |db| {
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
        self.call("read unrecorded history", async |db| {
            read::unrecorded(db, after, before, limit).await
        })
        .await
    }

    async fn recorded(&self, entries: &[(AttemptId, u64)]) -> Result<(), Error> {
        self.call("forget recorded history", async |db| {
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
        self.call("begin command", async |db| {
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
        self.call("end command", async |db| {
            end_command(db, person, command, result).await
        })
        .await
    }

    async fn node_alive(&self, node: &NodeId, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        self.call("tell that the node lives", async |db| {
            node_alive(db, node, now).await
        })
        .await
    }

    async fn node_left(&self, node: &NodeId) -> Result<(), Error> {
        self.call("tell that the node ends", async |db| {
            node_left(db, node).await
        })
        .await
    }

    async fn record_outage(&self, from: Timestamp, until: Timestamp) -> Result<(), Error> {
        self.call("record outage", async |db| {
            record_outage(db, from, until).await
        })
        .await
    }

    async fn outages(&self) -> Result<Vec<(Timestamp, Timestamp)>, Error> {
        self.call("read outages", outages).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.call("ping", async |db| sqlx::Connection::ping(db).await)
            .await
    }
}

async fn begin_command(
    connection: &mut PgConnection,
    person: &PersonId,
    command: &str,
    body: &[u8; 32],
    exam: Option<(&ExamCode, &CandidateScope)>,
) -> Result<CommandState, sqlx::Error> {
    // The update changes nothing: it makes RETURNING give the row that is there.
    let known: Option<(Vec<u8>, Option<String>, Vec<i64>)> = sqlx::query_as(
        "INSERT INTO staff_commands AS c (user_id, command_id, body_sha256, targets)
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
         RETURNING body_sha256, result::text, targets",
    )
    .bind(person.as_str())
    .bind(command)
    .bind(body.as_slice())
    .bind(exam.map(|(code, _)| code.as_str()))
    .bind(
        exam.and_then(|(_, candidates)| candidates.groups())
            .map(Groups::names),
    )
    .fetch_optional(connection)
    .await?;
    match known {
        None => Err(refuse("no such person")),
        Some((known, ..)) if known != body => Ok(CommandState::Conflict),
        Some((_, Some(result), _)) => Ok(CommandState::Done(result.into())),
        Some((_, None, targets)) => {
            let targets = targets.into_iter().map(AttemptId);
            Ok(CommandState::Begun(targets.collect()))
        }
    }
}

async fn end_command(
    connection: &mut PgConnection,
    person: &PersonId,
    command: &str,
    result: &str,
) -> Result<(), sqlx::Error> {
    // The first result stays: it is what somebody was told.
    sqlx::query(
        "UPDATE staff_commands AS c
         SET result = $3::text::json, ended_at = now()
         FROM users AS u
         WHERE u.username = $1 AND c.user_id = u.id AND c.command_id = $2 AND c.result IS NULL",
    )
    .bind(person.as_str())
    .bind(command)
    .bind(result)
    .execute(connection)
    .await?;
    Ok(())
}

async fn node_alive(
    connection: &mut PgConnection,
    node: &NodeId,
    now: Timestamp,
) -> Result<Option<Timestamp>, sqlx::Error> {
    // The reading part sees the table as it was before the writing part.
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
    .bind(to_column(now)?)
    .fetch_one(connection)
    .await?;
    Ok(before.map(instant))
}

async fn node_left(connection: &mut PgConnection, node: &NodeId) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE engine_nodes SET left_at = clock_timestamp() WHERE node_id = $1")
        .bind(node.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

async fn record_outage(
    connection: &mut PgConnection,
    from: Timestamp,
    until: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO engine_outages (from_at, until_at)
         VALUES ($1, $2)
         ON CONFLICT (from_at, until_at) DO NOTHING",
    )
    .bind(to_column(from)?)
    .bind(to_column(until)?)
    .execute(connection)
    .await?;
    Ok(())
}

async fn outages(
    connection: &mut PgConnection,
) -> Result<Vec<(Timestamp, Timestamp)>, sqlx::Error> {
    let rows: Vec<(DateTime<Utc>, DateTime<Utc>)> =
        sqlx::query_as("SELECT from_at, until_at FROM engine_outages ORDER BY from_at, until_at")
            .fetch_all(connection)
            .await?;
    Ok(rows
        .into_iter()
        .map(|(from, until)| (instant(from), instant(until)))
        .collect())
}

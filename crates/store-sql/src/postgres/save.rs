//! The hot path: a batch of answers, progress and timeline in a single statement.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};

use super::{
    keys::{QuestionNumberCache, question_number},
    settle,
};
use crate::{
    convert::{instant_to_column as instant, to_column},
    shared::rows::write_outcomes,
};
use invigil_domain::id::SessionId;
use invigil_store::{AnswerRow, AttemptWrite, WriteOutcome};

/// Fences and writes a batch; returns the attempts whose writer is still the owner.
///
/// *The fence.* `FOR NO KEY UPDATE` locks the directory rows in attempt order
/// (the lock is above the sort), so two batches may wait for each other but
/// never deadlock; rows of answers are only written under that lock. Acquiring
/// an attempt updates the same row: it waits for a batch in flight, or the
/// batch waits for it. In the latter case the statement's snapshot is older
/// than the lock. The epoch is therefore in the predicate of the locking
/// query: PostgreSQL evaluates it again on the row as it is after the wait,
/// and the row drops out. The update of `progress` likewise continues from the
/// newest version of its row, and ON CONFLICT sees answers that the snapshot
/// does not.
///
/// *`(x IN (SELECT ..)) IS TRUE`* keeps the planner from turning the look-up
/// into a join: it estimates 10 rows for every array and would choose a nested
/// loop over two lists of 1,000 instead of a hashed look-up.
///
/// *A single array* is returned: a row for each attempt would cost more to
/// read than the answer cost to send.
pub const SAVE_BATCH: &str = "
WITH fence AS MATERIALIZED (
    SELECT k.attempt_id
    FROM unnest($1::bigint[], $2::bigint[]) AS w (attempt_id, epoch)
    JOIN exam_attempt_keys AS k ON k.attempt_id = w.attempt_id AND k.owner_epoch = w.epoch
    ORDER BY k.attempt_id
    FOR NO KEY UPDATE OF k
),
progress AS (
    UPDATE exam_attempt_keys AS k
    SET record_version = w.version,
        session = w.session,
        last_seq = w.seq,
        last_event = w.event,
        last_activity_at = w.activity_at,
        lost_at = NULL
    FROM unnest($1::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::timestamptz[])
        AS w (attempt_id, version, session, seq, event, activity_at)
    WHERE k.attempt_id = w.attempt_id
      AND k.record_version <= w.version
      AND (w.attempt_id IN (SELECT f.attempt_id FROM fence AS f)) IS TRUE
),
answered AS (
    INSERT INTO answers AS a
        (attempt_id, question_id, user_answer, flagged, rev, seq, answered_at, spent_ms,
         original_answer, first_answered_at)
    SELECT n.attempt_id, n.question_id, n.value::json, n.flagged, n.rev, n.seq, n.at, n.spent_ms,
           n.value::json, CASE WHEN n.value IS NOT NULL THEN n.at END
    FROM unnest(
        $8::bigint[], $9::bigint[], $10::text[], $11::boolean[],
        $12::bigint[], $13::bigint[], $14::timestamptz[], $15::bigint[]
    ) AS n (attempt_id, question_id, value, flagged, rev, seq, at, spent_ms)
    WHERE (n.attempt_id IN (SELECT f.attempt_id FROM fence AS f)) IS TRUE
    ON CONFLICT (attempt_id, question_id) DO UPDATE
    SET user_answer = excluded.user_answer,
        flagged = excluded.flagged,
        rev = excluded.rev,
        seq = excluded.seq,
        answered_at = excluded.answered_at,
        spent_ms = excluded.spent_ms,
        original_answer = coalesce(a.original_answer, excluded.original_answer),
        first_answered_at = coalesce(a.first_answered_at, excluded.first_answered_at)
    WHERE a.seq < excluded.seq
),
recorded AS (
    INSERT INTO attempt_timeline (attempt_id, entry_no, at, kind, data)
    SELECT t.attempt_id, t.entry_no, t.at, t.kind, t.data::json
    FROM unnest($16::bigint[], $17::bigint[], $18::timestamptz[], $19::text[], $20::text[])
        AS t (attempt_id, entry_no, at, kind, data)
    WHERE (t.attempt_id IN (SELECT f.attempt_id FROM fence AS f)) IS TRUE
    ON CONFLICT (attempt_id, entry_no) DO NOTHING
)
SELECT coalesce(array_agg(attempt_id), '{}') FROM fence";

/// Writes a batch: by the statement above alone, which commits itself, or in a
/// transaction with controls and hand-ins, if the batch has any.
pub(super) async fn save_batch(
    connection: &mut PgConnection,
    keys: &QuestionNumberCache,
    batch: &[AttemptWrite],
) -> Result<Vec<WriteOutcome>, sqlx::Error> {
    let mut writes = Vec::with_capacity(batch.len());
    for write in batch {
        writes.push((
            write,
            keys.numbers_of(connection, &write.exam_version).await?,
        ));
    }
    writes.sort_unstable_by_key(|(write, _)| write.attempt);
    let columns = BatchArrays::from_writes(&writes)?;

    let settles = |write: &AttemptWrite| write.control.is_some() || write.hand_in.is_some();
    let saved = if batch.iter().any(settles) {
        let mut transaction = connection.begin().await?;
        let saved = columns.execute_save(&mut transaction).await?;
        writes.retain(|(write, _)| saved.contains(&write.attempt.0));
        settle::write_controls(&mut transaction, &writes).await?;
        settle::log_interventions(&mut transaction, &writes).await?;
        settle::write_hand_ins(&mut transaction, &writes).await?;
        transaction.commit().await?;
        saved
    } else {
        columns.execute_save(connection).await?
    };
    Ok(write_outcomes(batch, &saved))
}

/// A batch as arrays by column, for `unnest`.
#[derive(Default)]
struct BatchArrays<'a> {
    attempts: Vec<i64>,
    epochs: Vec<i64>,
    versions: Vec<i64>,
    sessions: Vec<Option<&'a str>>,
    seqs: Vec<i64>,
    events: Vec<i64>,
    activity_at: Vec<DateTime<Utc>>,
    answers: AnswerArrays<'a>,
    timeline: TimelineArrays<'a>,
}

#[derive(Default)]
struct AnswerArrays<'a> {
    attempts: Vec<i64>,
    questions: Vec<i64>,
    values: Vec<Option<&'a str>>,
    flagged: Vec<bool>,
    revs: Vec<i64>,
    seqs: Vec<i64>,
    at: Vec<DateTime<Utc>>,
    spent_ms: Vec<i64>,
}

#[derive(Default)]
struct TimelineArrays<'a> {
    attempts: Vec<i64>,
    numbers: Vec<i64>,
    at: Vec<DateTime<Utc>>,
    kinds: Vec<&'a str>,
    data: Vec<&'a str>,
}

impl<'a> BatchArrays<'a> {
    fn from_writes(
        writes: &[(&'a AttemptWrite, Arc<super::keys::QuestionNumbers>)],
    ) -> Result<Self, sqlx::Error> {
        let mut columns = Self::default();
        for (write, numbers) in writes {
            let attempt = write.attempt.0;
            let progress = &write.progress;
            columns.attempts.push(attempt);
            columns.epochs.push(to_column(write.epoch)?);
            columns.versions.push(to_column(progress.version)?);
            columns
                .sessions
                .push(progress.session.as_ref().map(SessionId::as_str));
            columns.seqs.push(to_column(progress.last_seq)?);
            columns.events.push(to_column(progress.last_event)?);
            columns
                .activity_at
                .push(instant(progress.last_activity_at)?);
            for answer in newest_by_question(&write.answers) {
                columns.answers.push_answer(
                    attempt,
                    question_number(numbers, &answer.question)?,
                    answer,
                )?;
            }
            for entry in &write.timeline {
                let timeline = &mut columns.timeline;
                timeline.attempts.push(attempt);
                timeline.numbers.push(to_column(entry.number)?);
                timeline.at.push(instant(entry.at)?);
                timeline.kinds.push(&entry.kind);
                timeline.data.push(&entry.data);
            }
        }
        Ok(columns)
    }

    /// Executes [`SAVE_BATCH`]; returns the attempts that were not fenced.
    async fn execute_save(
        &self,
        connection: &mut PgConnection,
    ) -> Result<HashSet<i64>, sqlx::Error> {
        let (answers, timeline) = (&self.answers, &self.timeline);
        let saved: Vec<i64> = sqlx::query_scalar(SAVE_BATCH)
            .bind(&self.attempts)
            .bind(&self.epochs)
            .bind(&self.versions)
            .bind(&self.sessions)
            .bind(&self.seqs)
            .bind(&self.events)
            .bind(&self.activity_at)
            .bind(&answers.attempts)
            .bind(&answers.questions)
            .bind(&answers.values)
            .bind(&answers.flagged)
            .bind(&answers.revs)
            .bind(&answers.seqs)
            .bind(&answers.at)
            .bind(&answers.spent_ms)
            .bind(&timeline.attempts)
            .bind(&timeline.numbers)
            .bind(&timeline.at)
            .bind(&timeline.kinds)
            .bind(&timeline.data)
            .fetch_one(connection)
            .await?;
        Ok(saved.into_iter().collect())
    }
}

impl<'a> AnswerArrays<'a> {
    fn push_answer(
        &mut self,
        attempt: i64,
        question: i64,
        answer: &'a AnswerRow,
    ) -> Result<(), sqlx::Error> {
        self.attempts.push(attempt);
        self.questions.push(question);
        self.values.push(answer.value.as_deref());
        self.flagged.push(answer.flagged);
        self.revs.push(answer.rev.into());
        self.seqs.push(to_column(answer.version)?);
        self.at.push(instant(answer.answered_at)?);
        self.spent_ms.push(to_column(answer.spent_ms)?);
        Ok(())
    }
}

/// Returns the newest answer of each question: a statement may update a row only once.
fn newest_by_question(answers: &[AnswerRow]) -> Vec<&AnswerRow> {
    let mut sorted: Vec<_> = answers.iter().collect();
    sorted.sort_unstable_by(|a, b| {
        a.question
            .cmp(&b.question)
            .then_with(|| b.version.cmp(&a.version))
    });
    sorted.dedup_by(|later, earlier| later.question == earlier.question);
    sorted
}

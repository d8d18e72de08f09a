//! Saving batches: one statement for each kind of row, over a JSON array.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::SqliteConnection;

use crate::{convert::to_column, shared::rows::write_outcomes};
use invigil_domain::{id::SessionId, time::Timestamp};
use invigil_store::{AttemptWrite, WriteOutcome};

/// Writes a batch. There is no other writer while the transaction is open, so
/// the epochs that are read first hold until its end.
pub(super) async fn save_batch(
    connection: &mut SqliteConnection,
    batch: &[AttemptWrite],
) -> Result<Vec<WriteOutcome>, sqlx::Error> {
    let saved = find_unfenced(connection, batch).await?;
    let writes: Vec<&AttemptWrite> = batch
        .iter()
        .filter(|write| saved.contains(&write.attempt.0))
        .collect();
    execute_rows(connection, UPDATE_PROGRESS, progress_columns(&writes)?).await?;
    execute_rows(connection, UPSERT_ANSWERS, answer_columns(&writes)?).await?;
    execute_rows(connection, INSERT_TIMELINE, entry_columns(&writes)?).await?;
    execute_rows(connection, UPDATE_CONTROLS, control_columns(&writes)?).await?;
    execute_rows(connection, UPDATE_HAND_INS, hand_in_columns(&writes)?).await?;
    execute_rows(connection, UPDATE_GRADES, grade_columns(&writes)?).await?;
    Ok(write_outcomes(batch, &saved))
}

/// Returns the attempts whose writer is still the owner.
async fn find_unfenced(
    connection: &mut SqliteConnection,
    batch: &[AttemptWrite],
) -> Result<HashSet<i64>, sqlx::Error> {
    let claims = batch
        .iter()
        .map(|write| Ok((write.attempt.0, to_column(write.epoch)?)))
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    let saved: Vec<i64> = sqlx::query_scalar(
        "SELECT a.id
         FROM json_each($1) AS w
         JOIN exam_attempts AS a ON a.id = w.value ->> 0 AND a.owner_epoch = w.value ->> 1",
    )
    .bind(to_json(&claims)?)
    .fetch_all(connection)
    .await?;
    Ok(saved.into_iter().collect())
}

async fn execute_rows<R: Serialize>(
    connection: &mut SqliteConnection,
    statement: &'static str,
    rows: Vec<R>,
) -> Result<(), sqlx::Error> {
    if !rows.is_empty() {
        sqlx::query(statement)
            .bind(to_json(&rows)?)
            .execute(connection)
            .await?;
    }
    Ok(())
}

fn to_json<R: Serialize>(rows: &[R]) -> Result<String, sqlx::Error> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()))
}

/// A lower record version repeats an older write, and changes nothing.
const UPDATE_PROGRESS: &str = "
UPDATE exam_attempts AS a
SET record_version = w.version,
    session = w.session,
    last_seq = w.seq,
    last_event = w.event,
    last_activity_at = w.activity_at
FROM (
    SELECT value ->> '$.attempt' AS attempt, value ->> '$.version' AS version,
           value ->> '$.session' AS session, value ->> '$.seq' AS seq,
           value ->> '$.event' AS event, value ->> '$.activity_at' AS activity_at
    FROM json_each($1)
) AS w
WHERE a.id = w.attempt AND a.record_version <= w.version";

#[derive(Serialize)]
struct ProgressColumns<'a> {
    attempt: i64,
    version: i64,
    session: Option<&'a str>,
    seq: i64,
    event: i64,
    activity_at: Timestamp,
}

fn progress_columns<'a>(
    writes: &[&'a AttemptWrite],
) -> Result<Vec<ProgressColumns<'a>>, sqlx::Error> {
    let columns = |write: &&'a AttemptWrite| {
        let progress = &write.progress;
        Ok(ProgressColumns {
            attempt: write.attempt.0,
            version: to_column(progress.version)?,
            session: progress.session.as_ref().map(SessionId::as_str),
            seq: to_column(progress.last_seq)?,
            event: to_column(progress.last_event)?,
            activity_at: progress.last_activity_at,
        })
    };
    writes.iter().map(columns).collect()
}

/// A question that is not in the attempt's exam gives a null key, which the
/// table refuses.
const UPSERT_ANSWERS: &str = "
INSERT INTO answers AS a
    (attempt_id, question_key, user_answer, flagged, rev, seq, answered_at, spent_ms)
SELECT n.value ->> '$.attempt',
       (SELECT q.question_key
        FROM exam_attempts AS t
        JOIN exam_version_questions AS q ON q.version = t.exam_version
        WHERE t.id = n.value ->> '$.attempt' AND q.question_key = n.value ->> '$.question'),
       n.value ->> '$.value', n.value ->> '$.flagged', n.value ->> '$.rev', n.value ->> '$.seq',
       n.value ->> '$.at', n.value ->> '$.spent_ms'
FROM json_each($1) AS n
WHERE true
ON CONFLICT (attempt_id, question_key) DO UPDATE
SET user_answer = excluded.user_answer,
    flagged = excluded.flagged,
    rev = excluded.rev,
    seq = excluded.seq,
    answered_at = excluded.answered_at,
    spent_ms = excluded.spent_ms
WHERE a.seq < excluded.seq";

#[derive(Serialize)]
struct AnswerColumns<'a> {
    attempt: i64,
    question: &'a str,
    value: Option<&'a str>,
    flagged: bool,
    rev: u32,
    seq: i64,
    at: Timestamp,
    spent_ms: i64,
}

fn answer_columns<'a>(writes: &[&'a AttemptWrite]) -> Result<Vec<AnswerColumns<'a>>, sqlx::Error> {
    let mut rows = Vec::new();
    for write in writes {
        for answer in &write.answers {
            rows.push(AnswerColumns {
                attempt: write.attempt.0,
                question: answer.question.as_str(),
                value: answer.value.as_deref(),
                flagged: answer.flagged,
                rev: answer.rev,
                seq: to_column(answer.version)?,
                at: answer.answered_at,
                spent_ms: to_column(answer.spent_ms)?,
            });
        }
    }
    Ok(rows)
}

const INSERT_TIMELINE: &str = "
INSERT INTO attempt_timeline (attempt_id, entry_no, at, kind, data)
SELECT value ->> '$.attempt', value ->> '$.number', value ->> '$.at', value ->> '$.kind',
       value ->> '$.data'
FROM json_each($1)
WHERE true
ON CONFLICT (attempt_id, entry_no) DO NOTHING";

#[derive(Serialize)]
struct EntryColumns<'a> {
    attempt: i64,
    number: i64,
    at: Timestamp,
    kind: &'a str,
    data: &'a str,
}

fn entry_columns<'a>(writes: &[&'a AttemptWrite]) -> Result<Vec<EntryColumns<'a>>, sqlx::Error> {
    let mut rows = Vec::new();
    for write in writes {
        for entry in &write.timeline {
            rows.push(EntryColumns {
                attempt: write.attempt.0,
                number: to_column(entry.number)?,
                at: entry.at,
                kind: &entry.kind,
                data: &entry.data,
            });
        }
    }
    Ok(rows)
}

const UPDATE_CONTROLS: &str = "
UPDATE exam_attempts AS a
SET status = w.status,
    control = w.control,
    entered_at = w.entered_at,
    deadline_at = w.deadline_at,
    close_at = w.close_at,
    closed_at = w.closed_at
FROM (
    SELECT value ->> '$.attempt' AS attempt, value ->> '$.version' AS version,
           value ->> '$.status' AS status, value ->> '$.control' AS control,
           value ->> '$.entered_at' AS entered_at, value ->> '$.deadline_at' AS deadline_at,
           value ->> '$.close_at' AS close_at, value ->> '$.closed_at' AS closed_at
    FROM json_each($1)
) AS w
WHERE a.id = w.attempt AND a.record_version = w.version";

#[derive(Serialize)]
struct ControlColumns<'a> {
    attempt: i64,
    version: i64,
    status: &'static str,
    control: &'a str,
    entered_at: Option<Timestamp>,
    deadline_at: Option<Timestamp>,
    close_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
}

fn control_columns<'a>(
    writes: &[&'a AttemptWrite],
) -> Result<Vec<ControlColumns<'a>>, sqlx::Error> {
    let mut rows = Vec::new();
    for write in writes {
        if let Some(control) = &write.control {
            rows.push(ControlColumns {
                attempt: write.attempt.0,
                version: to_column(write.progress.version)?,
                status: control.status.as_str(),
                control: &control.state,
                entered_at: control.entered_at,
                deadline_at: control.deadline_at,
                close_at: control.close_at,
                closed_at: control.closed_at,
            });
        }
    }
    Ok(rows)
}

const UPDATE_HAND_INS: &str = "
UPDATE exam_attempts AS a
SET submitted_at = w.row ->> '$.submitted_at',
    handed_in_by = w.row ->> '$.handed_in_by',
    late = w.row ->> '$.late',
    score = w.row ->> '$.score',
    max_score = w.row ->> '$.max_score',
    percentage = w.row ->> '$.percentage',
    passed = w.row ->> '$.passed',
    grade = w.row ->> '$.grade',
    penalty = w.row ->> '$.penalty',
    needs_marking = w.row ->> '$.needs_marking',
    receipt = w.row ->> '$.receipt'
FROM (
    SELECT value AS row, value ->> '$.attempt' AS attempt, value ->> '$.version' AS version
    FROM json_each($1)
) AS w
WHERE a.id = w.attempt AND a.record_version = w.version";

#[derive(Serialize)]
struct HandInColumns<'a> {
    attempt: i64,
    version: i64,
    submitted_at: Timestamp,
    handed_in_by: &'static str,
    late: bool,
    score: String,
    max_score: String,
    percentage: String,
    passed: Option<bool>,
    grade: Option<&'a str>,
    penalty: String,
    needs_marking: bool,
    receipt: &'a str,
}

fn hand_in_columns<'a>(writes: &[&'a AttemptWrite]) -> Result<Vec<HandInColumns<'a>>, sqlx::Error> {
    let mut rows = Vec::new();
    for write in writes {
        if let Some(hand_in) = &write.hand_in {
            let totals = &hand_in.totals;
            rows.push(HandInColumns {
                attempt: write.attempt.0,
                version: to_column(write.progress.version)?,
                submitted_at: hand_in.submitted_at,
                handed_in_by: hand_in.handed_in_by,
                late: hand_in.late,
                score: totals.score.to_string(),
                max_score: totals.max_score.to_string(),
                percentage: totals.percentage.to_string(),
                passed: totals.passed,
                grade: totals.grade.as_deref(),
                penalty: totals.penalty.to_string(),
                needs_marking: totals.needs_marking,
                receipt: &hand_in.receipt,
            });
        }
    }
    Ok(rows)
}

const UPDATE_GRADES: &str = "
UPDATE answers AS n
SET points_earned = w.earned,
    points_possible = w.possible
FROM (
    SELECT value ->> '$.attempt' AS attempt, value ->> '$.version' AS version,
           value ->> '$.question' AS question, value ->> '$.earned' AS earned,
           value ->> '$.possible' AS possible
    FROM json_each($1)
) AS w
JOIN exam_attempts AS a ON a.id = w.attempt AND a.record_version = w.version
WHERE n.attempt_id = w.attempt AND n.question_key = w.question";

#[derive(Serialize)]
struct GradeColumns<'a> {
    attempt: i64,
    version: i64,
    question: &'a str,
    earned: Option<String>,
    possible: String,
}

fn grade_columns<'a>(writes: &[&'a AttemptWrite]) -> Result<Vec<GradeColumns<'a>>, sqlx::Error> {
    let mut rows = Vec::new();
    for write in writes {
        for grade in write.hand_in.iter().flat_map(|hand_in| &hand_in.grades) {
            rows.push(GradeColumns {
                attempt: write.attempt.0,
                version: to_column(write.progress.version)?,
                question: grade.question.as_str(),
                earned: grade.points_earned.map(|points| points.to_string()),
                possible: grade.points_possible.to_string(),
            });
        }
    }
    Ok(rows)
}

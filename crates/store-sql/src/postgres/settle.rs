//! Changes of an attempt's state: the controls and hand-ins of a batch.
//!
//! Both run after the batch's fence, in its transaction, with the directory
//! rows locked. A write whose record version is not the row's repeats an
//! older write, and changes nothing.

use std::sync::Arc;

use sqlx::PgConnection;

use super::keys::{QuestionNumbers, question_number};
use crate::convert::{instant_to_column as instant, to_column};
use invigil_store::{AttemptWrite, ControlRow, HandInRow};

type NumberedWrite<'a> = (&'a AttemptWrite, Arc<QuestionNumbers>);

const UPDATE_CONTROLS: &str = "
WITH w AS (
    SELECT k.attempt_id, k.started_at, n.*
    FROM unnest(
        $1::bigint[], $2::bigint[], $3::text[], $4::text[],
        $5::timestamptz[], $6::timestamptz[], $7::timestamptz[], $8::timestamptz[],
        $9::integer[], $10::text[], $11::smallint[], $12::boolean[]
    ) AS n (attempt, version, status, control, entered_at, deadline_at, close_at, closed_at,
            violations, flags, peak, verified)
    JOIN exam_attempt_keys AS k ON k.attempt_id = n.attempt AND k.record_version = n.version
),
closed AS (
    UPDATE exam_attempt_keys AS k
    SET closed_at = w.closed_at
    FROM w
    WHERE k.attempt_id = w.attempt_id AND k.closed_at IS DISTINCT FROM w.closed_at
)
UPDATE exam_attempts AS a
SET status = w.status,
    control = w.control::json,
    entered_at = w.entered_at,
    deadline_at = w.deadline_at,
    close_at = w.close_at,
    violations_count = w.violations,
    security_flags = w.flags::jsonb,
    proctoring_score = (100 - w.peak)::numeric / 100,
    integrity_verified = w.verified,
    updated_at = now()
FROM w
WHERE a.id = w.attempt_id AND a.started_at = w.started_at";

/// Writes the controls of a batch.
pub(super) async fn write_controls(
    connection: &mut PgConnection,
    writes: &[NumberedWrite<'_>],
) -> Result<(), sqlx::Error> {
    let rows: Vec<(&AttemptWrite, &ControlRow)> = writes
        .iter()
        .filter_map(|(write, _)| Some((*write, write.control.as_deref()?)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let optional = |at: Option<_>| at.map(instant).transpose();
    sqlx::query(UPDATE_CONTROLS)
        .bind(collect_column(&rows, |(write, _)| Ok(write.attempt.0))?)
        .bind(collect_column(&rows, |(write, _)| {
            to_column(write.progress.version)
        })?)
        .bind(collect_column(&rows, |(_, control)| {
            Ok(control.status.as_str())
        })?)
        .bind(collect_column(&rows, |(_, control)| Ok(&*control.state))?)
        .bind(collect_column(&rows, |(_, control)| {
            optional(control.entered_at)
        })?)
        .bind(collect_column(&rows, |(_, control)| {
            optional(control.deadline_at)
        })?)
        .bind(collect_column(&rows, |(_, control)| {
            optional(control.close_at)
        })?)
        .bind(collect_column(&rows, |(_, control)| {
            optional(control.closed_at)
        })?)
        .bind(collect_column(&rows, |(_, control)| {
            Ok(i32::try_from(control.integrity.violations).unwrap_or(i32::MAX))
        })?)
        .bind(collect_column(&rows, |(_, control)| {
            Ok(serde_json::to_string(&control.integrity.flags).unwrap_or_default())
        })?)
        .bind(collect_column(&rows, |(_, control)| {
            Ok(control.integrity.peak_risk.map(i16::from))
        })?)
        .bind(collect_column(&rows, |(_, control)| {
            Ok(control.integrity.verified)
        })?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Interventions of staff by their timeline kind, with their severity.
const INTERVENTIONS: [(&str, &str); 7] = [
    ("paused", "medium"),
    ("resumed", "low"),
    ("extended", "low"),
    ("flagged", "high"),
    ("unflagged", "medium"),
    ("released", "low"),
    ("cancelled", "critical"),
];

/// A batch whose outcome was unknown is written again: an existing entry must
/// not be added twice.
const INSERT_INTERVENTIONS: &str = "
INSERT INTO proctor_logs (attempt_id, event_type, severity, details, requires_review, occurred_at)
SELECT n.attempt_id, n.kind, n.severity, jsonb_build_object('entry', n.entry, 'reason', n.reason), n.severity = 'critical', n.at
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::text[])
    AS n (attempt_id, kind, severity, entry, at, reason)
WHERE NOT EXISTS (
    SELECT FROM proctor_logs AS p
    WHERE p.attempt_id = n.attempt_id AND p.occurred_at = n.at AND p.details ->> 'entry' = n.entry::text)";

/// Adds the interventions of staff to the log that covers all attempts.
pub(super) async fn log_interventions(
    connection: &mut PgConnection,
    writes: &[NumberedWrite<'_>],
) -> Result<(), sqlx::Error> {
    let (mut attempts, mut kinds, mut severities) = (vec![], vec![], vec![]);
    let (mut entries, mut at, mut reasons) = (vec![], vec![], vec![]);
    for (write, _) in writes {
        for entry in &write.timeline {
            let known = INTERVENTIONS.iter().find(|(kind, _)| *kind == entry.kind);
            let Some((kind, severity)) = known else {
                continue;
            };
            attempts.push(write.attempt.0);
            kinds.push(*kind);
            severities.push(*severity);
            entries.push(to_column(entry.number)?);
            at.push(instant(entry.at)?);
            reasons.push(intervention_reason(&entry.data));
        }
    }
    if attempts.is_empty() {
        return Ok(());
    }
    sqlx::query(INSERT_INTERVENTIONS)
        .bind(&attempts)
        .bind(&kinds)
        .bind(&severities)
        .bind(&entries)
        .bind(&at)
        .bind(&reasons)
        .execute(connection)
        .await?;
    Ok(())
}

const UPDATE_HAND_INS: &str = "
UPDATE exam_attempts AS a
SET submitted_at = n.submitted_at,
    handed_in_by = n.handed_in_by,
    late = n.late,
    score = n.score,
    max_score = n.max_score,
    percentage = n.percentage,
    passed = n.passed,
    grade = n.grade,
    penalty = n.penalty,
    needs_marking = n.needs_marking,
    graded_at = CASE WHEN NOT n.needs_marking THEN n.submitted_at END,
    receipt = n.receipt::json,
    updated_at = now()
FROM unnest(
    $1::bigint[], $2::bigint[], $3::timestamptz[], $4::text[], $5::boolean[], $6::numeric[], $7::numeric[],
    $8::numeric[], $9::boolean[], $10::text[], $11::numeric[], $12::boolean[], $13::text[]
) AS n (
    attempt_id, version, submitted_at, handed_in_by, late, score, max_score,
    percentage, passed, grade, penalty, needs_marking, receipt
)
JOIN exam_attempt_keys AS k ON k.attempt_id = n.attempt_id AND k.record_version = n.version
WHERE a.id = k.attempt_id AND a.started_at = k.started_at";

const UPDATE_GRADES: &str = "
UPDATE answers AS a
SET points_earned = n.points_earned,
    points_possible = n.points_possible,
    status = answer_status(n.points_earned, n.points_possible),
    is_correct = n.points_earned >= round(n.points_possible, 2),
    grading_method = CASE WHEN n.points_earned IS NOT NULL THEN 'auto' END,
    graded_at = CASE WHEN n.points_earned IS NOT NULL THEN now() END
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::numeric[], $5::numeric[])
    AS n (attempt_id, version, question_id, points_earned, points_possible)
JOIN exam_attempt_keys AS k ON k.attempt_id = n.attempt_id AND k.record_version = n.version
WHERE a.attempt_id = n.attempt_id AND a.question_id = n.question_id";

/// Writes the hand-ins of a batch, with the marks of their answers.
pub(super) async fn write_hand_ins(
    connection: &mut PgConnection,
    writes: &[NumberedWrite<'_>],
) -> Result<(), sqlx::Error> {
    let rows: Vec<(&AttemptWrite, &HandInRow)> = writes
        .iter()
        .filter_map(|(write, _)| Some((*write, write.hand_in.as_deref()?)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(UPDATE_HAND_INS)
        .bind(collect_column(&rows, |(write, _)| Ok(write.attempt.0))?)
        .bind(collect_column(&rows, |(write, _)| {
            to_column(write.progress.version)
        })?)
        .bind(collect_column(&rows, |(_, hand_in)| {
            instant(hand_in.submitted_at)
        })?)
        .bind(collect_column(&rows, |(_, hand_in)| {
            Ok(hand_in.handed_in_by)
        })?)
        .bind(collect_column(&rows, |(_, hand_in)| Ok(hand_in.late))?)
        .bind(collect_column(&rows, |(_, hand_in)| {
            Ok(hand_in.totals.score)
        })?)
        .bind(collect_column(&rows, |(_, hand_in)| {
            Ok(hand_in.totals.max_score)
        })?)
        .bind(collect_column(&rows, |(_, hand_in)| {
            Ok(hand_in.totals.percentage)
        })?)
        .bind(collect_column(&rows, |(_, hand_in)| {
            Ok(hand_in.totals.passed)
        })?)
        .bind(collect_column(&rows, |(_, hand_in)| {
            Ok(hand_in.totals.grade.as_deref())
        })?)
        .bind(collect_column(&rows, |(_, hand_in)| {
            Ok(hand_in.totals.penalty)
        })?)
        .bind(collect_column(&rows, |(_, hand_in)| {
            Ok(hand_in.totals.needs_marking)
        })?)
        .bind(collect_column(&rows, |(_, hand_in)| Ok(&*hand_in.receipt))?)
        .execute(&mut *connection)
        .await?;

    let mut grades = Vec::new();
    for (write, numbers) in writes {
        for grade in write.hand_in.iter().flat_map(|hand_in| &hand_in.grades) {
            grades.push((*write, question_number(numbers, &grade.question)?, grade));
        }
    }
    sqlx::query(UPDATE_GRADES)
        .bind(collect_column(&grades, |(write, ..)| Ok(write.attempt.0))?)
        .bind(collect_column(&grades, |(write, ..)| {
            to_column(write.progress.version)
        })?)
        .bind(collect_column(&grades, |(_, question, _)| Ok(*question))?)
        .bind(collect_column(&grades, |(.., grade)| {
            Ok(grade.points_earned)
        })?)
        .bind(collect_column(&grades, |(.., grade)| {
            Ok(grade.points_possible)
        })?)
        .execute(connection)
        .await?;
    Ok(())
}

/// Collects a column of some rows, for `unnest`.
fn collect_column<'a, R, T>(
    rows: &'a [R],
    value: impl Fn(&'a R) -> Result<T, sqlx::Error>,
) -> Result<Vec<T>, sqlx::Error> {
    rows.iter().map(value).collect()
}

/// Returns the reason of an intervention; one with NUL, which jsonb cannot hold, is left out.
fn intervention_reason(data: &str) -> Option<String> {
    let data: serde_json::Value = serde_json::from_str(data).ok()?;
    let reason = data["reason"].as_str()?;
    (!reason.contains('\0')).then(|| reason.to_owned())
}

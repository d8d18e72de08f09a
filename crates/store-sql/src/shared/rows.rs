//! Rows of attempts, and their conversion to values.

use std::collections::HashSet;

use sqlx_macros::FromRow;

use super::columns::{DecimalColumn, ListColumn, NumberColumn, TimeColumn};
use crate::convert::{decode_error, duration_from_column, from_column, status_from_column};
use invigil_domain::id::{AttemptId, ExamCode, NodeId};
use invigil_store::{
    AnswerRow, AttemptIdentity, AttemptOwner, AttemptSummary, AttemptWrite, ControlRow, GradeRow,
    IntegritySums, ProgressRow, ResultLine, ScoreTotals, TimelineRow, WriteOutcome,
};

/// The owner of an attempt: id, node and epoch.
pub(crate) type OwnerColumns = (i64, Option<String>, i64);

/// Converts the owner of an attempt.
pub(crate) fn owner_from_columns(
    (attempt, node, epoch): OwnerColumns,
) -> Result<AttemptOwner, sqlx::Error> {
    Ok(AttemptOwner {
        attempt: AttemptId(attempt),
        node: node.map(NodeId::from),
        epoch: from_column(epoch)?,
    })
}

/// Converts attempts with the epochs of their leases.
pub(crate) fn leases_from_columns(
    rows: Vec<(i64, i64)>,
) -> Result<Vec<(AttemptId, u64)>, sqlx::Error> {
    rows.into_iter()
        .map(|(attempt, epoch)| Ok((AttemptId(attempt), from_column(epoch)?)))
        .collect()
}

/// Returns the outcome of each write of a batch of which these attempts were saved.
pub(crate) fn write_outcomes(batch: &[AttemptWrite], saved: &HashSet<i64>) -> Vec<WriteOutcome> {
    let outcome = |write: &AttemptWrite| {
        if saved.contains(&write.attempt.0) {
            WriteOutcome::Saved
        } else {
            WriteOutcome::Fenced
        }
    };
    batch.iter().map(outcome).collect()
}

/// A row of the view `attempt_summaries`.
#[derive(FromRow)]
pub(crate) struct StoredSummary {
    attempt_id: i64,
    exam: String,
    exam_version: String,
    candidate: String,
    candidate_name: String,
    attempt_no: NumberColumn,
    seed: i64,
    time_factor: DecimalColumn,
    extra_time_ms: i64,
    groups: ListColumn<String>,
    started_at: TimeColumn,
    control: String,
    status: String,
    entered_at: Option<TimeColumn>,
    deadline_at: Option<TimeColumn>,
    close_at: Option<TimeColumn>,
    closed_at: Option<TimeColumn>,
    session: Option<String>,
    last_seq: i64,
    last_event: i64,
    record_version: i64,
    last_activity_at: TimeColumn,
    answered: i64,
    submitted_at: Option<TimeColumn>,
    late: bool,
    score: Option<DecimalColumn>,
    max_score: Option<DecimalColumn>,
    percentage: Option<DecimalColumn>,
    passed: Option<bool>,
    grade: Option<String>,
    penalty: Option<DecimalColumn>,
    needs_marking: Option<bool>,
    /// Missing on SQLite: the management side releases results, and it needs PostgreSQL.
    #[sqlx(default)]
    released_at: Option<TimeColumn>,
}

impl TryFrom<StoredSummary> for ResultLine {
    type Error = sqlx::Error;

    fn try_from(mut row: StoredSummary) -> Result<Self, sqlx::Error> {
        let candidate_name = std::mem::take(&mut row.candidate_name);
        Ok(Self {
            summary: row.try_into()?,
            candidate_name,
        })
    }
}

impl TryFrom<StoredSummary> for AttemptSummary {
    type Error = sqlx::Error;

    fn try_from(row: StoredSummary) -> Result<Self, sqlx::Error> {
        let submitted_at = row.submitted_at.map(|at| at.0);
        let absent = || decode_error("handed in without totals");
        let totals = match submitted_at {
            None => None,
            Some(_) => Some(ScoreTotals {
                score: row.score.ok_or_else(absent)?.0,
                max_score: row.max_score.ok_or_else(absent)?.0,
                percentage: row.percentage.ok_or_else(absent)?.0,
                passed: row.passed,
                grade: row.grade,
                penalty: row.penalty.ok_or_else(absent)?.0,
                needs_marking: row.needs_marking.ok_or_else(absent)?,
            }),
        };
        Ok(Self {
            identity: AttemptIdentity {
                id: AttemptId(row.attempt_id),
                exam: row.exam.into(),
                exam_version: row.exam_version.into(),
                candidate: row.candidate.into(),
                number: row.attempt_no.0,
                seed: row.seed.cast_unsigned(),
                time_factor: row.time_factor.0,
                extra_time: duration_from_column(row.extra_time_ms)?,
                groups: row.groups.0.into_iter().collect(),
                started_at: row.started_at.0,
            },
            control: ControlRow {
                state: row.control.into(),
                status: status_from_column(&row.status)?,
                entered_at: row.entered_at.map(|at| at.0),
                deadline_at: row.deadline_at.map(|at| at.0),
                close_at: row.close_at.map(|at| at.0),
                closed_at: row.closed_at.map(|at| at.0),
                integrity: IntegritySums::default(),
            },
            progress: ProgressRow {
                version: from_column(row.record_version)?,
                session: row.session.map(Into::into),
                last_seq: from_column(row.last_seq)?,
                last_event: from_column(row.last_event)?,
                last_activity_at: row.last_activity_at.0,
            },
            answered: from_column(row.answered)?,
            submitted_at,
            late: row.late,
            totals,
            released: row.released_at.is_some(),
        })
    }
}

/// An answer with its mark.
#[derive(FromRow)]
pub(crate) struct StoredAnswer {
    question_key: String,
    user_answer: Option<String>,
    flagged: bool,
    rev: i64,
    seq: i64,
    answered_at: TimeColumn,
    spent_ms: i64,
    points_earned: Option<DecimalColumn>,
    points_possible: Option<DecimalColumn>,
}

impl TryFrom<StoredAnswer> for (AnswerRow, Option<GradeRow>) {
    type Error = sqlx::Error;

    fn try_from(row: StoredAnswer) -> Result<Self, sqlx::Error> {
        let answer = AnswerRow {
            question: row.question_key.into(),
            value: row.user_answer.map(Into::into),
            flagged: row.flagged,
            rev: from_column(row.rev)?,
            version: from_column(row.seq)?,
            answered_at: row.answered_at.0,
            spent_ms: from_column(row.spent_ms)?,
        };
        let grade = row.points_possible.map(|possible| GradeRow {
            question: answer.question.clone(),
            points_earned: row.points_earned.map(|points| points.0),
            points_possible: possible.0,
        });
        Ok((answer, grade))
    }
}

/// A timeline entry.
#[derive(FromRow)]
pub(crate) struct StoredEntry {
    entry_no: i64,
    at: TimeColumn,
    kind: String,
    data: String,
}

/// A timeline entry with its attempt and exam.
#[derive(FromRow)]
pub(crate) struct UnrecordedEntry {
    attempt_id: i64,
    exam: String,
    #[sqlx(flatten)]
    entry: StoredEntry,
}

impl TryFrom<StoredEntry> for TimelineRow {
    type Error = sqlx::Error;

    fn try_from(row: StoredEntry) -> Result<Self, sqlx::Error> {
        Ok(Self {
            number: from_column(row.entry_no)?,
            at: row.at.0,
            kind: row.kind,
            data: row.data.into(),
        })
    }
}

impl TryFrom<UnrecordedEntry> for (AttemptId, ExamCode, TimelineRow) {
    type Error = sqlx::Error;

    fn try_from(row: UnrecordedEntry) -> Result<Self, sqlx::Error> {
        let attempt = AttemptId(row.attempt_id);
        Ok((attempt, row.exam.into(), row.entry.try_into()?))
    }
}

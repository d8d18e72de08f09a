//! Rows as they are read, and the values that they are.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::FromRow;

use crate::{
    domain::{id::AttemptId, time::Timestamp},
    store::{
        AnswerRow, ControlRow, GradeRow, Identity, IntegritySums, Progress, ResultLine, Summary,
        TimelineRow, Totals,
        convert::{duration_from_column, from_column, refuse, status_from_column, unreadable},
    },
};

/// An instant as a timestamptz, which is finer: nothing is lost.
pub(super) fn to_column(at: Timestamp) -> Result<DateTime<Utc>, sqlx::Error> {
    DateTime::from_timestamp_millis(at.as_ms())
        .ok_or_else(|| refuse(format!("{} ms is no instant", at.as_ms())))
}

/// An instant as it was kept.
pub(super) fn instant(at: DateTime<Utc>) -> Timestamp {
    Timestamp::from_ms(at.timestamp_millis())
}

/// A row of the view `attempt_summaries`.
#[derive(FromRow)]
pub(super) struct SummaryRow {
    attempt_id: i64,
    exam: String,
    exam_version: String,
    candidate: String,
    pub(super) candidate_name: String,
    attempt_no: i16,
    seed: i64,
    time_factor: Decimal,
    extra_time_ms: i64,
    groups: Vec<String>,
    started_at: DateTime<Utc>,
    control: String,
    status: String,
    entered_at: Option<DateTime<Utc>>,
    deadline_at: Option<DateTime<Utc>>,
    close_at: Option<DateTime<Utc>>,
    closed_at: Option<DateTime<Utc>>,
    session: Option<String>,
    last_seq: i64,
    last_event: i64,
    record_version: i64,
    last_activity_at: DateTime<Utc>,
    answered: i64,
    submitted_at: Option<DateTime<Utc>>,
    late: bool,
    score: Option<Decimal>,
    max_score: Option<Decimal>,
    percentage: Option<Decimal>,
    passed: Option<bool>,
    grade: Option<String>,
    penalty: Option<Decimal>,
    needs_marking: Option<bool>,
    released_at: Option<DateTime<Utc>>,
}

impl TryFrom<SummaryRow> for ResultLine {
    type Error = sqlx::Error;

    fn try_from(mut row: SummaryRow) -> Result<Self, sqlx::Error> {
        let candidate_name = std::mem::take(&mut row.candidate_name);
        Ok(Self {
            summary: row.try_into()?,
            candidate_name,
        })
    }
}

impl TryFrom<SummaryRow> for Summary {
    type Error = sqlx::Error;

    fn try_from(row: SummaryRow) -> Result<Self, sqlx::Error> {
        let submitted_at = row.submitted_at.map(instant);
        let absent = || unreadable("handed in without totals");
        let totals = match submitted_at {
            None => None,
            Some(_) => Some(Totals {
                score: row.score.ok_or_else(absent)?,
                max_score: row.max_score.ok_or_else(absent)?,
                percentage: row.percentage.ok_or_else(absent)?,
                passed: row.passed,
                grade: row.grade,
                penalty: row.penalty.ok_or_else(absent)?,
                needs_marking: row.needs_marking.ok_or_else(absent)?,
            }),
        };
        Ok(Self {
            identity: Identity {
                id: AttemptId(row.attempt_id),
                exam: row.exam.into(),
                exam_version: row.exam_version.into(),
                candidate: row.candidate.into(),
                number: from_column(row.attempt_no.into())?,
                seed: row.seed.cast_unsigned(),
                time_factor: row.time_factor,
                extra_time: duration_from_column(row.extra_time_ms)?,
                groups: row.groups.into_iter().collect(),
                started_at: instant(row.started_at),
            },
            control: ControlRow {
                state: row.control.into(),
                status: status_from_column(&row.status)?,
                entered_at: row.entered_at.map(instant),
                deadline_at: row.deadline_at.map(instant),
                close_at: row.close_at.map(instant),
                closed_at: row.closed_at.map(instant),
                integrity: IntegritySums::default(),
            },
            progress: Progress {
                version: from_column(row.record_version)?,
                session: row.session.map(Into::into),
                last_seq: from_column(row.last_seq)?,
                last_event: from_column(row.last_event)?,
                last_activity_at: instant(row.last_activity_at),
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
pub(super) struct StoredAnswer {
    question_key: String,
    user_answer: Option<String>,
    flagged: bool,
    rev: i64,
    seq: i64,
    answered_at: DateTime<Utc>,
    spent_ms: i64,
    points_earned: Option<Decimal>,
    points_possible: Option<Decimal>,
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
            answered_at: instant(row.answered_at),
            spent_ms: from_column(row.spent_ms)?,
        };
        let grade = row.points_possible.map(|points_possible| GradeRow {
            question: answer.question.clone(),
            points_earned: row.points_earned,
            points_possible,
        });
        Ok((answer, grade))
    }
}

/// An entry of a timeline.
#[derive(FromRow)]
pub(super) struct StoredEntry {
    entry_no: i64,
    at: DateTime<Utc>,
    kind: String,
    data: String,
}

/// An entry of the timeline, with whose it is.
#[derive(FromRow)]
pub(super) struct UnrecordedEntry {
    pub(super) attempt_id: i64,
    pub(super) exam: String,
    #[sqlx(flatten)]
    pub(super) entry: StoredEntry,
}

impl TryFrom<StoredEntry> for TimelineRow {
    type Error = sqlx::Error;

    fn try_from(row: StoredEntry) -> Result<Self, sqlx::Error> {
        Ok(Self {
            number: from_column(row.entry_no)?,
            at: instant(row.at),
            kind: row.kind,
            data: row.data.into(),
        })
    }
}

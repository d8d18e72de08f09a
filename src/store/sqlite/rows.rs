//! Rows as they are read, and the values that they are.

use rust_decimal::Decimal;
use sqlx::{FromRow, types::Json};

use crate::{
    domain::{id::AttemptId, time::Timestamp},
    store::{
        AnswerRow, ControlRow, GradeRow, Groups, Identity, IntegritySums, Progress, ResultLine,
        Summary, TimelineRow, Totals,
        convert::{duration_from_column, from_column, status_from_column, unreadable},
    },
};

/// A decimal as it was kept.
pub(super) fn decimal(text: &str) -> Result<Decimal, sqlx::Error> {
    text.parse()
        .map_err(|error| unreadable(format!("{text}: {error}")))
}

/// A row of the view `attempt_summaries`.
#[derive(FromRow)]
pub(super) struct SummaryRow {
    attempt_id: i64,
    exam: String,
    exam_version: String,
    candidate: String,
    pub(super) candidate_name: String,
    attempt_no: i64,
    seed: i64,
    time_factor: String,
    extra_time_ms: i64,
    groups: Json<Groups>,
    started_at: i64,
    control: String,
    status: String,
    entered_at: Option<i64>,
    deadline_at: Option<i64>,
    close_at: Option<i64>,
    closed_at: Option<i64>,
    session: Option<String>,
    last_seq: i64,
    last_event: i64,
    record_version: i64,
    last_activity_at: i64,
    answered: i64,
    submitted_at: Option<i64>,
    late: bool,
    score: Option<String>,
    max_score: Option<String>,
    percentage: Option<String>,
    passed: Option<bool>,
    grade: Option<String>,
    penalty: Option<String>,
    needs_marking: Option<bool>,
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
        let submitted_at = row.submitted_at.map(Timestamp::from_ms);
        let required = |text: Option<String>| match text {
            Some(text) => decimal(&text),
            None => Err(unreadable("handed in without totals")),
        };
        let totals = match submitted_at {
            None => None,
            Some(_) => Some(Totals {
                score: required(row.score)?,
                max_score: required(row.max_score)?,
                percentage: required(row.percentage)?,
                passed: row.passed,
                grade: row.grade,
                penalty: required(row.penalty)?,
                needs_marking: row.needs_marking.unwrap_or_default(),
            }),
        };
        Ok(Self {
            identity: Identity {
                id: AttemptId(row.attempt_id),
                exam: row.exam.into(),
                exam_version: row.exam_version.into(),
                candidate: row.candidate.into(),
                number: from_column(row.attempt_no)?,
                seed: row.seed.cast_unsigned(),
                time_factor: decimal(&row.time_factor)?,
                extra_time: duration_from_column(row.extra_time_ms)?,
                groups: row.groups.0,
                started_at: Timestamp::from_ms(row.started_at),
            },
            control: ControlRow {
                state: row.control.into(),
                status: status_from_column(&row.status)?,
                entered_at: row.entered_at.map(Timestamp::from_ms),
                deadline_at: row.deadline_at.map(Timestamp::from_ms),
                close_at: row.close_at.map(Timestamp::from_ms),
                closed_at: row.closed_at.map(Timestamp::from_ms),
                integrity: IntegritySums::default(),
            },
            progress: Progress {
                version: from_column(row.record_version)?,
                session: row.session.map(Into::into),
                last_seq: from_column(row.last_seq)?,
                last_event: from_column(row.last_event)?,
                last_activity_at: Timestamp::from_ms(row.last_activity_at),
            },
            answered: from_column(row.answered)?,
            submitted_at,
            late: row.late,
            totals,
            // Releasing by hand is a matter of the management side.
            released: false,
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
    answered_at: i64,
    spent_ms: i64,
    points_earned: Option<String>,
    points_possible: Option<String>,
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
            answered_at: Timestamp::from_ms(row.answered_at),
            spent_ms: from_column(row.spent_ms)?,
        };
        let grade = match row.points_possible {
            None => None,
            Some(possible) => Some(GradeRow {
                question: answer.question.clone(),
                points_earned: row.points_earned.as_deref().map(decimal).transpose()?,
                points_possible: decimal(&possible)?,
            }),
        };
        Ok((answer, grade))
    }
}

/// An entry of a timeline.
#[derive(FromRow)]
pub(super) struct StoredEntry {
    entry_no: i64,
    at: i64,
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
            at: Timestamp::from_ms(row.at),
            kind: row.kind,
            data: row.data.into(),
        })
    }
}

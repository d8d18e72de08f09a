//! Rows as the database returns them, and their conversion to values.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx_macros::FromRow;

use crate::convert::{
    decode_error, duration_from_column, encode_error, from_column, status_from_column,
};
use invigil_domain::{id::AttemptId, time::Timestamp};
use invigil_store::{
    AnswerRow, AttemptIdentity, AttemptSummary, ControlRow, GradeRow, IntegritySums, ProgressRow,
    ResultLine, ScoreTotals, TimelineRow,
};

/// Converts an instant to a timestamptz, which is finer: nothing is lost.
pub(super) fn instant_to_column(at: Timestamp) -> Result<DateTime<Utc>, sqlx::Error> {
    DateTime::from_timestamp_millis(at.as_ms())
        .ok_or_else(|| encode_error(format!("{} ms is no instant", at.as_ms())))
}

/// Converts a timestamptz to an instant.
pub(super) fn instant_from_column(at: DateTime<Utc>) -> Timestamp {
    Timestamp::from_ms(at.timestamp_millis())
}

/// A row of the view `attempt_summaries`.
#[derive(FromRow)]
pub(super) struct PostgresSummaryRow {
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

impl TryFrom<PostgresSummaryRow> for ResultLine {
    type Error = sqlx::Error;

    fn try_from(mut row: PostgresSummaryRow) -> Result<Self, sqlx::Error> {
        let candidate_name = std::mem::take(&mut row.candidate_name);
        Ok(Self {
            summary: row.try_into()?,
            candidate_name,
        })
    }
}

impl TryFrom<PostgresSummaryRow> for AttemptSummary {
    type Error = sqlx::Error;

    fn try_from(row: PostgresSummaryRow) -> Result<Self, sqlx::Error> {
        let submitted_at = row.submitted_at.map(instant_from_column);
        let absent = || decode_error("handed in without totals");
        let totals = match submitted_at {
            None => None,
            Some(_) => Some(ScoreTotals {
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
            identity: AttemptIdentity {
                id: AttemptId(row.attempt_id),
                exam: row.exam.into(),
                exam_version: row.exam_version.into(),
                candidate: row.candidate.into(),
                number: from_column(row.attempt_no.into())?,
                seed: row.seed.cast_unsigned(),
                time_factor: row.time_factor,
                extra_time: duration_from_column(row.extra_time_ms)?,
                groups: row.groups.into_iter().collect(),
                started_at: instant_from_column(row.started_at),
            },
            control: ControlRow {
                state: row.control.into(),
                status: status_from_column(&row.status)?,
                entered_at: row.entered_at.map(instant_from_column),
                deadline_at: row.deadline_at.map(instant_from_column),
                close_at: row.close_at.map(instant_from_column),
                closed_at: row.closed_at.map(instant_from_column),
                integrity: IntegritySums::default(),
            },
            progress: ProgressRow {
                version: from_column(row.record_version)?,
                session: row.session.map(Into::into),
                last_seq: from_column(row.last_seq)?,
                last_event: from_column(row.last_event)?,
                last_activity_at: instant_from_column(row.last_activity_at),
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
pub(super) struct PostgresAnswerRow {
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

impl TryFrom<PostgresAnswerRow> for (AnswerRow, Option<GradeRow>) {
    type Error = sqlx::Error;

    fn try_from(row: PostgresAnswerRow) -> Result<Self, sqlx::Error> {
        let answer = AnswerRow {
            question: row.question_key.into(),
            value: row.user_answer.map(Into::into),
            flagged: row.flagged,
            rev: from_column(row.rev)?,
            version: from_column(row.seq)?,
            answered_at: instant_from_column(row.answered_at),
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

/// A timeline entry.
#[derive(FromRow)]
pub(super) struct PostgresTimelineRow {
    entry_no: i64,
    at: DateTime<Utc>,
    kind: String,
    data: String,
}

/// A timeline entry with its attempt and exam.
#[derive(FromRow)]
pub(super) struct PostgresHistoryRow {
    pub(super) attempt_id: i64,
    pub(super) exam: String,
    #[sqlx(flatten)]
    pub(super) entry: PostgresTimelineRow,
}

impl TryFrom<PostgresTimelineRow> for TimelineRow {
    type Error = sqlx::Error;

    fn try_from(row: PostgresTimelineRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            number: from_column(row.entry_no)?,
            at: instant_from_column(row.at),
            kind: row.kind,
            data: row.data.into(),
        })
    }
}

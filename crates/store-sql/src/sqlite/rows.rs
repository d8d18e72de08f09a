//! Rows as the database returns them, and their conversion to values.

use rust_decimal::Decimal;
use sqlx::types::Json;
use sqlx_macros::FromRow;

use crate::convert::{decode_error, duration_from_column, from_column, status_from_column};
use invigil_domain::{id::AttemptId, time::Timestamp};
use invigil_store::{
    AnswerRow, AttemptIdentity, AttemptSummary, ControlRow, GradeRow, GroupSet, IntegritySums,
    ProgressRow, ResultLine, ScoreTotals, TimelineRow,
};

/// Converts a text column to a decimal.
pub(super) fn decimal_from_column(text: &str) -> Result<Decimal, sqlx::Error> {
    text.parse()
        .map_err(|error| decode_error(format!("{text}: {error}")))
}

/// A row of the view `attempt_summaries`.
#[derive(FromRow)]
pub(super) struct SqliteSummaryRow {
    attempt_id: i64,
    exam: String,
    exam_version: String,
    candidate: String,
    pub(super) candidate_name: String,
    attempt_no: i64,
    seed: i64,
    time_factor: String,
    extra_time_ms: i64,
    groups: Json<GroupSet>,
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

impl TryFrom<SqliteSummaryRow> for ResultLine {
    type Error = sqlx::Error;

    fn try_from(mut row: SqliteSummaryRow) -> Result<Self, sqlx::Error> {
        let candidate_name = std::mem::take(&mut row.candidate_name);
        Ok(Self {
            summary: row.try_into()?,
            candidate_name,
        })
    }
}

impl TryFrom<SqliteSummaryRow> for AttemptSummary {
    type Error = sqlx::Error;

    fn try_from(row: SqliteSummaryRow) -> Result<Self, sqlx::Error> {
        let submitted_at = row.submitted_at.map(Timestamp::from_ms);
        let required = |text: Option<String>| match text {
            Some(text) => decimal_from_column(&text),
            None => Err(decode_error("handed in without totals")),
        };
        let totals = match submitted_at {
            None => None,
            Some(_) => Some(ScoreTotals {
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
            identity: AttemptIdentity {
                id: AttemptId(row.attempt_id),
                exam: row.exam.into(),
                exam_version: row.exam_version.into(),
                candidate: row.candidate.into(),
                number: from_column(row.attempt_no)?,
                seed: row.seed.cast_unsigned(),
                time_factor: decimal_from_column(&row.time_factor)?,
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
            progress: ProgressRow {
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
            // Only the management side releases results, and it needs PostgreSQL.
            released: false,
        })
    }
}

/// An answer with its mark.
#[derive(FromRow)]
pub(super) struct SqliteAnswerRow {
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

impl TryFrom<SqliteAnswerRow> for (AnswerRow, Option<GradeRow>) {
    type Error = sqlx::Error;

    fn try_from(row: SqliteAnswerRow) -> Result<Self, sqlx::Error> {
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
                points_earned: row
                    .points_earned
                    .as_deref()
                    .map(decimal_from_column)
                    .transpose()?,
                points_possible: decimal_from_column(&possible)?,
            }),
        };
        Ok((answer, grade))
    }
}

/// A timeline entry.
#[derive(FromRow)]
pub(super) struct SqliteTimelineRow {
    entry_no: i64,
    at: i64,
    kind: String,
    data: String,
}

/// A timeline entry with its attempt and exam.
#[derive(FromRow)]
pub(super) struct SqliteHistoryRow {
    pub(super) attempt_id: i64,
    pub(super) exam: String,
    #[sqlx(flatten)]
    pub(super) entry: SqliteTimelineRow,
}

impl TryFrom<SqliteTimelineRow> for TimelineRow {
    type Error = sqlx::Error;

    fn try_from(row: SqliteTimelineRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            number: from_column(row.entry_no)?,
            at: Timestamp::from_ms(row.at),
            kind: row.kind,
            data: row.data.into(),
        })
    }
}

//! Marks, and the state of an attempt while it is marked.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Serialize;

use crate::ids::{BankQuestionId, ExamVersionId};
use invigil_domain::{
    attempt::{AttemptControl, LifecycleStatus},
    grading::ScoreTotals,
    id::{AttemptId, QuestionId},
    marking::{AnswerStatus, GradingMethod, MarkingPolicy},
};

/// A marker's mark of an answer.
#[derive(Debug)]
pub struct NewMark {
    /// Points, 0 to the points of the question.
    pub points: Decimal,
    /// Points by criterion.
    pub rubric: Vec<RubricCriterion>,
    /// Comment for the candidate.
    pub comment: String,
    /// Note for other markers.
    pub note: String,
}

/// A line of a rubric.
#[derive(Debug, Serialize)]
pub struct RubricCriterion {
    /// Name of the criterion.
    #[serde(rename = "criterion")]
    pub name: String,
    /// Points earned by it.
    pub points: f64,
    /// Reason for the points.
    pub comment: String,
}

/// Status and score of an attempt after marking.
#[derive(Debug)]
pub struct MarkingOutcome {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Status of the attempt.
    pub status: LifecycleStatus,
    /// Score; the sum so far while answers wait for a mark.
    pub score: Decimal,
    /// Percentage of the maximum score, 0 to 100.
    pub percentage: Decimal,
    /// True if answers wait for a mark.
    pub needs_marking: bool,
}

impl MarkingOutcome {
    /// Returns the outcome for an attempt with these totals.
    pub(super) const fn new(
        attempt_id: AttemptId,
        status: LifecycleStatus,
        totals: &ScoreTotals,
    ) -> Self {
        Self {
            attempt_id,
            status,
            score: totals.score,
            percentage: totals.percentage,
            needs_marking: totals.needs_marking,
        }
    }
}

/// The outcome of a person's review of an attempt.
#[derive(Debug)]
pub struct AttemptReview {
    /// Feedback for the candidate.
    pub feedback: Option<String>,
    /// Notes for staff.
    pub notes: Option<String>,
}

/// An answer of an attempt while it is marked.
#[derive(Debug)]
pub(super) struct MarkingAnswer {
    pub question: QuestionId,
    pub question_id: BankQuestionId,
    pub value: Option<String>,
    pub status: AnswerStatus,
    pub points_earned: Option<Decimal>,
    pub points_possible: Option<Decimal>,
    pub grading_method: Option<GradingMethod>,
}

impl MarkingAnswer {
    /// Returns the points that a person gave.
    pub(super) fn points_by_hand(&self) -> Option<Decimal> {
        self.points_earned
            .filter(|_| self.grading_method == Some(GradingMethod::Manual))
    }
}

/// A handed-in attempt whose row is locked and whose former owner is fenced off.
#[derive(Debug)]
pub(super) struct LockedAttempt {
    pub id: AttemptId,
    pub exam_version_id: ExamVersionId,
    pub started_at: DateTime<Utc>,
    pub control: AttemptControl,
    pub late: bool,
    pub definition: String,
    pub policy: MarkingPolicy,
    pub answers: Vec<MarkingAnswer>,
}

impl LockedAttempt {
    pub(super) fn answer(&self, question: &QuestionId) -> Option<&MarkingAnswer> {
        self.answers
            .iter()
            .find(|answer| answer.question == *question)
    }
}

//! Corrected keys, and the results that they change.

use rust_decimal::Decimal;
use serde_json::Value;

use invigil_domain::id::{AttemptId, QuestionId};

/// The corrected key of a question.
#[derive(Debug)]
pub struct KeyCorrection {
    /// Id of the question within the exam.
    pub question: QuestionId,
    /// Correct key, as in the exam file.
    pub answer: Value,
    /// Reason, kept with the correction.
    pub reason: String,
}

/// The part of a result that a corrected key may change.
#[derive(Debug, Clone, PartialEq, Eq, sqlx_macros::FromRow)]
pub struct ResultSums {
    /// Points.
    pub score: Decimal,
    /// True if the attempt is passed; none while answers wait for a mark.
    pub passed: Option<bool>,
    /// Grade.
    pub grade: Option<String>,
}

/// An attempt whose result is changed by a corrected key.
#[derive(Debug)]
pub struct ChangedResult {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Sign-in name of the candidate.
    pub candidate: String,
    /// Result before the correction.
    pub before: ResultSums,
    /// Result after the correction.
    pub after: ResultSums,
}

/// Effects of a corrected key.
#[derive(Debug, Default)]
pub struct RegradeReport {
    /// Count of regraded attempts.
    pub attempts: usize,
    /// Attempts whose result changes.
    pub changed: Vec<ChangedResult>,
}

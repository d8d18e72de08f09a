//! Answers that wait for a person.

use serde::Deserialize;
use serde_json::Value;

use crate::ids::BankQuestionId;
use invigil_domain::{
    exam::QuestionType,
    id::{AttemptId, QuestionId},
};

/// An answer to be marked by a person, without the name of its candidate.
#[derive(Debug, Deserialize)]
pub struct GradingQueueItem {
    /// The attempt.
    pub attempt_id: AttemptId,
    /// Id of the question within the exam.
    pub question: QuestionId,
    /// Version of the question in the bank.
    pub question_id: BankQuestionId,
    /// Type of the question.
    #[serde(rename = "type")]
    pub kind: QuestionType,
    /// Definition of the question, with its rubric.
    pub definition: Value,
    /// Value of the answer.
    pub value: Value,
    /// Largest mark.
    pub points_possible: f64,
    /// Marks so far: 1 if a second is required, 2 if they differ.
    pub marks: i64,
    /// True if a marker holds a claim on it.
    pub claimed: bool,
}

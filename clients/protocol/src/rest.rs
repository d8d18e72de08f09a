//! Requests and responses of the REST calls that a client needs, under `/api/v1`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use crate::candidate::AttemptStatus;

/// `POST /login`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginRequest {
    /// The person's id.
    pub id: String,
    /// The access code.
    pub code: String,
}

/// Response to [`LoginRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginReply {
    /// The login token, to be sent as Bearer.
    pub token: String,
    /// When it expires.
    pub expires_at: i64,
    /// The person who logged in.
    pub user: LoginUser,
}

/// A person who has logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "User")]
pub struct LoginUser {
    /// The person's id.
    pub id: String,
    /// Shown to people.
    pub name: String,
    /// `candidate`, `proctor`, `teacher`, `admin`.
    pub roles: Vec<String>,
}

/// `POST /exams/{code}/attempts`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StartRequest")]
pub struct AttemptStart {
    /// The exam's password, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// Response to [`AttemptStart`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StartReply")]
pub struct AttemptStartReply {
    /// The attempt's id.
    pub attempt: String,
    /// The attempt token: for `hello` and for every call about this attempt.
    pub token: String,
    /// Status of the attempt.
    pub status: AttemptStatus,
    /// Path of the socket.
    pub socket: String,
}

/// `GET /attempts/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptView {
    /// The attempt's id.
    pub id: String,
    /// Status of the attempt.
    pub status: AttemptStatus,
    /// When it was started.
    pub started_at: i64,
    /// End of the candidate's time; null while the clock has not begun.
    pub deadline_at: Option<i64>,
    /// Remaining time; null while the clock has not begun.
    pub remaining_ms: Option<i64>,
    /// Rises with every change of the deadline.
    pub timing_rev: u64,
    /// Number of questions that have an answer.
    pub answered: u32,
    /// Number of questions of the paper.
    pub questions: u32,
}

/// `GET /attempts/{id}/result`, and `submitted.result`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ResultView")]
pub struct AttemptScore {
    /// The attempt's id.
    pub attempt: String,
    /// Status of the attempt.
    pub status: AttemptStatus,
    /// Points so far.
    pub score: Number,
    /// Points that can be reached.
    pub max_score: Number,
    /// 0 to 100.
    pub percentage: Number,
    /// Null while something awaits marking.
    pub passed: Option<bool>,
    /// Null while something awaits marking.
    pub grade: Option<String>,
    /// True if an answer or the hand-in came after the deadline.
    pub late: bool,
    /// Points deducted by the late penalty.
    pub penalty: Number,
    /// True while something awaits marking by a person.
    pub needs_marking: bool,
    /// In the paper's order.
    pub questions: Vec<QuestionScore>,
}

/// Score of a question, in an [`AttemptScore`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "QuestionResult")]
pub struct QuestionScore {
    /// Id of the question.
    pub q: String,
    /// Points that can be reached.
    pub points: Number,
    /// Null while it awaits marking.
    pub score: Option<Number>,
    /// The answer's value; null: unanswered.
    pub value: Value,
    /// The right answer, if the exam shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
}

/// An error: `application/problem+json` of RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemReply {
    /// Address of a description, or `about:blank`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Kind of error, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence of the error, for people.
    #[serde(default)]
    pub detail: String,
    /// Stable code, for programs.
    pub code: String,
}

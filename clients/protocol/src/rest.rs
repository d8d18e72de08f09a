//! What the REST calls that a client needs ask and answer, under `/api/v1`.

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

/// Answer to [`LoginRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginReply {
    /// The login token, to be sent as Bearer.
    pub token: String,
    /// When it expires.
    pub expires_at: i64,
    /// Who that is.
    pub user: User,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// The person's id.
    pub id: String,
    /// Shown to people.
    pub name: String,
    /// `candidate`, `proctor`, `teacher`, `admin`.
    pub roles: Vec<String>,
}

/// `POST /exams/{code}/attempts`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct StartRequest {
    /// Where the exam asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// Answer to [`StartRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartReply {
    /// The attempt's id.
    pub attempt: String,
    /// The attempt token: for `hello` and for every call about this attempt.
    pub token: String,
    /// Where the attempt stands.
    pub status: AttemptStatus,
    /// Path of the socket.
    pub socket: String,
}

/// `GET /attempts/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptView {
    /// The attempt's id.
    pub id: String,
    /// Where it stands.
    pub status: AttemptStatus,
    /// When it was started.
    pub started_at: i64,
    /// End of the candidate's time; null while the clock has not begun.
    pub deadline_at: Option<i64>,
    /// What is left of it.
    pub remaining_ms: Option<i64>,
    /// Rises with every change of the deadline.
    pub timing_rev: u64,
    /// Questions that have an answer.
    pub answered: u32,
    /// Questions of the paper.
    pub questions: u32,
}

/// `GET /attempts/{id}/result`, and `submitted.result`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResultView {
    /// The attempt's id.
    pub attempt: String,
    /// Where it stands.
    pub status: AttemptStatus,
    /// Points so far.
    pub score: Number,
    /// Points that there are.
    pub max_score: Number,
    /// 0 to 100.
    pub percentage: Number,
    /// Null while a person has to mark.
    pub passed: Option<bool>,
    /// Null while a person has to mark.
    pub grade: Option<String>,
    /// Whether an answer or the hand-in came after the deadline.
    pub late: bool,
    /// Points that the late penalty took.
    pub penalty: Number,
    /// Whether a person has to mark something.
    pub needs_marking: bool,
    /// In the paper's order.
    pub questions: Vec<QuestionResult>,
}

/// One question of a [`ResultView`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuestionResult {
    /// Which question.
    pub q: String,
    /// Points that there are.
    pub points: Number,
    /// Null while a person has to mark it.
    pub score: Option<Number>,
    /// What was answered; null: nothing.
    pub value: Value,
    /// The right answer, where the exam shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
}

/// An error: `application/problem+json` of RFC 9457.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Address of a description, or `about:blank`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind of error, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This very error, for people.
    #[serde(default)]
    pub detail: String,
    /// Stable, for programs.
    pub code: String,
}

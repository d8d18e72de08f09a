//! Messages from a proctor's console.
//!
//! [`Command`] is also the body of `POST /api/v1/exams/{code}/commands`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::candidate::NoticeLevel;

/// A message from a proctor's console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum ProctorMessage {
    /// The first frame: who this is.
    Hello(Hello),
    /// Asks for an exam's board and what changes on it.
    Watch(Watch),
    /// Ends that.
    Unwatch(Watch),
    /// Asks for one attempt's detail and its events, or ends that.
    Inspect(Inspect),
    /// Acts on attempts.
    Command(Command),
    /// Says that the console is alive; answered by `pulse`.
    Heartbeat(Heartbeat),
}

impl ProctorMessage {
    /// Every `t` that a console may send.
    pub const TAGS: [&str; 6] = [
        "hello",
        "watch",
        "unwatch",
        "inspect",
        "command",
        "heartbeat",
    ];
}

/// See [`ProctorMessage::Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConsoleHello")]
pub struct Hello {
    /// The login token.
    pub token: String,
}

/// See [`ProctorMessage::Watch`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Watch {
    /// The exam's code.
    pub exam: String,
}

/// See [`ProctorMessage::Inspect`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inspect {
    /// Which attempt.
    pub attempt: String,
    /// Begin, or end.
    pub on: bool,
}

/// See [`ProctorMessage::Heartbeat`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConsoleHeartbeat")]
pub struct Heartbeat {
    /// Comes back in `pulse`.
    pub n: u64,
}

/// See [`ProctorMessage::Command`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// Unique among the person's commands: a repeat does nothing again.
    pub id: String,
    /// Which attempts.
    pub target: Target,
    /// What to do.
    pub action: ActionName,
    /// What the action needs.
    #[serde(default)]
    pub args: Args,
}

/// The attempts that a command is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// One.
    Attempt(String),
    /// Several.
    Attempts(Vec<String>),
    /// All live ones of an exam.
    Exam(String),
}

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionName {
    /// Sends a notice: `text`, `level`, `ack`.
    Message,
    /// Stops the clock: `reason`.
    Pause,
    /// Lets it go on, the time paused given back: `reason`.
    Resume,
    /// Moves the deadline: `ms`, `reason`.
    Extend,
    /// Hands the attempt in as it stands: `reason`.
    Submit,
    /// Voids the attempt: `reason`.
    Cancel,
    /// Marks it for review after the exam: `reason`.
    Flag,
    /// Takes that mark off: `reason`.
    Unflag,
    /// Lets the candidate enter again from another device: `reason`.
    Release,
    /// Closes an incident: `incident`, `verdict`, `note`.
    Resolve,
    /// Gives an incident to a proctor: `incident`, `to` (absent: to nobody).
    Assign,
}

/// What actions need; see [`ActionName`] for which needs what.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Args {
    /// Text of the notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How the notice is shown; `info` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<NoticeLevel>,
    /// Whether the notice must be acknowledged; no where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<bool>,
    /// Shown to the candidate, or kept in the timeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// By how much the deadline moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<i64>,
    /// Which incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// What became of the incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// More about the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who looks after the incident: a person's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

//! Messages from a proctor's console.
//!
//! [`ProctorCommand`] is also the body of `POST /api/v1/exams/{code}/commands`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::candidate::NoticePriority;

/// A message from a proctor's console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "t", rename_all = "snake_case")]
#[schemars(rename = "ProctorMessage")]
pub enum ProctorClientMessage {
    /// The first frame: authenticates the person.
    Hello(ProctorHello),
    /// Asks for an exam's board and its changes.
    Watch(WatchRequest),
    /// Ends a `watch`.
    Unwatch(WatchRequest),
    /// Asks for one attempt's detail and its events, or ends the inspection.
    Inspect(InspectRequest),
    /// Acts on attempts.
    Command(ProctorCommand),
    /// Shows that the console is alive; answered by `pulse`.
    Heartbeat(ProctorHeartbeat),
}

impl ProctorClientMessage {
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

/// See [`ProctorClientMessage::Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConsoleHello")]
pub struct ProctorHello {
    /// The login token.
    pub token: String,
}

/// See [`ProctorClientMessage::Watch`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Watch")]
pub struct WatchRequest {
    /// The exam's code.
    pub exam: String,
}

/// See [`ProctorClientMessage::Inspect`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Inspect")]
pub struct InspectRequest {
    /// Id of the attempt.
    pub attempt: String,
    /// True to begin, false to end.
    pub on: bool,
}

/// See [`ProctorClientMessage::Heartbeat`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConsoleHeartbeat")]
pub struct ProctorHeartbeat {
    /// Number that `pulse` returns.
    pub n: u64,
}

/// See [`ProctorClientMessage::Command`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Command")]
pub struct ProctorCommand {
    /// Unique among the person's commands: a repeat does nothing again.
    pub id: String,
    /// The attempts to act on.
    pub target: CommandTarget,
    /// The action to perform.
    pub action: ActionName,
    /// Arguments of the action.
    #[serde(default)]
    pub args: CommandArgs,
}

/// The attempts that a command acts on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Target")]
pub enum CommandTarget {
    /// A single attempt, by its id.
    Attempt(String),
    /// Several attempts, by their ids.
    Attempts(Vec<String>),
    /// All live attempts of an exam, by its code.
    Exam(String),
}

/// Action of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActionName {
    /// Sends a notice: `text`, `level`, `ack`.
    Message,
    /// Stops the clock: `reason`.
    Pause,
    /// Starts the clock again and gives the paused time back: `reason`.
    Resume,
    /// Moves the deadline: `ms`, `reason`.
    Extend,
    /// Hands the attempt in as it stands: `reason`.
    Submit,
    /// Voids the attempt: `reason`.
    Cancel,
    /// Marks the attempt for review after the exam: `reason`.
    Flag,
    /// Removes that mark: `reason`.
    Unflag,
    /// Lets the candidate enter again from another device: `reason`.
    Release,
    /// Closes an incident: `incident`, `verdict`, `note`.
    Resolve,
    /// Assigns an incident to a proctor: `incident`, `to` (absent: unassigns it).
    Assign,
}

/// Arguments of all actions; [`ActionName`] lists those of each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Args")]
pub struct CommandArgs {
    /// Text of the notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Priority of the notice; `info` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<NoticePriority>,
    /// True if the notice must be acknowledged; false if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack: Option<bool>,
    /// Shown to the candidate, or kept in the timeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Amount by which the deadline moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<i64>,
    /// Id of the incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// Verdict on the incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Note on the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Id of the person to whom the incident is assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

//! Messages from the engine to a proctor's console.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::client::{ActionName, Target};
use crate::{
    candidate::{AttemptStatus, Bye, Error},
    rest::User,
};

/// A message from the engine to a proctor's console.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum ConsoleMessage {
    /// Answers `hello`.
    Welcome(Welcome),
    /// A part of an exam's whole board.
    Board(Board),
    /// What changed on a board.
    Delta(Delta),
    /// Something happened that a person should look at.
    Incident(Incident),
    /// Answers `inspect`.
    Detail(Detail),
    /// An event of the attempt that is inspected.
    Event(AttemptEvent),
    /// How far a command is.
    Result(CommandResult),
    /// Whom a command's notice reached.
    Receipt(Receipt),
    /// Who else watches an exam, and whom.
    Presence(Presence),
    /// What a proctor of the exam did.
    Action(Action),
    /// Answers a heartbeat.
    Pulse(Pulse),
    /// Something that was sent made no sense, or is not allowed.
    Error(Error),
    /// The last message before the socket is closed.
    Bye(Bye),
}

impl ConsoleMessage {
    /// Every `t` that the engine may send a console.
    pub const TAGS: [&str; 13] = [
        "welcome", "board", "delta", "incident", "detail", "event", "result", "receipt",
        "presence", "action", "pulse", "error", "bye",
    ];
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// See [`ConsoleMessage::Welcome`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConsoleWelcome")]
pub struct Welcome {
    /// The session's id.
    pub session: String,
    /// The engine's clock.
    pub now_at: i64,
    /// Who this is.
    pub user: User,
    /// What the person may watch.
    pub exams: Vec<WatchableExam>,
    /// What the console must keep to.
    pub limits: ConsoleLimits,
}

/// An exam that a person may watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WatchableExam {
    /// The exam's code.
    pub code: String,
    /// Shown to people.
    pub title: String,
    /// Attempts that are live.
    pub live: u32,
}

/// What a console must keep to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsoleLimits {
    /// How often a heartbeat is wanted.
    pub heartbeat_ms: i64,
    /// A bigger frame closes the socket.
    pub frame_bytes: u64,
}

/// See [`ConsoleMessage::Board`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Board {
    /// The exam's code.
    pub exam: String,
    /// The engine's clock.
    pub now_at: i64,
    /// From 1 to `parts`.
    pub part: u32,
    /// How many there are.
    pub parts: u32,
    /// Whole rows.
    pub rows: Vec<Row>,
    /// Sums over the exam.
    pub totals: Totals,
    /// Whether rows of other nodes may be missing or old: not all of them are heard.
    #[serde(default, skip_serializing_if = "is_false")]
    pub partial: bool,
}

/// See [`ConsoleMessage::Delta`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delta {
    /// The exam's code.
    pub exam: String,
    /// The engine's clock.
    pub now_at: i64,
    /// Rows with only what changed.
    pub rows: Vec<Row>,
    /// Sums over the exam.
    pub totals: Totals,
    /// Whether rows of other nodes may be missing or old: not all of them are heard.
    #[serde(default, skip_serializing_if = "is_false")]
    pub partial: bool,
}

/// One attempt on a board. In a `delta` only what changed is there, and what has no
/// value any more is null.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[expect(
    clippy::option_option,
    reason = "absent, null and a value are three things"
)]
pub struct Row {
    /// Which attempt.
    pub attempt: String,
    /// Whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<CandidateName>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AttemptStatus>,
    /// Whether the candidate is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<bool>,
    /// End of the candidate's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<i64>,
    /// Questions that have an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<u32>,
    /// Questions of the paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub questions: Option<u32>,
    /// The question on screen.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "or_null"
    )]
    pub q: Option<Option<String>>,
    /// 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<u8>,
    /// Open and closed ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incidents: Option<IncidentCounts>,
    /// When the candidate was last heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<i64>,
    /// As the client measured.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "or_null"
    )]
    pub rtt_ms: Option<Option<i64>>,
    /// Marked for review after the exam.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flagged: Option<bool>,
    /// The node that owns the attempt.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "or_null"
    )]
    pub node: Option<Option<String>>,
}

impl Row {
    /// Whether it says anything besides which attempt it is about.
    pub fn changes_anything(&self) -> bool {
        let nothing = Self {
            attempt: self.attempt.clone(),
            ..Self::default()
        };
        *self != nothing
    }

    /// Bytes of the row as JSON or MessagePack, at most.
    pub fn size_bound(&self) -> usize {
        // Every field whole, with its name; a character of a text may take six.
        let texts = [&self.q, &self.node].map(|text| text.iter().flatten().map(String::len).sum());
        let candidate = self.candidate.as_ref();
        let names = candidate.map_or(0, |candidate| candidate.id.len() + candidate.name.len());
        let fixed = match candidate {
            Some(_) => 420,
            None if self.incidents.is_some() => 300,
            None if self.status.is_some() || self.answered.is_some() => 220,
            None => 80,
        };
        fixed + self.attempt.len() + 6 * (texts.iter().sum::<usize>() + names)
    }
}

/// Tells a null from a field that is not there.
#[expect(
    clippy::option_option,
    reason = "absent, null and a value are three things"
)]
fn or_null<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// A candidate on a board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CandidateName {
    /// The person's id.
    pub id: String,
    /// Shown to people.
    pub name: String,
}

/// Incidents by severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub struct IncidentCounts {
    pub low: u32,
    pub medium: u32,
    pub high: u32,
    pub critical: u32,
}

/// Sums over an exam.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Attempts.
    pub attempts: u32,
    /// With a candidate connected.
    pub online: u32,
    /// The clock runs.
    pub in_progress: u32,
    /// Staff stopped the clock.
    pub paused: u32,
    /// Handed in.
    pub submitted: u32,
    /// Marked for review after the exam.
    pub flagged: u32,
}

/// See [`ConsoleMessage::Incident`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(
    clippy::struct_field_names,
    reason = "the names are the protocol's own"
)]
pub struct Incident {
    /// The exam's code.
    pub exam: String,
    /// Which attempt.
    pub attempt: String,
    /// What happened.
    pub incident: IncidentInfo,
}

/// What happened, as a rule of the exam judges it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IncidentInfo {
    /// For `resolve`.
    pub id: String,
    /// The event kind that led to it.
    pub kind: String,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// When.
    pub at: i64,
    /// Whether it still waits for a person.
    pub open: bool,
    /// How many events it stands for.
    #[serde(default)]
    pub events: u32,
    /// The gravest that followed: `note`, `warn`, `flag`, `pause` or `cancel`.
    #[serde(default)]
    pub then: String,
    /// Its newest event.
    #[serde(default)]
    pub last_at: i64,
    /// The proctor who looks after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_to: Option<String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// What a person wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// See [`ConsoleMessage::Detail`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Detail {
    /// Which attempt.
    pub attempt: String,
    /// The whole row.
    pub row: Row,
    /// What the risk is made of, most first.
    #[serde(default)]
    pub risk: Vec<RiskPart>,
    /// The newest incidents, oldest first.
    #[serde(default)]
    pub incidents: Vec<IncidentInfo>,
    /// The newest events, oldest first.
    pub events: Vec<TimelineEntry>,
}

/// A part of an attempt's risk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RiskPart {
    /// The kind of event.
    pub kind: String,
    /// How much of the risk.
    pub points: u32,
}

/// See [`ConsoleMessage::Event`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptEvent {
    /// Which attempt.
    pub attempt: String,
    /// What happened.
    pub event: TimelineEntry,
}

/// One entry of an attempt's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineEntry {
    /// By the engine's clock.
    pub at: i64,
    /// Stable name.
    pub kind: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
}

/// See [`ConsoleMessage::Result`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommandResult {
    /// The command's.
    pub id: String,
    /// Attempts on which it is applied and durable.
    pub done: u32,
    /// Attempts on which it had no effect.
    pub failed: Vec<Failed>,
    /// Attempts that it was for.
    pub total: u32,
}

/// One attempt on which a command had no effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failed {
    /// Which attempt.
    pub attempt: String,
    /// `closed`, `not_paused`, `forbidden` and the like.
    pub code: String,
    /// A short English sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// See [`ConsoleMessage::Receipt`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// The command's.
    pub id: String,
    /// Devices that have received it.
    pub delivered: u32,
    /// Persons who have acknowledged it.
    pub acknowledged: u32,
    /// Attempts that it was for.
    pub total: u32,
}

/// See [`ConsoleMessage::Presence`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Presence {
    /// The exam's code.
    pub exam: String,
    /// Every console that watches it.
    pub proctors: Vec<Watcher>,
}

/// Who watches an exam.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Watcher {
    /// The person's id.
    pub id: String,
    /// Shown to people.
    pub name: String,
    /// The attempts that are inspected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inspects: Vec<String>,
}

/// See [`ConsoleMessage::Action`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the same name as in a command")]
pub struct Action {
    /// The exam's code.
    pub exam: String,
    /// Who did it: the person's id.
    pub by: String,
    /// The person's name.
    pub name: String,
    /// What.
    pub action: ActionName,
    /// To whom.
    pub target: Target,
    /// When.
    pub at: i64,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// See [`ConsoleMessage::Pulse`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConsolePulse")]
pub struct Pulse {
    /// The heartbeat's.
    pub n: u64,
    /// The engine's clock.
    pub now_at: i64,
}

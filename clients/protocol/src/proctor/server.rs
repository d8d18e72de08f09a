//! Messages from the engine to a proctor's console.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::client::{ActionName, CommandTarget};
use crate::{
    candidate::{AttemptStatus, ByeMessage, ErrorMessage},
    rest::LoginUser,
};

/// A message from the engine to a proctor's console.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "t", rename_all = "snake_case")]
#[schemars(rename = "ConsoleMessage")]
pub enum ProctorServerMessage {
    /// Answers `hello`.
    Welcome(ProctorWelcome),
    /// A part of an exam's whole board.
    Board(BoardPart),
    /// Changes of a board.
    Delta(BoardDelta),
    /// An incident that a person should look at.
    Incident(IncidentAlert),
    /// Answers `inspect`.
    Detail(AttemptDetail),
    /// An event of the inspected attempt.
    Event(InspectedEvent),
    /// Progress of a command.
    Result(CommandResult),
    /// Delivery of a command's notice.
    Receipt(NoticeDelivery),
    /// The consoles that watch an exam, and the attempts that they inspect.
    Presence(ProctorPresence),
    /// An action of a proctor of the exam.
    Action(ProctorAction),
    /// Answers a heartbeat.
    Pulse(ProctorPulse),
    /// A message of the console was invalid, or is not allowed.
    Error(ErrorMessage),
    /// The last message before the socket is closed.
    Bye(ByeMessage),
}

impl ProctorServerMessage {
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

/// See [`ProctorServerMessage::Welcome`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConsoleWelcome")]
pub struct ProctorWelcome {
    /// The session's id.
    pub session: String,
    /// Time by the engine's clock.
    pub now_at: i64,
    /// The person at the console.
    pub user: LoginUser,
    /// The exams that the person may watch.
    pub exams: Vec<WatchableExam>,
    /// Limits of the console.
    pub limits: ProctorLimits,
}

/// An exam that a person may watch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WatchableExam {
    /// The exam's code.
    pub code: String,
    /// Shown to people.
    pub title: String,
    /// Number of live attempts.
    pub live: u32,
}

/// Limits of a console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConsoleLimits")]
pub struct ProctorLimits {
    /// Interval between heartbeats.
    pub heartbeat_ms: i64,
    /// Largest frame; a larger one closes the socket.
    pub frame_bytes: u64,
}

/// See [`ProctorServerMessage::Board`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Board")]
pub struct BoardPart {
    /// The exam's code.
    pub exam: String,
    /// Time by the engine's clock.
    pub now_at: i64,
    /// Number of this part, from 1 to `parts`.
    pub part: u32,
    /// Number of parts.
    pub parts: u32,
    /// Complete rows.
    pub rows: Vec<ConsoleRow>,
    /// Sums over the exam.
    pub totals: BoardTotals,
    /// True if rows of other nodes may be missing or stale, as some nodes are silent.
    #[serde(default, skip_serializing_if = "is_false")]
    pub partial: bool,
}

/// See [`ProctorServerMessage::Delta`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Delta")]
pub struct BoardDelta {
    /// The exam's code.
    pub exam: String,
    /// Time by the engine's clock.
    pub now_at: i64,
    /// Rows with only the changed fields.
    pub rows: Vec<ConsoleRow>,
    /// Sums over the exam.
    pub totals: BoardTotals,
    /// True if rows of other nodes may be missing or stale, as some nodes are silent.
    #[serde(default, skip_serializing_if = "is_false")]
    pub partial: bool,
}

/// An attempt on a board. In a `delta` unchanged fields are absent, and a field that
/// has lost its value is null.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[expect(
    clippy::option_option,
    reason = "absent, null and a value are three things"
)]
#[schemars(rename = "Row")]
pub struct ConsoleRow {
    /// Id of the attempt.
    pub attempt: String,
    /// The candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<CandidateName>,
    /// Status of the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AttemptStatus>,
    /// True while the candidate is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<bool>,
    /// End of the candidate's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<i64>,
    /// Number of questions that have an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<u32>,
    /// Number of questions of the paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub questions: Option<u32>,
    /// The question on screen.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "or_null"
    )]
    pub q: Option<Option<String>>,
    /// Risk, 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<u8>,
    /// Open and closed incidents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incidents: Option<IncidentCounts>,
    /// Time of the candidate's last message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<i64>,
    /// Round trip, as measured by the client.
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

impl ConsoleRow {
    /// True if the row has any field besides the attempt's id.
    pub fn changes_anything(&self) -> bool {
        let nothing = Self {
            attempt: self.attempt.clone(),
            ..Self::default()
        };
        *self != nothing
    }

    /// Upper bound on the bytes of the row as JSON or MessagePack.
    pub fn size_bound(&self) -> usize {
        // Every field at full length with its name; a character may take six bytes.
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

/// Deserializes null as `Some(None)`, unlike an absent field.
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

/// Number of incidents by severity.
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
#[schemars(rename = "Totals")]
pub struct BoardTotals {
    /// All attempts.
    pub attempts: u32,
    /// Attempts with a connected candidate.
    pub online: u32,
    /// Attempts whose clock runs.
    pub in_progress: u32,
    /// Attempts whose clock is stopped by staff.
    pub paused: u32,
    /// Attempts handed in.
    pub submitted: u32,
    /// Marked for review after the exam.
    pub flagged: u32,
}

/// See [`ProctorServerMessage::Incident`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Incident")]
pub struct IncidentAlert {
    /// The exam's code.
    pub exam: String,
    /// Id of the attempt.
    pub attempt: String,
    /// The incident.
    pub incident: IncidentView,
}

/// The incident, as a rule of the exam judges it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IncidentInfo")]
pub struct IncidentView {
    /// Id of the incident, for `resolve`.
    pub id: String,
    /// Kind of the events that led to it.
    pub kind: String,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// Time by the engine's clock.
    pub at: i64,
    /// True until a person resolves it.
    pub open: bool,
    /// Number of events that belong to it.
    #[serde(default)]
    pub events: u32,
    /// Gravest consequence so far: `note`, `warn`, `flag`, `pause` or `cancel`.
    #[serde(default)]
    pub then: String,
    /// Time of its newest event.
    #[serde(default)]
    pub last_at: i64,
    /// Id of the proctor to whom it is assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_to: Option<String>,
    /// Verdict on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// Note on the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// See [`ProctorServerMessage::Detail`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Detail")]
pub struct AttemptDetail {
    /// Id of the attempt.
    pub attempt: String,
    /// The complete row.
    pub row: ConsoleRow,
    /// Shares of the risk, largest first.
    #[serde(default)]
    pub risk: Vec<RiskPart>,
    /// The newest incidents, oldest first.
    #[serde(default)]
    pub incidents: Vec<IncidentView>,
    /// The newest events, oldest first.
    pub events: Vec<TimelineEntry>,
}

/// Share of one kind of event in an attempt's risk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RiskPart {
    /// The kind of event.
    pub kind: String,
    /// Share of the risk.
    pub points: u32,
}

/// See [`ProctorServerMessage::Event`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AttemptEvent")]
pub struct InspectedEvent {
    /// Id of the attempt.
    pub attempt: String,
    /// The event.
    pub event: TimelineEntry,
}

/// An entry of an attempt's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimelineEntry {
    /// Time by the engine's clock.
    pub at: i64,
    /// Stable name of its kind.
    pub kind: String,
    /// Details, by kind.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
}

/// See [`ProctorServerMessage::Result`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommandResult {
    /// Id of the command.
    pub id: String,
    /// Number of attempts on which it is applied and durable.
    pub done: u32,
    /// Attempts on which it had no effect.
    pub failed: Vec<CommandFailure>,
    /// Number of attempts that it acts on.
    pub total: u32,
}

/// An attempt on which a command had no effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Failed")]
pub struct CommandFailure {
    /// Id of the attempt.
    pub attempt: String,
    /// `closed`, `not_paused`, `forbidden` and the like.
    pub code: String,
    /// A short English sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// See [`ProctorServerMessage::Receipt`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Receipt")]
pub struct NoticeDelivery {
    /// Id of the command.
    pub id: String,
    /// Number of devices that have received it.
    pub delivered: u32,
    /// Number of candidates who have acknowledged it.
    pub acknowledged: u32,
    /// Number of attempts that it acts on.
    pub total: u32,
}

/// See [`ProctorServerMessage::Presence`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Presence")]
pub struct ProctorPresence {
    /// The exam's code.
    pub exam: String,
    /// The consoles that watch it.
    pub proctors: Vec<ExamWatcher>,
}

/// A person whose console watches an exam.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Watcher")]
pub struct ExamWatcher {
    /// The person's id.
    pub id: String,
    /// Shown to people.
    pub name: String,
    /// The attempts that the person inspects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inspects: Vec<String>,
}

/// See [`ProctorServerMessage::Action`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Action")]
pub struct ProctorAction {
    /// The exam's code.
    pub exam: String,
    /// Id of the person who acted.
    pub by: String,
    /// The person's name.
    pub name: String,
    /// The action.
    pub action: ActionName,
    /// The attempts acted on.
    pub target: CommandTarget,
    /// Time by the engine's clock.
    pub at: i64,
    /// Reason, if the person gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// See [`ProctorServerMessage::Pulse`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ConsolePulse")]
pub struct ProctorPulse {
    /// Number of the heartbeat.
    pub n: u64,
    /// Time by the engine's clock.
    pub now_at: i64,
}

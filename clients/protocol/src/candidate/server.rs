//! Messages from the engine to a candidate's client.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    code::{CloseCode, ErrorCode, RefusalCode},
    paper::SectionOrder,
};

/// A message from the engine to a candidate's client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum ServerMessage {
    /// Answers `hello`: everything that a client needs to go on.
    Welcome(Box<Welcome>),
    /// Every command up to `seq` is durable or was refused.
    Saved(Saved),
    /// One command is void for good.
    Refused(Refused),
    /// Answers a heartbeat.
    Pulse(Pulse),
    /// Every event up to `n` is in the recorder's durable path.
    EventAck(EventAck),
    /// The exam opens: the key of the sealed paper.
    Open(Open),
    /// The deadline moved.
    Timing(Timing),
    /// The engine is short of something, or no longer.
    Health(Health),
    /// The attempt's status changed, or the section.
    Status(StatusChange),
    /// Something for the person to read.
    Notice(Notice),
    /// The attempt is handed in and everything is durable.
    Submitted(Box<Submitted>),
    /// Something that was sent made no sense.
    Error(Error),
    /// The last message before the socket is closed.
    Bye(Bye),
}

impl ServerMessage {
    /// Every `t` that the engine may send a candidate.
    pub const TAGS: [&str; 13] = [
        "welcome",
        "saved",
        "refused",
        "pulse",
        "event_ack",
        "open",
        "timing",
        "health",
        "status",
        "notice",
        "submitted",
        "error",
        "bye",
    ];
}

/// See [`ServerMessage::Welcome`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Welcome {
    /// The session's id.
    pub session: String,
    /// Whether the client goes on counting; else its numbers begin at 1.
    pub resumed: bool,
    /// The engine's clock.
    pub now_at: i64,
    /// The attempt.
    pub attempt: AttemptInfo,
    /// 0 to 10; see [`Health`].
    pub health: u8,
    /// Every command up to this number is durable or was refused.
    pub saved_seq: u64,
    /// Every command up to this number has arrived.
    pub applied_seq: u64,
    /// Where the paper is.
    pub paper: PaperRef,
    /// Where the stored answers are.
    pub record: RecordRef,
    /// Not yet sent, or to be acknowledged and not yet.
    pub notices: Vec<Notice>,
    /// What the client must keep to.
    pub limits: Limits,
    /// The time-limited section that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<SectionClock>,
}

/// The attempt as [`Welcome`] describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AttemptInfo {
    /// The attempt's id.
    pub id: String,
    /// Where it stands.
    pub status: AttemptStatus,
    /// What it is about.
    pub exam: ExamInfo,
    /// When it was started.
    pub started_at: i64,
    /// End of the candidate's time.
    pub deadline_at: i64,
    /// The truth about time, to be counted down with a monotonic clock.
    pub remaining_ms: i64,
    /// Rises with every change of the deadline.
    pub timing_rev: u64,
    /// How long after the deadline answers still count, marked late.
    pub grace_ms: i64,
    /// In the lobby: when the exam opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<i64>,
}

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptStatus {
    /// Made, the clock does not run yet.
    Started,
    /// The clock runs.
    InProgress,
    /// Staff stopped the clock.
    Paused,
    /// Handed in by the candidate or by staff; something waits for a person.
    Submitted,
    /// Handed in by time; something waits for a person.
    AutoSubmitted,
    /// Handed in and marked.
    Graded,
    /// Marked, and looked over by a person.
    Reviewed,
    /// Void.
    Cancelled,
    /// Handed in, but held for an integrity review.
    Flagged,
}

impl AttemptStatus {
    /// Whether no answer changes any more.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Started | Self::InProgress | Self::Paused => false,
            Self::Submitted
            | Self::AutoSubmitted
            | Self::Graded
            | Self::Reviewed
            | Self::Cancelled
            | Self::Flagged => true,
        }
    }
}

/// The exam as a candidate sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExamInfo {
    /// The exam's code.
    pub code: String,
    /// Shown to people.
    pub title: String,
    /// Markdown, may be empty.
    pub instructions: String,
}

/// Where the paper is, and this candidate's order of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaperRef {
    /// `sha256:` and the hash of the content.
    pub version: String,
    /// To be fetched with the attempt token.
    pub url: String,
    /// Whether the document there is a [`crate::paper::SealedPaper`].
    pub sealed: bool,
    /// Absent where it comes with the paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<SectionOrder>>,
}

/// Where the stored answers are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordRef {
    /// A client that holds this version needs not fetch them.
    pub version: u64,
    /// To be fetched with the attempt token.
    pub url: String,
}

/// What a client must keep to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// How often a heartbeat is wanted.
    pub heartbeat_ms: i64,
    /// A bigger frame closes the socket.
    pub frame_bytes: u64,
    /// A bigger value is refused.
    pub answer_bytes: u64,
    /// Sustained rate; over it the engine reads more slowly.
    pub commands_per_s: u32,
    /// Commands that may come at once.
    pub burst: u32,
    /// Commands that may wait unsaved.
    pub unsaved: u32,
}

/// A time-limited section that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SectionClock {
    /// Which.
    pub id: String,
    /// What is left of its time.
    pub remaining_ms: i64,
}

/// See [`ServerMessage::Saved`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Saved {
    /// Cumulative.
    pub seq: u64,
}

/// See [`ServerMessage::Refused`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// Which command. Its number counts as used, except with `gap`.
    pub seq: u64,
    /// Why.
    pub code: RefusalCode,
    /// More about it, by code: `{expected}` with `gap`, `{rev, value}` with `conflict`.
    pub detail: Map<String, Value>,
    /// The question, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
}

impl Refused {
    /// A refusal that needs no explanation.
    pub fn new(seq: u64, code: RefusalCode, q: Option<String>) -> Self {
        Self {
            seq,
            code,
            detail: Map::new(),
            q,
        }
    }

    /// The number is too high; `expected` was due.
    pub fn gap(seq: u64, expected: u64, q: Option<String>) -> Self {
        let detail = Map::from_iter([("expected".to_owned(), json!(expected))]);
        Self {
            seq,
            code: RefusalCode::Gap,
            detail,
            q,
        }
    }

    /// The stored answer is newer than the one that was edited.
    pub fn conflict(seq: u64, q: String, rev: u32, value: Value) -> Self {
        let detail = Map::from_iter([("rev".to_owned(), json!(rev)), ("value".to_owned(), value)]);
        Self {
            seq,
            code: RefusalCode::Conflict,
            detail,
            q: Some(q),
        }
    }
}

/// See [`ServerMessage::Pulse`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pulse {
    /// The heartbeat's.
    pub n: u64,
    /// The engine's clock.
    pub now_at: i64,
    /// The truth about time.
    pub remaining_ms: i64,
    /// Every command up to this number is durable or was refused.
    pub saved_seq: u64,
    /// The time-limited section that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<SectionClock>,
}

/// See [`ServerMessage::EventAck`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventAck {
    /// Cumulative.
    pub n: u64,
    /// How many of those were dropped for their rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
}

/// See [`ServerMessage::Open`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Open {
    /// Base64 of the 256-bit key of the sealed paper.
    pub key: String,
    /// End of the candidate's time.
    pub deadline_at: i64,
    /// The truth about time.
    pub remaining_ms: i64,
    /// Rises with every change of the deadline.
    pub timing_rev: u64,
}

/// See [`ServerMessage::Timing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(
    clippy::struct_field_names,
    reason = "the names are the protocol's own"
)]
pub struct Timing {
    /// End of the candidate's time.
    pub deadline_at: i64,
    /// The truth about time.
    pub remaining_ms: i64,
    /// One with a lower number than was seen before is ignored.
    pub timing_rev: u64,
    /// Why it moved.
    pub reason: TimingReason,
}

/// Why a deadline moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimingReason {
    /// Staff gave more time.
    Extended,
    /// A pause is over, and its time was given back.
    Resumed,
    /// The engine had told it wrong.
    Corrected,
    /// Time without a connection was given back.
    Compensated,
}

/// See [`ServerMessage::Health`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// 0 (saves nothing) to 10 (all well). Under 5 clients hold back events.
    pub level: u8,
    /// How often a heartbeat is wanted.
    pub heartbeat_ms: i64,
}

/// See [`ServerMessage::Status`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusChange {
    /// Where the attempt stands.
    pub status: AttemptStatus,
    /// Shown to the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The section that runs from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
}

/// See [`ServerMessage::Notice`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Notice {
    /// Unique within the attempt; a repeat is shown once.
    pub id: String,
    /// How it is shown.
    pub level: NoticeLevel,
    /// Shown to the candidate.
    pub text: String,
    /// The sender's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whether the person must acknowledge it.
    pub ack: bool,
}

/// How a notice is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeLevel {
    /// In passing.
    Info,
    /// So that it is seen.
    Warning,
    /// In the way of everything else.
    Urgent,
}

/// See [`ServerMessage::Submitted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Submitted {
    /// When.
    pub at: i64,
    /// The final status.
    pub status: AttemptStatus,
    /// How it came about.
    pub handed_in: HandedIn,
    /// The signed hand-in receipt.
    pub receipt: Value,
    /// See [`crate::rest::ResultView`]; where the exam shows results at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// How an attempt was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HandedIn {
    /// By `submit`.
    Candidate,
    /// The time was over.
    Time,
    /// By a member of staff.
    Staff,
}

/// See [`ServerMessage::Error`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Error {
    /// What was wrong.
    pub code: ErrorCode,
    /// A short English sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// See [`ServerMessage::Bye`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bye {
    /// Names the close code that follows.
    pub code: CloseCode,
    /// A short English sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When to connect again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
}

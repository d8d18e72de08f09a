//! Messages from the engine to a candidate's client.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    code::{CloseCode, ErrorCode, RefusalCode},
    paper::PaperSectionOrder,
};

/// A message from the engine to a candidate's client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum ServerMessage {
    /// Answers `hello` with the state that a client needs to go on.
    Welcome(Box<CandidateWelcome>),
    /// Every command up to `seq` is durable or was refused.
    Saved(CommandsSaved),
    /// A refusal: the command is void for good.
    Refused(CommandRefused),
    /// Answers a heartbeat.
    Pulse(CandidatePulse),
    /// Every event up to `n` is in the recorder's durable path.
    EventAck(EventAck),
    /// The exam opens: the key of the sealed paper.
    Open(ExamOpened),
    /// The deadline moved.
    Timing(TimingChange),
    /// The engine's load changed.
    Health(EngineHealth),
    /// The attempt's status changed, or the section.
    Status(StatusChange),
    /// A notice for the person to read.
    Notice(CandidateNotice),
    /// The attempt is handed in and everything is durable.
    Submitted(Box<AttemptSubmitted>),
    /// A message of the client was invalid.
    Error(ErrorMessage),
    /// The last message before the socket is closed.
    Bye(ByeMessage),
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
#[schemars(rename = "Welcome")]
pub struct CandidateWelcome {
    /// Id of the session.
    pub session: String,
    /// True if the session goes on; else the client's numbers begin at 1.
    pub resumed: bool,
    /// Time by the engine's clock.
    pub now_at: i64,
    /// The attempt.
    pub attempt: WelcomeAttempt,
    /// Health of the engine, 0 to 10; see [`EngineHealth`].
    pub health: u8,
    /// Every command up to this number is durable or was refused.
    pub saved_seq: u64,
    /// Every command up to this number has arrived.
    pub applied_seq: u64,
    /// Location and version of the paper.
    pub paper: PaperRef,
    /// Location and version of the stored answers.
    pub record: RecordRef,
    /// Notices that were not sent yet, or still need an acknowledgement.
    pub notices: Vec<CandidateNotice>,
    /// Limits of the client.
    pub limits: CandidateLimits,
    /// The running section, if it has a time limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<SectionClock>,
}

/// The attempt, as part of [`CandidateWelcome`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AttemptInfo")]
pub struct WelcomeAttempt {
    /// Id of the attempt.
    pub id: String,
    /// Status of the attempt.
    pub status: AttemptStatus,
    /// The exam.
    pub exam: WelcomeExam,
    /// Time of its start.
    pub started_at: i64,
    /// End of the candidate's time.
    pub deadline_at: i64,
    /// Remaining time by the engine's clock, to be counted down with a monotonic clock.
    pub remaining_ms: i64,
    /// Rises with every change of the deadline.
    pub timing_rev: u64,
    /// Time after the deadline in which answers still count, marked late.
    pub grace_ms: i64,
    /// Time when the exam opens; present before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<i64>,
}

/// Status of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptStatus {
    /// Created; the clock does not run yet.
    Started,
    /// The clock runs.
    InProgress,
    /// Staff stopped the clock.
    Paused,
    /// Handed in by the candidate or by staff; something awaits marking.
    Submitted,
    /// Handed in when the time was over; something awaits marking.
    AutoSubmitted,
    /// Handed in and marked.
    Graded,
    /// Marked, and reviewed by a person.
    Reviewed,
    /// Void.
    Cancelled,
    /// Handed in, but held for an integrity review.
    Flagged,
}

impl AttemptStatus {
    /// True if answers can no longer change.
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

/// The exam, as part of [`CandidateWelcome`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ExamInfo")]
pub struct WelcomeExam {
    /// The exam's code.
    pub code: String,
    /// Shown to people.
    pub title: String,
    /// Markdown, may be empty.
    pub instructions: String,
}

/// Location of the paper, and the candidate's order of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaperRef {
    /// `sha256:` and the hash of the content.
    pub version: String,
    /// Path, to be fetched with the attempt token.
    pub url: String,
    /// True if the document there is a [`crate::paper::SealedPaper`].
    pub sealed: bool,
    /// The candidate's order; absent if it comes with the paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Vec<PaperSectionOrder>>,
}

/// Location of the stored answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordRef {
    /// Version of the record; a client that has it need not fetch the answers.
    pub version: u64,
    /// Path, to be fetched with the attempt token.
    pub url: String,
}

/// Limits of a candidate's client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Limits")]
pub struct CandidateLimits {
    /// Interval between heartbeats.
    pub heartbeat_ms: i64,
    /// Largest frame; a larger one closes the socket.
    pub frame_bytes: u64,
    /// Largest value; a larger one is refused.
    pub answer_bytes: u64,
    /// Sustained rate; above it the engine reads more slowly.
    pub commands_per_s: u32,
    /// Number of commands that may come at once.
    pub burst: u32,
    /// Number of commands that may be unsaved.
    pub unsaved: u32,
}

/// A running section with a time limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SectionClock {
    /// Id of the section.
    pub id: String,
    /// Remaining time of the section.
    pub remaining_ms: i64,
}

/// See [`ServerMessage::Saved`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Saved")]
pub struct CommandsSaved {
    /// Number of the last command covered.
    pub seq: u64,
}

/// See [`ServerMessage::Refused`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Refused")]
pub struct CommandRefused {
    /// Number of the command. It counts as used, except with `gap`.
    pub seq: u64,
    /// Reason of the refusal.
    pub code: RefusalCode,
    /// Details, by code: `{expected}` with `gap`, `{rev, value}` with `conflict`.
    pub detail: Map<String, Value>,
    /// Id of the command's question, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
}

impl CommandRefused {
    /// Creates a refusal without details.
    pub fn new(seq: u64, code: RefusalCode, q: Option<String>) -> Self {
        Self {
            seq,
            code,
            detail: Map::new(),
            q,
        }
    }

    /// Creates the refusal of a number that is too high; `expected` was due.
    pub fn for_gap(seq: u64, expected: u64, q: Option<String>) -> Self {
        let detail = Map::from_iter([("expected".to_owned(), json!(expected))]);
        Self {
            seq,
            code: RefusalCode::Gap,
            detail,
            q,
        }
    }

    /// Creates the refusal of an edit whose stored answer is newer than its base.
    pub fn for_conflict(seq: u64, q: String, rev: u32, value: Value) -> Self {
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
#[schemars(rename = "Pulse")]
pub struct CandidatePulse {
    /// Number of the heartbeat.
    pub n: u64,
    /// Time by the engine's clock.
    pub now_at: i64,
    /// Remaining time, by the engine's clock.
    pub remaining_ms: i64,
    /// Every command up to this number is durable or was refused.
    pub saved_seq: u64,
    /// The running section, if it has a time limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<SectionClock>,
}

/// See [`ServerMessage::EventAck`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventAck {
    /// Number of the last event covered.
    pub n: u64,
    /// Number of events dropped for their rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<u64>,
}

/// See [`ServerMessage::Open`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Open")]
pub struct ExamOpened {
    /// Base64 of the 256-bit key of the sealed paper.
    pub key: String,
    /// End of the candidate's time.
    pub deadline_at: i64,
    /// Remaining time, by the engine's clock.
    pub remaining_ms: i64,
    /// Rises with every change of the deadline.
    pub timing_rev: u64,
}

/// See [`ServerMessage::Timing`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Timing")]
pub struct TimingChange {
    /// End of the candidate's time.
    pub deadline_at: i64,
    /// Remaining time, by the engine's clock.
    pub remaining_ms: i64,
    /// Number of the change; a change with a lower number than a previous one is ignored.
    pub timing_rev: u64,
    /// Reason of the change.
    pub reason: TimingReason,
}

/// Reason of a change of the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimingReason {
    /// Staff gave more time.
    Extended,
    /// A pause is over, and its time was given back.
    Resumed,
    /// The engine had sent a wrong deadline.
    Corrected,
    /// Time without a connection was given back.
    Compensated,
}

/// See [`ServerMessage::Health`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Health")]
pub struct EngineHealth {
    /// 0 (saves nothing) to 10 (all well). Below 5 clients hold back events.
    pub level: u8,
    /// Interval between heartbeats.
    pub heartbeat_ms: i64,
}

/// See [`ServerMessage::Status`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusChange {
    /// Status of the attempt.
    pub status: AttemptStatus,
    /// Reason, shown to the candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Id of the section that runs from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
}

/// See [`ServerMessage::Notice`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Notice")]
pub struct CandidateNotice {
    /// Id, unique within the attempt; a repeated notice is shown once.
    pub id: String,
    /// Priority of the notice.
    pub level: NoticePriority,
    /// Text, shown to the candidate.
    pub text: String,
    /// Name of the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// True if the person must acknowledge it.
    pub ack: bool,
}

/// Priority of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "NoticeLevel")]
pub enum NoticePriority {
    /// Shown in passing.
    Info,
    /// Shown until it is noticed.
    Warning,
    /// Shown over everything else.
    Urgent,
}

/// See [`ServerMessage::Submitted`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Submitted")]
pub struct AttemptSubmitted {
    /// Time of the hand-in.
    pub at: i64,
    /// Final status.
    pub status: AttemptStatus,
    /// Cause of the hand-in.
    pub handed_in: SubmittedBy,
    /// The signed hand-in receipt.
    pub receipt: Value,
    /// See [`crate::rest::AttemptScore`]; present if the exam shows results at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// Cause of a hand-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "HandedIn")]
pub enum SubmittedBy {
    /// By `submit`.
    Candidate,
    /// The time was over.
    Time,
    /// By a member of staff.
    Staff,
}

/// See [`ServerMessage::Error`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct ErrorMessage {
    /// Code of the error.
    pub code: ErrorCode,
    /// A short English sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// See [`ServerMessage::Bye`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Bye")]
pub struct ByeMessage {
    /// The close code that follows.
    pub code: CloseCode,
    /// A short English sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Time to wait before the next connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
}

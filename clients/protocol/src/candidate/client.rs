//! Messages from a candidate's client.
//!
//! [`AnswerCommand`], [`FlagCommand`] and [`SubmitCommand`] are commands: they change
//! the record and are numbered by `seq`. The rest are signals. Empty optional fields
//! are left out; `null` in one of them counts as absent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A message from a candidate's client.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum ClientMessage {
    /// The first frame: authenticates the client, and may resume a session.
    Hello(CandidateHello),
    /// Answers a question, or clears its answer.
    Answer(AnswerCommand),
    /// Marks a question for the candidate's own review, or removes the mark.
    Flag(FlagCommand),
    /// Hands in.
    Submit(SubmitCommand),
    /// Shows that the client is alive, with its state; answered by `pulse`.
    Heartbeat(CandidateHeartbeat),
    /// Reports an event that the client noticed; answered by `event_ack`.
    Event(ReportedEvent),
    /// Acknowledges a notice for the person.
    NoticeAck(NoticeAck),
}

impl ClientMessage {
    /// Every `t` that a candidate's client may send.
    pub const TAGS: [&str; 7] = [
        "hello",
        "answer",
        "flag",
        "submit",
        "heartbeat",
        "event",
        "notice_ack",
    ];

    /// Returns the `seq` of a command; none for a signal.
    pub const fn seq(&self) -> Option<u64> {
        match self {
            Self::Answer(answer) => Some(answer.seq),
            Self::Flag(flag) => Some(flag.seq),
            Self::Submit(submit) => Some(submit.seq),
            Self::Hello(_) | Self::Heartbeat(_) | Self::Event(_) | Self::NoticeAck(_) => None,
        }
    }
}

/// See [`ClientMessage::Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Hello")]
pub struct CandidateHello {
    /// The attempt token that starting the attempt returned.
    pub token: String,
    /// The session to resume; absent on a first connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<SessionResume>,
    /// For the engine's statistics only; ignored if it is invalid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientDescription>,
}

/// The session that a client wants to resume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Resume")]
pub struct SessionResume {
    /// Id of the session, from `welcome`.
    pub session: String,
    /// Number of the client's next new command.
    pub next_seq: u64,
    /// Number of the client's next new event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_event: Option<u64>,
}

/// Name and version of the client program, and its device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ClientInfo")]
pub struct ClientDescription {
    /// Name of the client library.
    pub name: String,
    /// Version of the client library.
    #[serde(default)]
    pub version: String,
    /// Id of the device, made once by the client and kept there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// See [`ClientMessage::Answer`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Answer")]
pub struct AnswerCommand {
    /// Number of the command: 1, 2, 3 ... within the session, no gaps.
    pub seq: u64,
    /// Id of the question.
    pub q: String,
    /// The answer, in the form of the question's type; `null` clears it.
    #[serde(skip_serializing_if = "WireValue::is_malformed")]
    pub value: WireValue,
    /// The revision that was edited, 0 for none; absent: no check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_rev: Option<u32>,
    /// Time spent on the question since the last answer to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent_ms: Option<i64>,
    /// The first invalid optional field of the frame; never sent.
    #[serde(skip)]
    pub bad_field: Option<&'static str>,
}

/// An answer's value, as received.
///
/// Option id (`single_choice`), array of option ids (`multiple_choice`, also
/// `ordering`), boolean (`true_false`), array of strings (`fill_blank`), string
/// (`short_answer`, `essay`), `{language, source}` (`coding`), map from left to
/// right id (`matching`), array of `[x, y]` (`hotspot`); `null`: unanswered.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum WireValue {
    /// JSON that can be stored: no NUL, no lone surrogate, not nested too deep.
    Json(Value),
    /// Anything else, or no value at all; refused as `bad_value`.
    #[serde(skip)]
    Malformed,
}

impl WireValue {
    /// True if the value must be refused.
    pub const fn is_malformed(&self) -> bool {
        match self {
            Self::Json(_) => false,
            Self::Malformed => true,
        }
    }

    /// Returns the value, unless it must be refused.
    pub fn into_json(self) -> Option<Value> {
        match self {
            Self::Json(value) => Some(value),
            Self::Malformed => None,
        }
    }
}

/// See [`ClientMessage::Flag`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Flag")]
pub struct FlagCommand {
    /// Number of the command: 1, 2, 3 ... within the session, no gaps.
    pub seq: u64,
    /// Id of the question.
    pub q: String,
    /// True to set the mark, false to remove it.
    pub on: bool,
}

/// See [`ClientMessage::Submit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Submit")]
pub struct SubmitCommand {
    /// Number of the command: 1, 2, 3 ... within the session, no gaps.
    pub seq: u64,
}

/// See [`ClientMessage::Heartbeat`]. Invalid optional fields are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[schemars(rename = "Heartbeat")]
pub struct CandidateHeartbeat {
    /// Number that `pulse` returns.
    pub n: u64,
    /// The question on screen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// True while the page is visible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visible: Option<bool>,
    /// True while the page has the focus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub focused: Option<bool>,
    /// True while the page fills the screen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fullscreen: Option<bool>,
    /// Time from the last heartbeat to its `pulse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<i64>,
}

/// See [`ClientMessage::Event`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub struct ReportedEvent {
    /// Number of the event: 1, 2, 3 ... within the session, apart from `seq`.
    pub n: u64,
    /// An [`crate::code::EventKind`], or `x-` and a name; empty if it was neither.
    pub kind: String,
    /// Time by the client's clock.
    pub at: i64,
    /// Details, small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Map<String, Value>>,
    /// The first invalid field besides `n`; never sent. Such an event is not
    /// recorded, but its number is used up.
    #[serde(skip)]
    pub bad_field: Option<&'static str>,
}

/// See [`ClientMessage::NoticeAck`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NoticeAck {
    /// Id of the notice.
    pub id: String,
}

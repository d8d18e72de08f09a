//! Messages from a candidate's client.
//!
//! [`Answer`], [`Flag`] and [`Submit`] are commands: they change the record and
//! are numbered by `seq`. The rest are signals. Optional fields are left out
//! where they are empty; `null` in one of them counts as absent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A message from a candidate's client.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum ClientMessage {
    /// The first frame: who this is, and which session goes on.
    Hello(Hello),
    /// Answers a question, or clears its answer.
    Answer(Answer),
    /// Marks a question for the candidate's own review, or takes the mark off.
    Flag(Flag),
    /// Hands in.
    Submit(Submit),
    /// Says that the client is alive, and how things are; answered by `pulse`.
    Heartbeat(Heartbeat),
    /// Reports something that the client noticed; answered by `event_ack`.
    Event(Event),
    /// Says that the person has seen a notice.
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

    /// The `seq` of a command; none for a signal.
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
pub struct Hello {
    /// The attempt token that starting the attempt returned.
    pub token: String,
    /// Absent on a first connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume: Option<Resume>,
    /// For the engine's statistics only; ignored where it makes no sense.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientInfo>,
}

/// The session that a client wants to go on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resume {
    /// Its id, from `welcome`.
    pub session: String,
    /// The number that the client's next new command will have.
    pub next_seq: u64,
    /// The number that the client's next new event will have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_event: Option<u64>,
}

/// Which program speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientInfo {
    /// Name of the client library.
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// What the client calls the device that it runs on: made once, kept there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// See [`ClientMessage::Answer`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Answer {
    /// 1, 2, 3 ... within the session, no gaps.
    pub seq: u64,
    /// Which question.
    pub q: String,
    /// The answer, by the question's type; `null` clears.
    #[serde(skip_serializing_if = "WireValue::is_malformed")]
    pub value: WireValue,
    /// The revision that was edited, 0 for "none seen"; absent: no check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_rev: Option<u32>,
    /// Time on the question since the last answer to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spent_ms: Option<i64>,
    /// The first optional field that came in the wrong form; never sent.
    #[serde(skip)]
    pub bad_field: Option<&'static str>,
}

/// An answer's value as it came.
///
/// Option id (`single_choice`), array of option ids (`multiple_choice`, also
/// `ordering`), boolean (`true_false`), array of strings (`fill_blank`), string
/// (`short_answer`, `essay`), `{language, source}` (`coding`), map from left to
/// right id (`matching`), array of `[x, y]` (`hotspot`); `null`: unanswered.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum WireValue {
    /// JSON that can be kept: no NUL, no lone surrogate, not nested too deep.
    Json(Value),
    /// Anything else, or no value at all: to be refused as `bad_value`.
    #[serde(skip)]
    Malformed,
}

impl WireValue {
    /// Whether it is to be refused.
    pub const fn is_malformed(&self) -> bool {
        match self {
            Self::Json(_) => false,
            Self::Malformed => true,
        }
    }

    /// The value, unless it is to be refused.
    pub fn into_json(self) -> Option<Value> {
        match self {
            Self::Json(value) => Some(value),
            Self::Malformed => None,
        }
    }
}

/// See [`ClientMessage::Flag`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Flag {
    /// 1, 2, 3 ... within the session, no gaps.
    pub seq: u64,
    /// Which question.
    pub q: String,
    /// Set, or taken off.
    pub on: bool,
}

/// See [`ClientMessage::Submit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Submit {
    /// 1, 2, 3 ... within the session, no gaps.
    pub seq: u64,
}

/// See [`ClientMessage::Heartbeat`]. Optional fields of the wrong form are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Heartbeat {
    /// Comes back in `pulse`.
    pub n: u64,
    /// The question on screen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Whether the page can be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visible: Option<bool>,
    /// Whether the page has the focus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub focused: Option<bool>,
    /// Whether the page fills the screen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fullscreen: Option<bool>,
    /// Time from the last heartbeat to its `pulse`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<i64>,
}

/// See [`ClientMessage::Event`].
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Event {
    /// 1, 2, 3 ... within the session, a count of its own.
    pub n: u64,
    /// An [`crate::code::EventKind`], or `x-` and a name; empty where it was neither.
    pub kind: String,
    /// By the client's clock.
    pub at: i64,
    /// More about it, small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Map<String, Value>>,
    /// The first field besides `n` that came in the wrong form; never sent. Such
    /// an event is not recorded, only its number is used up.
    #[serde(skip)]
    pub bad_field: Option<&'static str>,
}

/// See [`ClientMessage::NoticeAck`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NoticeAck {
    /// The notice's id.
    pub id: String,
}

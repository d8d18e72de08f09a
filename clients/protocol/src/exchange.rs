//! The same messages without a socket: `POST /api/v1/attempts/{id}/exchange`.
//!
//! Always JSON. A request is decoded by [`crate::codec::decode_exchange`], which
//! reads its messages as leniently as those of a socket.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::candidate::{AttemptStatus, ClientMessage, EventAck, Notice, Refused};

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
#[schemars(rename = "ExchangeRequest")]
pub struct Request {
    /// The session to go on with; absent: a new one starts and takes over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The number that the client's next new command will have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_seq: Option<u64>,
    /// `answer`, `flag` and `submit`, in the order of their numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<ClientMessage>,
    /// `heartbeat`, `event` and `notice_ack`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<ClientMessage>,
}

/// What the engine answers once the commands are durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ExchangeReply")]
pub struct Reply {
    /// The session's id.
    pub session: String,
    /// Whether the client goes on counting; else its numbers begin at 1.
    pub resumed: bool,
    /// Every command up to this number is durable or was refused.
    pub saved_seq: u64,
    /// Every command up to this number has arrived.
    pub applied_seq: u64,
    /// Those of this request that are void.
    pub refused: Vec<Refused>,
    /// Where the attempt stands.
    pub status: AttemptStatus,
    /// End of the candidate's time.
    pub deadline_at: i64,
    /// The truth about time.
    pub remaining_ms: i64,
    /// Rises with every change of the deadline.
    pub timing_rev: u64,
    /// Not yet sent, or to be acknowledged and not yet.
    pub notices: Vec<Notice>,
    /// Where the request had events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_ack: Option<EventAck>,
}

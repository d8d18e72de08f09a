//! Commands and signals without a socket: `POST /api/v1/attempts/{id}/exchange`.
//!
//! Always JSON. [`crate::codec::decode_exchange`] decodes a request, and reads its
//! messages as leniently as those of a socket.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::candidate::{AttemptStatus, CandidateNotice, ClientMessage, CommandRefused, EventAck};

/// Commands and signals of a client.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
pub struct ExchangeRequest {
    /// The session to resume; absent: a new one starts and takes over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Number of the client's next new command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_seq: Option<u64>,
    /// `answer`, `flag` and `submit`, in the order of their numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<ClientMessage>,
    /// `heartbeat`, `event` and `notice_ack`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<ClientMessage>,
}

/// Response of the engine, sent once the commands are durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ExchangeReply")]
pub struct ExchangeResponse {
    /// The session's id.
    pub session: String,
    /// True if the session goes on; else the client's numbers begin at 1.
    pub resumed: bool,
    /// Every command up to this number is durable or was refused.
    pub saved_seq: u64,
    /// Every command up to this number has arrived.
    pub applied_seq: u64,
    /// Refusals of commands of this request.
    pub refused: Vec<CommandRefused>,
    /// Status of the attempt.
    pub status: AttemptStatus,
    /// End of the candidate's time.
    pub deadline_at: i64,
    /// Remaining time, by the engine's clock.
    pub remaining_ms: i64,
    /// Rises with every change of the deadline.
    pub timing_rev: u64,
    /// Notices that were not sent yet, or still need an acknowledgement.
    pub notices: Vec<CandidateNotice>,
    /// Present if the request had events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_ack: Option<EventAck>,
}

//! Messages to many consoles, encoded once.

use std::sync::OnceLock;

use bytes::Bytes;
use invigil_protocol::{
    codec::{self, Encoding},
    proctor::ProctorServerMessage,
};

use std::sync::Arc;

use invigil_domain::{
    id::{AttemptId, PersonId},
    person::{CandidateScope, GroupSet},
};

/// A message to any number of consoles, encoded once for each encoding, by the first
/// connection that needs it.
#[derive(Debug)]
pub struct ConsoleFrame {
    message: ProctorServerMessage,
    json: OnceLock<Bytes>,
    message_pack: OnceLock<Bytes>,
}

impl ConsoleFrame {
    pub(super) const fn new(message: ProctorServerMessage) -> Self {
        Self {
            message,
            json: OnceLock::new(),
            message_pack: OnceLock::new(),
        }
    }

    /// Returns the encoded message.
    pub fn encoded_bytes(&self, encoding: Encoding) -> Bytes {
        let encoded = match encoding {
            Encoding::Json => &self.json,
            Encoding::MessagePack => &self.message_pack,
        };
        let encode = || codec::encode_proctor_server(encoding, &self.message).into();
        encoded.get_or_init(encode).clone()
    }

    /// The message.
    pub const fn message(&self) -> &ProctorServerMessage {
        &self.message
    }
}

/// The consoles that a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsoleAudience {
    /// Every console with exactly this scope.
    Scope(CandidateScope),
    /// Every console that sees a candidate of these groups.
    Candidate(GroupSet),
    /// Every console that inspects the attempt.
    Inspectors(AttemptId),
    /// The consoles of this person.
    Person(PersonId),
}

/// A message of a board, with its audience.
#[derive(Debug)]
pub struct BoardMessage {
    /// The consoles that get it.
    pub audience: ConsoleAudience,
    /// The message.
    pub frame: Arc<ConsoleFrame>,
}

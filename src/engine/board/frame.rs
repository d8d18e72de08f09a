//! Messages to many consoles, encoded once.

use std::sync::OnceLock;

use bytes::Bytes;
use invigil_protocol::{
    codec::{self, Encoding},
    proctor::ConsoleMessage,
};

use std::sync::Arc;

use crate::domain::{
    id::{AttemptId, PersonId},
    person::{CandidateScope, Groups},
};

/// A message to any number of consoles. Whoever sends it first in an encoding
/// encodes it for all.
#[derive(Debug)]
pub struct Frame {
    message: ConsoleMessage,
    json: OnceLock<Bytes>,
    message_pack: OnceLock<Bytes>,
}

impl Frame {
    pub(super) const fn new(message: ConsoleMessage) -> Self {
        Self {
            message,
            json: OnceLock::new(),
            message_pack: OnceLock::new(),
        }
    }

    /// The message as bytes.
    pub fn bytes(&self, encoding: Encoding) -> Bytes {
        let encoded = match encoding {
            Encoding::Json => &self.json,
            Encoding::MessagePack => &self.message_pack,
        };
        let encode = || codec::encode_console(encoding, &self.message).into();
        encoded.get_or_init(encode).clone()
    }

    /// The message.
    pub const fn message(&self) -> &ConsoleMessage {
        &self.message
    }
}

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    /// Every console that sees just these candidates.
    Scope(CandidateScope),
    /// Every console that sees a candidate of these groups.
    Candidate(Groups),
    /// Those that inspect the attempt.
    Inspectors(AttemptId),
    /// The person's own.
    Person(PersonId),
}

/// Something that happened on a board.
#[derive(Debug)]
pub struct News {
    /// Whom it is for.
    pub topic: Topic,
    /// The message.
    pub frame: Arc<Frame>,
}

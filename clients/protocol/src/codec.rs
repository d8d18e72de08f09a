//! Frames to messages and back, in both encodings.
//!
//! A client's frame is read in one pass into [`FrameFields`]: names, and raw values
//! that are parsed only if the message has such a field. No tree is built except
//! for an answer's own value, and JSON and MessagePack go through the same rules
//! (`codec/client.rs`).
//!
//! If a frame has a name twice, the last one counts, as in the `JSON.parse` of
//! every browser.

mod client;
mod fields;
mod msgpack;
#[cfg(test)]
mod tests;

use serde::{Serialize, de::DeserializeOwned};

use self::fields::FrameFields;
use crate::{
    candidate::{ClientMessage, ServerMessage},
    exchange,
    proctor::{ProctorClientMessage, ProctorServerMessage},
};

/// Deepest nesting of arrays and maps in a value: the limit of `serde_json`.
const DEPTH_MAX: usize = 127;

/// Largest encoded `data` of an event. Events are small facts; a larger one is not
/// recorded.
pub const EVENT_DATA_BYTES_MAX: usize = 4_096;

/// Encoding of the messages on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// Text frames.
    #[default]
    Json,
    /// Binary frames: maps with string keys.
    MessagePack,
}

/// Error of a negotiation: no offered subprotocol is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("none of the offered subprotocols is known")]
pub struct UnsupportedSubprotocol;

impl Encoding {
    /// Both encodings, the default first.
    pub const ALL: [Self; 2] = [Self::Json, Self::MessagePack];

    /// The name in `Sec-WebSocket-Protocol`.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "invigil.v1.json",
            Self::MessagePack => "invigil.v1.msgpack",
        }
    }

    /// Returns the first known encoding of those that a client offered (the value of
    /// `Sec-WebSocket-Protocol`, several joined by commas), or JSON if it offered
    /// none. The second part is true if the response must echo the choice.
    ///
    /// # Errors
    /// If subprotocols were offered and none of them is known.
    pub fn negotiate(offered: Option<&str>) -> Result<(Self, bool), UnsupportedSubprotocol> {
        let mut names = offered.into_iter().flat_map(|names| names.split(','));
        let mut names = names
            .by_ref()
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .peekable();
        if names.peek().is_none() {
            return Ok((Self::Json, false));
        }
        names
            .find_map(|name| {
                Self::ALL
                    .into_iter()
                    .find(|known| known.subprotocol() == name)
            })
            .map(|encoding| (encoding, true))
            .ok_or(UnsupportedSubprotocol)
    }
}

/// Error of a frame that is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not decodable, or an envelope of the wrong form: the socket is closed
    /// with 4500. The text is a short English sentence for `bye.detail`.
    #[error("{0}")]
    BadMessage(String),
    /// A `t` that the protocol does not have: the socket stays open.
    #[error("there is no message of type {0:?}")]
    UnknownMessage(String),
}

impl DecodeError {
    fn bad_message(text: impl Into<String>) -> Self {
        Self::BadMessage(text.into())
    }
}

/// Decodes a frame of a candidate's client.
///
/// # Errors
/// See [`DecodeError`]; an answer's value never causes an error.
pub fn decode_client(encoding: Encoding, frame: &[u8]) -> Result<ClientMessage, DecodeError> {
    client::read_message(&FrameFields::read_frame(encoding, frame)?)
}

/// Decodes the body of an exchange. Its messages follow the rules of frames.
///
/// # Errors
/// [`DecodeError::BadMessage`] also for a command among the signals or a signal
/// among the commands.
pub fn decode_exchange(body: &[u8]) -> Result<exchange::ExchangeRequest, DecodeError> {
    client::read_exchange(&FrameFields::read_frame(Encoding::Json, body)?)
}

/// Decodes a frame that the engine sent a candidate's client.
///
/// # Errors
/// See [`DecodeError`]; a client ignores unknown messages.
pub fn decode_server(encoding: Encoding, frame: &[u8]) -> Result<ServerMessage, DecodeError> {
    decode_strict(encoding, frame, &ServerMessage::TAGS)
}

/// Decodes a frame of a proctor's console.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_proctor_client(
    encoding: Encoding,
    frame: &[u8],
) -> Result<ProctorClientMessage, DecodeError> {
    decode_strict(encoding, frame, &ProctorClientMessage::TAGS)
}

/// Decodes a frame that the engine sent a proctor's console.
///
/// # Errors
/// See [`DecodeError`]; a console ignores unknown messages.
pub fn decode_proctor_server(
    encoding: Encoding,
    frame: &[u8],
) -> Result<ProctorServerMessage, DecodeError> {
    decode_strict(encoding, frame, &ProctorServerMessage::TAGS)
}

/// Encodes a message to a candidate's client.
pub fn encode_server(encoding: Encoding, message: &ServerMessage) -> Vec<u8> {
    encode_message(encoding, message)
}

/// Encodes a message of a candidate's client.
pub fn encode_client(encoding: Encoding, message: &ClientMessage) -> Vec<u8> {
    encode_message(encoding, message)
}

/// Encodes a message of a proctor's console.
pub fn encode_proctor_client(encoding: Encoding, message: &ProctorClientMessage) -> Vec<u8> {
    encode_message(encoding, message)
}

/// Encodes a message to a proctor's console.
pub fn encode_proctor_server(encoding: Encoding, message: &ProctorServerMessage) -> Vec<u8> {
    encode_message(encoding, message)
}

fn encode_message<T: Serialize>(encoding: Encoding, message: &T) -> Vec<u8> {
    let invariant = "messages hold nothing that cannot be written";
    match encoding {
        Encoding::Json => serde_json::to_vec(message).expect(invariant),
        Encoding::MessagePack => rmp_serde::to_vec_named(message).expect(invariant),
    }
}

fn decode_strict<T: DeserializeOwned>(
    encoding: Encoding,
    frame: &[u8],
    tags: &[&str],
) -> Result<T, DecodeError> {
    // Also finds what serde passes over: bytes after the end, and strings that are
    // not UTF-8 in unknown fields.
    let fields = FrameFields::read_frame(encoding, frame)?;
    let tag = fields.tag()?;
    if !tags.contains(&&*tag) {
        return Err(DecodeError::UnknownMessage(tag.into_owned()));
    }
    match encoding {
        Encoding::Json => serde_json::from_slice(frame).map_err(|error| error.to_string()),
        Encoding::MessagePack => msgpack::from_slice(frame).map_err(|error| error.to_string()),
    }
    .map_err(|text| DecodeError::bad_message(format!("not a valid `{tag}`: {text}")))
}

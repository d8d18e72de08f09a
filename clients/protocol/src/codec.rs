//! Frames to messages and back, in both encodings.
//!
//! A client's frame is read in one pass into [`Fields`]: names, and raw values
//! that are looked into only where the message has such a field. So no tree is
//! built except of an answer's own value, and JSON and MessagePack go through
//! the same rules (`codec/client.rs`).
//!
//! Where a name stands twice in a frame the last one counts, as in the
//! `JSON.parse` of every browser.

mod client;
mod fields;
mod msgpack;
#[cfg(test)]
mod tests;

use serde::{Serialize, de::DeserializeOwned};

use self::fields::Fields;
use crate::{
    candidate::{ClientMessage, ServerMessage},
    exchange,
    proctor::{ConsoleMessage, ProctorMessage},
};

/// Deepest nesting of arrays and maps in a value, that of `serde_json`.
const DEPTH_MAX: usize = 127;

/// Largest `data` of an event, encoded. Events are small facts; a larger one
/// is not recorded.
pub const EVENT_DATA_BYTES_MAX: usize = 4_096;

/// How messages are written on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// Text frames.
    #[default]
    Json,
    /// Binary frames: maps with string keys.
    MessagePack,
}

/// None of the subprotocols that a client offered is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("none of the offered subprotocols is known")]
pub struct Unsupported;

impl Encoding {
    /// Both, in the order of preference of a client that has none.
    pub const ALL: [Self; 2] = [Self::Json, Self::MessagePack];

    /// The name in `Sec-WebSocket-Protocol`.
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "invigil.v1.json",
            Self::MessagePack => "invigil.v1.msgpack",
        }
    }

    /// Chooses by what a client offered (the value of `Sec-WebSocket-Protocol`,
    /// several ones joined by commas): the first that is known, JSON where
    /// nothing was offered. The second part says whether to echo the choice.
    ///
    /// # Errors
    /// Where something was offered and nothing of it is known.
    pub fn negotiate(offered: Option<&str>) -> Result<(Self, bool), Unsupported> {
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
            .ok_or(Unsupported)
    }
}

/// Why a frame is no message.
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
    fn bad(text: impl Into<String>) -> Self {
        Self::BadMessage(text.into())
    }
}

/// Decodes a frame of a candidate's client.
///
/// # Errors
/// See [`DecodeError`]; an answer's value, whatever it is, is none.
pub fn decode_client(encoding: Encoding, frame: &[u8]) -> Result<ClientMessage, DecodeError> {
    client::message(&Fields::read(encoding, frame)?)
}

/// Decodes the body of an exchange. Its messages follow the rules of frames.
///
/// # Errors
/// [`DecodeError::BadMessage`] also where a command stands among the signals
/// or a signal among the commands.
pub fn decode_exchange(body: &[u8]) -> Result<exchange::Request, DecodeError> {
    client::exchange(&Fields::read(Encoding::Json, body)?)
}

/// Decodes a frame that the engine sent a candidate's client.
///
/// # Errors
/// See [`DecodeError`]; a client ignores what it does not know.
pub fn decode_server(encoding: Encoding, frame: &[u8]) -> Result<ServerMessage, DecodeError> {
    decode_strict(encoding, frame, &ServerMessage::TAGS)
}

/// Decodes a frame of a proctor's console.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_proctor(encoding: Encoding, frame: &[u8]) -> Result<ProctorMessage, DecodeError> {
    decode_strict(encoding, frame, &ProctorMessage::TAGS)
}

/// Decodes a frame that the engine sent a proctor's console.
///
/// # Errors
/// See [`DecodeError`]; a console ignores what it does not know.
pub fn decode_console(encoding: Encoding, frame: &[u8]) -> Result<ConsoleMessage, DecodeError> {
    decode_strict(encoding, frame, &ConsoleMessage::TAGS)
}

/// Encodes a message to a candidate's client.
pub fn encode(encoding: Encoding, message: &ServerMessage) -> Vec<u8> {
    write(encoding, message)
}

/// Encodes a message of a candidate's client.
pub fn encode_client(encoding: Encoding, message: &ClientMessage) -> Vec<u8> {
    write(encoding, message)
}

/// Encodes a message of a proctor's console.
pub fn encode_proctor(encoding: Encoding, message: &ProctorMessage) -> Vec<u8> {
    write(encoding, message)
}

/// Encodes a message to a proctor's console.
pub fn encode_console(encoding: Encoding, message: &ConsoleMessage) -> Vec<u8> {
    write(encoding, message)
}

fn write<T: Serialize>(encoding: Encoding, message: &T) -> Vec<u8> {
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
    // Also finds what serde does not look at: bytes behind the end, strings
    // that are not UTF-8 in fields that nobody knows.
    let fields = Fields::read(encoding, frame)?;
    let tag = fields.tag()?;
    if !tags.contains(&&*tag) {
        return Err(DecodeError::UnknownMessage(tag.into_owned()));
    }
    match encoding {
        Encoding::Json => serde_json::from_slice(frame).map_err(|error| error.to_string()),
        Encoding::MessagePack => msgpack::from_slice(frame).map_err(|error| error.to_string()),
    }
    .map_err(|text| DecodeError::bad(format!("not a valid `{tag}`: {text}")))
}

//! The golden messages, one JSON file each, shared with clients in other languages.
//! `candidate.engine.saved.json`: channel, sender, type.

use std::{fs, path::Path};

use invigil_protocol::{
    DecodeError, Encoding,
    codec::{
        decode_client, decode_exchange, decode_proctor_client, decode_proctor_server,
        decode_server, encode_client, encode_proctor_client, encode_proctor_server, encode_server,
    },
    exchange,
};
use serde_json::Value;

/// A golden message.
pub(crate) struct GoldenMessage {
    /// File name without its extension.
    pub(crate) name: String,
    /// The message.
    pub(crate) message: Value,
}

/// Receiver of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageReader {
    Engine,
    Candidate,
    EngineOfProctor,
    Console,
    Exchange,
    ExchangeClient,
}

impl GoldenMessage {
    /// Loads all golden messages, sorted by name.
    pub(crate) fn load_all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/protocol");
        let mut goldens: Vec<Self> = fs::read_dir(folder)
            .expect("the folder of golden messages")
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .map(|path| Self {
                name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
                message: serde_json::from_slice(&fs::read(&path).unwrap()).unwrap(),
            })
            .collect();
        goldens.sort_by(|one, other| one.name.cmp(&other.name));
        goldens
    }

    pub(crate) fn reader(&self) -> MessageReader {
        match self.name.split('.').take(2).collect::<Vec<_>>()[..] {
            ["candidate", "client"] => MessageReader::Engine,
            ["candidate", "engine"] => MessageReader::Candidate,
            ["proctor", "client"] => MessageReader::EngineOfProctor,
            ["proctor", "engine"] => MessageReader::Console,
            ["exchange", "request"] => MessageReader::Exchange,
            ["exchange", "reply"] => MessageReader::ExchangeClient,
            _ => panic!("{}: unknown channel or sender", self.name),
        }
    }

    pub(crate) fn encoded_bytes(&self, encoding: Encoding) -> Vec<u8> {
        match encoding {
            Encoding::Json => serde_json::to_vec(&self.message).unwrap(),
            Encoding::MessagePack => rmp_serde::to_vec_named(&self.message).unwrap(),
        }
    }
}

impl MessageReader {
    /// Decodes a message and encodes it again. An exchange is always JSON.
    pub(crate) fn decode_and_encode(
        self,
        encoding: Encoding,
        bytes: &[u8],
    ) -> Result<Vec<u8>, DecodeError> {
        match self {
            Self::Engine => decode_client(encoding, bytes).map(|m| encode_client(encoding, &m)),
            Self::Candidate => decode_server(encoding, bytes).map(|m| encode_server(encoding, &m)),
            Self::EngineOfProctor => {
                decode_proctor_client(encoding, bytes).map(|m| encode_proctor_client(encoding, &m))
            }
            Self::Console => {
                decode_proctor_server(encoding, bytes).map(|m| encode_proctor_server(encoding, &m))
            }
            Self::Exchange => decode_exchange(bytes).map(|m| serde_json::to_vec(&m).unwrap()),
            Self::ExchangeClient => serde_json::from_slice::<exchange::ExchangeResponse>(bytes)
                .map(|reply| serde_json::to_vec(&reply).unwrap())
                .map_err(|error| DecodeError::BadMessage(error.to_string())),
        }
    }

    pub(crate) const fn encodings(self) -> &'static [Encoding] {
        match self {
            Self::Engine | Self::Candidate | Self::EngineOfProctor | Self::Console => {
                &Encoding::ALL
            }
            Self::Exchange | Self::ExchangeClient => &[Encoding::Json],
        }
    }
}

//! The golden messages, one JSON file each, which clients of other languages
//! read too. `candidate.engine.saved.json`: channel, sender, type.

use std::{fs, path::Path};

use invigil_protocol::{
    DecodeError, Encoding,
    codec::{
        decode_client, decode_console, decode_exchange, decode_proctor, decode_server, encode,
        encode_client, encode_console, encode_proctor,
    },
    exchange,
};
use serde_json::Value;

/// One golden message.
pub(crate) struct Golden {
    /// The file's name without its ending.
    pub(crate) name: String,
    /// The message.
    pub(crate) message: Value,
}

/// Who reads a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    Engine,
    Candidate,
    EngineOfProctor,
    Console,
    Exchange,
    ExchangeClient,
}

impl Golden {
    /// All of them, by name.
    pub(crate) fn all() -> Vec<Self> {
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

    pub(crate) fn reader(&self) -> Reader {
        match self.name.split('.').take(2).collect::<Vec<_>>()[..] {
            ["candidate", "client"] => Reader::Engine,
            ["candidate", "engine"] => Reader::Candidate,
            ["proctor", "client"] => Reader::EngineOfProctor,
            ["proctor", "engine"] => Reader::Console,
            ["exchange", "request"] => Reader::Exchange,
            ["exchange", "reply"] => Reader::ExchangeClient,
            _ => panic!("{}: whose message is this?", self.name),
        }
    }

    pub(crate) fn bytes(&self, encoding: Encoding) -> Vec<u8> {
        match encoding {
            Encoding::Json => serde_json::to_vec(&self.message).unwrap(),
            Encoding::MessagePack => rmp_serde::to_vec_named(&self.message).unwrap(),
        }
    }
}

impl Reader {
    /// Decodes, and encodes what came out again. An exchange is always JSON.
    pub(crate) fn echo(self, encoding: Encoding, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        match self {
            Self::Engine => decode_client(encoding, bytes).map(|m| encode_client(encoding, &m)),
            Self::Candidate => decode_server(encoding, bytes).map(|m| encode(encoding, &m)),
            Self::EngineOfProctor => {
                decode_proctor(encoding, bytes).map(|m| encode_proctor(encoding, &m))
            }
            Self::Console => decode_console(encoding, bytes).map(|m| encode_console(encoding, &m)),
            Self::Exchange => decode_exchange(bytes).map(|m| serde_json::to_vec(&m).unwrap()),
            Self::ExchangeClient => serde_json::from_slice::<exchange::Reply>(bytes)
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

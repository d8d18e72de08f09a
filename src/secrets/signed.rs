//! Texts that only this installation can have made: what they say and its keyed hash, with a dot
//! between. They are no secret, but nobody changes or invents one.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;

/// Signs and verifies texts of one kind: each kind has a secret of its own.
#[derive(Clone)]
pub struct Signer(Hmac<Sha256>);

impl Signer {
    /// With a secret of this installation.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"))
    }

    /// The text that says this.
    pub fn sign(&self, content: &impl Serialize) -> String {
        let content = serde_json::to_vec(content).expect("what is signed is plain JSON");
        let content = URL_SAFE_NO_PAD.encode(content);
        let hash = self.0.clone().chain_update(&content).finalize();
        format!("{content}.{}", URL_SAFE_NO_PAD.encode(hash.into_bytes()))
    }

    /// What a text says; none where it was not signed here.
    pub fn verify<T: DeserializeOwned>(&self, text: &str) -> Option<T> {
        let (content, hash) = text.split_once('.')?;
        let hash = URL_SAFE_NO_PAD.decode(hash).ok()?;
        let keyed = self.0.clone().chain_update(content);
        keyed.verify_slice(&hash).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(content).ok()?).ok()
    }
}

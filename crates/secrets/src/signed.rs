//! Signed texts: JSON content and its keyed hash, each in base64, separated by a dot. The content
//! is readable, but cannot be forged without the secret.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;

/// Signs and verifies texts of one kind. Each kind needs its own secret, or a text of one kind
/// would pass for another.
#[derive(Clone)]
pub struct HmacSigner(Hmac<Sha256>);

impl HmacSigner {
    /// Creates a signer with a secret of this installation.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"))
    }

    /// Returns the signed text of a content.
    pub fn sign(&self, content: &impl Serialize) -> String {
        let content = serde_json::to_vec(content).expect("signed content is plain JSON");
        let content = URL_SAFE_NO_PAD.encode(content);
        let hash = self.0.clone().chain_update(&content).finalize();
        format!("{content}.{}", URL_SAFE_NO_PAD.encode(hash.into_bytes()))
    }

    /// Returns the content of a text; none if its signature is invalid.
    pub fn verify<T: DeserializeOwned>(&self, text: &str) -> Option<T> {
        let (content, hash) = text.split_once('.')?;
        let hash = URL_SAFE_NO_PAD.decode(hash).ok()?;
        let keyed = self.0.clone().chain_update(content);
        keyed.verify_slice(&hash).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(content).ok()?).ok()
    }
}

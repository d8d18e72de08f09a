//! Whether a receipt is genuine, and if not, why not in one sentence.

use ed25519_dalek::PUBLIC_KEY_LENGTH;
use serde_json::{Value, error::Category};

use super::{
    ALGORITHM, Content, Digest, Engine, Receipt, STANDARD, Sha256, Signature, VerifyingKey,
    canonical,
};

/// Bytes of a receipt. The largest exam, every answer as long as it may stand
/// in a receipt, stays under it.
pub const SIZE_MAX: usize = 16 * 1024 * 1024;

/// Characters of foreign text that a sentence may quote.
const QUOTE_LEN_MAX: usize = 100;

/// Why a receipt is not genuine. Each displays as one sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the sentences say it")]
pub enum Fault {
    #[error("This is no receipt: it is over {SIZE_MAX} bytes long.")]
    TooLarge,
    #[error("This is no receipt: it is not JSON ({0}).")]
    NotJson(String),
    #[error("This is no receipt: {0}.")]
    NotReceipt(String),
    #[error("This is no receipt of a known format: it names \"{0}\".")]
    UnknownFormat(String),
    #[error("This receipt is signed by the algorithm \"{0}\"; only {ALGORITHM} is known.")]
    UnknownAlgorithm(String),
    #[error("The public key is not the base64 of an {ALGORITHM} key.")]
    BadKey,
    #[error("The signature is not the base64 of an {ALGORITHM} signature.")]
    BadSignature,
    #[error("The receipt was changed: its content does not have the SHA-256 that it names.")]
    Changed,
    #[error("The receipt is forged or was changed: its signature is not that of its content.")]
    Forged,
    #[error("The receipt is signed with another key than the one expected: \"{0}\".")]
    OtherKey(String),
}

/// A receipt whose content is what was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub content: Content,
    /// The key that signed it.
    pub key: VerifyingKey,
    /// Whether that is the key that was expected; false where none was.
    pub key_expected: bool,
}

/// Checks a receipt. Without an `expected` key it is only known to be signed
/// with the key that it names.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn verify(text: &str, expected: Option<&VerifyingKey>) -> Result<Verified, Fault> {
    let receipt = read(text)?;
    let key = parse_key(&receipt.public_key)?;
    let signature = STANDARD
        .decode(&receipt.signature)
        .ok()
        .and_then(|bytes| Signature::from_slice(&bytes).ok())
        .ok_or(Fault::BadSignature)?;
    let signed = canonical(&receipt.content);
    if receipt.sha256 != format!("{:x}", Sha256::digest(&signed)) {
        return Err(Fault::Changed);
    }
    key.verify_strict(signed.as_bytes(), &signature)
        .map_err(|_source| Fault::Forged)?;
    if expected.is_some_and(|expected| *expected != key) {
        return Err(Fault::OtherKey(receipt.public_key));
    }
    Ok(Verified {
        content: receipt.content,
        key,
        key_expected: expected.is_some(),
    })
}

/// Reads a public key as receipts and operators write it: standard base64.
///
/// # Errors
/// [`Fault::BadKey`] where it is none.
pub fn parse_key(base64: &str) -> Result<VerifyingKey, Fault> {
    let bytes = STANDARD.decode(base64).ok();
    bytes
        .and_then(|bytes| <[u8; PUBLIC_KEY_LENGTH]>::try_from(bytes).ok())
        .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
        .ok_or(Fault::BadKey)
}

fn read(text: &str) -> Result<Receipt, Fault> {
    if text.len() > SIZE_MAX {
        return Err(Fault::TooLarge);
    }
    let value: Value = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
    let named = |value: &Value| value.as_str().map(quote).unwrap_or_default();
    let format = &value["content"]["format"];
    if *format != "invigil-receipt-1" {
        return Err(Fault::UnknownFormat(named(format)));
    }
    if value["alg"] != ALGORITHM {
        return Err(Fault::UnknownAlgorithm(named(&value["alg"])));
    }
    let receipt: Receipt = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
    // Structures may also be read from lists, which no other reader does.
    if serde_json::to_value(&receipt).ok() != Some(value) {
        return Err(Fault::NotReceipt("a list stands for an object".to_owned()));
    }
    Ok(receipt)
}

fn unreadable(error: &serde_json::Error) -> Fault {
    let text = quote(&error.to_string());
    match error.classify() {
        Category::Data => Fault::NotReceipt(text),
        Category::Syntax | Category::Eof | Category::Io => Fault::NotJson(text),
    }
}

/// Foreign text, short and without control characters.
fn quote(text: &str) -> String {
    let printable = text.chars().filter(|char| !char.is_control());
    printable.take(QUOTE_LEN_MAX).collect()
}

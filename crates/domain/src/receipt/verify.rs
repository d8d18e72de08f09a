//! Verification of receipts, with the reason of a failure in one sentence.

use ed25519_dalek::PUBLIC_KEY_LENGTH;
use serde_json::{Value, error::Category};

use super::{
    ALGORITHM, Digest, Engine, Receipt, ReceiptContent, STANDARD, Sha256, Signature, VerifyingKey,
    canonical_json,
};

/// Bytes of a receipt. The receipt of the largest exam with the longest answers is
/// smaller.
pub const SIZE_MAX: usize = 16 * 1024 * 1024;

/// Characters of a receipt's text that an error message quotes.
const QUOTE_LEN_MAX: usize = 100;

/// The reason for which a receipt is not genuine, displayed as a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the sentences say it")]
pub enum ReceiptError {
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

/// A receipt whose signature is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReceipt {
    /// The signed content.
    pub content: ReceiptContent,
    /// The key that signed it.
    pub key: VerifyingKey,
    /// True if this is the expected key; false if no key was expected.
    pub key_expected: bool,
}

/// Verifies a receipt. Without an `expected` key this proves only that it is signed
/// with the key that it names.
///
/// # Errors
/// The first check that fails.
pub fn verify_receipt(
    text: &str,
    expected: Option<&VerifyingKey>,
) -> Result<VerifiedReceipt, ReceiptError> {
    let receipt = read_receipt(text)?;
    let key = parse_public_key(&receipt.public_key)?;
    let signature = STANDARD
        .decode(&receipt.signature)
        .ok()
        .and_then(|bytes| Signature::from_slice(&bytes).ok())
        .ok_or(ReceiptError::BadSignature)?;
    let signed = canonical_json(&receipt.content);
    if receipt.sha256 != format!("{:x}", Sha256::digest(&signed)) {
        return Err(ReceiptError::Changed);
    }
    key.verify_strict(signed.as_bytes(), &signature)
        .map_err(|_source| ReceiptError::Forged)?;
    if expected.is_some_and(|expected| *expected != key) {
        return Err(ReceiptError::OtherKey(receipt.public_key));
    }
    Ok(VerifiedReceipt {
        content: receipt.content,
        key,
        key_expected: expected.is_some(),
    })
}

/// Parses a public key in standard base64.
///
/// # Errors
/// [`ReceiptError::BadKey`] if the text is no key.
pub fn parse_public_key(base64: &str) -> Result<VerifyingKey, ReceiptError> {
    let bytes = STANDARD.decode(base64).ok();
    bytes
        .and_then(|bytes| <[u8; PUBLIC_KEY_LENGTH]>::try_from(bytes).ok())
        .and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok())
        .ok_or(ReceiptError::BadKey)
}

fn read_receipt(text: &str) -> Result<Receipt, ReceiptError> {
    if text.len() > SIZE_MAX {
        return Err(ReceiptError::TooLarge);
    }
    let value: Value = serde_json::from_str(text).map_err(|error| classify_error(&error))?;
    let named = |value: &Value| value.as_str().map(quote_text).unwrap_or_default();
    let format = &value["content"]["format"];
    if *format != "invigil-receipt-1" {
        return Err(ReceiptError::UnknownFormat(named(format)));
    }
    if value["alg"] != ALGORITHM {
        return Err(ReceiptError::UnknownAlgorithm(named(&value["alg"])));
    }
    let receipt: Receipt = serde_json::from_str(text).map_err(|error| classify_error(&error))?;
    // Serde also reads structures from lists, which no other reader accepts.
    if serde_json::to_value(&receipt).ok() != Some(value) {
        return Err(ReceiptError::NotReceipt(
            "a list stands for an object".to_owned(),
        ));
    }
    Ok(receipt)
}

fn classify_error(error: &serde_json::Error) -> ReceiptError {
    let text = quote_text(&error.to_string());
    match error.classify() {
        Category::Data => ReceiptError::NotReceipt(text),
        Category::Syntax | Category::Eof | Category::Io => ReceiptError::NotJson(text),
    }
}

/// Returns the begin of a text, without control characters.
fn quote_text(text: &str) -> String {
    let printable = text.chars().filter(|char| !char.is_control());
    printable.take(QUOTE_LEN_MAX).collect()
}

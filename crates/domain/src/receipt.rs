//! Hand-in receipts: the signed content of a hand-in, which anyone can verify.
//!
//! The signature covers the canonical JSON of `content`: keys sorted, no blanks,
//! strings escaped as little as JSON allows, and only whole numbers. This is RFC 8785
//! without its hard part, so every language rebuilds the same bytes with its own JSON
//! library; `docs/receipts.md` shows how. For the same reason the content holds an
//! answer as text: its JSON, or the hash of a long one.
//!
//! Nothing here is random: signing the same hand-in again gives the same receipt. The
//! `public_key` in a receipt names the key to verify with, but does not prove its
//! owner; for that, compare it with a key from another source.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    attempt::HandedInBy,
    id::{ExamCode, ExamVersion, PersonId, QuestionId},
    time::Timestamp,
};

mod describe;
mod verify;

pub use self::{
    describe::describe_receipt,
    verify::{ReceiptError, SIZE_MAX, VerifiedReceipt, parse_public_key, verify_receipt},
};

/// The only signature algorithm.
const ALGORITHM: &str = "Ed25519";

/// Bytes of an answer's JSON, above which a receipt holds its hash instead: a
/// receipt stays small even for long essays and programs.
pub const VALUE_SIZE_MAX: usize = 1_024;

/// A signed receipt. Fields are declared in the order of their names, which
/// makes the JSON canonical.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// `Ed25519`.
    pub alg: String,
    /// The signed content.
    pub content: ReceiptContent,
    /// Key to verify with: 32 bytes, standard base64 with padding.
    pub public_key: String,
    /// SHA-256 of the content's canonical JSON, hexadecimal.
    pub sha256: String,
    /// Signature of the content's canonical JSON: 64 bytes, standard base64 with padding.
    pub signature: String,
}

impl Receipt {
    /// Returns the receipt as canonical JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are JSON")
    }
}

/// The content of a receipt. Fields are declared in the order of their names, which
/// makes the JSON canonical.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptContent {
    /// All questions that were ever answered, in the exam's order.
    pub answers: Vec<FinalAnswer>,
    /// The attempt's id.
    pub attempt: String,
    /// Id of the candidate.
    pub candidate: PersonId,
    /// End of the candidate's time; null if the attempt was never entered.
    pub deadline_at: Option<Timestamp>,
    /// Start of the clock; null if the attempt was never entered.
    pub entered_at: Option<Timestamp>,
    /// The exam's code.
    pub exam: ExamCode,
    /// `sha256:` and the hash of the exam's definition.
    pub exam_version: ExamVersion,
    /// Format of this content.
    pub format: ReceiptFormat,
    /// Origin of the hand-in.
    pub handed_in: HandedInBy,
    /// True if an answer or the hand-in came after the deadline.
    pub late: bool,
    /// Version of the candidate's paper: `sha256:` and its hash.
    pub paper_version: Arc<str>,
    /// Time of the attempt's start.
    pub started_at: Timestamp,
    /// Time of the hand-in.
    pub submitted_at: Timestamp,
}

/// Format of a receipt's content, which the signature covers too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReceiptFormat {
    /// The first and only format.
    #[serde(rename = "invigil-receipt-1")]
    V1,
}

/// An answer as it was handed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalAnswer {
    /// Id of the question.
    q: QuestionId,
    /// Number of accepted answers to it.
    rev: u32,
    /// The stored JSON as text; `sha256:` and its hash if it is longer than
    /// [`VALUE_SIZE_MAX`]; null if the answer was cleared.
    value: Option<String>,
}

impl FinalAnswer {
    /// Returns the answer with this stored JSON; `None` for a cleared one.
    pub fn new(question: QuestionId, rev: u32, value: Option<&str>) -> Self {
        let value = value.map(|json| {
            if json.len() <= VALUE_SIZE_MAX {
                json.to_owned()
            } else {
                format!("sha256:{:x}", Sha256::digest(json))
            }
        });
        Self {
            q: question,
            rev,
            value,
        }
    }

    /// Returns true if the question is answered, false if the answer was cleared.
    pub const fn is_given(&self) -> bool {
        self.value.is_some()
    }
}

/// Signs a hand-in.
pub fn sign_receipt(content: ReceiptContent, key: &SigningKey) -> Receipt {
    let signed = canonical_json(&content);
    Receipt {
        alg: ALGORITHM.to_owned(),
        public_key: STANDARD.encode(key.verifying_key().as_bytes()),
        sha256: format!("{:x}", Sha256::digest(&signed)),
        signature: STANDARD.encode(key.sign(signed.as_bytes()).to_bytes()),
        content,
    }
}

/// Returns the exact text that is signed.
fn canonical_json(content: &ReceiptContent) -> String {
    serde_json::to_string(content).expect("strings and numbers are JSON")
}

#[cfg(test)]
mod tests;

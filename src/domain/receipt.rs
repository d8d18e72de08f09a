//! Hand-in receipts: what was handed in, signed, so that anyone can check it.
//!
//! The signature covers the canonical JSON of `content`: keys sorted, no blanks,
//! strings escaped as little as JSON allows, and no numbers but whole ones. That
//! is RFC 8785 without its hard part, so every language rebuilds the same bytes
//! with its own JSON library; `docs/receipts.md` shows how. To keep it so, an
//! answer stands in the content as a text: its JSON, or the hash of that where
//! it is long.
//!
//! Nothing here is random: signing the same hand-in again gives the same
//! receipt. The `public_key` in a receipt says which key to check with, not whose
//! key it is; only a key that came another way tells that.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    attempt::HandedInBy,
    id::{ExamCode, ExamVersion, PersonId, QuestionId},
    time::Timestamp,
};

mod describe;
mod verify;

pub use self::{
    describe::describe,
    verify::{Fault, SIZE_MAX, Verified, parse_key, verify},
};

/// The only algorithm there is.
const ALGORITHM: &str = "Ed25519";

/// Answers whose JSON is longer, in bytes, stand in a receipt as a hash: a
/// receipt stays small whatever essays and programs it vouches for.
pub const VALUE_SIZE_MAX: usize = 1_024;

/// A signed receipt. Fields are declared in the order of their names, which
/// makes the JSON canonical.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// `Ed25519`.
    pub alg: String,
    /// What is signed.
    pub content: Content,
    /// 32 bytes, standard base64 with padding.
    pub public_key: String,
    /// Of the content's canonical JSON, hexadecimal.
    pub sha256: String,
    /// 64 bytes over the content's canonical JSON, standard base64 with padding.
    pub signature: String,
}

impl Receipt {
    /// The receipt as JSON, canonical too.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are JSON")
    }
}

/// What a receipt says. Fields are declared in the order of their names, which
/// makes the JSON canonical.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Every question that was ever answered, in the exam's order.
    pub answers: Vec<FinalAnswer>,
    /// The attempt's id.
    pub attempt: String,
    /// Whose attempt.
    pub candidate: PersonId,
    /// End of the candidate's time; null where nobody entered.
    pub deadline_at: Option<Timestamp>,
    /// When the clock began; null where nobody entered.
    pub entered_at: Option<Timestamp>,
    /// The exam's code.
    pub exam: ExamCode,
    /// `sha256:` and the hash of the exam's definition.
    pub exam_version: ExamVersion,
    /// How to read this.
    pub format: Format,
    /// Who handed it in.
    pub handed_in: HandedInBy,
    /// Whether an answer or the hand-in came after the deadline.
    pub late: bool,
    /// `sha256:` and the hash of what the candidate was shown.
    pub paper_version: Arc<str>,
    /// When the attempt was made.
    pub started_at: Timestamp,
    /// When it was handed in.
    pub submitted_at: Timestamp,
}

/// The format of a content; it is signed with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// The only one so far.
    #[serde(rename = "invigil-receipt-1")]
    V1,
}

/// One answer as it was handed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalAnswer {
    /// Which question.
    q: QuestionId,
    /// Accepted answers until then.
    rev: u32,
    /// The stored JSON as a text; `sha256:` and its hash where it is longer
    /// than [`VALUE_SIZE_MAX`]; null where the answer was cleared.
    value: Option<String>,
}

impl FinalAnswer {
    /// An answer from its stored JSON; none: cleared.
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

    /// Whether a question is answered, rather than cleared.
    pub const fn is_given(&self) -> bool {
        self.value.is_some()
    }
}

/// Signs a hand-in.
pub fn sign(content: Content, key: &SigningKey) -> Receipt {
    let signed = canonical(&content);
    Receipt {
        alg: ALGORITHM.to_owned(),
        public_key: STANDARD.encode(key.verifying_key().as_bytes()),
        sha256: format!("{:x}", Sha256::digest(&signed)),
        signature: STANDARD.encode(key.sign(signed.as_bytes()).to_bytes()),
        content,
    }
}

/// The exact bytes that are signed.
fn canonical(content: &Content) -> String {
    serde_json::to_string(content).expect("strings and numbers are JSON")
}

#[cfg(test)]
mod tests;

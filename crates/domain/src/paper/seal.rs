//! Encryption of the paper before the exam opens, with AES-256-GCM.
//!
//! Candidates in the lobby fetch the sealed document; at the opening, one small
//! frame delivers the key. Key and nonce are derived from a secret of the server,
//! the exam's code and the paper's version, so that every node produces the same
//! sealed document, also after a restart, and no node has to store a key.
//!
//! A nonce must never be used for two plaintexts under one key. The version is the
//! hash of the plaintext, so another plaintext has another version and another key.
//! A key therefore encrypts only one plaintext; sealing it again repeats the same
//! bytes, which reveals nothing.

use aes_gcm::{Aes256Gcm, Key, KeyInit, Nonce, aead::Aead};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use serde::Serialize;
use sha2::Sha256;

use super::Paper;
use crate::id::ExamCode;

/// Name of the algorithm on the wire.
pub const ALGORITHM: &str = "A256GCM";

/// An encrypted plaintext, ready for JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SealedParts {
    /// [`ALGORITHM`].
    pub alg: &'static str,
    /// 12 bytes, standard base64 with padding.
    pub nonce: String,
    /// Ciphertext with the tag of 16 bytes at its end, base64 likewise.
    pub data: String,
}

/// Encrypts the JSON of a paper's sections.
pub fn seal_sections(sections_json: &[u8], key: &[u8; 32], nonce: [u8; 12]) -> SealedParts {
    let cipher = Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key));
    let data = cipher
        .encrypt(Nonce::from_slice(&nonce), sections_json)
        .expect("a paper is far under the 64 GiB that the cipher takes");
    SealedParts {
        alg: ALGORITHM,
        nonce: STANDARD.encode(nonce),
        data: STANDARD.encode(data),
    }
}

/// Returns the sealed document `{version, alg, nonce, data}` of a paper, as JSON.
pub fn sealed_document(paper: &Paper, server_secret: &[u8; 32], exam: &ExamCode) -> String {
    let parts = seal_sections(
        paper.sections_json().as_bytes(),
        &seal_key(server_secret, exam, paper.version()),
        seal_nonce(server_secret, exam, paper.version()),
    );
    let SealedParts { alg, nonce, data } = parts;
    let version = paper.version();
    // All four are plain ASCII without quotes.
    format!(r#"{{"alg":"{alg}","data":"{data}","nonce":"{nonce}","version":"{version}"}}"#)
}

/// Derives the key of an exam and paper version; `open.key` is its standard base64.
pub fn seal_key(server_secret: &[u8; 32], exam: &ExamCode, paper_version: &str) -> [u8; 32] {
    derive_bytes(server_secret, b"invigil paper key v1", exam, paper_version)
}

/// Derives the nonce of an exam and paper version. It is deterministic, and still
/// never used for two plaintexts: see the module.
pub fn seal_nonce(server_secret: &[u8; 32], exam: &ExamCode, paper_version: &str) -> [u8; 12] {
    let bytes = derive_bytes(
        server_secret,
        b"invigil paper nonce v1",
        exam,
        paper_version,
    );
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&bytes[..12]);
    nonce
}

fn derive_bytes(secret: &[u8; 32], label: &[u8], exam: &ExamCode, paper_version: &str) -> [u8; 32] {
    let mut mac =
        <Hmac<Sha256> as Mac>::new_from_slice(secret).expect("HMAC takes keys of any length");
    // Codes and versions hold no zero byte, so the separation of the parts is unique.
    for part in [label, exam.as_str().as_bytes(), paper_version.as_bytes()] {
        mac.update(part);
        mac.update(&[0]);
    }
    mac.finalize().into_bytes().into()
}

//! The paper before the exam opens: AES-256-GCM, the key held back.
//!
//! Candidates in the lobby fetch the sealed document; at the opening second one
//! small frame with the key opens it. Key and nonce are derived from a secret of
//! the server, the exam's code and the paper's version, so that every node and
//! every restart makes the same sealed document, and none has to keep a key.
//!
//! A nonce must never serve two plaintexts under one key. Here the version is
//! the hash of the plaintext: another plaintext is another version, which gives
//! another key. A key therefore encrypts one plaintext only; sealing it again
//! repeats the same bytes, which tells nobody anything.

use aes_gcm::{Aes256Gcm, Key, KeyInit, Nonce, aead::Aead};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use serde::Serialize;
use sha2::Sha256;

use super::Paper;
use crate::domain::id::ExamCode;

/// The algorithm's name on the wire.
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
pub fn seal(sections_json: &[u8], key: &[u8; 32], nonce: [u8; 12]) -> SealedParts {
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

/// The sealed document `{version, alg, nonce, data}` of a paper, as JSON.
pub fn sealed_document(paper: &Paper, server_secret: &[u8; 32], exam: &ExamCode) -> String {
    let parts = seal(
        paper.sections_json().as_bytes(),
        &seal_key(server_secret, exam, paper.version()),
        seal_nonce(server_secret, exam, paper.version()),
    );
    let SealedParts { alg, nonce, data } = parts;
    let version = paper.version();
    // All four are plain ASCII without quotes.
    format!(r#"{{"alg":"{alg}","data":"{data}","nonce":"{nonce}","version":"{version}"}}"#)
}

/// The key of an exam and paper version; `open.key` is its standard base64.
pub fn seal_key(server_secret: &[u8; 32], exam: &ExamCode, paper_version: &str) -> [u8; 32] {
    derive(server_secret, b"invigil paper key v1", exam, paper_version)
}

/// The nonce of an exam and paper version. Deterministic, and yet never used
/// twice for two plaintexts: see the module.
pub fn seal_nonce(server_secret: &[u8; 32], exam: &ExamCode, paper_version: &str) -> [u8; 12] {
    let bytes = derive(
        server_secret,
        b"invigil paper nonce v1",
        exam,
        paper_version,
    );
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&bytes[..12]);
    nonce
}

fn derive(secret: &[u8; 32], label: &[u8], exam: &ExamCode, paper_version: &str) -> [u8; 32] {
    let mut mac =
        <Hmac<Sha256> as Mac>::new_from_slice(secret).expect("HMAC takes keys of any length");
    // Neither a code nor a version holds a zero byte, so the parts cannot run together.
    for part in [label, exam.as_str().as_bytes(), paper_version.as_bytes()] {
        mac.update(part);
        mac.update(&[0]);
    }
    mac.finalize().into_bytes().into()
}

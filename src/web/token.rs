//! Tokens: what a client shows instead of its access code.
//!
//! An attempt token is stateless: it names the attempt, the person and its end,
//! and is signed with a secret that is kept with the data, so it survives a
//! restart and costs the store nothing. A log-in token is random; the store
//! keeps only its hash. Only attempt tokens have a dot.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    domain::{
        id::{AttemptId, PersonId},
        time::Timestamp,
    },
    secrets::signed::Signer,
};

/// What an attempt token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptToken {
    /// The attempt that it opens.
    #[serde(rename = "a")]
    pub attempt: AttemptId,
    /// The candidate.
    #[serde(rename = "p")]
    pub person: PersonId,
    /// When it ends.
    #[serde(rename = "e")]
    pub expires_at: Timestamp,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not made here, or changed since.
    #[error("the token is not valid")]
    Invalid,
    /// It was right once.
    #[error("the token has expired")]
    Expired,
}

/// Signs and verifies attempt tokens.
#[derive(Clone)]
pub struct Tokens {
    signer: Signer,
    lifetime: Duration,
}

impl Tokens {
    /// With the secret of this installation; tokens are valid for `lifetime`.
    pub fn new(secret: &[u8; 32], lifetime: Duration) -> Self {
        let signer = Signer::new(secret);
        Self { signer, lifetime }
    }

    /// A token for a candidate's attempt.
    pub fn sign(&self, attempt: AttemptId, person: PersonId, now: Timestamp) -> String {
        self.signer.sign(&AttemptToken {
            attempt,
            person,
            expires_at: now + self.lifetime,
        })
    }

    /// What a token says, where it was signed here and has not ended.
    ///
    /// # Errors
    /// [`TokenError::Expired`] only where everything else is right.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<AttemptToken, TokenError> {
        let token: AttemptToken = self.signer.verify(token).ok_or(TokenError::Invalid)?;
        if token.expires_at <= now {
            Err(TokenError::Expired)
        } else {
            Ok(token)
        }
    }
}

/// Whether a bearer is meant as an attempt token.
pub fn is_attempt_token(bearer: &str) -> bool {
    bearer.contains('.')
}

/// A new log-in token, and the hash that the store keeps.
///
/// # Errors
/// Where the system gives no random bytes.
pub fn new_login_token() -> Result<(String, [u8; 32]), getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    let token = URL_SAFE_NO_PAD.encode(bytes);
    let hash = login_token_hash(&token);
    Ok((token, hash))
}

/// What the store knows a log-in token by.
pub fn login_token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// What the store knows an access code by: keyed, so that the store alone does
/// not tell codes, and with the person, so that equal codes do not look equal.
pub fn access_code_hash(secret: &[u8; 32], person: &PersonId, code: &str) -> [u8; 32] {
    Hmac::<Sha256>::new_from_slice(secret)
        .expect("HMAC takes a key of any length")
        .chain_update(person.as_str())
        .chain_update([0])
        .chain_update(code)
        .finalize()
        .into_bytes()
        .into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    fn tokens() -> Tokens {
        Tokens::new(&[7; 32], HOUR)
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let signed = tokens().sign(AttemptId(42), "ann".into(), NOW);
        assert!(is_attempt_token(&signed));
        let token = tokens().verify(&signed, NOW).unwrap();
        assert_eq!(token.attempt, AttemptId(42));
        assert_eq!(token.person, "ann".into());
        assert_eq!(token.expires_at, NOW + HOUR);
    }

    #[test]
    fn a_token_ends() {
        let signed = tokens().sign(AttemptId(42), "ann".into(), NOW);
        assert!(
            tokens()
                .verify(&signed, NOW + HOUR - Duration::from_millis(1))
                .is_ok()
        );
        assert_eq!(
            tokens().verify(&signed, NOW + HOUR),
            Err(TokenError::Expired)
        );
    }

    #[test]
    fn a_token_of_another_installation_is_invalid() {
        let signed = Tokens::new(&[8; 32], HOUR).sign(AttemptId(42), "ann".into(), NOW);
        assert_eq!(tokens().verify(&signed, NOW), Err(TokenError::Invalid));
    }

    #[test]
    fn every_single_changed_character_is_noticed() {
        let signed = tokens().sign(AttemptId(42), "ann".into(), NOW);
        for index in 0..signed.len() {
            let mut changed = signed.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(
                tokens().verify(&changed, NOW),
                Err(TokenError::Invalid),
                "at {index}"
            );
        }
    }

    #[test]
    fn log_in_tokens_are_new_each_time_and_have_no_dot() {
        let (one, hash) = new_login_token().unwrap();
        let (other, _) = new_login_token().unwrap();
        assert_ne!(one, other);
        assert!(!is_attempt_token(&one));
        assert_eq!(hash, login_token_hash(&one));
    }

    #[test]
    fn access_codes_are_bound_to_the_person_and_the_installation() {
        let hash = access_code_hash(&[1; 32], &"ann".into(), "code");
        assert_eq!(hash, access_code_hash(&[1; 32], &"ann".into(), "code"));
        assert_ne!(hash, access_code_hash(&[2; 32], &"ann".into(), "code"));
        assert_ne!(hash, access_code_hash(&[1; 32], &"bob".into(), "code"));
        assert_ne!(hash, access_code_hash(&[1; 32], &"ann".into(), "Code"));
    }

    proptest! {
        #[test]
        fn any_text_is_refused_without_a_panic(text in ".*") {
            prop_assert_eq!(tokens().verify(&text, NOW), Err(TokenError::Invalid));
        }
    }
}

//! Tokens, which clients send instead of access codes.
//!
//! An attempt token is stateless: it holds the attempt, the person and its end,
//! signed with a secret that is kept with the data. So it survives a restart and
//! needs no read of the store. A log-in token is random, and the store keeps only
//! its hash. Only attempt tokens have a dot.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use invigil_domain::{
    id::{AttemptId, PersonId},
    time::Timestamp,
};
use invigil_secrets::signed::HmacSigner;

/// Content of an attempt token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptToken {
    /// The attempt that the token opens.
    #[serde(rename = "a")]
    pub attempt: AttemptId,
    /// The candidate.
    #[serde(rename = "p")]
    pub person: PersonId,
    /// End of the token.
    #[serde(rename = "e")]
    pub expires_at: Timestamp,
}

/// Reason to refuse a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token was changed, or is of another installation.
    #[error("the token is not valid")]
    Invalid,
    /// The token is genuine, and has ended.
    #[error("the token has expired")]
    Expired,
}

/// Signs and verifies attempt tokens.
#[derive(Clone)]
pub struct TokenSigner {
    signer: HmacSigner,
    lifetime: Duration,
}

impl TokenSigner {
    /// Returns a signer with the installation's secret; tokens last for `lifetime`.
    pub fn new(secret: &[u8; 32], lifetime: Duration) -> Self {
        let signer = HmacSigner::new(secret);
        Self { signer, lifetime }
    }

    /// Signs a token for a candidate's attempt.
    pub fn sign(&self, attempt: AttemptId, person: PersonId, now: Timestamp) -> String {
        self.signer.sign(&AttemptToken {
            attempt,
            person,
            expires_at: now + self.lifetime,
        })
    }

    /// Returns the content of a token that was signed here and has not ended.
    ///
    /// # Errors
    /// [`TokenError::Expired`] only for a genuine token.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<AttemptToken, TokenError> {
        let token: AttemptToken = self.signer.verify(token).ok_or(TokenError::Invalid)?;
        if token.expires_at <= now {
            Err(TokenError::Expired)
        } else {
            Ok(token)
        }
    }
}

/// Returns true for a bearer in the form of an attempt token.
pub fn is_attempt_token(bearer: &str) -> bool {
    bearer.contains('.')
}

/// Generates a log-in token; returns it with the hash for the store.
///
/// # Errors
/// Fails if the system gives no random bytes.
pub fn new_login_token() -> Result<(String, [u8; 32]), getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    let token = URL_SAFE_NO_PAD.encode(bytes);
    let hash = login_token_hash(&token);
    Ok((token, hash))
}

/// Returns the hash of a log-in token, for the store.
pub fn login_token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Returns the hash of an access code, for the store: keyed, so that the store
/// alone reveals no codes, and with the person, so that equal codes differ.
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

    fn sample_signer() -> TokenSigner {
        TokenSigner::new(&[7; 32], HOUR)
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let signed = sample_signer().sign(AttemptId(42), "ann".into(), NOW);
        assert!(is_attempt_token(&signed));
        let token = sample_signer().verify(&signed, NOW).unwrap();
        assert_eq!(token.attempt, AttemptId(42));
        assert_eq!(token.person, "ann".into());
        assert_eq!(token.expires_at, NOW + HOUR);
    }

    #[test]
    fn a_token_ends() {
        let signed = sample_signer().sign(AttemptId(42), "ann".into(), NOW);
        assert!(
            sample_signer()
                .verify(&signed, NOW + HOUR - Duration::from_millis(1))
                .is_ok()
        );
        assert_eq!(
            sample_signer().verify(&signed, NOW + HOUR),
            Err(TokenError::Expired)
        );
    }

    #[test]
    fn a_token_of_another_installation_is_invalid() {
        let signed = TokenSigner::new(&[8; 32], HOUR).sign(AttemptId(42), "ann".into(), NOW);
        assert_eq!(
            sample_signer().verify(&signed, NOW),
            Err(TokenError::Invalid)
        );
    }

    #[test]
    fn every_single_changed_character_is_noticed() {
        let signed = sample_signer().sign(AttemptId(42), "ann".into(), NOW);
        for index in 0..signed.len() {
            let mut changed = signed.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(
                sample_signer().verify(&changed, NOW),
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
            prop_assert_eq!(sample_signer().verify(&text, NOW), Err(TokenError::Invalid));
        }
    }
}

//! Passwords as Argon2id, in PHC format, with the parameters that OWASP names
//! first (19 MiB, 2 passes, 1 lane).
//!
//! One hash takes tens of milliseconds and 19 MiB: a few at a time are computed
//! beside the threads that serve sockets, the others wait.

use argon2::{
    Argon2,
    password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, Salt, SaltString},
};
use tokio::{
    sync::Semaphore,
    task::{JoinError, spawn_blocking},
};

/// Hashes computed at a time. More would only slow exams down.
static SLOTS: Semaphore = Semaphore::const_new(2);

/// What an unknown name is compared with, so that it takes as long as a known
/// one. Nothing hashes to it: the salt's and the hash's bytes are zeros.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Fewest characters of a password.
pub const CHARS_MIN: usize = 8;

/// Why a password could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No salt.
    #[error("draw random bytes")]
    Random(#[from] getrandom::Error),
    /// The work was cut off, as at the end of the program.
    #[error("hash a password")]
    Join(#[from] JoinError),
    /// The library refuses.
    #[error("hash a password: {0}")]
    Hash(argon2::password_hash::Error),
}

/// Hashes a password with a salt of its own.
///
/// # Errors
/// Where the system gives no randomness.
pub async fn hash(password: String) -> Result<String, Error> {
    let mut salt = [0; Salt::RECOMMENDED_LENGTH];
    getrandom::fill(&mut salt)?;
    let salt = SaltString::encode_b64(&salt).map_err(Error::Hash)?;
    let hashed = in_a_slot(move || {
        Argon2::default()
            .hash_password(password.as_bytes(), &salt)
            .map(|hash| hash.to_string())
    });
    hashed.await?.map_err(Error::Hash)
}

/// Whether a password is the one that was hashed. False where nothing was, in
/// the same time.
pub async fn verify(password: String, stored: Option<String>) -> bool {
    let compared = in_a_slot(move || {
        let known = stored.is_some();
        let stored = stored.as_deref().unwrap_or(NOBODY);
        let equal = PasswordHash::new(stored).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        });
        known && equal
    });
    compared.await.unwrap_or(false)
}

async fn in_a_slot<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    // Nothing closes it.
    let _slot = SLOTS.acquire().await.ok();
    spawn_blocking(work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_recognised_and_nothing_else_is() {
        let stored = hash("correct horse".to_owned()).await.unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert_ne!(stored, hash("correct horse".to_owned()).await.unwrap());
        let check = async |shown: &str, stored: Option<&str>| {
            verify(shown.to_owned(), stored.map(str::to_owned)).await
        };
        assert!(check("correct horse", Some(&stored)).await);
        for (shown, stored) in [
            ("correct hors", Some(stored.as_str())),
            ("", Some(&stored)),
            ("correct horse", None),
            ("correct horse", Some("")),
            ("correct horse", Some("correct horse")),
        ] {
            assert!(!check(shown, stored).await, "{shown} {stored:?}");
        }
    }

    #[test]
    fn nobody_is_a_hash_that_takes_as_long() {
        assert!(PasswordHash::new(NOBODY).is_ok());
    }
}

//! Password hashes: Argon2id in PHC format, with the first parameters that OWASP
//! recommends (19 MiB, 2 passes, 1 lane).
//!
//! A hash takes tens of milliseconds and 19 MiB. A few at a time are computed on
//! blocking threads, apart from those that serve sockets; the others wait.

use argon2::{
    Argon2,
    password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, Salt, SaltString},
};
use tokio::{
    sync::Semaphore,
    task::{JoinError, spawn_blocking},
};

/// Permits for simultaneous hashes. More would slow exams down.
static PERMITS: Semaphore = Semaphore::const_new(2);

/// Hash that the password of an unknown name is compared with, so that timing does
/// not tell unknown names. Its salt and hash are zeros, which no password matches.
const DUMMY_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Smallest length of a password in characters.
pub const CHARS_MIN: usize = 8;

/// Errors of hashing a password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system has no randomness for a salt.
    #[error("draw random bytes")]
    Random(#[from] getrandom::Error),
    /// The blocking task was cancelled, as at the end of the program.
    #[error("hash a password")]
    Join(#[from] JoinError),
    /// The library rejected the parameters.
    #[error("hash a password: {0}")]
    Hash(argon2::password_hash::Error),
}

/// Hashes a password with a random salt.
///
/// # Errors
/// If the system has no randomness.
pub async fn hash_password(password: String) -> Result<String, Error> {
    let mut salt = [0; Salt::RECOMMENDED_LENGTH];
    getrandom::fill(&mut salt)?;
    let salt = SaltString::encode_b64(&salt).map_err(Error::Hash)?;
    let hashed = with_permit(move || {
        Argon2::default()
            .hash_password(password.as_bytes(), &salt)
            .map(|hash| hash.to_string())
    });
    hashed.await?.map_err(Error::Hash)
}

/// Returns true if a password matches its stored hash. Without a stored hash it returns
/// false after the same time.
pub async fn verify_password(password: String, stored: Option<String>) -> bool {
    let compared = with_permit(move || {
        let known = stored.is_some();
        let stored = stored.as_deref().unwrap_or(DUMMY_HASH);
        let equal = PasswordHash::new(stored).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        });
        known && equal
    });
    compared.await.unwrap_or(false)
}

async fn with_permit<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    // An error is impossible: the semaphore is never closed.
    let _slot = PERMITS.acquire().await.ok();
    spawn_blocking(work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_is_recognised_and_nothing_else_is() {
        let stored = hash_password("correct horse".to_owned()).await.unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert_ne!(
            stored,
            hash_password("correct horse".to_owned()).await.unwrap()
        );
        let check = async |shown: &str, stored: Option<&str>| {
            verify_password(shown.to_owned(), stored.map(str::to_owned)).await
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
        assert!(PasswordHash::new(DUMMY_HASH).is_ok());
    }
}

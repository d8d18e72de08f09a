//! The engine's errors.

use invigil_domain::id::AttemptId;

/// Failure of an engine operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] invigil_store::Error),
    /// Stored data that this program would not write.
    #[error("attempt {attempt}: the stored {what} cannot be read")]
    Damaged {
        /// The attempt.
        attempt: AttemptId,
        /// The damaged part.
        what: &'static str,
    },
    /// The exam version of an attempt is not in the store, or not valid.
    #[error("exam version {0} cannot be read")]
    Content(String),
    /// The stored result of a staff command cannot be read.
    #[error("the stored result of command {0} cannot be read")]
    Command(String),
    /// The spool of records cannot be opened.
    #[error("cannot open the spool of records in {path}")]
    Spool {
        /// The folder.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The operating system returned no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
    /// The wall clock is behind the newest instant in the store.
    #[error(
        "the system clock is {behind_seconds} s behind the last time that was recorded here; \
         set the clock and start again"
    )]
    ClockBehind {
        /// Seconds by which it is behind.
        behind_seconds: i64,
    },
}

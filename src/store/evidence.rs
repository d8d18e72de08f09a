//! What is known of files of evidence. The files themselves are elsewhere.

use async_trait::async_trait;

use super::Error;
use crate::domain::{
    evidence::Kind,
    id::{AttemptId, EvidenceId, SessionId},
    time::Timestamp,
};

/// A file of evidence: announced, and then stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceRow {
    /// Whose attempt it is about.
    pub attempt: AttemptId,
    /// Unique, drawn at random.
    pub id: EvidenceId,
    /// What it shows.
    pub kind: Kind,
    /// The name of its [`MediaType`](crate::domain::evidence::MediaType).
    pub content_type: String,
    /// Its size, as announced.
    pub bytes: u64,
    /// Where it is, within the place of evidence.
    pub file: String,
    /// The session in which it was made, as the client says.
    pub session: Option<SessionId>,
    /// The number of the event in that session which it belongs to, as the client says.
    pub event: Option<u64>,
    /// When it was announced.
    pub at: Timestamp,
    /// Since when the file is known to be there.
    pub stored_at: Option<Timestamp>,
}

/// How many files an attempt may announce.
#[derive(Debug, Clone, Copy)]
pub struct Allowed {
    /// So many.
    pub files: u32,
    /// After this instant.
    pub since: Timestamp,
}

/// What became of [`EvidenceStore::put`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// It is kept.
    Kept,
    /// There are too many already; the oldest that counts is of this instant.
    TooMany(Timestamp),
}

/// What the evidence of attempts needs.
#[async_trait]
pub trait EvidenceStore: Send + Sync {
    /// Keeps a row, unless the attempt has as many as it may. Calls at the same time never make
    /// more of them.
    async fn put(&self, row: &EvidenceRow, allowed: Allowed) -> Result<Announced, Error>;

    /// Notes that the file is there, and since when, at the first call. False where there is no
    /// such row.
    async fn confirm(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
        at: Timestamp,
    ) -> Result<bool, Error>;

    /// The evidence of an attempt, oldest first.
    async fn list(&self, attempt: AttemptId) -> Result<Vec<EvidenceRow>, Error>;

    /// One row of an attempt.
    async fn get(&self, attempt: AttemptId, id: &EvidenceId) -> Result<Option<EvidenceRow>, Error>;

    /// Some rows, at least one where there are any, that were announced before `before`, or before
    /// `unstored_before` and never stored.
    async fn expired(
        &self,
        before: Timestamp,
        unstored_before: Timestamp,
        limit: u32,
    ) -> Result<Vec<EvidenceRow>, Error>;

    /// Forgets rows; one that is not there does no harm.
    async fn remove(&self, ids: &[EvidenceId]) -> Result<(), Error>;
}

//! Rows about evidence files. The files themselves are stored elsewhere.

use async_trait::async_trait;

use crate::Error;
use invigil_domain::{
    evidence::EvidenceKind,
    id::{AttemptId, EvidenceId, SessionId},
    time::Timestamp,
};

/// An evidence file, first announced and then stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceRow {
    /// The attempt that it belongs to.
    pub attempt: AttemptId,
    /// Unique random id.
    pub id: EvidenceId,
    /// The kind of evidence.
    pub kind: EvidenceKind,
    /// The name of its [`MediaType`](invigil_domain::evidence::MediaType).
    pub content_type: String,
    /// Size as announced, in bytes.
    pub bytes: u64,
    /// Path of the file within the evidence storage.
    pub file: String,
    /// The session in which it was recorded, as reported by the client.
    pub session: Option<SessionId>,
    /// Number of the event in that session that it belongs to, as reported by the client.
    pub event: Option<u64>,
    /// Instant of the announcement.
    pub at: Timestamp,
    /// Instant of the first confirmation that the file is stored.
    pub stored_at: Option<Timestamp>,
}

/// The limit on files that an attempt may announce.
#[derive(Debug, Clone, Copy)]
pub struct EvidenceQuota {
    /// Maximum number of files.
    pub max_files: u32,
    /// Only files announced after this instant count.
    pub since: Timestamp,
}

/// The outcome of [`EvidenceStore::announce_file`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnounceOutcome {
    /// The row is stored.
    Kept,
    /// The limit is reached; the oldest file that counts was announced at this instant.
    TooMany(Timestamp),
}

/// The rows about evidence of attempts.
#[async_trait]
pub trait EvidenceStore: Send + Sync {
    /// Stores a row unless the attempt has reached its quota, also under concurrent calls.
    async fn announce_file(
        &self,
        row: &EvidenceRow,
        allowed: EvidenceQuota,
    ) -> Result<AnnounceOutcome, Error>;

    /// Records that the file is stored, with the instant of the first call. Returns false if there
    /// is no such row.
    async fn confirm_file(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
        at: Timestamp,
    ) -> Result<bool, Error>;

    /// Returns the evidence of an attempt, oldest first.
    async fn list_files(&self, attempt: AttemptId) -> Result<Vec<EvidenceRow>, Error>;

    /// Returns a row of the attempt.
    async fn find_file(
        &self,
        attempt: AttemptId,
        id: &EvidenceId,
    ) -> Result<Option<EvidenceRow>, Error>;

    /// Returns rows announced before `before`, or announced before `unstored_before` and never
    /// stored: at most `limit` of each kind, and at least one if there are any.
    async fn list_expired(
        &self,
        before: Timestamp,
        unstored_before: Timestamp,
        limit: u32,
    ) -> Result<Vec<EvidenceRow>, Error>;

    /// Deletes rows; unknown ids are ignored.
    async fn delete_rows(&self, ids: &[EvidenceId]) -> Result<(), Error>;
}

//! The attempt's state machine.

use serde::{Deserialize, Serialize};

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Made, the clock does not run yet.
    Started,
    /// The clock runs.
    InProgress,
    /// Staff stopped the clock.
    Paused,
    /// Handed in by the candidate or by staff; something waits for a person.
    Submitted,
    /// Handed in by time; something waits for a person.
    AutoSubmitted,
    /// Handed in and marked.
    Graded,
    /// Marked, and looked over by a person.
    Reviewed,
    /// Void.
    Cancelled,
    /// Handed in, but held for an integrity review.
    Flagged,
}

impl Status {
    /// The name on the wire and in the stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::InProgress => "in_progress",
            Self::Paused => "paused",
            Self::Submitted => "submitted",
            Self::AutoSubmitted => "auto_submitted",
            Self::Graded => "graded",
            Self::Reviewed => "reviewed",
            Self::Cancelled => "cancelled",
            Self::Flagged => "flagged",
        }
    }
}

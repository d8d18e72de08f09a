//! Handling of security events.

use crate::{ids::UserId, names::named_column};

named_column!(
    /// Stage of a security event's handling.
    SecurityEventStatus {
        /// Not looked at yet.
        New = "new",
        /// A person investigates it.
        Investigating = "investigating",
        /// An attack, and dealt with.
        Resolved = "resolved",
        /// No attack.
        FalsePositive = "false_positive",
    }
);

impl SecurityEventStatus {
    /// Returns true if the event needs no further handling.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Resolved | Self::FalsePositive)
    }
}

/// An assignment or resolution of a security event.
#[derive(Debug)]
pub struct SecurityEventUpdate {
    /// New stage of the handling.
    pub status: SecurityEventStatus,
    /// The person who investigates it.
    pub assigned_to: Option<UserId>,
    /// Findings.
    pub notes: String,
}

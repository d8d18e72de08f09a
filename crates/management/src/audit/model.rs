//! Searches in the audit trail, its entries as seals cover them, and verifications.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx_macros::FromRow;

use crate::ids::{AuditEntryId, UserId};

/// Conditions of a search in the audit trail.
#[derive(Debug, Default)]
pub struct AuditSearch {
    /// Name of the changed table.
    pub table: Option<String>,
    /// Id of the changed row.
    pub record: Option<String>,
    /// The acting person.
    pub user_id: Option<UserId>,
    /// Upper bound of the entries' numbers, exclusive.
    pub before: Option<AuditEntryId>,
    /// Largest number of entries, 1 to 500.
    pub limit: i64,
}

/// An entry of the audit trail with the text that its seal covers.
#[derive(FromRow)]
pub(super) struct AuditEntry {
    pub id: AuditEntryId,
    pub created_at: DateTime<Utc>,
    pub table_name: String,
    pub day: NaiveDate,
    pub body: String,
    pub seal_no: Option<i64>,
    pub seal: Option<Vec<u8>>,
}

/// The chain of one table's entries of one day.
#[derive(FromRow)]
pub(super) struct AuditChain {
    pub table_name: String,
    pub day: NaiveDate,
    pub length: i64,
    pub seal: Vec<u8>,
}

/// Result of verifying the audit trail.
#[derive(Debug, Default)]
pub struct AuditVerification {
    /// Count of entries with a valid seal.
    pub entries: u64,
    /// Count of intact chains.
    pub chains: u64,
    /// Count of chains in archived months, which are skipped.
    pub archived: u64,
    /// Broken chains, a sentence each.
    pub breaks: Vec<String>,
}

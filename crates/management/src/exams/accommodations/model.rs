//! Extra time of candidates at one exam.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::ids::UserId;

/// Extra time of a candidate at one exam.
#[derive(Debug, Serialize, Deserialize)]
pub struct Accommodation {
    /// Factor of the duration, 1 or more.
    #[serde(with = "rust_decimal::serde::float")]
    pub time_factor: Decimal,
    /// Minutes added to the duration.
    pub extra_minutes: i64,
    /// Reason, kept with the accommodation.
    pub reason: String,
}

/// A candidate with an accommodation at an exam.
#[derive(Debug, Serialize, Deserialize)]
pub struct AccommodatedCandidate {
    /// Number of the person.
    pub user_id: UserId,
    /// Sign-in name.
    pub username: String,
    /// Display name.
    pub name: String,
    /// The granted accommodation.
    #[serde(flatten)]
    pub granted: Accommodation,
    /// Number of the person who granted it.
    pub granted_by: Option<UserId>,
    /// Time of the last change.
    pub updated_at: DateTime<Utc>,
}

//! Conversions between columns and values, shared by both adapters.
//!
//! A value that no column can hold is [`sqlx::Error::Encode`], a column with an
//! invalid value is [`sqlx::Error::Decode`]; the adapters report both as
//! [`Error::Rejected`](invigil_store::Error::Rejected).

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, de::value::StrDeserializer};

use invigil_domain::{
    attempt::LifecycleStatus,
    evidence::EvidenceKind,
    time::{self, Timestamp},
};
use invigil_store::PersonRole;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Returns the error for a value that cannot be stored.
pub(super) fn encode_error(reason: impl Into<String>) -> sqlx::Error {
    sqlx::Error::Encode(reason.into().into())
}

/// Returns the error for a column that cannot be read.
pub(super) fn decode_error(reason: impl Into<String>) -> sqlx::Error {
    sqlx::Error::Decode(reason.into().into())
}

/// Returns true if the driver itself, not the database, found the data at fault.
pub(super) const fn is_data_fault(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }
    )
}

/// Converts an unsigned number to its signed column.
pub(super) fn to_column(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|error| encode_error(format!("{number}: {error}")))
}

/// Converts a signed column to an unsigned number.
pub(super) fn from_column<T>(number: i64) -> Result<T>
where
    T: TryFrom<i64, Error: std::fmt::Display>,
{
    T::try_from(number).map_err(|error| decode_error(format!("{number}: {error}")))
}

/// Converts an instant to a timestamptz, which is finer: nothing is lost.
pub(super) fn instant_to_column(at: Timestamp) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_millis(at.as_ms())
        .ok_or_else(|| encode_error(format!("{} ms is no instant", at.as_ms())))
}

/// Converts a timestamptz to an instant.
pub(super) fn instant_from_column(at: DateTime<Utc>) -> Timestamp {
    Timestamp::from_ms(at.timestamp_millis())
}

/// Converts a duration to whole milliseconds.
pub(super) fn duration_to_column(duration: Duration) -> i64 {
    time::duration_ms(duration)
}

/// Converts whole milliseconds to a duration.
pub(super) fn duration_from_column(ms: i64) -> Result<Duration> {
    from_column(ms).map(Duration::from_millis)
}

/// Converts a column of exactly 32 bytes: a hash or a secret.
pub(super) fn bytes_from_column(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes
        .try_into()
        .map_err(|error| decode_error(format!("32 bytes: {error}")))
}

/// Returns the status of this stored name.
pub(super) fn status_from_column(name: &str) -> Result<LifecycleStatus> {
    let name: StrDeserializer<'_, serde::de::value::Error> = StrDeserializer::new(name);
    LifecycleStatus::deserialize(name).map_err(|error| decode_error(error.to_string()))
}

/// Returns the role of this stored name.
pub(super) fn role_from_column(name: &str) -> Result<PersonRole> {
    PersonRole::from_name(name).ok_or_else(|| decode_error(format!("unknown role {name}")))
}

/// Returns the kind of evidence of this stored name.
pub(super) fn kind_from_column(name: &str) -> Result<EvidenceKind> {
    EvidenceKind::from_name(name)
        .ok_or_else(|| decode_error(format!("unknown kind of evidence {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_read_back_from_its_name() {
        for status in [
            LifecycleStatus::Started,
            LifecycleStatus::InProgress,
            LifecycleStatus::Paused,
            LifecycleStatus::Submitted,
            LifecycleStatus::AutoSubmitted,
            LifecycleStatus::Graded,
            LifecycleStatus::Reviewed,
            LifecycleStatus::Cancelled,
            LifecycleStatus::Flagged,
        ] {
            assert_eq!(status_from_column(status.as_str()).unwrap(), status);
        }
        assert!(status_from_column("asleep").is_err());
    }

    #[test]
    fn numbers_that_no_column_holds_are_refused() {
        assert!(to_column(u64::MAX).is_err());
        assert!(from_column::<u32>(-1).is_err());
        assert_eq!(
            from_column::<u64>(i64::MAX).unwrap(),
            i64::MAX.cast_unsigned()
        );
    }
}

//! Between columns and values, as both adapters do it.
//!
//! A value that no column can hold is [`sqlx::Error::Encode`], a column that
//! holds no value of ours is [`sqlx::Error::Decode`]; the adapters report both
//! as [`Error::Rejected`](super::Error::Rejected).

use std::time::Duration;

use serde::{Deserialize, de::value::StrDeserializer};

use super::Role;
use crate::domain::{attempt::Status, evidence::Kind, time};

type Result<T> = std::result::Result<T, sqlx::Error>;

/// This value cannot be stored.
pub(super) fn refuse(reason: impl Into<String>) -> sqlx::Error {
    sqlx::Error::Encode(reason.into().into())
}

/// This column cannot be read.
pub(super) fn unreadable(reason: impl Into<String>) -> sqlx::Error {
    sqlx::Error::Decode(reason.into().into())
}

/// Whether the driver itself found the data at fault, not the database.
pub(super) const fn is_data_fault(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }
    )
}

/// An unsigned number as the stores keep it.
pub(super) fn to_column(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|error| refuse(format!("{number}: {error}")))
}

/// An unsigned number as it was kept.
pub(super) fn from_column<T>(number: i64) -> Result<T>
where
    T: TryFrom<i64, Error: std::fmt::Display>,
{
    T::try_from(number).map_err(|error| unreadable(format!("{number}: {error}")))
}

/// A duration as whole milliseconds.
pub(super) fn duration_to_column(duration: Duration) -> i64 {
    time::duration_ms(duration)
}

/// A duration of whole milliseconds.
pub(super) fn duration_from_column(ms: i64) -> Result<Duration> {
    from_column(ms).map(Duration::from_millis)
}

/// 32 bytes: a hash or a secret.
pub(super) fn bytes_from_column(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes
        .try_into()
        .map_err(|error| unreadable(format!("32 bytes: {error}")))
}

/// A status by its stored name.
pub(super) fn status_from_column(name: &str) -> Result<Status> {
    let name: StrDeserializer<'_, serde::de::value::Error> = StrDeserializer::new(name);
    Status::deserialize(name).map_err(|error| unreadable(error.to_string()))
}

/// A role by its stored name.
pub(super) fn role_from_column(name: &str) -> Result<Role> {
    Role::from_name(name).ok_or_else(|| unreadable(format!("unknown role {name}")))
}

/// A kind of evidence by its stored name.
pub(super) fn kind_from_column(name: &str) -> Result<Kind> {
    Kind::from_name(name).ok_or_else(|| unreadable(format!("unknown kind of evidence {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_read_back_from_its_name() {
        for status in [
            Status::Started,
            Status::InProgress,
            Status::Paused,
            Status::Submitted,
            Status::AutoSubmitted,
            Status::Graded,
            Status::Reviewed,
            Status::Cancelled,
            Status::Flagged,
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

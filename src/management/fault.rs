//! Why a piece of work was not done, and how what PostgreSQL says becomes that.
//!
//! Constraints are named after what they guard, `table_column_kind`; so a
//! violation names the field without a list of all constraints here.

use serde::Serialize;
use sqlx::{error::ErrorKind, postgres::PgDatabaseError};

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldFault {
    /// Which field, or `[row].field` in an import.
    pub field: String,
    /// What is wrong with it, a sentence without its subject.
    pub message: String,
}

impl FieldFault {
    /// A fault of a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// Why a piece of work was not done.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No valid log-in.
    #[error("not signed in")]
    NotSignedIn,
    /// The person may not do this.
    #[error("not allowed")]
    Forbidden,
    /// Nothing there that the person may see.
    #[error("not found")]
    NotFound,
    /// The data is not right.
    #[error("the data is not right")]
    Invalid(Vec<FieldFault>),
    /// Somebody or something has this value already.
    #[error("{0} is taken")]
    Duplicate(String),
    /// What is to be deleted is used.
    #[error("used by {0}")]
    InUse(String),
    /// It does not stand as the request assumes.
    #[error("{0}")]
    State(String),
    /// It was changed meanwhile.
    #[error("changed meanwhile")]
    Stale,
    /// The database does not answer, or asks to try again.
    #[error("the database does not answer")]
    Unavailable,
    /// A fault of ours.
    #[error("internal fault")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Fault {
    /// One field that is not right.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldFault::new(field, message)])
    }

    /// A fault of ours.
    pub fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Internal(Box::new(error))
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::RowNotFound) {
            return Self::NotFound;
        }
        let refused = error
            .as_database_error()
            .and_then(|refused| refused.try_downcast_ref::<PgDatabaseError>());
        if let Some(fault) = refused.and_then(of_database) {
            return fault;
        }
        if matches!(
            error,
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed
        ) {
            tracing::warn!(%error, "the database did not answer a request");
            return Self::Unavailable;
        }
        Self::internal(error)
    }
}

fn of_database(refused: &PgDatabaseError) -> Option<Fault> {
    let constraint = refused.constraint().unwrap_or_default();
    let field = || field_of(constraint, refused.table().unwrap_or_default());
    Some(match sqlx::error::DatabaseError::kind(refused) {
        ErrorKind::UniqueViolation => Fault::Duplicate(field()),
        ErrorKind::ForeignKeyViolation if refused.message().starts_with("update or delete") => {
            Fault::InUse(refused.table().unwrap_or_default().to_owned())
        }
        ErrorKind::ForeignKeyViolation => Fault::field(field(), "names nothing that is there"),
        ErrorKind::NotNullViolation => {
            Fault::field(refused.column().unwrap_or_default(), "is missing")
        }
        ErrorKind::CheckViolation => {
            let column = refused.column().map_or_else(field, str::to_owned);
            Fault::field(column, refused.hint().unwrap_or("is not allowed"))
        }
        ErrorKind::ExclusionViolation | ErrorKind::Other | _ => match refused.code() {
            // Row policies and grants alike: it is not the person's to change.
            "42501" => Fault::Forbidden,
            // Lost to another transaction, the server stops, or takes no more.
            code if code.starts_with("40") || code.starts_with("57") || code.starts_with("53") => {
                Fault::Unavailable
            }
            // Values that a type does not take: dates, numbers, texts.
            code if code.starts_with("22") => Fault::field("", refused.message()),
            _ => return None,
        },
    })
}

/// `courses_course_end_check` of `courses` is about `course_end`.
fn field_of(constraint: &str, table: &str) -> String {
    let name = constraint
        .strip_prefix(table)
        .map_or(constraint, |rest| rest.trim_start_matches('_'));
    ["_check", "_key", "_fkey", "_idx"]
        .iter()
        .find_map(|kind| name.strip_suffix(kind))
        .unwrap_or(name)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_name_their_field() {
        for (constraint, table, field) in [
            ("courses_course_end_check", "courses", "course_end"),
            ("users_username_key", "users", "username"),
            ("courses_organization_id_fkey", "courses", "organization_id"),
            ("questions_one_latest_idx", "questions", "one_latest"),
            ("something", "users", "something"),
        ] {
            assert_eq!(field_of(constraint, table), field);
        }
    }
}

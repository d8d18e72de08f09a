//! Errors of the management side, and the translation of PostgreSQL's errors.
//!
//! Constraints are named `table_column_kind`, so a violation names the field
//! without a list of all constraints here.

use sqlx::{error::ErrorKind, postgres::PgDatabaseError};

/// An error in one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// Path of the field; `[row].field` in an import.
    pub field: String,
    /// Predicate of a sentence whose subject is the field.
    pub message: String,
}

impl FieldFault {
    /// Creates an error of a field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// Errors of a unit of work.
#[derive(Debug, thiserror::Error)]
pub enum ManagementError {
    /// The request has no valid log-in.
    #[error("not signed in")]
    NotSignedIn,
    /// The person lacks the permission.
    #[error("not allowed")]
    Forbidden,
    /// No such row is visible to the person.
    #[error("not found")]
    NotFound,
    /// Fields of the request are invalid.
    #[error("the data is not right")]
    Invalid(Vec<FieldFault>),
    /// Another row has this unique value.
    #[error("{0} is taken")]
    Duplicate(String),
    /// Another table refers to the row to be deleted.
    #[error("used by {0}")]
    InUse(String),
    /// The state of the row does not allow the request; a sentence that says why.
    #[error("{0}")]
    WrongState(String),
    /// Another revision was written since the client read the row.
    #[error("changed meanwhile")]
    Stale,
    /// The database does not answer, or aborted the transaction; a retry may succeed.
    #[error("the database does not answer")]
    Unavailable,
    /// An error that the client cannot mend.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ManagementError {
    /// Creates an error of one invalid field.
    pub fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldFault::new(field, message)])
    }

    /// Wraps an error that the client cannot mend.
    pub fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Internal(Box::new(error))
    }
}

impl From<sqlx::Error> for ManagementError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::RowNotFound) {
            return Self::NotFound;
        }
        let refused = error
            .as_database_error()
            .and_then(|refused| refused.try_downcast_ref::<PgDatabaseError>());
        if let Some(fault) = refused.and_then(from_database) {
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

fn from_database(refused: &PgDatabaseError) -> Option<ManagementError> {
    let constraint = refused.constraint().unwrap_or_default();
    let field = || constraint_field(constraint, refused.table().unwrap_or_default());
    Some(match sqlx::error::DatabaseError::kind(refused) {
        ErrorKind::UniqueViolation => ManagementError::Duplicate(field()),
        ErrorKind::ForeignKeyViolation if refused.message().starts_with("update or delete") => {
            ManagementError::InUse(refused.table().unwrap_or_default().to_owned())
        }
        ErrorKind::ForeignKeyViolation => {
            ManagementError::invalid_field(field(), "names nothing that is there")
        }
        ErrorKind::NotNullViolation => {
            ManagementError::invalid_field(refused.column().unwrap_or_default(), "is missing")
        }
        ErrorKind::CheckViolation => {
            let column = refused.column().map_or_else(field, str::to_owned);
            ManagementError::invalid_field(column, refused.hint().unwrap_or("is not allowed"))
        }
        ErrorKind::ExclusionViolation | ErrorKind::Other | _ => match refused.code() {
            // Row policies and grants alike: the person may not change the row.
            "42501" => ManagementError::Forbidden,
            // Transaction rollback, operator intervention, insufficient resources.
            code if code.starts_with("40") || code.starts_with("57") || code.starts_with("53") => {
                ManagementError::Unavailable
            }
            // Data exceptions: dates, numbers or texts out of their type's range.
            code if code.starts_with("22") => ManagementError::invalid_field("", refused.message()),
            _ => return None,
        },
    })
}

/// Returns the column in a constraint's name: `course_end` for `courses_course_end_check`.
fn constraint_field(constraint: &str, table: &str) -> String {
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
            assert_eq!(constraint_field(constraint, table), field);
        }
    }
}

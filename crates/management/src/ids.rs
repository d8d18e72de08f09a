//! Numbers of rows, each of its own type so that they cannot be confused.
//!
//! On the wire and in columns an id is its number. The id of an attempt is
//! [`AttemptId`](invigil_domain::id::AttemptId); the ids that an exam gives to its
//! questions and sections, and the sign-in names of people, are texts of
//! [`invigil_domain::id`].

use std::fmt;

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgHasArrayType, PgTypeInfo};

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
            sqlx_macros::Type,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        // By hand, since the derive knows arrays only together with the database itself.
        impl PgHasArrayType for $name {
            fn array_type_info() -> PgTypeInfo {
                i64::array_type_info()
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

row_id!(
    /// Number of an organisation.
    OrganizationId
);
row_id!(
    /// Number of a person; the sign-in name is a [`PersonId`](invigil_domain::id::PersonId).
    UserId
);
row_id!(
    /// Number of a log-in.
    LoginId
);
row_id!(
    /// Number of a course.
    CourseId
);
row_id!(
    /// Number of a category of courses.
    CourseCategoryId
);
row_id!(
    /// Number of a category of the question bank.
    QuestionCategoryId
);
row_id!(
    /// Number of one version of a question in the bank.
    BankQuestionId
);
row_id!(
    /// Number of a media file of a question.
    MediaFileId
);
row_id!(
    /// Number of an exam; its code is an [`ExamCode`](invigil_domain::id::ExamCode).
    ExamId
);
row_id!(
    /// Number of a published version of an exam.
    ExamVersionId
);
row_id!(
    /// Number of an entry of the audit trail.
    AuditEntryId
);
row_id!(
    /// Number of a security event.
    SecurityEventId
);

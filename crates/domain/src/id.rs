//! Identifiers, each of its own type so that they cannot be confused.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// Id of an attempt. A decimal number on the wire (as a string) and in the stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub i64);

impl fmt::Display for AttemptId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::str::FromStr for AttemptId {
    type Err = std::num::ParseIntError;

    /// # Errors
    /// If the text is no decimal 64-bit number.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Arc<str>);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }
    };
}

text_id!(
    /// Id of a person: the roster's `id`.
    PersonId
);
text_id!(
    /// Code of an exam.
    ExamCode
);
text_id!(
    /// Version of an exam's frozen content: `sha256:` and the hash of its definition.
    ExamVersion
);
text_id!(
    /// Id of a question, unique within its exam.
    QuestionId
);
text_id!(
    /// Id of an option, an item, a left or a right side, unique within its question.
    OptionId
);
text_id!(
    /// Id of a section, unique within its exam.
    SectionId
);
text_id!(
    /// Id of a candidate's session, in which command numbers begin at 1.
    SessionId
);
text_id!(
    /// Id of a file of evidence.
    EvidenceId
);
text_id!(
    /// Id of a node of the engine.
    NodeId
);

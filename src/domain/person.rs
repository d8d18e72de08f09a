//! The people of the roster, and what each may do.

use std::time::Duration;

use rust_decimal::Decimal;

use super::{
    id::{ExamCode, PersonId},
    named::named,
};

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the roster's own")]
pub enum Role {
    Candidate,
    Proctor,
    Teacher,
    Admin,
}

named!(Role {
    Candidate = "candidate",
    Proctor = "proctor",
    Teacher = "teacher",
    Admin = "admin",
});

/// Which exams a person reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExamScope {
    /// Every exam, later ones too.
    All,
    /// Those named.
    Some(Vec<ExamCode>),
}

impl ExamScope {
    /// Whether the exam is among them.
    pub fn contains(&self, exam: &ExamCode) -> bool {
        match self {
            Self::All => true,
            Self::Some(codes) => codes.contains(exam),
        }
    }
}

/// A person of the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Unique.
    pub id: PersonId,
    /// Shown to people.
    pub name: String,
    /// May be empty.
    pub email: String,
    /// What the person may do.
    pub role: Role,
    /// Which exams the person may take or watch.
    pub exams: ExamScope,
    /// Multiplies the duration, 1 or more.
    pub time_factor: Decimal,
    /// Added to the duration.
    pub extra_time: Duration,
}

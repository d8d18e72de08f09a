//! The people of the roster, and what each may do.

use std::{collections::BTreeSet, time::Duration};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

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

/// Groups of candidates, such as those of one room: their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Groups(BTreeSet<Box<str>>);

impl Groups {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a group is in both.
    pub fn overlap(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }

    /// The names, in order.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(AsRef::as_ref).collect()
    }
}

impl<T: Into<Box<str>>> FromIterator<T> for Groups {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

/// Which candidates of an exam somebody of the staff sees and acts on.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CandidateScope {
    /// Every candidate, those of no group too.
    #[default]
    All,
    /// Those of any of these groups.
    Of(Groups),
}

impl CandidateScope {
    /// Whether a candidate of these groups is among them.
    pub fn contains(&self, groups: &Groups) -> bool {
        match self {
            Self::All => true,
            Self::Of(own) => own.overlap(groups),
        }
    }

    /// The groups; none: there is no such limit.
    pub const fn groups(&self) -> Option<&Groups> {
        match self {
            Self::All => None,
            Self::Of(groups) => Some(groups),
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
    /// A candidate's, and of a proctor those that the proctor watches.
    pub groups: Groups,
    /// Multiplies the duration, 1 or more.
    pub time_factor: Decimal,
    /// Added to the duration.
    pub extra_time: Duration,
}

impl Person {
    /// Which candidates of an exam the person sees, being its staff: a proctor of
    /// groups theirs alone.
    pub fn candidates(&self) -> CandidateScope {
        if self.role == Role::Proctor && !self.groups.is_empty() {
            CandidateScope::Of(self.groups.clone())
        } else {
            CandidateScope::All
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_watches_groups_sees_those_in_any_of_them() {
        let of = |names: &[&str]| names.iter().copied().collect::<Groups>();
        let two = CandidateScope::Of(of(&["a", "b"]));
        assert!(two.contains(&of(&["b", "c"])));
        assert!(!two.contains(&of(&["c"])));
        assert!(!two.contains(&Groups::default()));
        assert!(CandidateScope::All.contains(&Groups::default()));
    }
}

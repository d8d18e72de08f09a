//! People of the roster, with their roles and scopes.

use std::{collections::BTreeSet, time::Duration};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{
    id::{ExamCode, PersonId},
    named::named,
};

/// Role of a person, which determines the permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the roster's own")]
pub enum PersonRole {
    Candidate,
    Proctor,
    Teacher,
    Admin,
}

named!(PersonRole {
    Candidate = "candidate",
    Proctor = "proctor",
    Teacher = "teacher",
    Admin = "admin",
});

/// Exams that a person has access to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExamScope {
    /// All exams, later ones too.
    All,
    /// The named exams.
    Some(Vec<ExamCode>),
}

impl ExamScope {
    /// Returns true if the scope contains the exam.
    pub fn contains(&self, exam: &ExamCode) -> bool {
        match self {
            Self::All => true,
            Self::Some(codes) => codes.contains(exam),
        }
    }
}

/// Names of groups of candidates, such as those of one room.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupSet(BTreeSet<Box<str>>);

impl GroupSet {
    /// Returns true if there are no groups.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if the sets have a group in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }

    /// Returns the names, in order.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(AsRef::as_ref).collect()
    }
}

impl<T: Into<Box<str>>> FromIterator<T> for GroupSet {
    fn from_iter<I: IntoIterator<Item = T>>(names: I) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

/// Candidates of an exam whom a member of staff sees and acts on.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CandidateScope {
    /// All candidates, also those without a group.
    #[default]
    All,
    /// Candidates in any of these groups.
    Of(GroupSet),
}

impl CandidateScope {
    /// Returns true if the scope contains a candidate of these groups.
    pub fn contains(&self, groups: &GroupSet) -> bool {
        match self {
            Self::All => true,
            Self::Of(own) => own.overlaps(groups),
        }
    }

    /// Returns the groups; `None` for all candidates.
    pub const fn groups(&self) -> Option<&GroupSet> {
        match self {
            Self::All => None,
            Self::Of(groups) => Some(groups),
        }
    }
}

/// A person of the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterPerson {
    /// Unique.
    pub id: PersonId,
    /// Shown to people.
    pub name: String,
    /// May be empty.
    pub email: String,
    /// Role, which determines the permissions.
    pub role: PersonRole,
    /// Exams that the person may take or watch.
    pub exams: ExamScope,
    /// The groups that a candidate belongs to, or a proctor watches.
    pub groups: GroupSet,
    /// Factor of the duration, 1 or more.
    pub time_factor: Decimal,
    /// Time added to the duration.
    pub extra_time: Duration,
}

impl RosterPerson {
    /// Returns the candidates of an exam whom the person sees as staff: a proctor with
    /// groups sees only theirs.
    pub fn candidate_scope(&self) -> CandidateScope {
        if self.role == PersonRole::Proctor && !self.groups.is_empty() {
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
        let of = |names: &[&str]| names.iter().copied().collect::<GroupSet>();
        let two = CandidateScope::Of(of(&["a", "b"]));
        assert!(two.contains(&of(&["b", "c"])));
        assert!(!two.contains(&of(&["c"])));
        assert!(!two.contains(&GroupSet::default()));
        assert!(CandidateScope::All.contains(&GroupSet::default()));
    }
}

//! The person, candidate or engine on whose behalf a request or a transaction runs.

use invigil_domain::{
    id::{AttemptId, PersonId},
    person::{CandidateScope, ExamScope, PersonRole, RosterPerson},
};

use crate::{ids::OrganizationId, names::named_column};

named_column!(
    /// Role of a person, from the least permissions to the most.
    UserRole {
        /// Takes exams.
        Candidate = "candidate",
        /// Watches exams.
        Proctor = "proctor",
        /// Writes and marks exams.
        Teacher = "teacher",
        /// Manages an organisation.
        Admin = "admin",
        /// Manages the installation.
        SuperAdmin = "super_admin",
    }
);

impl UserRole {
    /// Returns true for administrators of an organisation or of the installation.
    pub const fn is_admin(self) -> bool {
        matches!(self, Self::Admin | Self::SuperAdmin)
    }

    /// Returns true for administrators and teachers; proctors manage nothing.
    pub const fn manages(self) -> bool {
        self.is_admin() || matches!(self, Self::Teacher)
    }
}

impl From<PersonRole> for UserRole {
    fn from(role: PersonRole) -> Self {
        match role {
            PersonRole::Candidate => Self::Candidate,
            PersonRole::Proctor => Self::Proctor,
            PersonRole::Teacher => Self::Teacher,
            PersonRole::Admin => Self::Admin,
        }
    }
}

/// The caller of a request, however it signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Sign-in name.
    pub person: PersonId,
    /// Highest role.
    pub role: UserRole,
    /// Extent of the role.
    pub scope: PrincipalScope,
}

/// Extent of a principal's role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalScope {
    /// A single attempt, by its token.
    Attempt(AttemptId),
    /// Exams of a log-in, and the groups of a proctor.
    Exams {
        /// Exams that the person may take or watch.
        exams: ExamScope,
        /// Candidates whom the person sees as staff.
        candidates: CandidateScope,
    },
    /// Rows of an organisation, as the row policies of the database decide.
    Organization(OrganizationId),
    /// The engine itself, as when maintenance regrades attempts.
    Engine,
}

impl Principal {
    /// The candidate who sends the token of an attempt.
    pub const fn of_attempt(attempt: AttemptId, candidate: PersonId) -> Self {
        Self {
            person: candidate,
            role: UserRole::Candidate,
            scope: PrincipalScope::Attempt(attempt),
        }
    }

    /// The engine itself, which has no role towards people.
    pub(crate) fn engine() -> Self {
        Self {
            person: "".into(),
            role: UserRole::Candidate,
            scope: PrincipalScope::Engine,
        }
    }
}

impl From<&RosterPerson> for Principal {
    fn from(person: &RosterPerson) -> Self {
        Self {
            person: person.id.clone(),
            role: person.role.into(),
            scope: PrincipalScope::Exams {
                exams: person.exams.clone(),
                candidates: person.candidate_scope(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_teachers_and_administrators_manage() {
        let of = |allowed: fn(UserRole) -> bool| {
            ["candidate", "proctor", "teacher", "admin", "super_admin"]
                .map(|name| allowed(UserRole::from_name(name).unwrap()))
        };
        assert_eq!(of(UserRole::manages), [false, false, true, true, true]);
        assert_eq!(of(UserRole::is_admin), [false, false, false, true, true]);
        assert_eq!(UserRole::from_name("root"), None);
    }
}

//! Access of callers to attempts and exams.
//!
//! An attempt or exam out of reach looks like one that does not exist. Proctors
//! see status and timeline of their exams' attempts; results and answers are for
//! teachers, administrators, and the attempt's candidate.

use super::{WebApp, problem::Problem};
use invigil_domain::{
    attempt::AttemptIdentity,
    id::{AttemptId, ExamCode},
};
use invigil_management::{Principal, PrincipalScope, UserRole};
use invigil_store::AttemptSummary;

/// Role of a caller towards an attempt or an exam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessRole {
    /// The candidate whose attempt it is.
    Owner,
    /// A proctor of the exam.
    Proctor,
    /// A teacher or an administrator of the exam.
    Teacher,
}

/// Returns a caller's role among the staff of an exam, if any.
pub fn staff_role(caller: &Principal, exam: &ExamCode) -> Option<AccessRole> {
    let role = match caller.role {
        UserRole::Candidate => return None,
        UserRole::Proctor => AccessRole::Proctor,
        UserRole::Teacher | UserRole::Admin | UserRole::SuperAdmin => AccessRole::Teacher,
    };
    reaches_exam(caller, exam).then_some(role)
}

fn reaches_exam(caller: &Principal, exam: &ExamCode) -> bool {
    match &caller.scope {
        PrincipalScope::Exams { exams, .. } => exams.contains(exam),
        // Row policies decide there; the engine is nobody's staff.
        PrincipalScope::Attempt(_) | PrincipalScope::Organization(_) | PrincipalScope::Engine => {
            false
        }
    }
}

/// Requires the role `least`, or a higher one, among the staff of an exam.
///
/// # Errors
/// [`Problem::NotFound`] if the exam is out of the caller's reach,
/// [`Problem::Forbidden`] if the role does not suffice.
pub fn require_staff(
    caller: &Principal,
    exam: &ExamCode,
    least: AccessRole,
) -> Result<(), Problem> {
    match staff_role(caller, exam) {
        Some(role) if role == least || role == AccessRole::Teacher => Ok(()),
        Some(_) => Err(Problem::Forbidden),
        None if reaches_exam(caller, exam) => Err(Problem::Forbidden),
        None => Err(Problem::NotFound),
    }
}

fn caller_role(caller: &Principal, identity: &AttemptIdentity) -> Option<AccessRole> {
    match &caller.scope {
        PrincipalScope::Attempt(id) => (*id == identity.id).then_some(AccessRole::Owner),
        PrincipalScope::Exams { .. } if caller.person == identity.candidate => {
            Some(AccessRole::Owner)
        }
        PrincipalScope::Exams { candidates, .. } => {
            staff_role(caller, &identity.exam).filter(|_| candidates.contains(&identity.groups))
        }
        PrincipalScope::Organization(_) | PrincipalScope::Engine => None,
    }
}

impl WebApp {
    /// Returns an attempt that the caller may see, with the caller's role.
    pub(super) async fn visible_attempt(
        &self,
        caller: &Principal,
        id: AttemptId,
    ) -> Result<(AccessRole, AttemptSummary), Problem> {
        // Before the store is asked: a foreign token causes no load.
        if matches!(caller.scope, PrincipalScope::Attempt(own) if own != id) {
            return Err(Problem::NotFound);
        }
        let summary = self.engine.summary(id).await?.ok_or(Problem::NotFound)?;
        caller_role(caller, &summary.identity)
            .map(|standing| (standing, summary))
            .ok_or(Problem::NotFound)
    }

    /// Requires the attempt's candidate. The attempt's own token is enough, without
    /// a call to the store.
    pub(super) async fn require_owner(
        &self,
        caller: &Principal,
        id: AttemptId,
    ) -> Result<(), Problem> {
        if matches!(caller.scope, PrincipalScope::Attempt(own) if own == id) {
            return Ok(());
        }
        match self.visible_attempt(caller, id).await? {
            (AccessRole::Owner, _) => Ok(()),
            (AccessRole::Proctor | AccessRole::Teacher, _) => Err(Problem::Forbidden),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::expect;

    use super::*;
    use invigil_domain::{
        person::{ExamScope, GroupSet, PersonRole, RosterPerson},
        time::Timestamp,
    };

    fn sample_person(id: &str, role: PersonRole, exams: &[&str]) -> RosterPerson {
        RosterPerson {
            id: id.into(),
            name: String::new(),
            email: String::new(),
            role,
            exams: ExamScope::Some(exams.iter().map(|&code| code.into()).collect()),
            groups: GroupSet::default(),
            time_factor: rust_decimal::Decimal::ONE,
            extra_time: Duration::ZERO,
        }
    }

    fn sample_token(attempt: i64) -> Principal {
        Principal::of_attempt(AttemptId(attempt), "ann".into())
    }

    #[test]
    fn an_attempt_is_its_candidates_and_the_staffs_of_its_exam() {
        let identity = AttemptIdentity {
            id: AttemptId(1),
            exam: "E1".into(),
            exam_version: "sha256:0".into(),
            candidate: "ann".into(),
            number: 1,
            seed: 0,
            time_factor: rust_decimal::Decimal::ONE,
            extra_time: Duration::ZERO,
            groups: ["room 1"].into_iter().collect(),
            started_at: Timestamp::from_ms(0),
        };
        let check = |caller: Principal| caller_role(&caller, &identity);
        let people = [
            ("ann", PersonRole::Candidate, "E1"),
            ("bob", PersonRole::Candidate, "E1"),
            ("pat", PersonRole::Proctor, "E1"),
            ("pat", PersonRole::Proctor, "E2"),
            ("tom", PersonRole::Teacher, "E1"),
            ("tom", PersonRole::Teacher, "E2"),
            ("ada", PersonRole::Admin, "E1"),
        ];
        let list: Vec<_> = people
            .iter()
            .map(|&(id, role, exam)| {
                let standing = check((&sample_person(id, role, &[exam])).into());
                format!("{id} of {exam}: {standing:?}")
            })
            .collect();
        expect![[r"
            ann of E1: Some(Owner)
            bob of E1: None
            pat of E1: Some(Proctor)
            pat of E2: None
            tom of E1: Some(Teacher)
            tom of E2: None
            ada of E1: Some(Teacher)"]]
        .assert_eq(&list.join("\n"));
        let of = |role, groups: &[&str]| {
            let mut person = sample_person("pat", role, &["E1"]);
            person.groups = groups.iter().copied().collect();
            check((&person).into())
        };
        let own = of(PersonRole::Proctor, &["room 1", "room 2"]);
        assert_eq!(own, Some(AccessRole::Proctor));
        assert_eq!(of(PersonRole::Proctor, &["room 2"]), None);
        assert_eq!(
            of(PersonRole::Teacher, &["room 2"]),
            Some(AccessRole::Teacher)
        );
        assert_eq!(check(sample_token(1)), Some(AccessRole::Owner));
        assert_eq!(check(sample_token(2)), None);
    }

    #[test]
    fn results_are_not_for_proctors_and_unknown_exams_are_not_found() {
        let check = |role, exam: &str, least| {
            let person = sample_person("x", role, &["E1"]);
            require_staff(&(&person).into(), &exam.into(), least)
        };
        assert_eq!(
            check(PersonRole::Proctor, "E1", AccessRole::Proctor),
            Ok(())
        );
        assert_eq!(
            check(PersonRole::Proctor, "E1", AccessRole::Teacher),
            Err(Problem::Forbidden)
        );
        assert_eq!(
            check(PersonRole::Teacher, "E1", AccessRole::Proctor),
            Ok(())
        );
        assert_eq!(
            check(PersonRole::Teacher, "E1", AccessRole::Teacher),
            Ok(())
        );
        assert_eq!(
            check(PersonRole::Teacher, "E2", AccessRole::Teacher),
            Err(Problem::NotFound)
        );
        assert_eq!(
            check(PersonRole::Candidate, "E1", AccessRole::Proctor),
            Err(Problem::Forbidden)
        );
        assert_eq!(
            check(PersonRole::Candidate, "E2", AccessRole::Proctor),
            Err(Problem::NotFound)
        );
    }
}

//! Access of callers to attempts and exams.
//!
//! An attempt or exam out of reach looks like one that does not exist. Proctors
//! see status and timeline of their exams' attempts; results and answers are for
//! teachers, administrators, and the attempt's candidate.

use super::{WebApp, auth::ApiCaller, problem::Problem};
use invigil_domain::{
    attempt::AttemptIdentity,
    id::{AttemptId, ExamCode},
    person::{PersonRole, RosterPerson},
};
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

/// Returns a person's role among the staff of an exam, if any.
pub fn staff_role(person: &RosterPerson, exam: &ExamCode) -> Option<AccessRole> {
    let standing = match person.role {
        PersonRole::Candidate => return None,
        PersonRole::Proctor => AccessRole::Proctor,
        PersonRole::Teacher | PersonRole::Admin => AccessRole::Teacher,
    };
    person.exams.contains(exam).then_some(standing)
}

/// Requires the role `least`, or a higher one, among the staff of an exam.
///
/// # Errors
/// [`Problem::NotFound`] if the exam is out of the person's reach,
/// [`Problem::Forbidden`] if the role does not suffice.
pub fn require_staff(
    person: &RosterPerson,
    exam: &ExamCode,
    least: AccessRole,
) -> Result<(), Problem> {
    match staff_role(person, exam) {
        Some(standing) if standing == least || standing == AccessRole::Teacher => Ok(()),
        Some(_) => Err(Problem::Forbidden),
        None if person.exams.contains(exam) => Err(Problem::Forbidden),
        None => Err(Problem::NotFound),
    }
}

fn caller_role(caller: &ApiCaller, identity: &AttemptIdentity) -> Option<AccessRole> {
    match caller {
        ApiCaller::Attempt(token) => (token.attempt == identity.id).then_some(AccessRole::Owner),
        ApiCaller::Person(person) if person.id == identity.candidate => Some(AccessRole::Owner),
        ApiCaller::Person(person) => staff_role(person, &identity.exam)
            .filter(|_| person.candidate_scope().contains(&identity.groups)),
    }
}

impl WebApp {
    /// Returns an attempt that the caller may see, with the caller's role.
    pub(super) async fn visible_attempt(
        &self,
        caller: &ApiCaller,
        id: AttemptId,
    ) -> Result<(AccessRole, AttemptSummary), Problem> {
        if let ApiCaller::Attempt(token) = caller
            && token.attempt != id
        {
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
        caller: &ApiCaller,
        id: AttemptId,
    ) -> Result<(), Problem> {
        if matches!(caller, ApiCaller::Attempt(token) if token.attempt == id) {
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
    use crate::web::token::AttemptToken;
    use invigil_domain::{
        person::{ExamScope, GroupSet},
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

    fn sample_token(attempt: i64) -> ApiCaller {
        let expires_at = Timestamp::from_ms(0);
        ApiCaller::Attempt(AttemptToken {
            attempt: AttemptId(attempt),
            person: "ann".into(),
            expires_at,
        })
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
        let check = |caller: ApiCaller| caller_role(&caller, &identity);
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
                let standing = check(ApiCaller::Person(sample_person(id, role, &[exam])));
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
            check(ApiCaller::Person(person))
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
            require_staff(&sample_person("x", role, &["E1"]), &exam.into(), least)
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

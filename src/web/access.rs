//! Whose a thing is, and who may see it.
//!
//! What is another's answers like what does not exist. Proctors see how the
//! attempts of their exams stand and what happened; results and answers are for
//! teachers and administrators, and for the candidate whose they are.

use super::{App, auth::Caller, problem::Problem};
use crate::{
    domain::{
        attempt::Identity,
        id::{AttemptId, ExamCode},
        person::{Person, Role},
    },
    store::Summary,
};

/// What a caller is to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The candidate whose attempt it is.
    Owner,
    /// A proctor of the exam.
    Proctor,
    /// A teacher or an administrator of the exam.
    Teacher,
}

/// What a person is to the staff side of an exam. None: nothing.
pub fn staff_standing(person: &Person, exam: &ExamCode) -> Option<Standing> {
    let standing = match person.role {
        Role::Candidate => return None,
        Role::Proctor => Standing::Proctor,
        Role::Teacher | Role::Admin => Standing::Teacher,
    };
    person.exams.contains(exam).then_some(standing)
}

/// Lets staff of the exam through, `teachers_only` or proctors too.
///
/// # Errors
/// [`Problem::NotFound`] where the exam is none of theirs,
/// [`Problem::Forbidden`] where their role does not go so far.
pub fn require_staff(person: &Person, exam: &ExamCode, least: Standing) -> Result<(), Problem> {
    match staff_standing(person, exam) {
        Some(standing) if standing == least || standing == Standing::Teacher => Ok(()),
        Some(_) => Err(Problem::Forbidden),
        None if person.exams.contains(exam) => Err(Problem::Forbidden),
        None => Err(Problem::NotFound),
    }
}

fn standing(caller: &Caller, identity: &Identity) -> Option<Standing> {
    match caller {
        Caller::Attempt(token) => (token.attempt == identity.id).then_some(Standing::Owner),
        Caller::Person(person) if person.id == identity.candidate => Some(Standing::Owner),
        Caller::Person(person) => staff_standing(person, &identity.exam)
            .filter(|_| person.candidates().contains(&identity.groups)),
    }
}

impl App {
    /// An attempt that the caller may know of, and what the caller is to it.
    pub(super) async fn attempt(
        &self,
        caller: &Caller,
        id: AttemptId,
    ) -> Result<(Standing, Summary), Problem> {
        if let Caller::Attempt(token) = caller
            && token.attempt != id
        {
            return Err(Problem::NotFound);
        }
        let summary = self.engine.summary(id).await?.ok_or(Problem::NotFound)?;
        standing(caller, &summary.identity)
            .map(|standing| (standing, summary))
            .ok_or(Problem::NotFound)
    }

    /// Lets only the owner through. The token of the attempt itself is believed
    /// without asking the store.
    pub(super) async fn own_attempt(&self, caller: &Caller, id: AttemptId) -> Result<(), Problem> {
        if matches!(caller, Caller::Attempt(token) if token.attempt == id) {
            return Ok(());
        }
        match self.attempt(caller, id).await? {
            (Standing::Owner, _) => Ok(()),
            (Standing::Proctor | Standing::Teacher, _) => Err(Problem::Forbidden),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::expect;

    use super::*;
    use crate::{
        domain::{
            person::{ExamScope, Groups},
            time::Timestamp,
        },
        web::token::AttemptToken,
    };

    fn person(id: &str, role: Role, exams: &[&str]) -> Person {
        Person {
            id: id.into(),
            name: String::new(),
            email: String::new(),
            role,
            exams: ExamScope::Some(exams.iter().map(|&code| code.into()).collect()),
            groups: Groups::default(),
            time_factor: rust_decimal::Decimal::ONE,
            extra_time: Duration::ZERO,
        }
    }

    fn token(attempt: i64) -> Caller {
        let expires_at = Timestamp::from_ms(0);
        Caller::Attempt(AttemptToken {
            attempt: AttemptId(attempt),
            person: "ann".into(),
            expires_at,
        })
    }

    #[test]
    fn an_attempt_is_its_candidates_and_the_staffs_of_its_exam() {
        let identity = Identity {
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
        let check = |caller: Caller| standing(&caller, &identity);
        let people = [
            ("ann", Role::Candidate, "E1"),
            ("bob", Role::Candidate, "E1"),
            ("pat", Role::Proctor, "E1"),
            ("pat", Role::Proctor, "E2"),
            ("tom", Role::Teacher, "E1"),
            ("tom", Role::Teacher, "E2"),
            ("ada", Role::Admin, "E1"),
        ];
        let list: Vec<_> = people
            .iter()
            .map(|&(id, role, exam)| {
                let standing = check(Caller::Person(person(id, role, &[exam])));
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
            let mut person = person("pat", role, &["E1"]);
            person.groups = groups.iter().copied().collect();
            check(Caller::Person(person))
        };
        let own = of(Role::Proctor, &["room 1", "room 2"]);
        assert_eq!(own, Some(Standing::Proctor));
        assert_eq!(of(Role::Proctor, &["room 2"]), None);
        assert_eq!(of(Role::Teacher, &["room 2"]), Some(Standing::Teacher));
        assert_eq!(check(token(1)), Some(Standing::Owner));
        assert_eq!(check(token(2)), None);
    }

    #[test]
    fn results_are_not_for_proctors_and_unknown_exams_are_not_found() {
        let check = |role, exam: &str, least| {
            require_staff(&person("x", role, &["E1"]), &exam.into(), least)
        };
        assert_eq!(check(Role::Proctor, "E1", Standing::Proctor), Ok(()));
        assert_eq!(
            check(Role::Proctor, "E1", Standing::Teacher),
            Err(Problem::Forbidden)
        );
        assert_eq!(check(Role::Teacher, "E1", Standing::Proctor), Ok(()));
        assert_eq!(check(Role::Teacher, "E1", Standing::Teacher), Ok(()));
        assert_eq!(
            check(Role::Teacher, "E2", Standing::Teacher),
            Err(Problem::NotFound)
        );
        assert_eq!(
            check(Role::Candidate, "E1", Standing::Proctor),
            Err(Problem::Forbidden)
        );
        assert_eq!(
            check(Role::Candidate, "E2", Standing::Proctor),
            Err(Problem::NotFound)
        );
    }
}

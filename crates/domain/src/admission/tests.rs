//! Admission to starting and entering attempts.

use std::net::IpAddr;

use super::{AdmissionError, AdmissionRequest, PriorAttempts, may_enter, may_start, opens_at};
use crate::{
    exam::{Exam, fixture::demo_all},
    person::{ExamScope, GroupSet, PersonRole, RosterPerson},
    time::Timestamp,
};

const OPENS: i64 = 10_000_000;
const CLOSES: i64 = 20_000_000;
const LOBBY: i64 = 15 * 60 * 1_000;

fn windowed_exam() -> Exam {
    let mut exam = demo_all();
    exam.available_from = Some(Timestamp::from_ms(OPENS));
    exam.available_until = Some(Timestamp::from_ms(CLOSES));
    exam.max_attempts = 2;
    exam
}

fn person_with(role: PersonRole, exams: ExamScope) -> RosterPerson {
    RosterPerson {
        id: "ada".into(),
        name: "Ada".to_owned(),
        email: String::new(),
        role,
        exams,
        groups: GroupSet::default(),
        time_factor: 1.into(),
        extra_time: std::time::Duration::ZERO,
    }
}

fn demo_candidate() -> RosterPerson {
    person_with(
        PersonRole::Candidate,
        ExamScope::Some(vec!["DEMO-ALL".into()]),
    )
}

fn start_at<'a>(
    person: &'a RosterPerson,
    now: i64,
    password: Option<&'a str>,
) -> AdmissionRequest<'a> {
    AdmissionRequest {
        person,
        now: Timestamp::from_ms(now),
        address: "10.1.2.3".parse().unwrap(),
        password,
        history: PriorAttempts::Over(0),
    }
}

#[test]
fn candidates_of_the_exam_start_from_the_lobby_until_it_closes() {
    let (exam, ada) = (windowed_exam(), demo_candidate());
    for (now, expected) in [
        (OPENS - LOBBY - 1, Err(AdmissionError::NotOpen)),
        (OPENS - LOBBY, Ok(())),
        (OPENS, Ok(())),
        (CLOSES - 1, Ok(())),
        (CLOSES, Err(AdmissionError::Closed)),
    ] {
        assert_eq!(
            may_start(&exam, &start_at(&ada, now, None)),
            expected,
            "{now}"
        );
    }
    let opens = |now| opens_at(&exam, Timestamp::from_ms(now)).map(Timestamp::as_ms);
    assert_eq!(opens(OPENS - 1), Some(OPENS));
    assert_eq!(opens(OPENS), None);
}

#[test]
fn who_is_not_a_candidate_of_the_exam_is_not_enrolled() {
    let exam = windowed_exam();
    for (role, scope, expected) in [
        (PersonRole::Candidate, ExamScope::All, Ok(())),
        (
            PersonRole::Candidate,
            ExamScope::Some(vec!["OTHER".into()]),
            Err(AdmissionError::NotEnrolled),
        ),
        (
            PersonRole::Candidate,
            ExamScope::Some(vec![]),
            Err(AdmissionError::NotEnrolled),
        ),
        (
            PersonRole::Proctor,
            ExamScope::All,
            Err(AdmissionError::NotEnrolled),
        ),
        (
            PersonRole::Admin,
            ExamScope::All,
            Err(AdmissionError::NotEnrolled),
        ),
    ] {
        let person = person_with(role, scope);
        assert_eq!(may_start(&exam, &start_at(&person, OPENS, None)), expected);
    }
}

#[test]
fn attempts_are_counted_and_the_open_one_is_given_again() {
    let (mut exam, ada) = (windowed_exam(), demo_candidate());
    exam.password = Some("sesame".to_owned());
    let with = |history, now| AdmissionRequest {
        history,
        ..start_at(&ada, now, Some("sesame"))
    };
    assert_eq!(
        may_start(&exam, &with(PriorAttempts::Over(1), OPENS)),
        Ok(())
    );
    assert_eq!(
        may_start(&exam, &with(PriorAttempts::Over(2), OPENS)),
        Err(AdmissionError::NoAttemptsLeft)
    );
    let again = AdmissionRequest {
        password: None,
        ..with(PriorAttempts::Open, CLOSES + 1)
    };
    assert_eq!(may_start(&exam, &again), Ok(()));
}

#[test]
fn the_password_must_be_the_exam_s() {
    let (mut exam, ada) = (windowed_exam(), demo_candidate());
    assert_eq!(
        may_start(&exam, &start_at(&ada, OPENS, Some("any"))),
        Ok(())
    );
    exam.password = Some("sesame".to_owned());
    for (given, expected) in [
        (Some("sesame"), Ok(())),
        (Some("Sesame"), Err(AdmissionError::WrongPassword)),
        (Some("sesam"), Err(AdmissionError::WrongPassword)),
        (Some(""), Err(AdmissionError::WrongPassword)),
        (None, Err(AdmissionError::WrongPassword)),
    ] {
        assert_eq!(may_start(&exam, &start_at(&ada, OPENS, given)), expected);
    }
}

#[test]
fn only_allowed_networks_start_and_enter() {
    let (mut exam, ada) = (windowed_exam(), demo_candidate());
    exam.ip_restrictions = vec![
        "10.0.0.0/8".parse().unwrap(),
        "2001:db8::/32".parse().unwrap(),
    ];
    let now = Timestamp::from_ms(OPENS);
    for (address, allowed) in [
        ("10.9.9.9", true),
        ("::ffff:10.9.9.9", true),
        ("11.0.0.1", false),
        ("2001:db8::1", true),
        ("::1", false),
    ] {
        let address: IpAddr = address.parse().unwrap();
        let expected = if allowed {
            Ok(())
        } else {
            Err(AdmissionError::AddressNotAllowed)
        };
        let start = AdmissionRequest {
            address,
            ..start_at(&ada, OPENS, None)
        };
        assert_eq!(may_start(&exam, &start), expected, "{address}");
        assert_eq!(may_enter(&exam, address, now, None), expected, "{address}");
    }
}

#[test]
fn an_attempt_is_entered_within_the_window_and_again_after_it() {
    let exam = windowed_exam();
    let address: IpAddr = "127.0.0.1".parse().unwrap();
    let enter = |now, entered_at: Option<i64>| {
        let entered_at = entered_at.map(Timestamp::from_ms);
        may_enter(&exam, address, Timestamp::from_ms(now), entered_at)
    };
    assert_eq!(enter(OPENS - LOBBY - 1, None), Err(AdmissionError::NotOpen));
    assert_eq!(enter(OPENS - LOBBY, None), Ok(()));
    assert_eq!(enter(CLOSES, None), Err(AdmissionError::Closed));
    assert_eq!(enter(CLOSES, Some(OPENS)), Ok(()));
}

#[test]
fn refusals_have_the_codes_of_the_interface() {
    let codes = [
        (AdmissionError::NotOpen, "not_open"),
        (AdmissionError::Closed, "closed"),
        (AdmissionError::NoAttemptsLeft, "no_attempts_left"),
        (AdmissionError::WrongPassword, "wrong_password"),
        (AdmissionError::AddressNotAllowed, "address_not_allowed"),
        (AdmissionError::NotEnrolled, "not_enrolled"),
    ];
    for (refusal, code) in codes {
        assert_eq!(refusal.code(), code);
    }
}

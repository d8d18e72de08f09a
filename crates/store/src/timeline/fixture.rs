//! Test fixture: an attempt to which events happen.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use invigil_domain::{
    attempt::{Attempt, AttemptIdentity, AttemptRecord, DomainEvent, IndexedExam},
    exam::definition::{FileFormat, parse_exam},
    id::AttemptId,
    person::GroupSet,
    time::Timestamp,
};
use rust_decimal::Decimal;

/// The instant of every entry.
pub(super) const NOW: Timestamp = Timestamp::from_ms(1_700_000_060_000);

/// Beginning of the candidate's time.
pub(super) const ENTERED_AT: Timestamp = Timestamp::from_ms(1_700_000_000_000);

/// The sample with two sections; its first question is `u1`.
const DEMO_QUIZ: &str = include_str!("../../../../config/samples/demo-quiz.yaml");

/// Returns an attempt whose clock runs and which has a session.
pub(super) fn running_attempt() -> Attempt {
    static ATTEMPT: LazyLock<Attempt> = LazyLock::new(make_attempt);
    ATTEMPT.clone()
}

fn make_attempt() -> Attempt {
    let parsed = parse_exam(DEMO_QUIZ, FileFormat::Yaml);
    let exam = parsed.unwrap_or_else(|faults| panic!("{faults:#?}")).exam;
    let identity = AttemptIdentity {
        id: AttemptId(7),
        exam: exam.code.clone(),
        exam_version: exam.version.clone(),
        candidate: "c1".into(),
        number: 1,
        seed: 0,
        time_factor: Decimal::ONE,
        extra_time: Duration::ZERO,
        groups: GroupSet::default(),
        started_at: ENTERED_AT,
    };
    let plan = Arc::new(IndexedExam::new(Arc::new(exam)));
    let mut attempt = Attempt::from_record(identity, plan, usize::MAX, 0, AttemptRecord::default());
    attempt.apply(&DomainEvent::ClockStarted { at: ENTERED_AT });
    let session = "s-1".to_owned().into();
    attempt.apply(&DomainEvent::SessionOpened { session });
    attempt
}

//! Attempts for the tests of the components around them.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::{content::ExamContent, node::keys::InstallationKeys};
use invigil_domain::{
    attempt::{
        Attempt, AttemptCommand, AttemptIdentity, AttemptRecord, DecideError,
        command::{CandidateCommand, CommandKey, StaffAction},
    },
    exam::definition::{FileFormat, parse_exam},
    id::{AttemptId, SessionId},
    person::GroupSet,
    time::Timestamp,
};

/// Begin of a test's time.
pub(crate) const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);

/// Epoch under which attempts are loaded.
pub(crate) const EPOCH: u64 = 1;

/// The content of an exam of one hour with the true-false questions `q0` to `q9`, changed
/// by `changes` to its definition.
pub(crate) fn exam_content(changes: Value) -> ExamContent {
    let question = |number: usize| {
        json!({
            "id": format!("q{number}"), "type": "true_false", "content": "x".repeat(100),
            "answer": true,
        })
    };
    let questions: Vec<Value> = (0..10).map(question).collect();
    let mut definition = json!({
        "code": "E1", "title": "Exam", "duration_minutes": 60,
        "sections": [{ "id": "s", "questions": questions }],
    });
    let Value::Object(changes) = changes else {
        unreachable!("changes are an object");
    };
    definition
        .as_object_mut()
        .expect("a definition is an object")
        .extend(changes);
    let exam = parse_exam(&definition.to_string(), FileFormat::Json)
        .expect("a valid definition")
        .exam;
    ExamContent::new(Arc::new(exam), 0, &installation_keys())
}

/// Keys of a test's installation.
pub(crate) fn installation_keys() -> InstallationKeys {
    InstallationKeys {
        receipt: ed25519_dalek::SigningKey::from_bytes(&[1; 32]),
        paper: [2; 32],
    }
}

/// An attempt at an exam, just loaded.
pub(crate) fn new_attempt(content: &ExamContent) -> Attempt {
    let exam = content.exam();
    let identity = AttemptIdentity {
        id: AttemptId(1),
        exam: exam.code.clone(),
        exam_version: exam.version.clone(),
        candidate: "ann".into(),
        number: 1,
        seed: 0,
        time_factor: Decimal::ONE,
        extra_time: std::time::Duration::ZERO,
        groups: GroupSet::default(),
        started_at: NOW,
    };
    let plan = Arc::clone(&content.plan);
    Attempt::from_record(identity, plan, 1_000, EPOCH, AttemptRecord::default())
}

/// An attempt at the usual exam, whose candidate has entered by the session `s1`.
pub(crate) fn entered_attempt(changes: Value) -> Attempt {
    let mut attempt = new_attempt(&exam_content(changes));
    enter_session(&mut attempt, NOW, "s1").expect("the exam is open");
    attempt
}

/// Performs a command.
pub(crate) fn perform(
    attempt: &mut Attempt,
    now: Timestamp,
    command: &AttemptCommand,
) -> Result<(), DecideError> {
    for event in attempt.decide(now, command)? {
        attempt.apply(&event);
    }
    Ok(())
}

/// Enters by a new session.
pub(crate) fn enter_session(
    attempt: &mut Attempt,
    now: Timestamp,
    session: &str,
) -> Result<(), DecideError> {
    let fresh = SessionId::from(session);
    let enter = AttemptCommand::Enter {
        resume: None,
        fresh,
    };
    perform(attempt, now, &enter)
}

/// The answer `true` to a question.
pub(crate) fn answer_command(seq: u64, question: &str) -> AttemptCommand {
    AttemptCommand::Numbered {
        seq,
        what: CandidateCommand::Answer {
            question: question.into(),
            value: Some(json!(true)),
            base_rev: None,
            spent: std::time::Duration::ZERO,
            bad_field: None,
        },
    }
}

/// A hand-in by the candidate.
pub(crate) const fn submit_command(seq: u64) -> AttemptCommand {
    let what = CandidateCommand::Submit;
    AttemptCommand::Numbered { seq, what }
}

/// A staff command.
pub(crate) fn staff_command(action: StaffAction) -> AttemptCommand {
    let key = CommandKey {
        person: "p1".into(),
        command: "c1".into(),
    };
    AttemptCommand::Staff { key, action }
}

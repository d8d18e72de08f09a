//! Every sequence of up to five commands. The driver checks each step.

use std::collections::BTreeMap;

use expect_test::expect;

use crate::{
    attempt::{
        AttemptCommand, DecideError,
        command::{CandidateCommand, StaffAction},
        fixture::{
            AttemptDriver, answer_command, enter_command, hour_exam, span_of_minutes, staff_command,
        },
    },
    exam::{Exam, SessionPolicy},
};

const LENGTH: usize = 5;

/// The next step of a life. Together the steps reach every status.
#[derive(Debug, Clone, Copy)]
enum ShortStep {
    Enter,
    Resume,
    Leave,
    Choose,
    Write,
    Repeat,
    Submit,
    PauseOrResume,
    Extend,
    Wait,
    Crash,
}

const STEPS: [ShortStep; 11] = [
    ShortStep::Enter,
    ShortStep::Resume,
    ShortStep::Leave,
    ShortStep::Choose,
    ShortStep::Write,
    ShortStep::Repeat,
    ShortStep::Submit,
    ShortStep::PauseOrResume,
    ShortStep::Extend,
    ShortStep::Wait,
    ShortStep::Crash,
];

/// Statuses at the end of the lives, and the number of refused steps.
#[derive(Debug, Default)]
struct StatusCensus {
    lives: u32,
    statuses: BTreeMap<&'static str, u32>,
    late: u32,
    refused: u32,
}

fn live_on(driver: &AttemptDriver, depth: usize, census: &mut StatusCensus) {
    census.lives += 1;
    let attempt = &driver.attempt;
    *census
        .statuses
        .entry(attempt.status().as_str())
        .or_default() += 1;
    census.late += u32::from(attempt.control().late);
    driver.check_replay();
    if depth == LENGTH {
        return;
    }
    for step in STEPS {
        let mut next = driver.clone();
        // Ids are unique within a life, and so is a depth.
        census.refused += u32::from(take_step(&mut next, step, depth).is_err());
        live_on(&next, depth + 1, census);
    }
}

fn take_step(driver: &mut AttemptDriver, step: ShortStep, depth: usize) -> Result<(), DecideError> {
    let unique = format!("{depth}");
    let session = driver.attempt.session().map(|session| session.id.clone());
    let seq = driver.next_seq();
    let reason = None;
    let command = match step {
        ShortStep::Enter => enter_command(&unique, None),
        ShortStep::Resume => AttemptCommand::Enter {
            resume: session,
            fresh: unique.as_str().into(),
        },
        ShortStep::Leave => AttemptCommand::Leave,
        ShortStep::Choose => answer_command(seq, "q1", Some(1), "a".into()),
        ShortStep::Write => answer_command(seq, "q2", None, "text".into()),
        ShortStep::Repeat => answer_command(seq - 1, "q1", None, "b".into()),
        ShortStep::Submit => AttemptCommand::Numbered {
            seq,
            what: CandidateCommand::Submit,
        },
        ShortStep::PauseOrResume if driver.attempt.control().ledger.paused_since.is_some() => {
            staff_command(&unique, StaffAction::Resume { reason })
        }
        ShortStep::PauseOrResume => staff_command(&unique, StaffAction::Pause { reason }),
        ShortStep::Extend => {
            let by = span_of_minutes(30);
            staff_command(&unique, StaffAction::Extend { by, reason })
        }
        ShortStep::Wait => {
            driver.now = driver.now + span_of_minutes(31);
            driver.catch_up();
            return Ok(());
        }
        ShortStep::Crash => {
            let from = driver.now;
            driver.now = from + span_of_minutes(1);
            driver.reload_attempt();
            let until = driver.now;
            AttemptCommand::Outage { from, until }
        }
    };
    driver.send_command(&command).map(drop)
}

#[test]
fn every_short_life_keeps_the_rules() {
    let exam = Exam {
        compensate_up_to: Some(span_of_minutes(10)),
        grace_period: span_of_minutes(2),
        session_policy: SessionPolicy::Reject,
        ..hour_exam()
    };
    let mut census = StatusCensus::default();
    live_on(&AttemptDriver::new(exam), 0, &mut census);
    expect![[r#"
        StatusCensus {
            lives: 177156,
            statuses: {
                "auto_submitted": 150,
                "graded": 18840,
                "in_progress": 72536,
                "paused": 17410,
                "started": 66430,
                "submitted": 1790,
            },
            late: 12,
            refused: 56760,
        }
    "#]]
    .assert_debug_eq(&census);
}

//! Every sequence of up to five commands. The driver checks each step.

use std::collections::BTreeMap;

use expect_test::expect;

use crate::domain::{
    attempt::{
        Command, Refusal,
        command::{Action, Numbered},
        fixture::{Driver, answer, enter, exam, minutes, staff},
    },
    exam::{Exam, SessionPolicy},
};

const LENGTH: usize = 5;

/// What may come next. Together they reach every status.
#[derive(Debug, Clone, Copy)]
enum Step {
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

const STEPS: [Step; 11] = [
    Step::Enter,
    Step::Resume,
    Step::Leave,
    Step::Choose,
    Step::Write,
    Step::Repeat,
    Step::Submit,
    Step::PauseOrResume,
    Step::Extend,
    Step::Wait,
    Step::Crash,
];

/// How the lives ended, and how often a step was refused.
#[derive(Debug, Default)]
struct Census {
    lives: u32,
    statuses: BTreeMap<&'static str, u32>,
    late: u32,
    refused: u32,
}

fn live(driver: &Driver, depth: usize, census: &mut Census) {
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
        // Ids are unique along a life, and a depth comes once in one.
        census.refused += u32::from(take(&mut next, step, depth).is_err());
        live(&next, depth + 1, census);
    }
}

fn take(driver: &mut Driver, step: Step, depth: usize) -> Result<(), Refusal> {
    let unique = format!("{depth}");
    let session = driver.attempt.session().map(|session| session.id.clone());
    let seq = driver.next_seq();
    let reason = None;
    let command = match step {
        Step::Enter => enter(&unique, None),
        Step::Resume => Command::Enter {
            resume: session,
            fresh: unique.as_str().into(),
        },
        Step::Leave => Command::Leave,
        Step::Choose => answer(seq, "q1", Some(1), "a".into()),
        Step::Write => answer(seq, "q2", None, "text".into()),
        Step::Repeat => answer(seq - 1, "q1", None, "b".into()),
        Step::Submit => Command::Numbered {
            seq,
            what: Numbered::Submit,
        },
        Step::PauseOrResume if driver.attempt.control().ledger.paused_since.is_some() => {
            staff(&unique, Action::Resume { reason })
        }
        Step::PauseOrResume => staff(&unique, Action::Pause { reason }),
        Step::Extend => {
            let by = minutes(30);
            staff(&unique, Action::Extend { by, reason })
        }
        Step::Wait => {
            driver.now = driver.now + minutes(31);
            driver.catch_up();
            return Ok(());
        }
        Step::Crash => {
            let from = driver.now;
            driver.now = from + minutes(1);
            driver.reload();
            let until = driver.now;
            Command::Outage { from, until }
        }
    };
    driver.send(&command).map(drop)
}

#[test]
fn every_short_life_keeps_the_rules() {
    let exam = Exam {
        compensate_up_to: Some(minutes(10)),
        grace_period: minutes(2),
        session_policy: SessionPolicy::Reject,
        ..exam()
    };
    let mut census = Census::default();
    live(&Driver::new(exam), 0, &mut census);
    expect![[r#"
        Census {
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

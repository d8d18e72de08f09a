//! The exam of a seed: one of several, each with rules of its own.

use std::time::Duration;

use invigil_domain::exam::definition::{self, FileFormat};
use invigil_store::StoredExam;

use crate::dice::Dice;

/// Duration of every exam.
pub(crate) const DURATION: Duration = Duration::from_mins(1);

/// Variants of the exam.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// A plain exam: the newest device has the attempt, and the deadline is the end.
    Plain,
    /// After the deadline, answers count for a while.
    Grace,
    /// A second device is refused.
    OneDevice,
}

impl Variant {
    pub(crate) fn of(dice: &mut Dice) -> Self {
        *dice.pick(&[Self::Plain, Self::Plain, Self::Grace, Self::OneDevice])
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "exams, plain",
            Self::Grace => "exams, with a grace",
            Self::OneDevice => "exams, for one device",
        }
    }

    pub(crate) const fn grace(self) -> Duration {
        match self {
            Self::Plain | Self::OneDevice => Duration::ZERO,
            Self::Grace => Duration::from_mins(1),
        }
    }

    /// Returns the exam, as it is stored.
    pub(crate) fn exam(self) -> StoredExam {
        let setting = match self {
            Self::Plain => "",
            Self::Grace => "grace_period_minutes: 1",
            Self::OneDevice => "session_policy: reject",
        };
        let parsed =
            definition::parse_exam(&format!("{setting}{DEFINITION}"), FileFormat::Yaml).unwrap();
        StoredExam {
            code: parsed.exam.code.clone(),
            version: parsed.exam.version.clone(),
            title: parsed.exam.title.clone(),
            definition: parsed.definition,
            corrections: Vec::new(),
        }
    }
}

const DEFINITION: &str = "
code: SIMULATED
title: Simulated
type: quiz
duration_minutes: 1
passing_score: 50
proctoring: {enabled: true, heartbeat_seconds: 5}
sections:
  - id: s1
    title: All
    questions:
      - {id: q0, type: short_answer, content: Say it., points: 1, answer: [it]}
      - {id: q1, type: short_answer, content: Say it., points: 1, answer: [it]}
      - {id: q2, type: short_answer, content: Say it., points: 1, answer: [it]}
      - {id: q3, type: short_answer, content: Say it., points: 1, answer: [it]}
";

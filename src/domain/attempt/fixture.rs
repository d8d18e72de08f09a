//! Exams made in code, and an attempt that is driven as the engine drives it,
//! for tests. After every command the driver checks what must always hold.

use std::{sync::Arc, time::Duration};

use rust_decimal::Decimal;

use super::{
    Attempt, Command, Event, Identity, Phase, Plan, Refusal, Status, Stored,
    command::{Action, CommandKey, Numbered},
};
use crate::domain::{
    exam::{Body, Choice, Exam, ExamKind, Proctoring, Question, Section, SessionPolicy},
    id::{AttemptId, SessionId},
    person::Groups,
    time::Timestamp,
};

/// The longest answer that a driven attempt takes.
pub(crate) const ANSWER_SIZE_MAX: usize = 20;

pub(crate) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// The instant so many minutes after the beginning of a test's time.
pub(crate) const fn minute(minute: i64) -> Timestamp {
    Timestamp::from_ms(60_000 * minute)
}

/// An hour, no window, no grace; `q1` is a choice of `a` and `b`, `q2` an essay.
pub(crate) fn exam() -> Exam {
    Exam {
        version: "sha256:00".into(),
        code: "T-1".into(),
        title: String::new(),
        instructions: String::new(),
        kind: ExamKind::Quiz,
        duration: minutes(60),
        passing_score: Decimal::from(60),
        max_attempts: 1,
        available_from: None,
        available_until: None,
        lobby: minutes(15),
        grace_period: Duration::ZERO,
        late_submission_penalty: Decimal::new(10, 2),
        full_duration_after_close: false,
        shuffle_questions: false,
        shuffle_options: false,
        show_results_immediately: true,
        allow_review: true,
        show_correct_answers: false,
        password: None,
        ip_restrictions: Vec::new(),
        session_policy: SessionPolicy::Takeover,
        compensate_up_to: None,
        grade_scale: Vec::new(),
        proctoring: Proctoring {
            enabled: false,
            heartbeat: Duration::from_secs(10),
            keep: None,
            rules: Vec::new(),
        },
        sections: vec![section(1, None, vec![choice("q1"), essay("q2")])],
    }
}

/// The same with a section for each limit, none meaning without: `s1` with the
/// choice `q1`, `s2` with the choice `q2` and so on.
pub(crate) fn sectioned(limits: &[Option<u64>]) -> Exam {
    let sections = (1..).zip(limits).map(|(number, limit)| {
        let question = choice(&format!("q{number}"));
        section(number, limit.map(minutes), vec![question])
    });
    Exam {
        sections: sections.collect(),
        ..exam()
    }
}

fn section(number: usize, time_limit: Option<Duration>, questions: Vec<Question>) -> Section {
    Section {
        id: format!("s{number}").into(),
        title: String::new(),
        time_limit,
        questions,
    }
}

fn choice(id: &str) -> Question {
    let options = ["a", "b"].map(|id| Choice {
        id: id.into(),
        text: String::new(),
    });
    let body = Body::SingleChoice {
        options: options.into(),
        answer: "a".into(),
    };
    question(id, body)
}

fn essay(id: &str) -> Question {
    question(id, Body::Essay { rubric: None })
}

fn question(id: &str, body: Body) -> Question {
    Question {
        id: id.into(),
        content: String::new(),
        points: Decimal::ONE,
        partial_credit: false,
        negative_marking: false,
        explanation: None,
        body,
    }
}

/// An attempt, driven.
#[derive(Debug, Clone)]
pub(crate) struct Driver {
    pub(crate) attempt: Attempt,
    pub(crate) now: Timestamp,
    /// Everything that happened.
    pub(crate) events: Vec<Event>,
    /// The attempt as it was loaded last, and how many events it had then.
    origin: (Attempt, usize),
    epoch: u64,
}

impl Driver {
    /// A fresh attempt of a candidate without accommodations.
    pub(crate) fn new(exam: Exam) -> Self {
        let identity = Identity {
            id: AttemptId(1),
            exam: exam.code.clone(),
            exam_version: exam.version.clone(),
            candidate: "c1".into(),
            number: 1,
            seed: 0,
            time_factor: Decimal::ONE,
            extra_time: Duration::ZERO,
            groups: Groups::default(),
            started_at: Timestamp::default(),
        };
        let plan = Arc::new(Plan::new(Arc::new(exam)));
        let attempt = Attempt::load(identity, plan, ANSWER_SIZE_MAX, 0, Stored::default());
        Self {
            origin: (attempt.clone(), 0),
            attempt,
            now: Timestamp::default(),
            events: Vec::new(),
            epoch: 0,
        }
    }

    /// Does what time asks for, then the command. An outage comes first: the
    /// time that it gives back may be what keeps the attempt open.
    pub(crate) fn send(&mut self, command: &Command) -> Result<Vec<Event>, Refusal> {
        let due = match command {
            Command::Outage { .. } => Vec::new(),
            Command::Enter { .. }
            | Command::Leave
            | Command::Numbered { .. }
            | Command::Observe(_)
            | Command::Detect { .. }
            | Command::Arrive { .. }
            | Command::AcknowledgeNotice { .. }
            | Command::Tick
            | Command::Staff { .. } => self.catch_up(),
        };
        let done = self.perform(command)?;
        Ok([due, done].concat())
    }

    /// Does what time asks for, with a timer that comes as late as it can.
    pub(crate) fn catch_up(&mut self) -> Vec<Event> {
        let mut all = Vec::new();
        while self
            .attempt
            .next_deadline()
            .is_some_and(|at| at <= self.now)
        {
            let events = self.perform(&Command::Tick).unwrap();
            assert!(!events.is_empty(), "a tick that is due does something");
            all.extend(events);
        }
        all
    }

    fn perform(&mut self, command: &Command) -> Result<Vec<Event>, Refusal> {
        let before = self.attempt.clone();
        let events = self.attempt.decide(self.now, command)?;
        for event in &events {
            self.attempt.apply(event);
        }
        self.check_step(&before, &events);
        self.check_repeat(command);
        self.events.extend(events.iter().cloned());
        Ok(events)
    }

    /// The attempt as its next owner gets it from the store. Nobody is
    /// connected then, and versions start anew above all given ones.
    pub(crate) fn reload(&mut self) {
        self.epoch += 1;
        let loaded = load(&self.attempt, self.epoch, false);
        assert!(loaded.version() > self.attempt.version());
        self.attempt = loaded.clone();
        self.origin = (loaded, self.events.len());
    }

    /// What must hold from one state to the next.
    fn check_step(&self, before: &Attempt, events: &[Event]) {
        let after = &self.attempt;
        let count = u64::try_from(events.len()).unwrap();
        assert_eq!(after.version(), before.version() + count, "{events:?}");
        check_time(before, after, self.now);
        let raised = after.control().ledger.timing_rev - before.control().ledger.timing_rev;
        let moves = events.iter().filter(|event| moves_the_deadline(event));
        assert!(raised >= moves.count().try_into().unwrap(), "{events:?}");
        check_numbers(before, after);
        if before.is_over() {
            assert_eq!(before.answers(), after.answers(), "over is over");
            check_end(before, after);
        }
        if let Some(Event::HandedIn { at, late, .. }) = events.last() {
            check_hand_in(after, *at, *late);
        }
    }

    /// Who sends the same again changes nothing by it.
    fn check_repeat(&self, command: &Command) {
        let repeats = match command {
            // To connect again, or to notice the same again, is no repeat.
            Command::Enter { .. } | Command::Detect { .. } => false,
            Command::Leave
            | Command::Numbered { .. }
            | Command::Observe(_)
            | Command::Arrive { .. }
            | Command::AcknowledgeNotice { .. }
            | Command::Outage { .. }
            | Command::Staff { .. } => true,
            // Its next one may be due already.
            Command::Tick => self.attempt.next_deadline().is_none_or(|at| at > self.now),
        };
        if repeats {
            let again = self.attempt.decide(self.now, command);
            assert_eq!(again, Ok(Vec::new()), "{command:?}");
        }
    }

    /// The state follows from the events, and from what is stored of it.
    pub(crate) fn check_replay(&self) {
        let (mut rebuilt, begin) = self.origin.clone();
        for event in &self.events[begin..] {
            rebuilt.apply(event);
        }
        assert_same(&rebuilt, &self.attempt);
        assert_same(&load(&self.attempt, self.epoch, true), &self.attempt);
    }

    /// The number that is due.
    pub(crate) fn next_seq(&self) -> u64 {
        self.attempt.session().map_or(0, |one| one.applied_seq) + 1
    }
}

/// Whether clients must be able to tell the deadline before from the one after.
fn moves_the_deadline(event: &Event) -> bool {
    matches!(
        event,
        Event::ClockStarted { .. }
            | Event::Resumed { .. }
            | Event::Extended { .. }
            | Event::Compensated { .. }
    )
}

fn check_time(before: &Attempt, after: &Attempt, now: Timestamp) {
    assert!(after.deadline(now) >= before.deadline(now), "time is taken");
    let (old, new) = (&before.control().ledger, &after.control().ledger);
    if after.deadline(now) != before.deadline(now) {
        assert!(new.timing_rev > old.timing_rev, "the deadline moved");
    }
    assert!(new.timing_rev >= old.timing_rev);
}

/// Within a session numbers are used one by one, none twice.
fn check_numbers(before: &Attempt, after: &Attempt) {
    let (old, new) = match (before.session(), after.session()) {
        (Some(old), Some(new)) if old.id == new.id => (old, new),
        (None | Some(_), Some(_)) => return,
        (old, None) => return assert!(old.is_none(), "a session got lost"),
    };
    assert!((old.applied_seq..=old.applied_seq + 1).contains(&new.applied_seq));
    assert!(new.applied_event >= old.applied_event);
}

/// What is over stays as it is, unless it is held: then it counts in the end, or is
/// void.
fn check_end(before: &Attempt, after: &Attempt) {
    let (old, new) = (&before.control().phase, &after.control().phase);
    if old == new {
        return;
    }
    assert_eq!(before.status(), Status::Flagged, "{old:?} to {new:?}");
    let Phase::HandedIn { at, by, .. } = *old else {
        panic!("held without a hand-in");
    };
    let status = after.status_after(by);
    let cancelled = matches!(new, Phase::Cancelled { .. });
    assert!(
        cancelled || *new == Phase::HandedIn { at, by, status },
        "{new:?}"
    );
}

fn check_hand_in(after: &Attempt, at: Timestamp, late: bool) {
    let Phase::HandedIn { by, .. } = after.control().phase else {
        panic!("handed in, but {:?}", after.control().phase);
    };
    let deadline = after.deadline(at).unwrap_or(at);
    if by == super::HandedInBy::Time {
        let grace = after.plan().exam().grace_period;
        let began = after.control().ledger.entered_at.is_some();
        assert!(!began || at >= deadline + grace, "handed in too early");
    }
    let mut answers = after.answers().iter();
    let answered_late = answers.any(|(_, answer)| answer.rev > 0 && answer.answered_at > deadline);
    let handed_in_late = by == super::HandedInBy::Candidate && at > deadline;
    assert_eq!(late, answered_late || handed_in_late, "late or not");
}

/// An attempt that went through a store.
fn load(attempt: &Attempt, epoch: u64, connected: bool) -> Attempt {
    let control = serde_json::to_string(attempt.control()).unwrap();
    let stored = Stored {
        control: serde_json::from_str(&control).unwrap(),
        version: attempt.version(),
        session: attempt.session().map(|session| super::Session {
            connected: session.connected && connected,
            ..session.clone()
        }),
        answers: attempt.answers().clone(),
    };
    let identity = Identity::clone(attempt.identity());
    let plan = Arc::clone(attempt.plan());
    Attempt::load(identity, plan, ANSWER_SIZE_MAX, epoch, stored)
}

fn assert_same(one: &Attempt, other: &Attempt) {
    assert_eq!(one.control(), other.control());
    assert_eq!(one.version(), other.version());
    assert_eq!(one.session(), other.session());
    assert_eq!(one.answers(), other.answers());
    assert_eq!(one.next_deadline(), other.next_deadline());
}

pub(crate) fn enter(fresh: &str, resume: Option<&str>) -> Command {
    Command::Enter {
        resume: resume.map(SessionId::from),
        fresh: fresh.into(),
    }
}

pub(crate) fn answer(
    seq: u64,
    question: &str,
    base_rev: Option<u32>,
    value: serde_json::Value,
) -> Command {
    let what = Numbered::Answer {
        question: question.into(),
        value: Some(value),
        base_rev,
        spent: Duration::from_secs(1),
        bad_field: None,
    };
    Command::Numbered { seq, what }
}

pub(crate) fn staff(command: &str, action: Action) -> Command {
    let key = CommandKey {
        person: "p1".into(),
        command: command.into(),
    };
    Command::Staff { key, action }
}

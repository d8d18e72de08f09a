//! Test fixtures: exams built in code, and an attempt that is driven as the engine
//! drives it. The driver checks the invariants after every command.

use std::{sync::Arc, time::Duration};

use rust_decimal::Decimal;

use super::{
    Attempt, AttemptCommand, AttemptIdentity, AttemptPhase, AttemptRecord, DecideError,
    DomainEvent, IndexedExam, LifecycleStatus,
    command::{CandidateCommand, CommandKey, StaffAction},
};
use crate::{
    exam::{
        Exam, ExamKind, ProctoringPolicy, Question, QuestionBody, QuestionOption, Section,
        SessionPolicy,
    },
    id::{AttemptId, SessionId},
    person::GroupSet,
    time::Timestamp,
};

/// The longest answer that a driven attempt accepts, in bytes.
pub(crate) const ANSWER_SIZE_MAX: usize = 20;

pub(crate) const fn span_of_minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// The instant this many minutes after the begin of a test's time.
pub(crate) const fn at_minute(minute: i64) -> Timestamp {
    Timestamp::from_ms(60_000 * minute)
}

/// An exam of one hour, without window and grace; `q1` is a choice of `a` and `b`,
/// `q2` an essay.
pub(crate) fn hour_exam() -> Exam {
    Exam {
        version: "sha256:00".into(),
        code: "T-1".into(),
        title: String::new(),
        instructions: String::new(),
        kind: ExamKind::Quiz,
        duration: span_of_minutes(60),
        passing_score: Decimal::from(60),
        max_attempts: 1,
        available_from: None,
        available_until: None,
        lobby: span_of_minutes(15),
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
        proctoring: ProctoringPolicy {
            enabled: false,
            heartbeat: Duration::from_secs(10),
            retention: None,
            rules: Vec::new(),
        },
        sections: vec![make_section(
            1,
            None,
            vec![choice_question("q1"), essay_question("q2")],
        )],
    }
}

/// The same with one section for each limit, `None` for no limit: `s1` with the
/// choice `q1`, `s2` with the choice `q2`, and so on.
pub(crate) fn sectioned_exam(limits: &[Option<u64>]) -> Exam {
    let sections = (1..).zip(limits).map(|(number, limit)| {
        let question = choice_question(&format!("q{number}"));
        make_section(number, limit.map(span_of_minutes), vec![question])
    });
    Exam {
        sections: sections.collect(),
        ..hour_exam()
    }
}

fn make_section(number: usize, time_limit: Option<Duration>, questions: Vec<Question>) -> Section {
    Section {
        id: format!("s{number}").into(),
        title: String::new(),
        time_limit,
        questions,
    }
}

fn choice_question(id: &str) -> Question {
    let options = ["a", "b"].map(|id| QuestionOption {
        id: id.into(),
        text: String::new(),
    });
    let body = QuestionBody::SingleChoice {
        options: options.into(),
        answer: "a".into(),
    };
    make_question(id, body)
}

pub(crate) fn essay_question(id: &str) -> Question {
    make_question(id, QuestionBody::Essay { rubric: None })
}

fn make_question(id: &str, body: QuestionBody) -> Question {
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

/// An attempt with the clock and event log that drive it.
#[derive(Debug, Clone)]
pub(crate) struct AttemptDriver {
    pub(crate) attempt: Attempt,
    pub(crate) now: Timestamp,
    /// All events so far.
    pub(crate) events: Vec<DomainEvent>,
    /// The attempt at its last load, and the number of events before it.
    origin: (Attempt, usize),
    epoch: u64,
}

impl AttemptDriver {
    /// Returns a new attempt of a candidate without accommodations.
    pub(crate) fn new(exam: Exam) -> Self {
        let identity = AttemptIdentity {
            id: AttemptId(1),
            exam: exam.code.clone(),
            exam_version: exam.version.clone(),
            candidate: "c1".into(),
            number: 1,
            seed: 0,
            time_factor: Decimal::ONE,
            extra_time: Duration::ZERO,
            groups: GroupSet::default(),
            started_at: Timestamp::default(),
        };
        let plan = Arc::new(IndexedExam::new(Arc::new(exam)));
        let attempt =
            Attempt::from_record(identity, plan, ANSWER_SIZE_MAX, 0, AttemptRecord::default());
        Self {
            origin: (attempt.clone(), 0),
            attempt,
            now: Timestamp::default(),
            events: Vec::new(),
            epoch: 0,
        }
    }

    /// Sends the ticks that are due, then the command. An outage comes first: the
    /// time that it gives back may keep the attempt open.
    pub(crate) fn send_command(
        &mut self,
        command: &AttemptCommand,
    ) -> Result<Vec<DomainEvent>, DecideError> {
        let due = match command {
            AttemptCommand::Outage { .. } => Vec::new(),
            AttemptCommand::Enter { .. }
            | AttemptCommand::Leave
            | AttemptCommand::Numbered { .. }
            | AttemptCommand::Observe(_)
            | AttemptCommand::Detect { .. }
            | AttemptCommand::Arrive { .. }
            | AttemptCommand::AcknowledgeNotice { .. }
            | AttemptCommand::Tick
            | AttemptCommand::Staff { .. } => self.catch_up(),
        };
        let done = self.apply_command(command)?;
        Ok([due, done].concat())
    }

    /// Sends the ticks that are due, with a timer that is as late as possible.
    pub(crate) fn catch_up(&mut self) -> Vec<DomainEvent> {
        let mut all = Vec::new();
        while self.attempt.next_tick_at().is_some_and(|at| at <= self.now) {
            let events = self.apply_command(&AttemptCommand::Tick).unwrap();
            assert!(!events.is_empty(), "a tick that is due does something");
            all.extend(events);
        }
        all
    }

    fn apply_command(&mut self, command: &AttemptCommand) -> Result<Vec<DomainEvent>, DecideError> {
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

    /// Loads the attempt as its next owner does. No client is connected then, and
    /// versions continue above all assigned ones.
    pub(crate) fn reload_attempt(&mut self) {
        self.epoch += 1;
        let loaded = through_store(&self.attempt, self.epoch, false);
        assert!(loaded.version() > self.attempt.version());
        self.attempt = loaded.clone();
        self.origin = (loaded, self.events.len());
    }

    /// Checks the invariants of one step.
    fn check_step(&self, before: &Attempt, events: &[DomainEvent]) {
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
        if let Some(DomainEvent::HandedIn { at, late, .. }) = events.last() {
            check_hand_in(after, *at, *late);
        }
    }

    /// Checks that a repeated command changes nothing.
    fn check_repeat(&self, command: &AttemptCommand) {
        let repeats = match command {
            // A second connection or detection is no repeat.
            AttemptCommand::Enter { .. } | AttemptCommand::Detect { .. } => false,
            AttemptCommand::Leave
            | AttemptCommand::Numbered { .. }
            | AttemptCommand::Observe(_)
            | AttemptCommand::Arrive { .. }
            | AttemptCommand::AcknowledgeNotice { .. }
            | AttemptCommand::Outage { .. }
            | AttemptCommand::Staff { .. } => true,
            // The next tick may be due already.
            AttemptCommand::Tick => self.attempt.next_tick_at().is_none_or(|at| at > self.now),
        };
        if repeats {
            let again = self.attempt.decide(self.now, command);
            assert_eq!(again, Ok(Vec::new()), "{command:?}");
        }
    }

    /// Checks that the events alone, and the stored record alone, rebuild the state.
    pub(crate) fn check_replay(&self) {
        let (mut rebuilt, begin) = self.origin.clone();
        for event in &self.events[begin..] {
            rebuilt.apply(event);
        }
        assert_same(&rebuilt, &self.attempt);
        assert_same(
            &through_store(&self.attempt, self.epoch, true),
            &self.attempt,
        );
    }

    /// Next number of a command.
    pub(crate) fn next_seq(&self) -> u64 {
        self.attempt.session().map_or(0, |one| one.applied_seq) + 1
    }
}

/// Returns true if clients must be able to tell the old deadline from the new one.
fn moves_the_deadline(event: &DomainEvent) -> bool {
    matches!(
        event,
        DomainEvent::ClockStarted { .. }
            | DomainEvent::Resumed { .. }
            | DomainEvent::Extended { .. }
            | DomainEvent::Compensated { .. }
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

/// Checks that a session's numbers are used one by one, each once.
fn check_numbers(before: &Attempt, after: &Attempt) {
    let (old, new) = match (before.session(), after.session()) {
        (Some(old), Some(new)) if old.id == new.id => (old, new),
        (None | Some(_), Some(_)) => return,
        (old, None) => return assert!(old.is_none(), "a session got lost"),
    };
    assert!((old.applied_seq..=old.applied_seq + 1).contains(&new.applied_seq));
    assert!(new.applied_event >= old.applied_event);
}

/// Checks that a finished attempt stays as it is, unless it is held for a review:
/// then it is graded or voided.
fn check_end(before: &Attempt, after: &Attempt) {
    let (old, new) = (&before.control().phase, &after.control().phase);
    if old == new {
        return;
    }
    assert_eq!(
        before.status(),
        LifecycleStatus::Flagged,
        "{old:?} to {new:?}"
    );
    let AttemptPhase::HandedIn { at, by, .. } = *old else {
        panic!("held without a hand-in");
    };
    let status = after.status_after_hand_in(by);
    let cancelled = matches!(new, AttemptPhase::Cancelled { .. });
    assert!(
        cancelled || *new == AttemptPhase::HandedIn { at, by, status },
        "{new:?}"
    );
}

fn check_hand_in(after: &Attempt, at: Timestamp, late: bool) {
    let AttemptPhase::HandedIn { by, .. } = after.control().phase else {
        panic!("handed in, but {:?}", after.control().phase);
    };
    let deadline = after.deadline(at).unwrap_or(at);
    if by == super::HandedInBy::Time {
        let grace = after.indexed_exam().exam().grace_period;
        let began = after.control().ledger.entered_at.is_some();
        assert!(!began || at >= deadline + grace, "handed in too early");
    }
    let mut answers = after.answers().iter();
    let answered_late = answers.any(|(_, answer)| answer.rev > 0 && answer.answered_at > deadline);
    let handed_in_late = by == super::HandedInBy::Candidate && at > deadline;
    assert_eq!(late, answered_late || handed_in_late, "late or not");
}

/// Returns the attempt after a trip through a store.
fn through_store(attempt: &Attempt, epoch: u64, connected: bool) -> Attempt {
    let control = serde_json::to_string(attempt.control()).unwrap();
    let stored = AttemptRecord {
        control: serde_json::from_str(&control).unwrap(),
        version: attempt.version(),
        session: attempt.session().map(|session| super::AttemptSession {
            connected: session.connected && connected,
            ..session.clone()
        }),
        answers: attempt.answers().clone(),
    };
    let identity = AttemptIdentity::clone(attempt.identity());
    let plan = Arc::clone(attempt.indexed_exam());
    Attempt::from_record(identity, plan, ANSWER_SIZE_MAX, epoch, stored)
}

fn assert_same(one: &Attempt, other: &Attempt) {
    assert_eq!(one.control(), other.control());
    assert_eq!(one.version(), other.version());
    assert_eq!(one.session(), other.session());
    assert_eq!(one.answers(), other.answers());
    assert_eq!(one.next_tick_at(), other.next_tick_at());
}

pub(crate) fn enter_command(fresh: &str, resume: Option<&str>) -> AttemptCommand {
    AttemptCommand::Enter {
        resume: resume.map(SessionId::from),
        fresh: fresh.into(),
    }
}

pub(crate) fn answer_command(
    seq: u64,
    question: &str,
    base_rev: Option<u32>,
    value: serde_json::Value,
) -> AttemptCommand {
    let what = CandidateCommand::Answer {
        question: question.into(),
        value: Some(value),
        base_rev,
        spent: Duration::from_secs(1),
        bad_field: None,
    };
    AttemptCommand::Numbered { seq, what }
}

pub(crate) fn staff_command(command: &str, action: StaffAction) -> AttemptCommand {
    let key = CommandKey {
        person: "p1".into(),
        command: command.into(),
    };
    AttemptCommand::Staff { key, action }
}

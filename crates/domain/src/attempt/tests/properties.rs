//! Long random lives. The driver checks each step; this module has the actions, and
//! the checks of a whole life.

use std::{cell::Cell, time::Duration};

use proptest::{prelude::*, sample::select, test_runner::TestRunner};

use crate::{
    attempt::{
        AttemptCommand, DomainEvent, HandedInBy, LifecycleStatus,
        command::{CandidateCommand, ClientEvent, StaffAction},
        fixture::{
            AttemptDriver, answer_command, at_minute, enter_command, hour_exam, sectioned_exam,
            span_of_minutes, staff_command,
        },
    },
    exam::{EventSeverity, Exam, IntegrityRule, ProctoringPolicy, RuleConsequence, SessionPolicy},
    integrity::Detection,
    time::Timestamp,
};

/// The next step of a life, possible in any state of the attempt.
#[derive(Debug, Clone)]
enum LifeStep {
    Wait(Duration),
    Enter { resume: bool },
    Leave,
    Answer { question: usize, base: Option<u32> },
    Flag(bool),
    Repeat(u64),
    Skip(u64),
    Observe(u64),
    Detect,
    Close,
    Submit,
    Pause,
    Resume,
    Extend(Duration),
    Message,
    Acknowledge,
    Release,
    Mark(bool),
    HandIn,
    Cancel,
    Restart { down: Duration },
    Leap,
}

fn up_to(seconds: u64) -> impl Strategy<Value = Duration> {
    (0..seconds * 1_000).prop_map(Duration::from_millis)
}

fn any_step() -> impl Strategy<Value = LifeStep> {
    prop_oneof![
        12 => up_to(600).prop_map(LifeStep::Wait),
        6 => any::<bool>().prop_map(|resume| LifeStep::Enter { resume }),
        4 => Just(LifeStep::Leave),
        12 => (0..3_usize, prop::option::of(0..4_u32))
            .prop_map(|(question, base)| LifeStep::Answer { question, base }),
        2 => any::<bool>().prop_map(LifeStep::Flag),
        2 => (0..3_u64).prop_map(LifeStep::Repeat),
        1 => (1..3_u64).prop_map(LifeStep::Skip),
        2 => (0..3_u64).prop_map(LifeStep::Observe),
        1 => Just(LifeStep::Detect),
        1 => Just(LifeStep::Close),
        3 => Just(LifeStep::Pause),
        4 => Just(LifeStep::Resume),
        2 => up_to(900).prop_map(LifeStep::Extend),
        1 => Just(LifeStep::Message),
        1 => Just(LifeStep::Acknowledge),
        1 => Just(LifeStep::Release),
        1 => any::<bool>().prop_map(LifeStep::Mark),
        3 => up_to(300).prop_map(|down| LifeStep::Restart { down }),
        1 => Just(LifeStep::Leap),
    ]
}

/// Mostly long lives: a step that ends a life comes last, if at all.
fn any_life() -> impl Strategy<Value = Vec<LifeStep>> {
    let end = select(vec![
        LifeStep::Submit,
        LifeStep::HandIn,
        LifeStep::Cancel,
        LifeStep::Leap,
    ]);
    let after = prop::collection::vec(any_step(), 0..5);
    (prop::collection::vec(any_step(), 1..60), end, after)
        .prop_map(|(life, end, after)| [life, vec![end], after].concat())
}

fn any_exam() -> impl Strategy<Value = Exam> {
    let sections = select(vec![
        hour_exam(),
        sectioned_exam(&[Some(20), Some(40)]),
        sectioned_exam(&[Some(25), None, Some(15)]),
    ]);
    let options = (
        select(vec![0, 5]),
        prop::option::of(select(vec![3, 10])),
        prop::option::of(select(vec![0, 4])),
        prop::option::of(select(vec![30, 90, 200])),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    (sections, options).prop_map(|(exam, options)| {
        let (grace, ceiling, from, until, whole, reject, proctored) = options;
        Exam {
            grace_period: span_of_minutes(grace),
            compensate_up_to: ceiling.map(span_of_minutes),
            available_from: from.map(at_minute),
            available_until: until.map(at_minute),
            proctoring: policy_with(proctored),
            full_duration_after_close: whole,
            session_policy: if reject {
                SessionPolicy::Reject
            } else {
                SessionPolicy::Takeover
            },
            ..exam
        }
    })
}

/// Rules that do not change the clock, whose time a life counts by itself.
fn policy_with(enabled: bool) -> ProctoringPolicy {
    let rule = |limit, within, then| IntegrityRule {
        kind: "focus_lost".to_owned(),
        severity: EventSeverity::High,
        limit,
        within,
        then,
    };
    ProctoringPolicy {
        enabled,
        heartbeat: Duration::from_secs(10),
        retention: None,
        rules: vec![
            rule(2, Some(span_of_minutes(10)), RuleConsequence::Warn),
            rule(4, None, RuleConsequence::Flag),
        ],
    }
}

/// A life in progress, with counts for the checks of the whole.
struct RandomLife {
    driver: AttemptDriver,
    done: u32,
    skipped: u32,
    watched: usize,
    endings: u32,
    /// Time for which the clock should have run.
    ran: Duration,
    /// Time of the candidate's own absence that may still be given back.
    ceiling: Duration,
    extended: Duration,
}

impl RandomLife {
    fn new(exam: Exam) -> Self {
        Self {
            ceiling: exam.compensate_up_to.unwrap_or_default(),
            driver: AttemptDriver::new(exam),
            done: 0,
            skipped: 0,
            watched: 0,
            endings: 0,
            ran: Duration::ZERO,
            extended: Duration::ZERO,
        }
    }

    fn take_step(&mut self, step: &LifeStep) {
        let version = self.driver.attempt.version();
        let over = self.driver.attempt.is_over();
        if matches!(
            step,
            LifeStep::Answer { .. } | LifeStep::Flag(_) | LifeStep::Submit
        ) {
            self.connect_client();
        }
        match self.command_for(step) {
            // A refusal changes nothing; the driver checks that.
            Some(command) => drop(self.driver.send_command(&command)),
            None => drop(self.driver.catch_up()),
        }
        self.check_new_events();
        self.driver.check_replay();
        let waits = matches!(
            step,
            LifeStep::Wait(_) | LifeStep::Restart { .. } | LifeStep::Leap
        );
        if over || waits || self.driver.attempt.version() > version {
            self.done += 1;
        } else {
            self.skipped += 1;
        }
    }

    /// Resumes the session for a command without a socket.
    fn connect_client(&mut self) {
        self.driver.catch_up();
        let session = self.driver.attempt.session();
        if let Some(session) = session.filter(|session| !session.connected) {
            let resume = enter_command("unused", Some(session.id.as_str()));
            self.driver.send_command(&resume).ok();
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one short arm for each reads best in one place"
    )]
    fn command_for(&mut self, step: &LifeStep) -> Option<AttemptCommand> {
        let unique = format!("{}", self.done + self.skipped);
        let session = self.driver.attempt.session().cloned();
        let seq = self.driver.next_seq();
        let reason = None;
        let numbered = |seq, what| AttemptCommand::Numbered { seq, what };
        let act = |action| staff_command(&unique, action);
        Some(match step {
            LifeStep::Wait(time) => return self.wait_for(*time),
            LifeStep::Leap => {
                let at = self.driver.attempt.next_tick_at()?;
                return self.wait_for(at.since(self.driver.now));
            }
            LifeStep::Restart { down } => return Some(self.restart_node(*down)),
            LifeStep::Enter { resume } => {
                let session = session.filter(|_| *resume);
                enter_command(&unique, session.as_ref().map(|session| session.id.as_str()))
            }
            LifeStep::Leave => AttemptCommand::Leave,
            LifeStep::Answer { question, base } => {
                let question = ["q1", "q2", "q3"][*question];
                answer_command(seq, question, *base, "a".into())
            }
            LifeStep::Flag(on) => {
                let question = "q1".into();
                numbered(seq, CandidateCommand::Flag { question, on: *on })
            }
            LifeStep::Repeat(back) => {
                answer_command(seq.saturating_sub(back + 1), "q1", None, "b".into())
            }
            LifeStep::Skip(ahead) => answer_command(seq + ahead, "q1", None, "b".into()),
            LifeStep::Detect => AttemptCommand::Detect {
                what: Detection::ClockSkewed,
                data: serde_json::Value::Null,
            },
            LifeStep::Close => {
                let integrity = &self.driver.attempt.control().integrity;
                let incident = integrity.incidents().last()?.id.clone();
                let verdict = "dismissed".to_owned();
                let note = None;
                act(StaffAction::Resolve {
                    incident,
                    verdict,
                    note,
                })
            }
            LifeStep::Observe(ahead) => AttemptCommand::Observe(ClientEvent {
                n: session.map_or(0, |session| session.applied_event) + ahead,
                kind: "focus_lost".to_owned(),
                client_at: self.driver.now,
                data: serde_json::Value::Null,
                dropped: false,
            }),
            LifeStep::Submit => numbered(seq, CandidateCommand::Submit),
            LifeStep::Pause => act(StaffAction::Pause { reason }),
            LifeStep::Resume => act(StaffAction::Resume { reason }),
            LifeStep::Extend(by) => act(StaffAction::Extend { by: *by, reason }),
            LifeStep::Message => act(StaffAction::Message {
                text: "hello".to_owned(),
                level: crate::attempt::command::NoticeUrgency::Info,
                ack: true,
                from: "Proctor".to_owned(),
            }),
            LifeStep::Acknowledge => {
                let notices = &self.driver.attempt.control().notices;
                let id = notices.first()?.id.clone();
                AttemptCommand::AcknowledgeNotice { id }
            }
            LifeStep::Release => act(StaffAction::Release { reason }),
            LifeStep::Mark(true) => act(StaffAction::Flag { reason }),
            LifeStep::Mark(false) => act(StaffAction::Unflag { reason }),
            LifeStep::HandIn => act(StaffAction::Submit { reason }),
            LifeStep::Cancel => act(StaffAction::Cancel { reason }),
        })
    }

    /// Lets time pass, and stops at every due tick, like a timer.
    fn wait_for(&mut self, time: Duration) -> Option<AttemptCommand> {
        let until = self.driver.now + time;
        while let Some(due) = self.driver.attempt.next_tick_at()
            && due <= until
        {
            self.pass_time(due.since(self.driver.now));
            self.driver.catch_up();
            self.check_new_events();
        }
        self.pass_time(until.since(self.driver.now));
        None
    }

    /// Counts the time that the candidate should be charged for.
    fn pass_time(&mut self, time: Duration) {
        self.driver.now = self.driver.now + time;
        if self.driver.attempt.status() == LifecycleStatus::InProgress {
            let away = self.driver.attempt.control().ledger.away_since.is_some();
            let given = if away {
                time.min(self.ceiling)
            } else {
                Duration::ZERO
            };
            self.ceiling = self.ceiling.saturating_sub(given);
            self.ran += time.saturating_sub(given);
        }
    }

    /// Restarts the engine. The outage costs the candidate no time.
    fn restart_node(&mut self, down: Duration) -> AttemptCommand {
        let from = self.driver.now;
        self.driver.now = from + down;
        self.driver.reload_attempt();
        let until = self.driver.now;
        AttemptCommand::Outage { from, until }
    }

    /// Checks the events since the last call.
    fn check_new_events(&mut self) {
        for event in self.driver.events.split_off(self.watched) {
            self.check_event(&event);
            self.driver.events.push(event);
        }
        self.watched = self.driver.events.len();
    }

    fn check_event(&mut self, event: &DomainEvent) {
        let now = self.driver.now;
        match event {
            DomainEvent::Answered { at, late, .. } => self.check_answered(*at, *late),
            DomainEvent::HandedIn { .. } => self.endings += 1,
            // An attempt that is held may be voided in the end.
            DomainEvent::Cancelled { .. } => self.endings = self.endings.max(1),
            // A clock that started at the opening ran before this tick.
            DomainEvent::ClockStarted { at } => self.ran = now.since(*at),
            DomainEvent::Extended { by, .. } => self.extended += *by,
            DomainEvent::SessionOpened { .. }
            | DomainEvent::SessionResumed
            | DomainEvent::Left { .. }
            | DomainEvent::QuestionFlagged { .. }
            | DomainEvent::Refused { .. }
            | DomainEvent::Observed { .. }
            | DomainEvent::Noticed { .. }
            | DomainEvent::NoticesSent
            | DomainEvent::NoticeAcknowledged { .. }
            | DomainEvent::Paused { .. }
            | DomainEvent::Resumed { .. }
            | DomainEvent::Compensated { .. }
            | DomainEvent::SectionChanged { .. }
            | DomainEvent::Flagged { .. }
            | DomainEvent::Unflagged { .. }
            | DomainEvent::Released { .. }
            | DomainEvent::Detected { .. }
            | DomainEvent::Arrived { .. }
            | DomainEvent::IncidentRaised { .. }
            | DomainEvent::IncidentClosed { .. }
            | DomainEvent::IncidentAssigned { .. }
            | DomainEvent::Noted
            | DomainEvent::CommandDone { .. } => {}
        }
    }

    fn check_answered(&self, at: Timestamp, late: bool) {
        let attempt = &self.driver.attempt;
        let deadline = attempt.deadline(at).expect("the clock runs");
        let grace = attempt.indexed_exam().exam().grace_period;
        assert!(at < deadline + grace, "an answer after the end");
        assert_eq!(late, at > deadline);
    }
}

fn test_config() -> ProptestConfig {
    ProptestConfig {
        cases: 1_024,
        ..ProptestConfig::with_source_file(file!())
    }
}

/// Runs lives; most of their steps must have an effect, or they test nothing.
fn run_lives(exams: impl Strategy<Value = Exam>, show: impl Fn(&RandomLife)) {
    let (done, skipped) = (Cell::new(0), Cell::new(0));
    let lives = (exams, any_life());
    let result = TestRunner::new(test_config()).run(&lives, |(exam, steps)| {
        let mut life = RandomLife::new(exam);
        for step in &steps {
            life.take_step(step);
        }
        done.set(done.get() + life.done);
        skipped.set(skipped.get() + life.skipped);
        show(&life);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    let (done, skipped) = (done.get(), skipped.get());
    assert!(skipped * 2 < done, "{skipped} skipped, only {done} done");
}

#[test]
fn every_life_keeps_the_rules() {
    run_lives(any_exam(), |life| {
        let over = life.driver.attempt.is_over();
        assert_eq!(life.endings, u32::from(over), "ended once, or not yet");
    });
}

#[test]
fn nobody_gets_less_than_their_time_and_nobody_more() {
    let exams = prop::option::of(select(vec![3, 10])).prop_map(|ceiling| Exam {
        compensate_up_to: ceiling.map(span_of_minutes),
        ..hour_exam()
    });
    let by_time = Cell::new(0);
    run_lives(exams, |life| {
        let whole = span_of_minutes(60) + life.extended;
        assert!(life.ran <= whole, "ran {:?} of {whole:?}", life.ran);
        let events = &life.driver.events;
        let timed_out = |event: &DomainEvent| {
            matches!(
                event,
                DomainEvent::HandedIn {
                    by: HandedInBy::Time,
                    ..
                }
            )
        };
        if events.iter().any(timed_out) {
            by_time.set(by_time.get() + 1);
            assert_eq!(life.ran, whole, "the time that was the candidate's");
        }
    });
    assert!(
        by_time.get() > 50,
        "only {} lives came to their end",
        by_time.get()
    );
}

//! Long random lives. The driver checks each step; here are the actions, and
//! what only a whole life shows.

use std::{cell::Cell, time::Duration};

use proptest::{prelude::*, sample::select, test_runner::TestRunner};

use crate::domain::{
    attempt::{
        Command, Event, HandedInBy, Status,
        command::{Action, Numbered, Observation},
        fixture::{Driver, answer, enter, exam, minute, minutes, sectioned, staff},
    },
    exam::{Consequence, Exam, IntegrityRule, Proctoring, SessionPolicy, Severity},
    integrity::Detection,
    time::Timestamp,
};

/// What happens next, whatever the attempt's state.
#[derive(Debug, Clone)]
enum Step {
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

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => up_to(600).prop_map(Step::Wait),
        6 => any::<bool>().prop_map(|resume| Step::Enter { resume }),
        4 => Just(Step::Leave),
        12 => (0..3_usize, prop::option::of(0..4_u32))
            .prop_map(|(question, base)| Step::Answer { question, base }),
        2 => any::<bool>().prop_map(Step::Flag),
        2 => (0..3_u64).prop_map(Step::Repeat),
        1 => (1..3_u64).prop_map(Step::Skip),
        2 => (0..3_u64).prop_map(Step::Observe),
        1 => Just(Step::Detect),
        1 => Just(Step::Close),
        3 => Just(Step::Pause),
        4 => Just(Step::Resume),
        2 => up_to(900).prop_map(Step::Extend),
        1 => Just(Step::Message),
        1 => Just(Step::Acknowledge),
        1 => Just(Step::Release),
        1 => any::<bool>().prop_map(Step::Mark),
        3 => up_to(300).prop_map(|down| Step::Restart { down }),
        1 => Just(Step::Leap),
    ]
}

/// Mostly long lives: what ends one comes last, if at all.
fn any_life() -> impl Strategy<Value = Vec<Step>> {
    let end = select(vec![Step::Submit, Step::HandIn, Step::Cancel, Step::Leap]);
    let after = prop::collection::vec(any_step(), 0..5);
    (prop::collection::vec(any_step(), 1..60), end, after)
        .prop_map(|(life, end, after)| [life, vec![end], after].concat())
}

fn any_exam() -> impl Strategy<Value = Exam> {
    let sections = select(vec![
        exam(),
        sectioned(&[Some(20), Some(40)]),
        sectioned(&[Some(25), None, Some(15)]),
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
            grace_period: minutes(grace),
            compensate_up_to: ceiling.map(minutes),
            available_from: from.map(minute),
            available_until: until.map(minute),
            proctoring: proctoring(proctored),
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

/// Rules that act without touching the clock, whose time a life counts by itself.
fn proctoring(enabled: bool) -> Proctoring {
    let rule = |limit, within, then| IntegrityRule {
        kind: "focus_lost".to_owned(),
        severity: Severity::High,
        limit,
        within,
        then,
    };
    Proctoring {
        enabled,
        heartbeat: Duration::from_secs(10),
        keep: None,
        rules: vec![
            rule(2, Some(minutes(10)), Consequence::Warn),
            rule(4, None, Consequence::Flag),
        ],
    }
}

/// A life as it is lived, with what it shows as a whole.
struct Life {
    driver: Driver,
    done: u32,
    skipped: u32,
    watched: usize,
    endings: u32,
    /// How long the clock should have run for the candidate.
    ran: Duration,
    /// Of the candidate's own absence, what may still be given back.
    ceiling: Duration,
    extended: Duration,
}

impl Life {
    fn new(exam: Exam) -> Self {
        Self {
            ceiling: exam.compensate_up_to.unwrap_or_default(),
            driver: Driver::new(exam),
            done: 0,
            skipped: 0,
            watched: 0,
            endings: 0,
            ran: Duration::ZERO,
            extended: Duration::ZERO,
        }
    }

    fn take(&mut self, step: &Step) {
        let version = self.driver.attempt.version();
        let over = self.driver.attempt.is_over();
        if matches!(step, Step::Answer { .. } | Step::Flag(_) | Step::Submit) {
            self.connect();
        }
        match self.command(step) {
            // A refusal changes nothing; the driver sees to that.
            Some(command) => drop(self.driver.send(&command)),
            None => drop(self.driver.catch_up()),
        }
        self.watch();
        self.driver.check_replay();
        let waits = matches!(step, Step::Wait(_) | Step::Restart { .. } | Step::Leap);
        if over || waits || self.driver.attempt.version() > version {
            self.done += 1;
        } else {
            self.skipped += 1;
        }
    }

    /// Resumes the session for a command that comes without a socket.
    fn connect(&mut self) {
        self.driver.catch_up();
        let session = self.driver.attempt.session();
        if let Some(session) = session.filter(|session| !session.connected) {
            let resume = enter("unused", Some(session.id.as_str()));
            self.driver.send(&resume).ok();
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one short arm for each reads best in one place"
    )]
    fn command(&mut self, step: &Step) -> Option<Command> {
        let unique = format!("{}", self.done + self.skipped);
        let session = self.driver.attempt.session().cloned();
        let seq = self.driver.next_seq();
        let reason = None;
        let numbered = |seq, what| Command::Numbered { seq, what };
        let act = |action| staff(&unique, action);
        Some(match step {
            Step::Wait(time) => return self.wait(*time),
            Step::Leap => {
                let at = self.driver.attempt.next_deadline()?;
                return self.wait(at.since(self.driver.now));
            }
            Step::Restart { down } => return Some(self.restart(*down)),
            Step::Enter { resume } => {
                let session = session.filter(|_| *resume);
                enter(&unique, session.as_ref().map(|session| session.id.as_str()))
            }
            Step::Leave => Command::Leave,
            Step::Answer { question, base } => {
                let question = ["q1", "q2", "q3"][*question];
                answer(seq, question, *base, "a".into())
            }
            Step::Flag(on) => {
                let question = "q1".into();
                numbered(seq, Numbered::Flag { question, on: *on })
            }
            Step::Repeat(back) => answer(seq.saturating_sub(back + 1), "q1", None, "b".into()),
            Step::Skip(ahead) => answer(seq + ahead, "q1", None, "b".into()),
            Step::Detect => Command::Detect {
                what: Detection::ClockSkewed,
                data: serde_json::Value::Null,
            },
            Step::Close => {
                let integrity = &self.driver.attempt.control().integrity;
                let incident = integrity.incidents().last()?.id.clone();
                let verdict = "dismissed".to_owned();
                let note = None;
                act(Action::Resolve {
                    incident,
                    verdict,
                    note,
                })
            }
            Step::Observe(ahead) => Command::Observe(Observation {
                n: session.map_or(0, |session| session.applied_event) + ahead,
                kind: "focus_lost".to_owned(),
                client_at: self.driver.now,
                data: serde_json::Value::Null,
                dropped: false,
            }),
            Step::Submit => numbered(seq, Numbered::Submit),
            Step::Pause => act(Action::Pause { reason }),
            Step::Resume => act(Action::Resume { reason }),
            Step::Extend(by) => act(Action::Extend { by: *by, reason }),
            Step::Message => act(Action::Message {
                text: "hello".to_owned(),
                level: crate::domain::attempt::command::NoticeLevel::Info,
                ack: true,
                from: "Proctor".to_owned(),
            }),
            Step::Acknowledge => {
                let notices = &self.driver.attempt.control().notices;
                let id = notices.first()?.id.clone();
                Command::AcknowledgeNotice { id }
            }
            Step::Release => act(Action::Release { reason }),
            Step::Mark(true) => act(Action::Flag { reason }),
            Step::Mark(false) => act(Action::Unflag { reason }),
            Step::HandIn => act(Action::Submit { reason }),
            Step::Cancel => act(Action::Cancel { reason }),
        })
    }

    /// Lets time pass, stopping wherever something is due, as a timer would.
    fn wait(&mut self, time: Duration) -> Option<Command> {
        let until = self.driver.now + time;
        while let Some(due) = self.driver.attempt.next_deadline()
            && due <= until
        {
            self.pass(due.since(self.driver.now));
            self.driver.catch_up();
            self.watch();
        }
        self.pass(until.since(self.driver.now));
        None
    }

    /// Counts the time that the candidate should be charged for.
    fn pass(&mut self, time: Duration) {
        self.driver.now = self.driver.now + time;
        if self.driver.attempt.status() == Status::InProgress {
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

    /// The engine dies and comes back. Nobody is charged for that.
    fn restart(&mut self, down: Duration) -> Command {
        let from = self.driver.now;
        self.driver.now = from + down;
        self.driver.reload();
        let until = self.driver.now;
        Command::Outage { from, until }
    }

    /// Looks at what happened since the last look.
    fn watch(&mut self) {
        for event in self.driver.events.split_off(self.watched) {
            self.see(&event);
            self.driver.events.push(event);
        }
        self.watched = self.driver.events.len();
    }

    fn see(&mut self, event: &Event) {
        let now = self.driver.now;
        match event {
            Event::Answered { at, late, .. } => self.check_answered(*at, *late),
            Event::HandedIn { .. } => self.endings += 1,
            // One that is held may end as void.
            Event::Cancelled { .. } => self.endings = self.endings.max(1),
            // A clock that begins at the opening, before this tick, has run.
            Event::ClockStarted { at } => self.ran = now.since(*at),
            Event::Extended { by, .. } => self.extended += *by,
            Event::SessionOpened { .. }
            | Event::SessionResumed
            | Event::Left { .. }
            | Event::QuestionFlagged { .. }
            | Event::Refused { .. }
            | Event::Observed { .. }
            | Event::Noticed { .. }
            | Event::NoticesSent
            | Event::NoticeAcknowledged { .. }
            | Event::Paused { .. }
            | Event::Resumed { .. }
            | Event::Compensated { .. }
            | Event::SectionChanged { .. }
            | Event::Flagged { .. }
            | Event::Unflagged { .. }
            | Event::Released { .. }
            | Event::Detected { .. }
            | Event::Arrived { .. }
            | Event::IncidentRaised { .. }
            | Event::IncidentClosed { .. }
            | Event::IncidentAssigned { .. }
            | Event::Noted
            | Event::CommandDone { .. } => {}
        }
    }

    fn check_answered(&self, at: Timestamp, late: bool) {
        let attempt = &self.driver.attempt;
        let deadline = attempt.deadline(at).expect("the clock runs");
        let grace = attempt.plan().exam().grace_period;
        assert!(at < deadline + grace, "an answer after the end");
        assert_eq!(late, at > deadline);
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 1_024,
        ..ProptestConfig::with_source_file(file!())
    }
}

/// Runs lives; most of their steps must do something, or they show nothing.
fn live(exams: impl Strategy<Value = Exam>, show: impl Fn(&Life)) {
    let (done, skipped) = (Cell::new(0), Cell::new(0));
    let lives = (exams, any_life());
    let result = TestRunner::new(config()).run(&lives, |(exam, steps)| {
        let mut life = Life::new(exam);
        for step in &steps {
            life.take(step);
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
    live(any_exam(), |life| {
        let over = life.driver.attempt.is_over();
        assert_eq!(life.endings, u32::from(over), "ended once, or not yet");
    });
}

#[test]
fn nobody_gets_less_than_their_time_and_nobody_more() {
    let exams = prop::option::of(select(vec![3, 10])).prop_map(|ceiling| Exam {
        compensate_up_to: ceiling.map(minutes),
        ..exam()
    });
    let by_time = Cell::new(0);
    live(exams, |life| {
        let whole = minutes(60) + life.extended;
        assert!(life.ran <= whole, "ran {:?} of {whole:?}", life.ran);
        let events = &life.driver.events;
        let timed_out = |event: &Event| {
            matches!(
                event,
                Event::HandedIn {
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

//! The attempt: one candidate's exam as a pure state machine.
//!
//! The contract with whoever drives it (the actor, a simulation, a test):
//!
//! 1. **Decide.** [`Attempt::decide`] reads the state and says what happens:
//!    events, or a [`Refusal`]. It changes nothing and holds every rule.
//! 2. **Apply.** [`Attempt::apply`] each event, in order, at once. It cannot
//!    fail, holds no rule, and is the only change there is.
//! 3. **Effects.** Persist, then reply, then publish: `saved` follows the
//!    commit. The events say what changed; nothing else needs comparing.
//! 4. **Sleep** until [`Attempt::next_deadline`], then send [`Command::Tick`].
//!    Send it also before any command that comes later than that, so that
//!    a slow timer never lends time.
//!
//! Time comes in as an argument. Numbers of commands (`seq`) are the session's;
//! the version counts all changes over sessions and owners and only rises.

mod answers;
pub mod command;
mod decide;
pub mod event;
#[cfg(test)]
pub(crate) mod fixture;
pub mod plan;
mod watch;

use std::{sync::Arc, time::Duration};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use self::command::{CommandKey, NoticeLevel};
pub use self::{
    answers::{Answer, Answers},
    command::{Command, Refusal, Void},
    event::{Event, HandedInBy},
    plan::Plan,
};
use super::{
    exam::Proctoring,
    id::{AttemptId, ExamCode, ExamVersion, PersonId, SessionId},
    integrity::Integrity,
    person::Groups,
    time::Timestamp,
    timing::{Adjustment, Allowance, Ledger, whole_ms},
};

/// Where an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Made, the clock does not run yet.
    Started,
    /// The clock runs.
    InProgress,
    /// Staff stopped the clock.
    Paused,
    /// Handed in by the candidate or by staff; something waits for a person.
    Submitted,
    /// Handed in by time; something waits for a person.
    AutoSubmitted,
    /// Handed in and marked.
    Graded,
    /// Marked, and looked over by a person.
    Reviewed,
    /// Void.
    Cancelled,
    /// Handed in, but held for an integrity review.
    Flagged,
}

impl Status {
    /// The name on the wire and in the stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::InProgress => "in_progress",
            Self::Paused => "paused",
            Self::Submitted => "submitted",
            Self::AutoSubmitted => "auto_submitted",
            Self::Graded => "graded",
            Self::Reviewed => "reviewed",
            Self::Cancelled => "cancelled",
            Self::Flagged => "flagged",
        }
    }
}

/// What an attempt is, from its start on; nothing of it ever changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Given by the store.
    pub id: AttemptId,
    /// The exam's code.
    pub exam: ExamCode,
    /// The frozen content that the attempt is about.
    pub exam_version: ExamVersion,
    /// Whose attempt.
    pub candidate: PersonId,
    /// 1 for the person's first attempt at the exam.
    pub number: u16,
    /// Draws the paper's order.
    pub seed: u64,
    /// Multiplies the duration, 1 or more.
    pub time_factor: Decimal,
    /// Added to the duration.
    pub extra_time: Duration,
    /// The candidate's groups when it was started.
    pub groups: Groups,
    /// When it was started (not: first entered).
    pub started_at: Timestamp,
}

/// The attempt's life, each part with the data that only it has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// The clock does not run yet.
    #[default]
    Waiting,
    /// The clock runs, or stands still while paused: the ledger knows.
    Taking,
    /// No answer changes any more.
    HandedIn {
        /// When.
        at: Timestamp,
        /// Who did it.
        by: HandedInBy,
        /// The final status.
        status: Status,
    },
    /// Void.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

/// A message to the candidate, kept until it is seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Unique within the attempt.
    pub id: String,
    /// How it is shown.
    pub level: NoticeLevel,
    /// Shown to the candidate.
    pub text: String,
    /// The sender's name.
    pub from: String,
    /// Whether the person must acknowledge it.
    pub ack: bool,
    /// The staff command that sent it; none: a rule did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandKey>,
}

/// Everything of an attempt that staff or time change. Stored as one value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Control {
    /// Where in its life the attempt is.
    #[serde(flatten)]
    pub phase: Phase,
    /// Its time.
    pub ledger: Ledger,
    /// Whether an answer or the hand-in came after the deadline: until the
    /// hand-in, the deadline as it stood then; from the hand-in on, the final one.
    #[serde(default)]
    pub late: bool,
    /// Marked for an integrity review.
    #[serde(default)]
    pub flagged: bool,
    /// Whether another device may enter although the exam refuses a second.
    #[serde(default)]
    pub released: bool,
    /// The time-limited section that was last announced, as index in the exam.
    #[serde(default)]
    pub section: Option<u16>,
    /// Not yet sent, or to be acknowledged and not yet.
    #[serde(default)]
    pub notices: Vec<Notice>,
    /// Staff commands that are done. Few: only those named to this attempt.
    #[serde(default)]
    pub commands: Vec<CommandKey>,
    /// What events said about the attempt, and what people made of it.
    #[serde(default, skip_serializing_if = "Integrity::is_empty")]
    pub integrity: Integrity,
}

impl Control {
    /// Where the attempt stands.
    pub const fn status(&self) -> Status {
        match self.phase {
            Phase::Waiting => Status::Started,
            Phase::Taking if self.ledger.paused_since.is_some() => Status::Paused,
            Phase::Taking => Status::InProgress,
            Phase::HandedIn { status, .. } => status,
            Phase::Cancelled { .. } => Status::Cancelled,
        }
    }
}

/// The session that owns the attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Every command up to this number is dealt with.
    pub applied_seq: u64,
    /// Every event up to this number is dealt with.
    pub applied_event: u64,
    /// Whether somebody is connected.
    pub connected: bool,
}

impl Session {
    /// A session that just began.
    pub const fn new(id: SessionId) -> Self {
        Self {
            id,
            applied_seq: 0,
            applied_event: 0,
            connected: true,
        }
    }
}

/// A live attempt.
#[derive(Debug, Clone)]
pub struct Attempt {
    identity: Arc<Identity>,
    plan: Arc<Plan>,
    allowance: Arc<Allowance>,
    /// The rules as they are now, which may be newer than the plan's.
    proctoring: Arc<Proctoring>,
    answer_size_max: usize,
    control: Control,
    version: u64,
    session: Option<Session>,
    answers: Answers,
}

/// How many bits of a version count the changes under one owner. The owner's
/// epoch stands above them, so a version that a dead owner gave and never made
/// durable is never given again with another meaning.
const VERSION_BITS: u32 = 32;

impl Attempt {
    /// Brings an attempt to life under an owner's epoch, as it is stored.
    pub fn load(
        identity: Identity,
        plan: Arc<Plan>,
        answer_size_max: usize,
        epoch: u64,
        stored: Stored,
    ) -> Self {
        let exam = plan.exam();
        let allowance = Allowance::new(exam, identity.time_factor, identity.extra_time);
        let attempt = Self {
            identity: Arc::new(identity),
            proctoring: Arc::clone(plan.proctoring()),
            plan,
            allowance: Arc::new(allowance),
            answer_size_max,
            control: stored.control,
            version: stored.version.max(epoch << VERSION_BITS),
            session: stored.session,
            answers: stored.answers,
        };
        attempt.check_invariants();
        attempt
    }

    /// From now on what is noticed is judged by these rules. What was judged stays as
    /// it is.
    pub fn watch_by(&mut self, proctoring: Arc<Proctoring>) {
        self.proctoring = proctoring;
    }

    /// The rules as they are now.
    pub const fn proctoring(&self) -> &Arc<Proctoring> {
        &self.proctoring
    }

    /// Changes the state by one event. The only change there is.
    #[expect(
        clippy::too_many_lines,
        reason = "one short arm an event reads best in one place"
    )]
    pub fn apply(&mut self, event: &Event) {
        self.version += 1;
        let Control { ledger, .. } = &mut self.control;
        match event {
            Event::ClockStarted { at } => {
                ledger.entered_at = Some(*at);
                ledger.timing_rev += 1;
                self.control.phase = Phase::Taking;
            }
            Event::SessionOpened { session } => {
                self.session = Some(Session::new(session.clone()));
                self.control.released = false;
                self.control.ledger.away_since = None;
            }
            Event::SessionResumed => {
                self.set_connected(true);
                self.control.ledger.away_since = None;
            }
            Event::Left { at } => {
                self.set_connected(false);
                if !self.allowance.compensate_up_to.is_zero() && self.phase_is_taking() {
                    self.control.ledger.away_since = Some(*at);
                }
            }
            Event::Answered {
                seq,
                question,
                value,
                rev,
                at,
                spent,
                late,
            } => {
                let answer = self.touch_answer(*seq, *question, *at);
                answer.value.clone_from(value);
                answer.rev = *rev;
                answer.answered_at = *at;
                answer.spent_ms = answer.spent_ms.saturating_add(whole_ms(*spent));
                self.control.late |= *late;
            }
            Event::QuestionFlagged {
                seq,
                question,
                on,
                at,
            } => {
                self.touch_answer(*seq, *question, *at).flagged = *on;
            }
            Event::Refused { seq, .. } => self.use_number(*seq),
            Event::Observed {
                n,
                kind,
                at,
                client_at,
                judgement,
                ..
            } => {
                if let Some(session) = &mut self.session {
                    session.applied_event = *n;
                    let integrity = &mut self.control.integrity;
                    if judgement.changes_anything() {
                        integrity.remember(&session.id, kind, *client_at);
                    } else {
                        integrity.recognise(&session.id, kind, *client_at);
                    }
                }
                self.control.integrity.take(kind, *at, judgement);
            }
            Event::Detected {
                what,
                at,
                judgement,
                ..
            } => self.control.integrity.take(what.as_str(), *at, judgement),
            Event::Arrived { origin } => self.control.integrity.arrive(origin.clone()),
            Event::IncidentRaised { raised } => {
                let id = format!("i{}", self.version);
                self.control.integrity.raise(id, raised);
            }
            Event::IncidentClosed { incident, closed } => {
                self.control.integrity.close(incident, closed);
            }
            Event::IncidentAssigned { incident, to } => {
                self.control.integrity.assign(incident, to.as_deref());
            }
            // It takes a number of its own, and changes nothing.
            Event::Noted => {}
            Event::Noticed {
                text,
                level,
                ack,
                from,
                command,
            } => self.control.notices.push(Notice {
                id: format!("n{}", self.version),
                level: *level,
                text: text.clone(),
                from: from.clone(),
                ack: *ack,
                command: command.clone(),
            }),
            Event::NoticesSent => self.control.notices.retain(|notice| notice.ack),
            Event::NoticeAcknowledged { id } => {
                self.control.notices.retain(|notice| notice.id != *id);
            }
            Event::Paused { at, .. } => ledger.paused_since = Some(*at),
            Event::Resumed { at, .. } => ledger.end_pause(*at),
            Event::Extended { at, by, .. } => {
                ledger.adjust(Adjustment::Extended {
                    at: *at,
                    ms: whole_ms(*by),
                });
            }
            Event::Compensated { from, by, cause } => {
                ledger.give_back(&self.allowance, *from, *by, *cause);
            }
            Event::SectionChanged { section } => self.control.section = *section,
            Event::Flagged { .. } => self.control.flagged = true,
            Event::Unflagged { .. } => {
                self.control.flagged = false;
                if let Phase::HandedIn { at, by, .. } = self.control.phase {
                    let status = self.status_after(by);
                    self.control.phase = Phase::HandedIn { at, by, status };
                }
            }
            Event::Released { .. } => self.control.released = true,
            Event::CommandDone { key } => self.control.commands.push(key.clone()),
            Event::Cancelled { at, .. } => {
                ledger.end_pause(*at);
                self.control.phase = Phase::Cancelled { at: *at };
            }
            Event::HandedIn {
                at,
                by,
                seq,
                status,
                late,
                ..
            } => {
                ledger.end_pause(*at);
                self.control.phase = Phase::HandedIn {
                    at: *at,
                    by: *by,
                    status: *status,
                };
                self.control.late = *late;
                if let Some(seq) = seq {
                    self.use_number(*seq);
                }
            }
        }
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
    }

    /// The answer that a numbered command changes, at the version of the change.
    fn touch_answer(&mut self, seq: u64, question: u16, at: Timestamp) -> &mut Answer {
        self.use_number(seq);
        let answer = self.answers.entry(question, at);
        answer.version = self.version;
        answer
    }

    fn use_number(&mut self, seq: u64) {
        if let Some(session) = &mut self.session {
            session.applied_seq = seq;
        }
    }

    fn set_connected(&mut self, connected: bool) {
        if let Some(session) = &mut self.session {
            session.connected = connected;
        }
    }

    /// Numbers what is applied next from here on: who replays a timeline meets gaps.
    pub const fn count_from(&mut self, version: u64) {
        self.version = version;
    }

    /// When [`Command::Tick`] is due; none: never, as things stand.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let exam = self.plan.exam();
        match self.control.phase {
            Phase::Waiting => {
                let opens = exam.available_from.filter(|_| self.connected());
                [opens, exam.available_until].into_iter().flatten().min()
            }
            Phase::Taking => {
                let ledger = &self.control.ledger;
                let hand_in = ledger.hand_in_at(&self.allowance)?;
                let section = self.control.section.and_then(|running| {
                    ledger
                        .section_end(&self.allowance, running)
                        .filter(|_| self.connected())
                });
                Some(section.map_or(hand_in, |end| end.min(hand_in)))
            }
            Phase::HandedIn { .. } | Phase::Cancelled { .. } => None,
        }
    }

    /// When the engine must look at the attempt even if nobody is connected.
    pub fn close_at(&self) -> Option<Timestamp> {
        match self.control.phase {
            Phase::Waiting => self.plan.exam().available_until,
            Phase::Taking => self.control.ledger.hand_in_at(&self.allowance),
            Phase::HandedIn { .. } | Phase::Cancelled { .. } => None,
        }
    }

    /// Where the attempt stands.
    pub const fn status(&self) -> Status {
        self.control.status()
    }

    /// What it is.
    pub const fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The exam.
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// What the exam grants this candidate.
    pub fn allowance(&self) -> &Allowance {
        &self.allowance
    }

    /// What staff and time did.
    pub const fn control(&self) -> &Control {
        &self.control
    }

    /// Counts the changes to the record; only rises.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The session that owns the attempt.
    pub const fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Answers and flags by question number.
    pub const fn answers(&self) -> &Answers {
        &self.answers
    }

    /// End of the candidate's time. See [`Ledger::deadline`].
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        self.control.ledger.deadline(&self.allowance, now)
    }

    /// Time left. See [`Ledger::remaining`].
    pub fn remaining(&self, now: Timestamp) -> Duration {
        self.control.ledger.remaining(&self.allowance, now)
    }

    /// The time-limited section that runs, as index in the exam, and what is left of it.
    pub fn section(&self, now: Timestamp) -> Option<(u16, Duration)> {
        self.phase_is_taking()
            .then(|| self.control.ledger.section(&self.allowance, now))?
    }

    /// Whether nothing changes its answers any more.
    pub const fn is_over(&self) -> bool {
        matches!(
            self.control.phase,
            Phase::HandedIn { .. } | Phase::Cancelled { .. }
        )
    }

    fn phase_is_taking(&self) -> bool {
        self.control.phase == Phase::Taking
    }

    fn connected(&self) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.connected)
    }

    /// What must hold after every event and after loading.
    fn check_invariants(&self) {
        let Control { phase, ledger, .. } = &self.control;
        // The clock has begun exactly when answers may have been given.
        assert!(
            ledger.entered_at.is_some() || *phase != Phase::Taking,
            "taking without a clock"
        );
        // The clock stands still only while the attempt is being taken.
        assert!(
            ledger.paused_since.is_none() || *phase == Phase::Taking,
            "paused outside of taking"
        );
        // No answer is newer than the attempt.
        assert!(
            self.answers
                .iter()
                .all(|(_, answer)| answer.version <= self.version),
            "an answer from the future"
        );
        // Every answer is to a question of the exam.
        assert!(
            self.answers
                .iter()
                .all(|(number, _)| usize::from(number) < self.plan.question_count()),
            "an answer to no question"
        );
    }
}

/// The part of an attempt that changes, as a store gives it back.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// What staff and time did.
    pub control: Control,
    /// See [`Attempt::version`].
    pub version: u64,
    /// The session that owned it.
    pub session: Option<Session>,
    /// Answers and flags by question number.
    pub answers: Answers,
}

#[cfg(test)]
mod tests;

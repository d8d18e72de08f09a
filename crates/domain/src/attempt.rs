//! The attempt: one candidate's exam as a pure state machine.
//!
//! The contract with its driver (the actor, a simulation, a test):
//!
//! 1. **Decide.** [`Attempt::decide`] reads the state and returns what happens:
//!    events, or a [`DecideError`]. It changes nothing and holds every rule.
//! 2. **Apply.** [`Attempt::apply`] each event, in order, at once. It cannot
//!    fail, holds no rule, and is the only way to change an attempt.
//! 3. **Effects.** Persist, then reply, then publish: `saved` follows the
//!    commit. The events state all changes; no other comparison is needed.
//! 4. **Sleep** until [`Attempt::next_tick_at`], then send [`AttemptCommand::Tick`].
//!    Send it also before any command that arrives later than that, so that
//!    a slow timer never gives extra time.
//!
//! Time is an argument. Command numbers (`seq`) belong to the session; the
//! version counts all changes over sessions and owners and only rises.

mod answers;
pub mod command;
mod decide;
pub mod event;
#[cfg(test)]
pub(crate) mod fixture;
pub mod plan;
mod review;
mod watch;

use std::{sync::Arc, time::Duration};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use self::command::{CommandKey, NoticeUrgency};
pub use self::{
    answers::{Answer, AnswerMap},
    command::{AttemptCommand, CommandRefusal, DecideError},
    event::{DomainEvent, HandedInBy},
    plan::IndexedExam,
    review::ReviewRefusal,
};
use crate::{
    exam::ProctoringPolicy,
    id::{AttemptId, ExamCode, ExamVersion, PersonId, SessionId},
    integrity::IntegrityState,
    person::GroupSet,
    time::Timestamp,
    timing::{TimeAdjustment, TimeAllowance, TimeLedger, whole_ms},
};

/// Status of an attempt in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LifecycleStatus {
    /// Created; the clock does not run yet.
    Started,
    /// The clock runs.
    InProgress,
    /// The clock is paused.
    Paused,
    /// Handed in by the candidate or by staff; an answer waits for marking.
    Submitted,
    /// Handed in by time; an answer waits for marking.
    AutoSubmitted,
    /// Handed in and marked.
    Graded,
    /// Marked, then reviewed by a person.
    Reviewed,
    /// Void.
    Cancelled,
    /// Handed in, but held for an integrity review.
    Flagged,
}

impl LifecycleStatus {
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

/// Properties of an attempt that are fixed when it is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptIdentity {
    /// Assigned by the store.
    pub id: AttemptId,
    /// The exam's code.
    pub exam: ExamCode,
    /// Version of the frozen exam that the attempt is about.
    pub exam_version: ExamVersion,
    /// The person who takes the exam.
    pub candidate: PersonId,
    /// 1 for the person's first attempt at the exam.
    pub number: u16,
    /// Seed from which the paper's order is drawn.
    pub seed: u64,
    /// Factor of the duration, 1 or more.
    pub time_factor: Decimal,
    /// Time added to the duration.
    pub extra_time: Duration,
    /// The candidate's groups at the time of the start.
    pub groups: GroupSet,
    /// Time of the start, not of the first entry.
    pub started_at: Timestamp,
}

/// Phase of an attempt's life, with the data that only this phase has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum AttemptPhase {
    /// The clock does not run yet.
    #[default]
    Waiting,
    /// The clock runs, or is paused: the ledger tells which.
    Taking,
    /// The answers are final.
    HandedIn {
        /// Time of the hand-in.
        at: Timestamp,
        /// Its origin.
        by: HandedInBy,
        /// The final status.
        status: LifecycleStatus,
    },
    /// Void.
    Cancelled {
        /// Time of the cancellation.
        at: Timestamp,
    },
}

/// A message to the candidate, kept until the candidate has seen it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingNotice {
    /// Unique within the attempt.
    pub id: String,
    /// Controls how the client displays it.
    pub level: NoticeUrgency,
    /// Shown to the candidate.
    pub text: String,
    /// The sender's name.
    pub from: String,
    /// True if the candidate must acknowledge it.
    pub ack: bool,
    /// The staff command that sent it; `None` if a rule did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandKey>,
}

/// The part of an attempt that staff and time change. Stored as one value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AttemptControl {
    /// Phase of the attempt's life.
    #[serde(flatten)]
    pub phase: AttemptPhase,
    /// Account of the attempt's time.
    pub ledger: TimeLedger,
    /// True if an answer or the hand-in came after the deadline: until the hand-in,
    /// the deadline at the time of the answer; from the hand-in on, the final one.
    #[serde(default)]
    pub late: bool,
    /// True if marked for an integrity review.
    #[serde(default)]
    pub flagged: bool,
    /// True if another device may enter although the exam refuses a second one.
    #[serde(default)]
    pub released: bool,
    /// Index in the exam of the time-limited section that was announced last.
    #[serde(default)]
    pub section: Option<u16>,
    /// Notices that wait to be sent or acknowledged.
    #[serde(default)]
    pub notices: Vec<PendingNotice>,
    /// Staff commands that are done. Few: only those for this attempt.
    #[serde(default)]
    pub commands: Vec<CommandKey>,
    /// Integrity events so far, and the decisions of staff about them.
    #[serde(default, skip_serializing_if = "IntegrityState::is_empty")]
    pub integrity: IntegrityState,
}

impl AttemptControl {
    /// Status of the attempt.
    pub const fn status(&self) -> LifecycleStatus {
        match self.phase {
            AttemptPhase::Waiting => LifecycleStatus::Started,
            AttemptPhase::Taking if self.ledger.paused_since.is_some() => LifecycleStatus::Paused,
            AttemptPhase::Taking => LifecycleStatus::InProgress,
            AttemptPhase::HandedIn { status, .. } => status,
            AttemptPhase::Cancelled { .. } => LifecycleStatus::Cancelled,
        }
    }
}

/// A session that owns an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptSession {
    /// Unique id.
    pub id: SessionId,
    /// Number of the last command that was handled.
    pub applied_seq: u64,
    /// Number of the last client event that was handled.
    pub applied_event: u64,
    /// True if a client of the session is connected.
    pub connected: bool,
}

impl AttemptSession {
    /// Returns a session that has just begun.
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
    identity: Arc<AttemptIdentity>,
    indexed_exam: Arc<IndexedExam>,
    allowance: Arc<TimeAllowance>,
    /// The current rules, which may be newer than the exam version's.
    proctoring: Arc<ProctoringPolicy>,
    answer_size_max: usize,
    control: AttemptControl,
    version: u64,
    session: Option<AttemptSession>,
    answers: AnswerMap,
}

/// Bits of a version that count the changes under one owner. The owner's epoch
/// is above them, so a version that a dead owner assigned and never made durable
/// is never assigned again with another meaning.
const VERSION_BITS: u32 = 32;

impl Attempt {
    /// Restores an attempt from its stored record, under an owner's epoch.
    pub fn from_record(
        identity: AttemptIdentity,
        plan: Arc<IndexedExam>,
        answer_size_max: usize,
        epoch: u64,
        stored: AttemptRecord,
    ) -> Self {
        let exam = plan.exam();
        let allowance = TimeAllowance::new(exam, identity.time_factor, identity.extra_time);
        let attempt = Self {
            identity: Arc::new(identity),
            proctoring: Arc::clone(plan.proctoring()),
            indexed_exam: plan,
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

    /// Replaces the rules that later events are judged by. Earlier judgements stay.
    pub fn set_proctoring(&mut self, proctoring: Arc<ProctoringPolicy>) {
        self.proctoring = proctoring;
    }

    /// Rules that events are judged by.
    pub const fn proctoring(&self) -> &Arc<ProctoringPolicy> {
        &self.proctoring
    }

    /// Changes the state by one event. There is no other way to change it.
    #[expect(
        clippy::too_many_lines,
        reason = "one short arm an event reads best in one place"
    )]
    pub fn apply(&mut self, event: &DomainEvent) {
        self.version += 1;
        let AttemptControl { ledger, .. } = &mut self.control;
        match event {
            DomainEvent::ClockStarted { at } => {
                ledger.entered_at = Some(*at);
                ledger.timing_rev += 1;
                self.control.phase = AttemptPhase::Taking;
            }
            DomainEvent::SessionOpened { session } => {
                self.session = Some(AttemptSession::new(session.clone()));
                self.control.released = false;
                self.control.ledger.away_since = None;
            }
            DomainEvent::SessionResumed => {
                self.set_connected(true);
                self.control.ledger.away_since = None;
            }
            DomainEvent::Left { at } => {
                self.set_connected(false);
                if !self.allowance.compensate_up_to.is_zero() && self.is_taking() {
                    self.control.ledger.away_since = Some(*at);
                }
            }
            DomainEvent::Answered {
                seq,
                question,
                value,
                rev,
                at,
                spent,
                late,
            } => {
                let answer = self.answer_to_change(*seq, *question, *at);
                answer.value.clone_from(value);
                answer.rev = *rev;
                answer.answered_at = *at;
                answer.spent_ms = answer.spent_ms.saturating_add(whole_ms(*spent));
                self.control.late |= *late;
            }
            DomainEvent::QuestionFlagged {
                seq,
                question,
                on,
                at,
            } => {
                self.answer_to_change(*seq, *question, *at).flagged = *on;
            }
            DomainEvent::Refused { seq, .. } => self.use_seq(*seq),
            DomainEvent::Observed {
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
                        integrity.remember_judged(&session.id, kind, *client_at);
                    } else {
                        integrity.move_to_session(&session.id, kind, *client_at);
                    }
                }
                self.control.integrity.record_event(kind, *at, judgement);
            }
            DomainEvent::Detected {
                what,
                at,
                judgement,
                ..
            } => self
                .control
                .integrity
                .record_event(what.as_str(), *at, judgement),
            DomainEvent::Arrived { origin } => self.control.integrity.set_origin(origin.clone()),
            DomainEvent::IncidentRaised { raised } => {
                let id = format!("i{}", self.version);
                self.control.integrity.raise_incident(id, raised);
            }
            DomainEvent::IncidentClosed { incident, closed } => {
                self.control.integrity.close_incident(incident, closed);
            }
            DomainEvent::IncidentAssigned { incident, to } => {
                self.control
                    .integrity
                    .assign_incident(incident, to.as_deref());
            }
            // It takes a version of its own, and changes nothing.
            DomainEvent::Noted => {}
            DomainEvent::Noticed {
                text,
                level,
                ack,
                from,
                command,
            } => self.control.notices.push(PendingNotice {
                id: format!("n{}", self.version),
                level: *level,
                text: text.clone(),
                from: from.clone(),
                ack: *ack,
                command: command.clone(),
            }),
            DomainEvent::NoticesSent => self.control.notices.retain(|notice| notice.ack),
            DomainEvent::NoticeAcknowledged { id } => {
                self.control.notices.retain(|notice| notice.id != *id);
            }
            DomainEvent::Paused { at, .. } => ledger.paused_since = Some(*at),
            DomainEvent::Resumed { at, .. } => ledger.end_pause(*at),
            DomainEvent::Extended { at, by, .. } => {
                ledger.push_adjustment(TimeAdjustment::Extended {
                    at: *at,
                    ms: whole_ms(*by),
                });
            }
            DomainEvent::Compensated { from, by, cause } => {
                ledger.give_back(&self.allowance, *from, *by, *cause);
            }
            DomainEvent::SectionChanged { section } => self.control.section = *section,
            DomainEvent::Flagged { .. } => self.control.flagged = true,
            DomainEvent::Unflagged { .. } => {
                self.control.flagged = false;
                if let AttemptPhase::HandedIn { at, by, .. } = self.control.phase {
                    let status = self.status_after_hand_in(by);
                    self.control.phase = AttemptPhase::HandedIn { at, by, status };
                }
            }
            DomainEvent::Released { .. } => self.control.released = true,
            DomainEvent::CommandDone { key } => self.control.commands.push(key.clone()),
            DomainEvent::Cancelled { at, .. } => {
                ledger.end_pause(*at);
                self.control.phase = AttemptPhase::Cancelled { at: *at };
            }
            DomainEvent::HandedIn {
                at,
                by,
                seq,
                status,
                late,
                ..
            } => {
                ledger.end_pause(*at);
                self.control.phase = AttemptPhase::HandedIn {
                    at: *at,
                    by: *by,
                    status: *status,
                };
                self.control.late = *late;
                if let Some(seq) = seq {
                    self.use_seq(*seq);
                }
            }
        }
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
    }

    /// Returns the answer that a numbered command changes, with the version of the change.
    fn answer_to_change(&mut self, seq: u64, question: u16, at: Timestamp) -> &mut Answer {
        self.use_seq(seq);
        let answer = self.answers.get_or_insert(question, at);
        answer.version = self.version;
        answer
    }

    fn use_seq(&mut self, seq: u64) {
        if let Some(session) = &mut self.session {
            session.applied_seq = seq;
        }
    }

    fn set_connected(&mut self, connected: bool) {
        if let Some(session) = &mut self.session {
            session.connected = connected;
        }
    }

    /// Sets the version after which the next event counts: a replayed timeline has gaps.
    pub const fn set_version(&mut self, version: u64) {
        self.version = version;
    }

    /// Returns when [`AttemptCommand::Tick`] is due; `None` if no tick is needed in
    /// the current state.
    pub fn next_tick_at(&self) -> Option<Timestamp> {
        let exam = self.indexed_exam.exam();
        match self.control.phase {
            AttemptPhase::Waiting => {
                let opens = exam.available_from.filter(|_| self.is_connected());
                [opens, exam.available_until].into_iter().flatten().min()
            }
            AttemptPhase::Taking => {
                let ledger = &self.control.ledger;
                let hand_in = ledger.hand_in_at(&self.allowance)?;
                let section = self.control.section.and_then(|running| {
                    ledger
                        .section_end(&self.allowance, running)
                        .filter(|_| self.is_connected())
                });
                Some(section.map_or(hand_in, |end| end.min(hand_in)))
            }
            AttemptPhase::HandedIn { .. } | AttemptPhase::Cancelled { .. } => None,
        }
    }

    /// Returns when the engine must load the attempt even if no client is connected.
    pub fn close_at(&self) -> Option<Timestamp> {
        match self.control.phase {
            AttemptPhase::Waiting => self.indexed_exam.exam().available_until,
            AttemptPhase::Taking => self.control.ledger.hand_in_at(&self.allowance),
            AttemptPhase::HandedIn { .. } | AttemptPhase::Cancelled { .. } => None,
        }
    }

    /// Status of the attempt.
    pub const fn status(&self) -> LifecycleStatus {
        self.control.status()
    }

    /// Fixed properties of the attempt.
    pub const fn identity(&self) -> &Arc<AttemptIdentity> {
        &self.identity
    }

    /// The exam with its indexes.
    pub const fn indexed_exam(&self) -> &Arc<IndexedExam> {
        &self.indexed_exam
    }

    /// Time that the exam grants this candidate.
    pub fn allowance(&self) -> &TimeAllowance {
        &self.allowance
    }

    /// State that staff and time change.
    pub const fn control(&self) -> &AttemptControl {
        &self.control
    }

    /// Number of changes to the record, with the owner's epoch in its upper bits;
    /// only rises.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Session that owns the attempt.
    pub const fn session(&self) -> Option<&AttemptSession> {
        self.session.as_ref()
    }

    /// Answers and flags, by question number.
    pub const fn answers(&self) -> &AnswerMap {
        &self.answers
    }

    /// End of the candidate's time. See [`TimeLedger::deadline`].
    pub fn deadline(&self, now: Timestamp) -> Option<Timestamp> {
        self.control.ledger.deadline(&self.allowance, now)
    }

    /// The deadline; before the exam opens, the deadline of a candidate who waits for it.
    pub fn expected_deadline(&self, now: Timestamp) -> Timestamp {
        self.deadline(now).unwrap_or_else(|| {
            let opens = self.indexed_exam.exam().available_from.unwrap_or(now);
            let ledger = TimeLedger {
                entered_at: Some(opens.max(now)),
                ..TimeLedger::default()
            };
            ledger.deadline(&self.allowance, now).unwrap_or(now)
        })
    }

    /// Time left. See [`TimeLedger::remaining_time`].
    pub fn remaining_time(&self, now: Timestamp) -> Duration {
        self.control.ledger.remaining_time(&self.allowance, now)
    }

    /// The running time-limited section, as its index in the exam, and its time left.
    pub fn running_section(&self, now: Timestamp) -> Option<(u16, Duration)> {
        self.is_taking()
            .then(|| self.control.ledger.running_section(&self.allowance, now))?
    }

    /// Returns true if the answers are final.
    pub const fn is_over(&self) -> bool {
        matches!(
            self.control.phase,
            AttemptPhase::HandedIn { .. } | AttemptPhase::Cancelled { .. }
        )
    }

    fn is_taking(&self) -> bool {
        self.control.phase == AttemptPhase::Taking
    }

    fn is_connected(&self) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.connected)
    }

    /// Checks the invariants that hold after every event and after loading.
    fn check_invariants(&self) {
        let AttemptControl { phase, ledger, .. } = &self.control;
        // An attempt can be taken only once its clock has started.
        assert!(
            ledger.entered_at.is_some() || *phase != AttemptPhase::Taking,
            "an attempt is taken before its clock started"
        );
        // The clock is paused only while the attempt is being taken.
        assert!(
            ledger.paused_since.is_none() || *phase == AttemptPhase::Taking,
            "a pause while the attempt is not taken"
        );
        // No answer is newer than the attempt.
        assert!(
            self.answers
                .iter()
                .all(|(_, answer)| answer.version <= self.version),
            "an answer is newer than its attempt"
        );
        // Every answer belongs to a question of the exam.
        assert!(
            self.answers
                .iter()
                .all(|(number, _)| usize::from(number) < self.indexed_exam.question_count()),
            "an answer has no question"
        );
    }
}

/// The stored record of an attempt: the part that changes.
#[derive(Debug, Clone, Default)]
pub struct AttemptRecord {
    /// State that staff and time change.
    pub control: AttemptControl,
    /// Version of the last change, see [`Attempt::version`].
    pub version: u64,
    /// Session that owned the attempt last.
    pub session: Option<AttemptSession>,
    /// Answers and flags, by question number.
    pub answers: AnswerMap,
}

#[cfg(test)]
mod tests;

//! What one attempt has changed and not yet made durable, and how far it is.
//!
//! A slot lies between an actor, which puts changes in, and the writer, which
//! takes them out whole. Changes coalesce: of each question only the newest
//! answer waits, so a slot is bounded by the attempt's paper however long the
//! store is away. The writer acknowledges straight to the connection's outbox,
//! without waking the actor; only where something else hangs on the commit
//! (a hand-in, a staff command, an exchange) is the actor woken.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use invigil_protocol::candidate::{Refused, ServerMessage};
use tokio::{sync::Notify, time::Instant};

use super::{
    outbox::Outbox,
    recorder::{Acknowledgement, Recorder},
};
use crate::{
    domain::{
        attempt::Identity,
        id::{AttemptId, ExamCode, ExamVersion, SessionId},
    },
    store::{
        AnswerRow, AttemptWrite, ControlRow, HandInRow, Progress, TimelineRow,
        records::{IncidentRow, Record},
    },
};

/// Timeline entries that may wait besides those of answers, which coalesce.
/// Beyond it integrity events are dropped and counted; at the allowed 50 a
/// second this is some seconds of a client that floods while the store is away.
pub(super) const TIMELINE_PENDING_MAX: usize = 512;

/// The place where an attempt's changes wait.
#[derive(Debug)]
pub(super) struct Slot {
    attempt: AttemptId,
    exam: ExamCode,
    /// Where records go after the commit; none: they are in it.
    recorder: Option<Arc<Recorder>>,
    epoch: u64,
    exam_version: ExamVersion,
    state: Mutex<State>,
    settled: Notify,
}

#[derive(Debug)]
struct State {
    pending: Option<Box<Pending>>,
    /// Whether the writer has the slot in its queue.
    queued: bool,
    /// Whether changes are on their way to the store.
    in_flight: bool,
    durable: Durable,
    fate: Fate,
    /// Events that there was no room to record, and that nobody was told of.
    unrecorded: u64,
}

/// Whether the slot's changes can still become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Yes.
    Live,
    /// No: another owner has the attempt.
    Fenced,
    /// No: the store refuses the data.
    Rejected,
}

/// What is durable of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Durable {
    /// The attempt's version.
    pub version: u64,
    /// The session that the numbers below are of.
    pub session: Option<SessionId>,
    /// Every command of it up to this number.
    pub seq: u64,
}

/// Changes that wait.
#[derive(Debug)]
pub(super) struct Pending {
    progress: Progress,
    control: Option<Box<ControlRow>>,
    /// Sorted by question. Mostly one: a tree's node would hold eleven.
    answers: Vec<(u16, PendingAnswer)>,
    timeline: Vec<TimelineRow>,
    hand_in: Option<Box<HandInRow>>,
    records: Vec<Record>,
    incidents: Vec<IncidentRow>,
    wakes_actor: bool,
    since: Instant,
    reply: Reply,
}

/// The newest answer to a question, and the newest timeline entry about it.
#[derive(Debug)]
struct PendingAnswer {
    row: AnswerRow,
    entry: TimelineRow,
}

/// What the client is told once the changes are durable.
#[derive(Debug, Default)]
struct Reply {
    outbox: Option<Arc<Outbox>>,
    refused: Vec<Refused>,
    saved: bool,
    /// The highest event that is to be acknowledged.
    events: Option<u64>,
    dropped: u64,
}

/// What one command changed. See [`Slot::put`].
#[derive(Debug, Default)]
pub(super) struct Change {
    /// How far the session is with it.
    pub progress: Progress,
    /// The new control state, where it changed.
    pub control: Option<Box<ControlRow>>,
    /// The answer that changed, by question number, and its timeline entry.
    pub answer: Option<(u16, AnswerRow, TimelineRow)>,
    /// Other timeline entries.
    pub timeline: Vec<TimelineRow>,
    /// Events for the recorder, once the rest is committed.
    pub records: Vec<Record>,
    /// Incidents for the recorder, likewise.
    pub incidents: Vec<IncidentRow>,
    /// The hand-in.
    pub hand_in: Option<Box<HandInRow>>,
    /// Whether the actor waits for the commit.
    pub wakes_actor: bool,
    /// The connection to acknowledge to.
    pub outbox: Option<Arc<Outbox>>,
    /// A refusal to send with the acknowledgement.
    pub refused: Option<Refused>,
    /// Whether a numbered command is to be acknowledged.
    pub saved: bool,
    /// The event that is to be acknowledged. Not how far the session is: what a dead
    /// node counted and did not record is still to come once more.
    pub event: Option<u64>,
    /// Events dropped since the last acknowledgement of events.
    pub dropped: u64,
}

/// What follows the commit of a slot's changes.
#[derive(Debug)]
pub(super) struct Settlement {
    slot: Arc<Slot>,
    durable: Durable,
    since: Instant,
    wakes_actor: bool,
    reply: Reply,
    records: Vec<Record>,
    incidents: Vec<IncidentRow>,
}

impl Slot {
    /// The slot of an attempt that was just taken under an epoch.
    pub(super) fn new(
        identity: &Identity,
        epoch: u64,
        durable: Durable,
        recorder: Option<Arc<Recorder>>,
    ) -> Self {
        Self {
            attempt: identity.id,
            exam: identity.exam.clone(),
            recorder,
            epoch,
            exam_version: identity.exam_version.clone(),
            state: Mutex::new(State {
                pending: None,
                queued: false,
                in_flight: false,
                unrecorded: 0,
                durable,
                fate: Fate::Live,
            }),
            settled: Notify::new(),
        }
    }

    /// The number of the taking that it belongs to.
    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Which attempt.
    pub(super) const fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// Adds a change. True: the slot must now be queued with the writer.
    #[must_use]
    pub(super) fn put(&self, change: Change, now: Instant) -> bool {
        let mut state = self.lock();
        let pending = state
            .pending
            .get_or_insert_with(|| Box::new(Pending::new(now)));
        pending.add(change);
        !std::mem::replace(&mut state.queued, true)
    }

    /// Takes everything that waits, for a batch.
    pub(super) fn take(self: &Arc<Self>) -> Option<(AttemptWrite, Settlement)> {
        let mut state = self.lock();
        state.queued = false;
        let pending = state.pending.take()?;
        if state.fate != Fate::Live {
            return None;
        }
        state.in_flight = true;
        drop(state);
        Some(pending.into_flight(self))
    }

    /// What is durable.
    pub(super) fn durable(&self) -> Durable {
        self.lock().durable.clone()
    }

    /// Whether changes can still become durable.
    pub(super) fn fate(&self) -> Fate {
        self.lock().fate
    }

    /// Whether nothing waits and nothing is on its way.
    pub(super) fn is_clean(&self, version: u64) -> bool {
        let state = self.lock();
        state.pending.is_none() && state.durable.version >= version
    }

    /// How many events were not recorded since this was asked for.
    pub(super) fn take_unrecorded(&self) -> u64 {
        std::mem::take(&mut self.lock().unrecorded)
    }

    /// Whether nothing waits or is on its way, and yet a version is not durable.
    pub(super) fn is_idle_behind(&self, version: u64) -> bool {
        let state = self.lock();
        let idle = state.pending.is_none() && !state.queued && !state.in_flight;
        idle && state.durable.version < version
    }

    /// How many timeline entries wait.
    pub(super) fn timeline_pending(&self) -> usize {
        self.lock()
            .pending
            .as_ref()
            .map_or(0, |pending| pending.timeline.len() + pending.records.len())
    }

    /// Resolves after a commit that the actor waits for, and when the slot's
    /// fate is sealed.
    ///
    /// # Cancel safety
    /// A notification that was not received is kept for the next call.
    pub(super) async fn settled(&self) {
        self.settled.notified().await;
    }

    /// Nothing of this slot can become durable any more.
    pub(super) fn seal(&self, fate: Fate) {
        let mut state = self.lock();
        state.fate = fate;
        state.pending = None;
        drop(state);
        self.settled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder of this lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn new(since: Instant) -> Self {
        Self {
            progress: Progress::default(),
            control: None,
            answers: Vec::new(),
            timeline: Vec::new(),
            hand_in: None,
            records: Vec::new(),
            incidents: Vec::new(),
            wakes_actor: false,
            since,
            reply: Reply::default(),
        }
    }

    fn add(&mut self, change: Change) {
        self.progress = change.progress;
        self.control = change.control.or_else(|| self.control.take());
        self.hand_in = change.hand_in.or_else(|| self.hand_in.take());
        if let Some((question, row, entry)) = change.answer {
            let answer = PendingAnswer { row, entry };
            match self.answers.binary_search_by_key(&question, |(q, _)| *q) {
                Ok(index) => self.answers[index].1 = answer,
                Err(index) => self.answers.insert(index, (question, answer)),
            }
        }
        self.timeline.extend(change.timeline);
        self.records.extend(change.records);
        self.incidents.extend(change.incidents);
        self.wakes_actor |= change.wakes_actor;
        let reply = &mut self.reply;
        if change.outbox.is_some() {
            let same = match (&reply.outbox, &change.outbox) {
                (Some(old), Some(new)) => Arc::ptr_eq(old, new),
                (None, _) | (_, None) => true,
            };
            if !same {
                // Another connection: what the old one was to hear, it hears
                // by `welcome` of the new one.
                *reply = Reply::default();
            }
            reply.outbox = change.outbox;
        }
        reply.refused.extend(change.refused);
        reply.saved |= change.saved;
        reply.events = reply.events.max(change.event);
        reply.dropped += change.dropped;
    }

    fn into_flight(self, slot: &Arc<Slot>) -> (AttemptWrite, Settlement) {
        let mut timeline = self.timeline;
        let mut answers = Vec::with_capacity(self.answers.len());
        for (_, PendingAnswer { row, entry }) in self.answers {
            answers.push(row);
            timeline.push(entry);
        }
        let Progress {
            version, last_seq, ..
        } = self.progress;
        let session = self.progress.session.clone();
        let write = AttemptWrite {
            attempt: slot.attempt,
            epoch: slot.epoch,
            exam_version: slot.exam_version.clone(),
            progress: self.progress,
            control: self.control,
            answers,
            timeline,
            hand_in: self.hand_in,
        };
        let settlement = Settlement {
            slot: Arc::clone(slot),
            durable: Durable {
                version,
                session,
                seq: last_seq,
            },
            records: self.records,
            incidents: self.incidents,
            since: self.since,
            wakes_actor: self.wakes_actor,
            reply: self.reply,
        };
        (write, settlement)
    }
}

impl Settlement {
    /// Where the changes came from.
    pub(super) const fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }

    /// When the oldest of the changes was put in.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    /// The commit is done: remembers how far the attempt is durable, then tells
    /// the client, then the actor.
    pub(super) fn settle(self, history: Vec<TimelineRow>) {
        let seq = self.durable.seq;
        let reply = self.reply;
        let acknowledgement = match (&reply.outbox, reply.events) {
            (Some(outbox), Some(n)) => Some(Acknowledgement {
                outbox: Arc::clone(outbox),
                n,
                dropped: reply.dropped,
            }),
            (None, _) | (_, None) => None,
        };
        let told = acknowledgement.is_some();
        let mut unrecorded = 0;
        let mut stored = None;
        // Before anybody may see the version as durable: whoever then waits for the
        // recorder waits for these, too.
        if let Some(recorder) = &self.slot.recorder {
            let kept = recorder.settings().history_kept;
            let (attempt, exam) = (self.slot.attempt, &self.slot.exam);
            let history = history.into_iter();
            recorder.submit_history(
                history
                    .map(|row| row.into_history(attempt, exam.clone(), kept))
                    .collect(),
            );
            unrecorded = recorder.submit(self.records, self.incidents, acknowledgement);
        } else {
            // The commit has them.
            stored = acknowledgement;
        }
        // Likewise: a number that covers a refusal must not overtake it.
        if let Some(outbox) = &reply.outbox {
            for refused in reply.refused {
                outbox.acknowledge(ServerMessage::Refused(refused));
            }
        }
        let mut state = self.slot.lock();
        state.durable = self.durable;
        state.in_flight = false;
        if !told {
            state.unrecorded += unrecorded;
        }
        drop(state);
        if let Some(outbox) = reply.outbox.filter(|_| reply.saved) {
            outbox.saved(seq);
        }
        if let Some(done) = stored {
            done.outbox.events_stored(done.n, done.dropped);
        }
        if self.wakes_actor {
            self.slot.settled.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;

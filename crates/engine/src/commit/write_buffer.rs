//! Changes of one attempt that are not yet durable, and its durable progress.
//!
//! A write buffer lies between an actor, which adds changes, and the writer, which takes
//! them out whole. Changes coalesce: only the newest answer to each question waits, so
//! the paper bounds the buffer however long the store is away. The writer acknowledges
//! straight to the connection's outbox, without waking the actor; the actor is woken only
//! where an effect depends on the commit (a hand-in, a staff command, an exchange).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use invigil_protocol::candidate::{CommandRefused, ServerMessage};
use tokio::{sync::Notify, time::Instant};

use super::outbox::Outbox;
use crate::recorder::{PendingAck, Recorder};
use invigil_domain::{
    attempt::AttemptIdentity,
    id::{AttemptId, ExamCode, ExamVersion, SessionId},
};
use invigil_store::{
    AnswerRow, AttemptWrite, ControlRow, HandInRow, ProgressRow, TimelineRow,
    records::{IncidentRow, TimelineRecord},
};

/// Timeline entries that may wait besides those of answers, which coalesce. Further
/// integrity events are dropped and counted; at the allowed 50 a second, this is ten
/// seconds of a client that floods while the store is away.
pub(crate) const TIMELINE_PENDING_MAX: usize = 512;

/// Buffer for an attempt's changes on their way to the store.
#[derive(Debug)]
pub(crate) struct WriteBuffer {
    attempt: AttemptId,
    exam: ExamCode,
    /// Recorder that gets records after the commit; without one, they are part of it.
    recorder: Option<Arc<Recorder>>,
    epoch: u64,
    exam_version: ExamVersion,
    inner: Mutex<BufferInner>,
    settled: Notify,
}

#[derive(Debug)]
struct BufferInner {
    pending: Option<Box<PendingWrites>>,
    /// True if the buffer is in the writer's queue.
    queued: bool,
    /// True if changes are on their way to the store.
    in_flight: bool,
    durable: DurableProgress,
    state: BufferState,
    /// Events dropped for lack of room and not yet reported to the client.
    unrecorded: u64,
}

/// Prospects of a buffer's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BufferState {
    /// They can become durable.
    Live,
    /// They are lost: another owner has the attempt.
    Fenced,
    /// They are lost: the store rejects the data.
    Rejected,
}

/// Durable progress of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DurableProgress {
    /// The attempt's version.
    pub version: u64,
    /// The session that `seq` belongs to.
    pub session: Option<SessionId>,
    /// Every command of the session up to this number is durable.
    pub seq: u64,
}

/// Changes that wait for the writer.
#[derive(Debug)]
pub(crate) struct PendingWrites {
    progress: ProgressRow,
    control: Option<Box<ControlRow>>,
    /// Sorted by question. Usually one: a tree's node would hold eleven.
    answers: Vec<(u16, PendingAnswer)>,
    timeline: Vec<TimelineRow>,
    hand_in: Option<Box<HandInRow>>,
    records: Vec<TimelineRecord>,
    incidents: Vec<IncidentRow>,
    wakes_actor: bool,
    since: Instant,
    reply: PendingReply,
}

/// The newest answer to a question, and the newest timeline entry about it.
#[derive(Debug)]
struct PendingAnswer {
    row: AnswerRow,
    entry: TimelineRow,
}

/// Messages to the client once the changes are durable.
#[derive(Debug, Default)]
struct PendingReply {
    outbox: Option<Arc<Outbox>>,
    refused: Vec<CommandRefused>,
    saved: bool,
    /// The highest event to acknowledge.
    events: Option<u64>,
    dropped: u64,
}

/// Changes by one command. See [`WriteBuffer::add_changes`].
#[derive(Debug, Default)]
pub(crate) struct AttemptChanges {
    /// Progress of the session after the command.
    pub progress: ProgressRow,
    /// The new control state, where it changed.
    pub control: Option<Box<ControlRow>>,
    /// The answer that changed, by question number, and its timeline entry.
    pub answer: Option<(u16, AnswerRow, TimelineRow)>,
    /// Other timeline entries.
    pub timeline: Vec<TimelineRow>,
    /// Events for the recorder, once the rest is committed.
    pub records: Vec<TimelineRecord>,
    /// Incidents for the recorder, likewise.
    pub incidents: Vec<IncidentRow>,
    /// The hand-in.
    pub hand_in: Option<Box<HandInRow>>,
    /// True if the actor waits for the commit.
    pub wakes_actor: bool,
    /// The connection to acknowledge to.
    pub outbox: Option<Arc<Outbox>>,
    /// A refusal to send with the acknowledgement.
    pub refused: Option<CommandRefused>,
    /// True if a numbered command is to be acknowledged.
    pub saved: bool,
    /// The event to acknowledge. Not the session's progress: events that a dead node
    /// counted and did not record are still to come again.
    pub event: Option<u64>,
    /// Events dropped since the last acknowledgement of events.
    pub dropped: u64,
}

/// Acknowledgements and records that follow the commit of a buffer's changes.
#[derive(Debug)]
pub(crate) struct CommitAck {
    buffer: Arc<WriteBuffer>,
    durable: DurableProgress,
    since: Instant,
    wakes_actor: bool,
    reply: PendingReply,
    records: Vec<TimelineRecord>,
    incidents: Vec<IncidentRow>,
}

impl WriteBuffer {
    /// A buffer for an attempt that was just acquired under an epoch.
    pub(crate) fn new(
        identity: &AttemptIdentity,
        epoch: u64,
        durable: DurableProgress,
        recorder: Option<Arc<Recorder>>,
    ) -> Self {
        Self {
            attempt: identity.id,
            exam: identity.exam.clone(),
            recorder,
            epoch,
            exam_version: identity.exam_version.clone(),
            inner: Mutex::new(BufferInner {
                pending: None,
                queued: false,
                in_flight: false,
                unrecorded: 0,
                durable,
                state: BufferState::Live,
            }),
            settled: Notify::new(),
        }
    }

    /// Epoch of the lease that the buffer belongs to.
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Id of the attempt.
    pub(crate) const fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// Adds changes. Returns true if the buffer must now be queued with the writer.
    #[must_use]
    pub(crate) fn add_changes(&self, changes: AttemptChanges, now: Instant) -> bool {
        let mut inner = self.lock();
        let pending = inner
            .pending
            .get_or_insert_with(|| Box::new(PendingWrites::new(now)));
        pending.merge_changes(changes);
        !std::mem::replace(&mut inner.queued, true)
    }

    /// Takes all pending changes, for a batch.
    pub(crate) fn take_pending(self: &Arc<Self>) -> Option<(AttemptWrite, CommitAck)> {
        let mut inner = self.lock();
        inner.queued = false;
        let pending = inner.pending.take()?;
        if inner.state != BufferState::Live {
            return None;
        }
        inner.in_flight = true;
        drop(inner);
        Some(pending.into_write(self))
    }

    /// Progress that is durable.
    pub(crate) fn durable_progress(&self) -> DurableProgress {
        self.lock().durable.clone()
    }

    /// Prospects of the changes.
    pub(crate) fn state(&self) -> BufferState {
        self.lock().state
    }

    /// True if nothing is pending and `version` is durable.
    pub(crate) fn is_clean(&self, version: u64) -> bool {
        let inner = self.lock();
        inner.pending.is_none() && inner.durable.version >= version
    }

    /// Returns the number of unrecorded events since the last call.
    pub(crate) fn take_unrecorded(&self) -> u64 {
        std::mem::take(&mut self.lock().unrecorded)
    }

    /// True if nothing is pending or in flight, and yet `version` is not durable.
    pub(crate) fn is_idle_behind(&self, version: u64) -> bool {
        let inner = self.lock();
        let idle = inner.pending.is_none() && !inner.queued && !inner.in_flight;
        idle && inner.durable.version < version
    }

    /// Number of timeline entries and records that wait.
    pub(crate) fn timeline_pending(&self) -> usize {
        self.lock()
            .pending
            .as_ref()
            .map_or(0, |pending| pending.timeline.len() + pending.records.len())
    }

    /// Resolves after a commit that the actor waits for, and when the buffer is sealed.
    ///
    /// # Cancel safety
    /// A notification that was not received is kept for the next call.
    pub(crate) async fn wait_settled(&self) {
        self.settled.notified().await;
    }

    /// Drops the changes and lets no more become durable.
    pub(crate) fn seal(&self, state: BufferState) {
        let mut inner = self.lock();
        inner.state = state;
        inner.pending = None;
        drop(inner);
        self.settled.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, BufferInner> {
        // No holder of this lock can panic half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingWrites {
    fn new(since: Instant) -> Self {
        Self {
            progress: ProgressRow::default(),
            control: None,
            answers: Vec::new(),
            timeline: Vec::new(),
            hand_in: None,
            records: Vec::new(),
            incidents: Vec::new(),
            wakes_actor: false,
            since,
            reply: PendingReply::default(),
        }
    }

    fn merge_changes(&mut self, changes: AttemptChanges) {
        self.progress = changes.progress;
        self.control = changes.control.or_else(|| self.control.take());
        self.hand_in = changes.hand_in.or_else(|| self.hand_in.take());
        if let Some((question, row, entry)) = changes.answer {
            let answer = PendingAnswer { row, entry };
            match self.answers.binary_search_by_key(&question, |(q, _)| *q) {
                Ok(index) => self.answers[index].1 = answer,
                Err(index) => self.answers.insert(index, (question, answer)),
            }
        }
        self.timeline.extend(changes.timeline);
        self.records.extend(changes.records);
        self.incidents.extend(changes.incidents);
        self.wakes_actor |= changes.wakes_actor;
        let reply = &mut self.reply;
        if changes.outbox.is_some() {
            let same = match (&reply.outbox, &changes.outbox) {
                (Some(old), Some(new)) => Arc::ptr_eq(old, new),
                (None, _) | (_, None) => true,
            };
            if !same {
                // Another connection: its `welcome` covers everything that the old one
                // was owed.
                *reply = PendingReply::default();
            }
            reply.outbox = changes.outbox;
        }
        reply.refused.extend(changes.refused);
        reply.saved |= changes.saved;
        reply.events = reply.events.max(changes.event);
        reply.dropped += changes.dropped;
    }

    fn into_write(self, buffer: &Arc<WriteBuffer>) -> (AttemptWrite, CommitAck) {
        let mut timeline = self.timeline;
        let mut answers = Vec::with_capacity(self.answers.len());
        for (_, PendingAnswer { row, entry }) in self.answers {
            answers.push(row);
            timeline.push(entry);
        }
        let ProgressRow {
            version, last_seq, ..
        } = self.progress;
        let session = self.progress.session.clone();
        let write = AttemptWrite {
            attempt: buffer.attempt,
            epoch: buffer.epoch,
            exam_version: buffer.exam_version.clone(),
            progress: self.progress,
            control: self.control,
            answers,
            timeline,
            hand_in: self.hand_in,
        };
        let ack = CommitAck {
            buffer: Arc::clone(buffer),
            durable: DurableProgress {
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
        (write, ack)
    }
}

impl CommitAck {
    /// Buffer of the changes.
    pub(crate) const fn buffer(&self) -> &Arc<WriteBuffer> {
        &self.buffer
    }

    /// Time at which the oldest of the changes was added.
    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// Completes the commit: stores the durable progress, then tells the client, then the
    /// actor.
    pub(crate) fn settle(self, history: Vec<TimelineRow>) {
        let seq = self.durable.seq;
        let reply = self.reply;
        let acknowledgement = match (&reply.outbox, reply.events) {
            (Some(outbox), Some(n)) => Some(PendingAck {
                outbox: Arc::clone(outbox),
                n,
                dropped: reply.dropped,
            }),
            (None, _) | (_, None) => None,
        };
        let told = acknowledgement.is_some();
        let mut unrecorded = 0;
        let mut stored = None;
        // Before the version is visible as durable: a caller that then waits for the
        // recorder waits for these, too.
        if let Some(recorder) = &self.buffer.recorder {
            let kept = recorder.settings().history_kept;
            let (attempt, exam) = (self.buffer.attempt, &self.buffer.exam);
            let history = history.into_iter();
            recorder.submit_history(
                history
                    .map(|row| row.into_history_record(attempt, exam.clone(), kept))
                    .collect(),
            );
            unrecorded = recorder.submit_records(self.records, self.incidents, acknowledgement);
        } else {
            // The commit contains them.
            stored = acknowledgement;
        }
        // Likewise: a number that covers a refusal must not overtake it.
        if let Some(outbox) = &reply.outbox {
            for refused in reply.refused {
                outbox.send_acknowledgement(ServerMessage::Refused(refused));
            }
        }
        let mut inner = self.buffer.lock();
        inner.durable = self.durable;
        inner.in_flight = false;
        if !told {
            inner.unrecorded += unrecorded;
        }
        drop(inner);
        if let Some(outbox) = reply.outbox.filter(|_| reply.saved) {
            outbox.report_saved(seq);
        }
        if let Some(done) = stored {
            done.outbox.report_events_stored(done.n, done.dropped);
        }
        if self.wakes_actor {
            self.buffer.settled.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;

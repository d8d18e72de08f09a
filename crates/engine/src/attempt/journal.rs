//! The attempt's way to the store: rows of its events, the write buffer, and the effects
//! that wait for a commit.
//!
//! Effects wait in the order of their versions, so a reply never overtakes the commit of
//! what it confirms. The journal takes changes at once and never waits; a buffer that it
//! returns must be queued with the writer.

mod rows;

use std::{collections::VecDeque, sync::Arc};

use invigil_protocol::{
    candidate::{CommandRefused, EventAck, TimingReason},
    exchange::ExchangeResponse,
};
use tokio::time::Instant;

use self::rows::EventRows;
pub(super) use self::rows::newest_open_incident;
use super::mailbox::{ExchangeReplySender, ReplySender, StaffRefusal};
use crate::{
    commit::write_buffer::{
        AttemptChanges, BufferState, DurableProgress, TIMELINE_PENDING_MAX, WriteBuffer,
    },
    recorder::Recorder,
    wire::wire_refused,
};
use invigil_domain::{
    attempt::{Attempt, DomainEvent, PendingNotice, command::CommandKey},
    id::SessionId,
    integrity::EventJudgement,
    time::Timestamp,
};
use invigil_store::{
    ProgressRow, TimelineRow,
    records::{RecordClass, TimelineRecord},
};

/// Most deferred effects with which a refusal still joins them: the rest of the room is
/// for accepted requests.
const DEFERRED_REFUSALS_MAX: usize = 16;

/// Most effects that may be deferred when an exchange is accepted. A client has one
/// exchange under way; more are repeats after a lost reply.
const PENDING_EXCHANGES_MAX: usize = 32;

/// Changes of an attempt on their way to the store, and what waits for them.
pub(super) struct AttemptJournal {
    buffer: Arc<WriteBuffer>,
    /// Recorder of client events; without one, they are part of every commit.
    recorder: Option<Arc<Recorder>>,
    /// Effects that wait for a commit, in the order of their versions.
    deferred: VecDeque<(u64, DeferredEffect)>,
    /// Refusal of the last command, if no connection waits for it.
    last_refusal: Option<CommandRefused>,
}

/// Effect that runs once a version is durable.
pub(super) enum DeferredEffect {
    /// The deadline moved.
    Timing(TimingReason),
    /// The status changed.
    Status(Option<String>),
    /// A notice for the candidate.
    Notice(PendingNotice),
    /// The attempt is handed in.
    Finish(Option<String>),
    /// The attempt is cancelled.
    Cancelled(Option<String>),
    /// A staff command is done.
    Staff(CommandKey, ReplySender<(), StaffRefusal>),
    /// A caller is refused.
    Refuse(Box<dyn FnOnce() + Send>),
    /// An exchange is done.
    Exchange(Box<PendingExchange>),
}

/// An exchange whose commands are applied and wait for their commit.
pub(super) struct PendingExchange {
    /// True if the session goes on.
    pub resumed: bool,
    /// Refused commands.
    pub refused: Vec<CommandRefused>,
    /// Acknowledgement of its events.
    pub event_ack: Option<EventAck>,
    /// Channel for the reply.
    pub reply: ExchangeReplySender,
}

impl AttemptJournal {
    /// The journal of an attempt that was just acquired under an epoch: everything that
    /// was loaded is durable.
    pub(super) fn new(attempt: &Attempt, epoch: u64, recorder: Option<Arc<Recorder>>) -> Self {
        let durable = DurableProgress {
            version: attempt.version(),
            session: attempt.session().map(|session| session.id.clone()),
            seq: attempt.session().map_or(0, |session| session.applied_seq),
        };
        let buffer = WriteBuffer::new(attempt.identity(), epoch, durable, recorder.clone());
        Self {
            buffer: Arc::new(buffer),
            recorder,
            deferred: VecDeque::new(),
            last_refusal: None,
        }
    }

    /// Epoch of the lease.
    pub(super) fn epoch(&self) -> u64 {
        self.buffer.epoch()
    }

    /// Prospects of the changes.
    pub(super) fn state(&self) -> BufferState {
        self.buffer.state()
    }

    /// Resolves after a commit that an effect waits for, and when the journal is fenced.
    ///
    /// # Cancel safety
    /// See [`WriteBuffer::wait_settled`].
    // Not `async`: the future keeps the buffer alone, as effects may not be shared.
    pub(super) fn wait_settled(&self) -> impl Future<Output = ()> {
        self.buffer.wait_settled()
    }

    /// Lets nothing more become durable: another node has the attempt.
    pub(super) fn fence(&self) {
        self.buffer.seal(BufferState::Fenced);
    }

    /// Timeline entry of an event that was just applied; `None` for events that staff need
    /// not see.
    pub(super) fn timeline_entry(
        &self,
        attempt: &Attempt,
        now: Timestamp,
        event: &DomainEvent,
    ) -> Option<TimelineRow> {
        self.rows(attempt).timeline_entry(now, event)
    }

    /// Adds the rows of an event that was just applied, with its timeline entry, to the
    /// changes.
    pub(super) fn add_event(
        &mut self,
        attempt: &Attempt,
        now: Timestamp,
        (event, entry): (&DomainEvent, Option<TimelineRow>),
        changes: &mut AttemptChanges,
    ) {
        self.rows(attempt).add_event(now, event, entry, changes);
        if let DomainEvent::Refused { .. } = event {
            let refused = wire_refused(event);
            if changes.outbox.is_some() {
                changes.refused = refused;
            } else {
                self.last_refusal = refused;
            }
        }
    }

    /// Returns the refusal of the last command, if no connection waited for it.
    pub(super) const fn take_refusal(&mut self) -> Option<CommandRefused> {
        self.last_refusal.take()
    }

    /// Buffers changes. Returns the buffer if it must be queued with the writer.
    #[must_use]
    pub(super) fn add_changes(
        &self,
        attempt: &Attempt,
        now: Timestamp,
        mut changes: AttemptChanges,
    ) -> Option<Arc<WriteBuffer>> {
        changes.progress = current_progress(attempt, now);
        changes.wakes_actor |= !self.deferred.is_empty();
        let queue = self.buffer.add_changes(changes, Instant::now());
        queue.then(|| Arc::clone(&self.buffer))
    }

    /// Record of a client's event, for a repeat whose first record may be lost.
    pub(super) fn event_record(
        &self,
        attempt: &Attempt,
        n: u64,
        judgement: &EventJudgement,
        entry: TimelineRow,
    ) -> Option<TimelineRecord> {
        self.rows(attempt).event_record(n, judgement, entry)
    }

    /// True if client events go to a recorder, and are not part of the commit.
    pub(super) const fn has_recorder(&self) -> bool {
        self.recorder.is_some()
    }

    /// Records an observation that changes nothing. Returns the changes to buffer if no
    /// recorder takes it.
    #[must_use]
    pub(super) fn record_observation(
        &self,
        attempt: &Attempt,
        class: RecordClass,
        entry: TimelineRow,
    ) -> Option<AttemptChanges> {
        let Some(recorder) = &self.recorder else {
            return Some(AttemptChanges {
                timeline: vec![entry],
                ..AttemptChanges::default()
            });
        };
        let identity = attempt.identity();
        let kept = self.rows(attempt).events_kept();
        let history = entry.into_history_record(identity.id, identity.exam.clone(), kept);
        recorder.submit_records(vec![TimelineRecord { class, ..history }], Vec::new(), None);
        None
    }

    /// Sends the reply to an exchange. Acknowledged events must be in the recorder's
    /// durable path. Answers do not wait long for that: events without acknowledgement
    /// come again.
    pub(super) fn send_reply(&self, mut response: ExchangeResponse, reply: ExchangeReplySender) {
        let recorder = self.recorder.as_ref();
        let Some(recorder) = recorder.filter(|_| response.event_ack.is_some()) else {
            reply.send(Ok(Box::new(response))).ok();
            return;
        };
        recorder.when_durable(move |durable| {
            if !durable {
                response.event_ack = None;
            }
            reply.send(Ok(Box::new(response))).ok();
        });
    }

    /// Defers an effect until a version is durable.
    pub(super) fn defer(&mut self, version: u64, effect: DeferredEffect) {
        self.deferred.push_back((version, effect));
    }

    /// Returns the next effect whose version is at most `durable`.
    pub(super) fn pop_effect(&mut self, durable: u64) -> Option<DeferredEffect> {
        let due = self
            .deferred
            .pop_front_if(|(version, _)| *version <= durable);
        due.map(|(_, effect)| effect)
    }

    /// True if a refusal may join the deferred effects.
    pub(super) fn has_room_for_refusal(&self) -> bool {
        self.deferred.len() < DEFERRED_REFUSALS_MAX
    }

    /// True if an exchange may join the deferred effects.
    pub(super) fn has_room_for_exchange(&self) -> bool {
        self.deferred.len() < PENDING_EXCHANGES_MAX
    }

    /// True if another event of the client may wait.
    pub(super) fn has_room_for_event(&self) -> bool {
        self.buffer.timeline_pending() < TIMELINE_PENDING_MAX
    }

    /// Returns the number of unrecorded events since the last call.
    pub(super) fn take_unrecorded(&self) -> u64 {
        self.buffer.take_unrecorded()
    }

    /// Version that is durable.
    pub(super) fn durable_version(&self) -> u64 {
        self.buffer.durable_progress().version
    }

    /// Session that owns the attempt by its durable state.
    pub(super) fn durable_session(&self) -> Option<SessionId> {
        self.buffer.durable_progress().session
    }

    /// Highest durable command number of the present session.
    pub(super) fn saved_seq(&self, attempt: &Attempt) -> u64 {
        let durable = self.buffer.durable_progress();
        match attempt.session() {
            Some(session) if durable.session.as_ref() == Some(&session.id) => durable.seq,
            Some(_) | None => 0,
        }
    }

    /// True if nothing is pending and `version` is durable.
    pub(super) fn is_clean(&self, version: u64) -> bool {
        self.buffer.is_clean(version)
    }

    /// True if everything is durable and no effect is deferred. The first alone is not
    /// enough: a repeated request waits for one more commit.
    pub(super) fn is_settled(&self, version: u64) -> bool {
        self.deferred.is_empty() && self.buffer.is_clean(version)
    }

    /// True if nothing is pending or in flight, and yet `version` is not durable.
    pub(super) fn is_idle_behind(&self, version: u64) -> bool {
        self.buffer.is_idle_behind(version)
    }

    fn rows<'a>(&self, attempt: &'a Attempt) -> EventRows<'a> {
        let recorder = self.recorder.as_ref();
        EventRows {
            attempt,
            recorder_keeps: recorder.map(|recorder| recorder.settings().events_kept),
        }
    }
}

/// Present progress of the session.
fn current_progress(attempt: &Attempt, now: Timestamp) -> ProgressRow {
    let session = attempt.session();
    ProgressRow {
        version: attempt.version(),
        session: session.map(|session| session.id.clone()),
        last_seq: session.map_or(0, |session| session.applied_seq),
        last_event: session.map_or(0, |session| session.applied_event),
        last_activity_at: now,
    }
}

#[cfg(test)]
mod tests;

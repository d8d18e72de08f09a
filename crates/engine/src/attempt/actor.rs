//! The actor of one live attempt: a thin shell around the pure state machine.
//!
//! It receives, decides, applies, and carries out the effects. Four components own what
//! is around the attempt and know nothing of each other: the [`CandidateConnection`], the
//! [`AttemptJournal`], the [`Monitor`] and the [`Handover`]. What they return, the shell
//! does: it alone knows the writer, the board and the mailbox, which is private to this
//! folder. Two edges could close a cycle of waiting, and neither does: the actor waits
//! neither for the writer (the journal takes changes at once) nor for a connection (its
//! outbox closes slow readers).
//!
//! An attempt without a connection leaves memory after a while, once all of it is
//! durable; the next request loads it again. Meanwhile its deadline is the sweeper's.

mod client;
mod effects;
mod events;
mod exchange;
mod staff;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    connection::CandidateConnection,
    handover::Handover,
    journal::{AttemptJournal, DeferredEffect},
    mailbox::{ActorHandle, ActorMessage, ReleaseOutcome, ReplySender},
    monitor::Monitor,
};
use crate::{
    board::BoardRow,
    commit::{
        outbox::CloseReason,
        write_buffer::{AttemptChanges, BufferState},
    },
    content::{ExamContent, LiveRules},
    node::{context::NodeContext, entropy::drain_retry_ms},
    peers::messages::JoinRequest,
};
use invigil_domain::{
    attempt::{Attempt, AttemptCommand, DecideError, DomainEvent},
    id::AttemptId,
    time::Timestamp,
};
use invigil_protocol::code::CloseCode;

/// Time that an attempt stays in memory after its end: enough for a client that lost its
/// connection at the hand-in to come back for the receipt.
const OVER_STOP_AFTER: Duration = Duration::from_secs(5);

/// Capacity of a mailbox. One connection sends one message at a time and REST calls are
/// few, so a full mailbox means a stuck actor; senders wait.
const MAILBOX_MESSAGES: usize = 16;

/// Actor of one attempt. The registry builds it and spawns [`AttemptActor::run`].
pub(crate) struct AttemptActor {
    shared: Arc<NodeContext>,
    content: Arc<ExamContent>,
    rules: Arc<LiveRules>,
    /// The attempt's row on the proctors' board.
    board_row: Arc<BoardRow>,
    mailbox: mpsc::Receiver<ActorMessage>,
    attempt: Attempt,
    connection: CandidateConnection,
    journal: AttemptJournal,
    monitor: Monitor,
    handover: Handover,
}

impl AttemptActor {
    /// An actor for an attempt that was just acquired, and its handle.
    pub(crate) fn new(
        shared: Arc<NodeContext>,
        content: Arc<ExamContent>,
        rules: Arc<LiveRules>,
        attempt: Attempt,
        board_row: Arc<BoardRow>,
        (epoch, lost_at): (u64, Option<Timestamp>),
    ) -> (Self, ActorHandle) {
        let (sender, mailbox) = mpsc::channel(MAILBOX_MESSAGES);
        let actor = Self {
            connection: CandidateConnection::new(Instant::now()),
            journal: AttemptJournal::new(&attempt, epoch, shared.recorder.clone()),
            monitor: Monitor::default(),
            handover: Handover::new(&attempt, lost_at),
            shared,
            content,
            rules,
            board_row,
            mailbox,
            attempt,
        };
        (actor, ActorHandle::new(sender))
    }

    /// Epoch of the actor's lease.
    pub(crate) fn epoch(&self) -> u64 {
        self.journal.epoch()
    }

    /// Id of the attempt.
    pub(crate) fn attempt_id(&self) -> AttemptId {
        self.attempt.identity().id
    }

    /// Runs until the attempt may leave memory. Returns messages that arrived too late:
    /// they are for the attempt's next actor.
    pub(crate) async fn run(&mut self) -> Vec<ActorMessage> {
        self.monitor.count_answers(&self.attempt);
        self.compensate_outages();
        self.compensate_lost_node();
        self.catch_up();
        let timer = tokio::time::sleep_until(self.wake_at());
        tokio::pin!(timer);
        // All branches are cancel-safe: a message and a permit of the buffer are consumed
        // only when their branch wins.
        loop {
            timer.as_mut().reset(self.wake_at());
            self.update_board_row();
            tokio::select! {
                biased;
                () = self.journal.wait_settled() => {
                    if self.journal.state() != BufferState::Live {
                        self.give_up();
                        break;
                    }
                    self.run_durable_effects();
                }
                message = self.mailbox.recv() => match message {
                    Some(message) => {
                        self.catch_up();
                        self.handle_message(message);
                    }
                    None => break,
                },
                () = &mut timer => {
                    self.catch_up();
                    self.inspect_absence();
                    self.flush_idle_version();
                    if self.may_stop() {
                        break;
                    }
                }
            }
            if self.may_release() {
                break;
            }
        }
        self.mailbox.close();
        let mut unread = Vec::new();
        while let Ok(message) = self.mailbox.try_recv() {
            unread.push(message);
        }
        // A node that waits for a fenced attempt acquires it without this reply.
        if self.journal.state() == BufferState::Live {
            self.handover.confirm_release();
        }
        unread
    }

    fn handle_message(&mut self, message: ActorMessage) {
        match message {
            ActorMessage::Connect(message) => {
                let (request, reply) = *message;
                self.handle_connect(request, reply);
            }
            ActorMessage::Disconnected(connection) => self.handle_disconnect(connection),
            ActorMessage::Client(message) => {
                let (connection, message) = *message;
                self.handle_client_message(connection, message);
            }
            ActorMessage::Exchange(message) => {
                let (exchange, reply) = *message;
                self.handle_exchange(exchange, reply);
            }
            ActorMessage::Staff(message) => {
                let (key, action, reply) = *message;
                self.handle_staff_command(key, action, reply);
            }
            ActorMessage::Snapshot(reply) => {
                reply.send(self.build_snapshot()).ok();
            }
            ActorMessage::HealthChanged => self.send_health(),
            ActorMessage::Drain => self.drain(),
            ActorMessage::Release(message) => {
                let (epoch, join, reply) = *message;
                // The node that asked about an earlier lease has given up long ago.
                if epoch.is_none_or(|epoch| epoch == self.epoch()) {
                    self.begin_release(&join, reply);
                }
            }
            ActorMessage::Lost { epoch } => self.lose_ownership(epoch),
        }
    }

    /// Gives back the time in which no node was alive.
    fn compensate_outages(&mut self) {
        let now = self.shared.clock.now();
        for (from, until) in Arc::clone(&self.shared.outages).iter().copied() {
            // No events if given back already, or outside this attempt's time.
            self.perform_unasked(now, &AttemptCommand::Outage { from, until });
        }
    }

    /// Gives back the time in which the attempt's previous node was dead.
    fn compensate_lost_node(&mut self) {
        let now = self.shared.clock.now();
        let owed = self.handover.take_owed_outage(now, self.shared.outage_min);
        if let Some((from, until)) = owed {
            // An outage of the whole engine is given back already.
            self.perform_unasked(now, &AttemptCommand::Outage { from, until });
        }
    }

    /// Applies all due ticks before anything else: a slow timer must not lend time.
    fn catch_up(&mut self) {
        let now = self.shared.clock.now();
        // A tick may lead to the next: the exam opens, a section ends.
        while self.attempt.next_tick_at().is_some_and(|at| at <= now) {
            let before = self.attempt.version();
            self.perform_unasked(now, &AttemptCommand::Tick);
            if self.attempt.version() == before {
                break;
            }
        }
    }

    /// Decides a command, applies its events, and buffers their changes.
    fn perform_command(
        &mut self,
        now: Timestamp,
        command: &AttemptCommand,
        mut changes: AttemptChanges,
    ) -> Result<(), DecideError> {
        self.attempt.set_proctoring(self.rules.current_rules());
        let events = self.attempt.decide(now, command)?;
        if events.is_empty() {
            return Ok(());
        }
        for event in &events {
            self.attempt.apply(event);
            self.journal_event(now, event, &mut changes);
            self.plan_effects(now, event, &mut changes);
        }
        self.buffer_changes(now, changes);
        self.judge_detections(now);
        Ok(())
    }

    /// Performs a command that no caller waits for; its refusal changes nothing.
    fn perform_unasked(&mut self, now: Timestamp, command: &AttemptCommand) {
        self.perform_command(now, command, AttemptChanges::default())
            .ok();
    }

    /// Applies an event that needs no decision, and buffers its changes.
    fn apply_event(&mut self, now: Timestamp, event: &DomainEvent) {
        self.attempt.apply(event);
        let mut changes = AttemptChanges::default();
        self.journal_event(now, event, &mut changes);
        self.buffer_changes(now, changes);
    }

    /// Adds the rows of an event, just applied, to the changes, and shows its entry to the
    /// proctors who inspect the attempt.
    fn journal_event(&mut self, now: Timestamp, event: &DomainEvent, changes: &mut AttemptChanges) {
        let entry = self.journal.timeline_entry(&self.attempt, now, event);
        if let Some(entry) = &entry {
            self.board_row.send_entry(entry);
        }
        self.journal
            .add_event(&self.attempt, now, (event, entry), changes);
    }

    fn buffer_changes(&mut self, now: Timestamp, mut changes: AttemptChanges) {
        // A release waits for the last commit.
        changes.wakes_actor |= self.handover.is_awaited();
        let unqueued = self.journal.add_changes(&self.attempt, now, changes);
        if let Some(buffer) = unqueued {
            self.shared.writer.enqueue(buffer);
        }
    }

    /// Judges the detections so far.
    fn judge_detections(&mut self, now: Timestamp) {
        for (what, data) in self.monitor.take_detections() {
            self.perform_unasked(now, &AttemptCommand::Detect { what, data });
        }
    }

    /// Requests a commit of everything so far, and to be woken by it.
    fn request_commit(&mut self, now: Timestamp) {
        let wakes_actor = true;
        self.buffer_changes(
            now,
            AttemptChanges {
                wakes_actor,
                ..AttemptChanges::default()
            },
        );
    }

    /// The same, unless everything is durable.
    fn commit_pending(&mut self, now: Timestamp) {
        if !self.journal.is_clean(self.attempt.version()) {
            self.request_commit(now);
        }
    }

    /// Defers an effect until the present version is durable.
    fn defer_effect(&mut self, effect: DeferredEffect) {
        self.journal.defer(self.attempt.version(), effect);
    }

    /// Defers an effect until everything so far is durable, even if nothing changed: a
    /// repeat must not be confirmed before the original is durable.
    fn defer_until_durable(&mut self, now: Timestamp, effect: DeferredEffect) {
        self.defer_effect(effect);
        if self.journal.is_clean(self.attempt.version()) {
            self.run_durable_effects();
        } else {
            self.request_commit(now);
        }
    }

    /// Refuses a request once a commit has shown that the attempt is still this node's. A
    /// node that was replaced may not know it yet and would refuse by stale state; its
    /// callers get no answer, and go to the owner.
    fn refuse_after_commit<T, E>(&mut self, now: Timestamp, reply: ReplySender<T, E>, refusal: E)
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        if !self.journal.has_room_for_refusal() {
            return;
        }
        self.attempt.apply(&DomainEvent::Noted);
        self.defer_effect(DeferredEffect::Refuse(Box::new(|| {
            reply.send(Err(refusal)).ok();
        })));
        self.buffer_changes(now, AttemptChanges::default());
    }

    fn run_durable_effects(&mut self) {
        let durable = self.journal.durable_version();
        while let Some(effect) = self.journal.pop_effect(durable) {
            self.run_effect(effect);
        }
    }

    /// Highest durable command number of the present session.
    fn saved_seq(&self) -> u64 {
        self.journal.saved_seq(&self.attempt)
    }

    fn wake_at(&self) -> Instant {
        let deadline = self
            .attempt
            .next_tick_at()
            .map(|at| self.shared.clock.instant_at(at));
        let idle = (!self.connection.is_open()).then(|| self.stop_at());
        let away_since = self.connection.away_since();
        let absence = self.monitor.absence_at(&self.attempt, away_since);
        // With a connection and nothing due, the next message wakes the actor.
        let never = Instant::now() + Duration::from_hours(1);
        [deadline, idle, absence]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(never)
    }

    fn stop_at(&self) -> Instant {
        let grace = if self.shared.is_draining() {
            Duration::ZERO
        } else if self.attempt.is_over() {
            OVER_STOP_AFTER
        } else {
            self.shared.idle_stop
        };
        let earliest = self.connection.idle_since() + grace;
        if self.is_settled() {
            earliest
        } else {
            // No event announces that the store is back: check again.
            earliest.max(Instant::now() + Duration::from_secs(1))
        }
    }

    /// Commits a version that has no changes to save: numbers given to records alone wait
    /// for the next commit, and an attempt about to leave memory has none coming.
    fn flush_idle_version(&mut self) {
        if !self.connection.is_open() && self.journal.is_idle_behind(self.attempt.version()) {
            let now = self.shared.clock.now();
            self.buffer_changes(now, AttemptChanges::default());
        }
    }

    fn may_stop(&self) -> bool {
        !self.connection.is_open() && self.is_settled() && self.stop_at() <= Instant::now()
    }

    /// True if the attempt may be released to a waiting node.
    fn may_release(&self) -> bool {
        self.handover.is_awaited() && self.is_settled()
    }

    fn is_settled(&self) -> bool {
        self.journal.is_settled(self.attempt.version())
    }

    /// Releases the attempt to the candidate's new node, once everything is written.
    fn begin_release(&mut self, join: &JoinRequest, reply: oneshot::Sender<ReleaseOutcome>) {
        let now = self.shared.clock.now();
        let present = (self.saved_seq(), self.connection.asked_at());
        let begun = self
            .handover
            .begin_release(&self.attempt, now, present, join, reply);
        if begun {
            self.close_connection(CloseReason::new(CloseCode::Superseded));
            self.commit_pending(now);
        }
    }

    /// Another node has acquired the attempt by a lease of its own, without a release
    /// here. The candidate's admission there is still open, so the client is told to
    /// reconnect, and not that it was replaced.
    fn lose_ownership(&mut self, epoch: u64) {
        if epoch > self.epoch() {
            self.close_connection(CloseReason::new(CloseCode::Moved));
            self.journal.fence();
        }
    }

    /// Closes the connection after another owner has acquired the attempt or the store
    /// has rejected it: the state in memory is worthless.
    fn give_up(&mut self) {
        let code = match self.journal.state() {
            BufferState::Fenced => CloseCode::Moved,
            BufferState::Rejected | BufferState::Live => CloseCode::InternalError,
        };
        tracing::warn!(attempt.id = %self.attempt.identity().id, ?code, "the attempt is given up");
        self.close_connection(CloseReason::new(code));
    }

    fn drain(&mut self) {
        self.connection.mark_idle(Instant::now());
        let retry_ms = drain_retry_ms(&*self.shared.entropy);
        self.close_connection(CloseReason {
            code: CloseCode::Draining,
            detail: None,
            retry_ms: Some(retry_ms),
        });
        self.commit_pending(self.shared.clock.now());
    }

    fn close_connection(&mut self, closing: CloseReason) {
        self.connection.close(Instant::now(), closing);
    }
}

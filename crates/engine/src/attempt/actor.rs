//! The actor of one live attempt: a thin shell around the pure state machine.
//!
//! It receives, decides, applies, and carries out the effects. Its mailbox is private to
//! this folder. Two edges could close a cycle of waiting, and neither does: the actor
//! waits neither for the writer (a [`WriteBuffer`] takes changes at once) nor for a
//! connection (an [`Outbox`] closes slow readers).
//!
//! An attempt without a connection leaves memory after a while, once all of it is
//! durable; the next request loads it again. Meanwhile its deadline is the sweeper's.

mod client;
mod exchange;
mod handover;
mod journal;
mod monitor;
mod outgoing;
mod staff;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::mailbox::{
    ActorHandle, ActorMessage, ConnectionId, ReleaseOutcome, ReplySender, StaffRefusal,
};
use crate::content::{ExamContent, LiveRules};
use crate::{
    board::BoardRow,
    commit::{
        outbox::{CloseReason, Outbox},
        write_buffer::{AttemptChanges, BufferState, DurableProgress, WriteBuffer},
    },
    node::{context::NodeContext, entropy::drain_retry_ms},
};
use invigil_domain::{
    attempt::{Attempt, AttemptCommand, DecideError, DomainEvent, command::CommandKey},
    id::AttemptId,
    time::Timestamp,
};
use invigil_protocol::{
    candidate::{CommandRefused, TimingReason},
    code::CloseCode,
};

/// Time that an attempt stays in memory after its end: enough for a client that lost its
/// connection at the hand-in to come back for the receipt.
const OVER_STOP_AFTER: Duration = Duration::from_secs(5);

/// Most deferred effects with which a refusal still joins them: the rest of the room is
/// for accepted requests.
const DEFERRED_REFUSALS_MAX: usize = 16;

/// Capacity of a mailbox. One connection sends one message at a time and REST calls are
/// few, so a full mailbox means a stuck actor; senders wait.
const MAILBOX_MESSAGES: usize = 16;

/// Actor of one attempt. The registry builds it and spawns [`AttemptActor::run`].
pub(crate) struct AttemptActor {
    shared: Arc<NodeContext>,
    content: Arc<ExamContent>,
    rules: Arc<LiveRules>,
    attempt: Attempt,
    buffer: Arc<WriteBuffer>,
    mailbox: mpsc::Receiver<ActorMessage>,
    connection: Option<CandidateConnection>,
    connection_count: u64,
    /// Effects that wait for a commit, in the order of their versions.
    deferred_effects: VecDeque<(u64, DeferredEffect)>,
    idle_since: Instant,
    event_budget: client::EventBudget,
    /// The attempt's row on the proctors' board.
    board_row: Arc<BoardRow>,
    monitor: monitor::Monitor,
    /// Nodes that wait for the attempt's release.
    release_waiters: Vec<oneshot::Sender<ReleaseOutcome>>,
    /// Interval still to be given back for the death of the attempt's previous node.
    owed_outage: Option<(Timestamp, Timestamp)>,
    /// Refusal of the last command, if no connection waits for it.
    last_refusal: Option<CommandRefused>,
}

/// Effect that runs once a version is durable.
enum DeferredEffect {
    /// The deadline moved.
    Timing(TimingReason),
    /// The status changed.
    Status(Option<String>),
    /// A notice for the candidate.
    Notice(invigil_domain::attempt::PendingNotice),
    /// The attempt is handed in.
    Finish(Option<String>),
    /// The attempt is cancelled.
    Cancelled(Option<String>),
    /// A staff command is done.
    Staff(CommandKey, ReplySender<(), StaffRefusal>),
    /// A caller is refused.
    Refuse(Box<dyn FnOnce() + Send>),
    /// An exchange is done.
    Exchange(Box<exchange::PendingExchange>),
}

/// The candidate's only connection.
struct CandidateConnection {
    id: ConnectionId,
    outbox: Arc<Outbox>,
    last_pulse: Option<Instant>,
    /// Time of the client's request.
    asked_at: Option<Timestamp>,
}

impl Drop for CandidateConnection {
    /// Closes the socket however the actor ends, even by a panic. The first closing
    /// counts, so this one is the fallback.
    fn drop(&mut self) {
        self.outbox
            .close(CloseReason::new(CloseCode::InternalError));
    }
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
        let durable = DurableProgress {
            version: attempt.version(),
            session: attempt.session().map(|session| session.id.clone()),
            seq: attempt.session().map_or(0, |session| session.applied_seq),
        };
        let owed_outage = lost_at.map(|at| (at, Self::owed_until(attempt.indexed_exam(), at)));
        let identity = attempt.identity();
        let buffer = WriteBuffer::new(identity, epoch, durable, shared.recorder.clone());
        let actor = Self {
            shared,
            content,
            rules,
            attempt,
            buffer: Arc::new(buffer),
            mailbox,
            connection: None,
            connection_count: 0,
            deferred_effects: VecDeque::new(),
            idle_since: Instant::now(),
            event_budget: client::EventBudget::new(),
            board_row,
            monitor: monitor::Monitor::default(),
            release_waiters: Vec::new(),
            owed_outage,
            last_refusal: None,
        };
        (actor, ActorHandle::new(sender))
    }

    /// Epoch of the actor's lease.
    pub(crate) fn epoch(&self) -> u64 {
        self.buffer.epoch()
    }

    /// Id of the attempt.
    pub(crate) fn attempt_id(&self) -> AttemptId {
        self.attempt.identity().id
    }

    /// Runs until the attempt may leave memory. Returns messages that arrived too late:
    /// they are for the attempt's next actor.
    pub(crate) async fn run(&mut self) -> Vec<ActorMessage> {
        self.count_answers();
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
                () = self.buffer.wait_settled() => {
                    if self.buffer.state() != BufferState::Live {
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
        if self.buffer.state() == BufferState::Live {
            for reply in self.release_waiters.drain(..) {
                reply.send(ReleaseOutcome::Released).ok();
            }
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
            self.perform_command(
                now,
                &AttemptCommand::Outage { from, until },
                AttemptChanges::default(),
            )
            .ok();
        }
    }

    /// Applies all due ticks before anything else: a slow timer must not lend time.
    fn catch_up(&mut self) {
        let now = self.shared.clock.now();
        // A tick may lead to the next: the exam opens, a section ends.
        while self.attempt.next_tick_at().is_some_and(|at| at <= now) {
            let before = self.attempt.version();
            self.perform_command(now, &AttemptCommand::Tick, AttemptChanges::default())
                .ok();
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
            self.add_event_changes(now, event, &mut changes);
            self.plan_effects(now, event, &mut changes);
        }
        self.buffer_changes(now, changes);
        self.judge_detections(now);
        Ok(())
    }

    fn buffer_changes(&mut self, now: Timestamp, mut changes: AttemptChanges) {
        changes.progress = self.current_progress(now);
        // Deferred effects and releases wait for the last commit.
        changes.wakes_actor |=
            !(self.deferred_effects.is_empty() && self.release_waiters.is_empty());
        if self.buffer.add_changes(changes, Instant::now()) {
            self.shared.writer.enqueue(Arc::clone(&self.buffer));
        }
    }

    /// Plans the effects of an event besides being stored. Effects that depend on the
    /// store wait for the commit; effects that time alone decides do not, so that an exam
    /// opens while the store is away.
    fn plan_effects(&mut self, now: Timestamp, event: &DomainEvent, changes: &mut AttemptChanges) {
        let effect = match event {
            DomainEvent::ClockStarted { .. } => return self.send_open(now),
            DomainEvent::SectionChanged { .. } => return self.send_section(now),
            DomainEvent::Answered { .. } => return self.inspect_answer(event),
            DomainEvent::IncidentRaised { raised } => {
                return self.publish_incident_of_kind(&raised.kind);
            }
            DomainEvent::IncidentClosed { incident, .. }
            | DomainEvent::IncidentAssigned { incident, .. } => {
                return self.publish_incident(incident);
            }
            DomainEvent::Compensated { .. } => DeferredEffect::Timing(TimingReason::Compensated),
            DomainEvent::Extended { .. } => DeferredEffect::Timing(TimingReason::Extended),
            DomainEvent::Paused { reason, .. } => DeferredEffect::Status(reason.clone()),
            DomainEvent::Resumed { reason, .. } => {
                self.defer_effect(DeferredEffect::Timing(TimingReason::Resumed));
                DeferredEffect::Status(reason.clone())
            }
            DomainEvent::Noticed { .. } => match self.attempt.control().notices.last() {
                Some(notice) => DeferredEffect::Notice(notice.clone()),
                None => return,
            },
            DomainEvent::HandedIn { reason, by, .. } => {
                self.shared.metrics.count_hand_in(by.as_str());
                changes.hand_in = self.hand_in_row().map(Box::new);
                DeferredEffect::Finish(reason.clone())
            }
            DomainEvent::Cancelled { reason, .. } => DeferredEffect::Cancelled(reason.clone()),
            DomainEvent::Refused { code, .. } => {
                return self.shared.metrics.count_refusal(code.as_str());
            }
            DomainEvent::SessionOpened { .. }
            | DomainEvent::SessionResumed
            | DomainEvent::Left { .. }
            | DomainEvent::QuestionFlagged { .. }
            | DomainEvent::Observed { .. }
            | DomainEvent::Detected { .. }
            | DomainEvent::Arrived { .. }
            | DomainEvent::Noted
            | DomainEvent::NoticesSent
            | DomainEvent::NoticeAcknowledged { .. }
            | DomainEvent::Flagged { .. }
            | DomainEvent::Unflagged { .. }
            | DomainEvent::Released { .. }
            | DomainEvent::CommandDone { .. } => return,
        };
        self.defer_effect(effect);
        changes.wakes_actor = true;
    }

    /// Defers an effect until the present version is durable.
    fn defer_effect(&mut self, effect: DeferredEffect) {
        self.deferred_effects
            .push_back((self.attempt.version(), effect));
    }

    /// Defers an effect until everything so far is durable, even if nothing changed: a
    /// repeat must not be confirmed before the original is durable.
    fn defer_until_durable(&mut self, now: Timestamp, effect: DeferredEffect) {
        self.defer_effect(effect);
        if self.buffer.is_clean(self.attempt.version()) {
            self.run_durable_effects();
        } else {
            self.buffer_changes(
                now,
                AttemptChanges {
                    wakes_actor: true,
                    ..AttemptChanges::default()
                },
            );
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
        if self.deferred_effects.len() >= DEFERRED_REFUSALS_MAX {
            return;
        }
        self.attempt.apply(&DomainEvent::Noted);
        self.defer_effect(DeferredEffect::Refuse(Box::new(|| {
            reply.send(Err(refusal)).ok();
        })));
        self.buffer_changes(now, AttemptChanges::default());
    }

    fn run_durable_effects(&mut self) {
        let durable = self.buffer.durable_progress();
        while let Some((version, _)) = self.deferred_effects.front()
            && *version <= durable.version
        {
            if let Some((_, effect)) = self.deferred_effects.pop_front() {
                self.run_effect(effect);
            }
        }
    }

    /// Highest durable command number of the present session.
    fn saved_seq(&self) -> u64 {
        let durable = self.buffer.durable_progress();
        match self.attempt.session() {
            Some(session) if durable.session.as_ref() == Some(&session.id) => durable.seq,
            Some(_) | None => 0,
        }
    }

    fn wake_at(&self) -> Instant {
        let deadline = self
            .attempt
            .next_tick_at()
            .map(|at| self.shared.clock.instant_at(at));
        let idle = self.connection.is_none().then(|| self.stop_at());
        // With a connection and nothing due, the next message wakes the actor.
        let never = Instant::now() + Duration::from_hours(1);
        [deadline, idle, self.absence_at()]
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
        let earliest = self.idle_since + grace;
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
        if self.connection.is_none() && self.buffer.is_idle_behind(self.attempt.version()) {
            let now = self.shared.clock.now();
            self.buffer_changes(now, AttemptChanges::default());
        }
    }

    fn may_stop(&self) -> bool {
        self.connection.is_none() && self.is_settled() && self.stop_at() <= Instant::now()
    }

    /// True if everything is durable and no effect is deferred. The first alone is not
    /// enough: a repeated request waits for one more commit.
    fn is_settled(&self) -> bool {
        self.deferred_effects.is_empty() && self.buffer.is_clean(self.attempt.version())
    }

    /// Closes the connection after another owner has acquired the attempt or the store
    /// has rejected it: the state in memory is worthless.
    fn give_up(&mut self) {
        let code = match self.buffer.state() {
            BufferState::Fenced => CloseCode::Moved,
            BufferState::Rejected | BufferState::Live => CloseCode::InternalError,
        };
        tracing::warn!(attempt.id = %self.attempt.identity().id, ?code, "the attempt is given up");
        self.close_connection(CloseReason::new(code));
    }

    fn drain(&mut self) {
        self.idle_since = Instant::now();
        let retry_ms = drain_retry_ms(&*self.shared.entropy);
        self.close_connection(CloseReason {
            code: CloseCode::Draining,
            detail: None,
            retry_ms: Some(retry_ms),
        });
        if !self.buffer.is_clean(self.attempt.version()) {
            let (now, wakes_actor) = (self.shared.clock.now(), true);
            self.buffer_changes(
                now,
                AttemptChanges {
                    wakes_actor,
                    ..AttemptChanges::default()
                },
            );
        }
    }

    fn close_connection(&mut self, closing: CloseReason) {
        if let Some(connection) = self.connection.take() {
            connection.outbox.close(closing);
            self.idle_since = Instant::now();
        }
    }
}

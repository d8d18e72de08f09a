//! The actor of one live attempt: a thin shell around the pure state machine.
//!
//! It receives, decides, applies, and carries the effects out. Nothing outside
//! this folder sees its mailbox. Two edges could close a cycle of waiting, and
//! neither does: the actor never waits for the writer (a [`Slot`] takes changes
//! without waiting) nor for a connection (an [`Outbox`] closes who is slow).
//!
//! An attempt without a connection leaves memory after a while, once all of it
//! is durable; whoever needs it again loads it. Its deadline is then the
//! sweeper's.

mod client;
mod exchange;
pub(super) mod message;
mod moving;
mod outgoing;
mod persist;
mod sight;
mod staff;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use self::message::{ConnectionId, Message, Release, Reply};
pub use self::message::{ExchangeRefusal, Handle, Opened, Opening, OpeningRefusal, StaffRefusal};
use super::{
    board::Seat,
    entropy::drain_retry_ms,
    outbox::{Closing, Outbox},
    shared::Shared,
    slot::{Change, Durable, Fate, Slot},
};
use crate::{
    domain::{
        attempt::{Attempt, Command, Event, Refusal, command::CommandKey},
        id::AttemptId,
        time::Timestamp,
    },
    engine::content::{Content, Rules},
};
use invigil_protocol::{
    candidate::{Refused, TimingReason},
    code::CloseCode,
};

/// An attempt that is over stays long enough for a client that lost its
/// connection at the hand-in to come back for the receipt.
const OVER_STOP: Duration = Duration::from_secs(5);

/// What may wait for a commit where somebody is to be refused: the rest of the room is
/// for those who are not.
const REFUSALS_MAX: usize = 16;

/// Messages that may wait for an actor. One connection sends one at a time and
/// REST calls are few, so a full mailbox means a stuck actor; senders wait.
const MAILBOX: usize = 16;

/// The actor. Built by the registry, which also spawns [`Actor::run`].
pub(super) struct Actor {
    shared: Arc<Shared>,
    content: Arc<Content>,
    rules: Arc<Rules>,
    attempt: Attempt,
    slot: Arc<Slot>,
    mailbox: mpsc::Receiver<Message>,
    connection: Option<Connection>,
    connections: u64,
    /// What follows a commit, in the order of the versions that it waits for.
    waiting: VecDeque<(u64, After)>,
    idle_since: Instant,
    events: client::EventBudget,
    /// What proctors see of it.
    seat: Arc<Seat>,
    sight: sight::Sight,
    /// Who waits for the attempt to be let go.
    leaving: Vec<oneshot::Sender<Release>>,
    /// From when to when time is to be given back for the death of the node that had
    /// the attempt before.
    lost: Option<(Timestamp, Timestamp)>,
    /// The refusal of the last command, where no connection waits for it.
    refusal: Option<Refused>,
}

/// What follows once a version is durable.
enum After {
    /// The deadline moved.
    Timing(TimingReason),
    /// The status changed.
    Status(Option<String>),
    /// A notice for the candidate.
    Notice(crate::domain::attempt::Notice),
    /// The attempt is handed in.
    Finish(Option<String>),
    /// The attempt is void.
    Void(Option<String>),
    /// A staff command is done.
    Staff(CommandKey, Reply<(), StaffRefusal>),
    /// Somebody is refused something.
    Refuse(Box<dyn FnOnce() + Send>),
    /// An exchange is done.
    Exchange(Box<exchange::Exchanged>),
}

/// The one connection that a candidate has.
struct Connection {
    id: ConnectionId,
    outbox: Arc<Outbox>,
    last_pulse: Option<Instant>,
    /// When its client asked for it.
    asked_at: Option<Timestamp>,
}

impl Drop for Connection {
    /// Whatever ends the actor, a panic too, no socket is left without one. The
    /// first closing counts, so this is the last word only.
    fn drop(&mut self) {
        self.outbox.close(Closing::new(CloseCode::InternalError));
    }
}

impl Actor {
    /// An actor for an attempt that was just taken, and the way to reach it.
    pub(super) fn new(
        shared: Arc<Shared>,
        content: Arc<Content>,
        rules: Arc<Rules>,
        attempt: Attempt,
        seat: Arc<Seat>,
        (epoch, lost_at): (u64, Option<Timestamp>),
    ) -> (Self, Handle) {
        let (sender, mailbox) = mpsc::channel(MAILBOX);
        let durable = Durable {
            version: attempt.version(),
            session: attempt.session().map(|session| session.id.clone()),
            seq: attempt.session().map_or(0, |session| session.applied_seq),
        };
        let lost = lost_at.map(|at| (at, Self::back_by(attempt.plan(), at)));
        let identity = attempt.identity();
        let slot = Slot::new(identity, epoch, durable, shared.recorder.clone());
        let actor = Self {
            shared,
            content,
            rules,
            attempt,
            slot: Arc::new(slot),
            mailbox,
            connection: None,
            connections: 0,
            waiting: VecDeque::new(),
            idle_since: Instant::now(),
            events: client::EventBudget::new(),
            seat,
            sight: sight::Sight::default(),
            leaving: Vec::new(),
            lost,
            refusal: None,
        };
        (actor, Handle::new(sender))
    }

    /// The number of the taking that it lives by.
    pub(super) fn epoch(&self) -> u64 {
        self.slot.epoch()
    }

    /// Which attempt.
    pub(super) fn attempt_id(&self) -> AttemptId {
        self.attempt.identity().id
    }

    /// Lives until the attempt may leave memory. Returns messages that came too
    /// late: they are for the next actor of this attempt.
    pub(super) async fn run(&mut self) -> Vec<Message> {
        self.count_answers();
        self.give_back_outages();
        self.give_back_lost_node();
        self.catch_up();
        let timer = tokio::time::sleep_until(self.wake_at());
        tokio::pin!(timer);
        // All branches are cancel-safe: a message and a permit of the slot are
        // taken only when their branch wins.
        loop {
            timer.as_mut().reset(self.wake_at());
            self.show();
            tokio::select! {
                biased;
                () = self.slot.settled() => {
                    if self.slot.fate() != Fate::Live {
                        self.give_up();
                        break;
                    }
                    self.after_commit();
                }
                message = self.mailbox.recv() => match message {
                    Some(message) => {
                        self.catch_up();
                        self.handle(message);
                    }
                    None => break,
                },
                () = &mut timer => {
                    self.catch_up();
                    self.look_for_absence();
                    self.keep_number();
                    if self.may_stop() {
                        break;
                    }
                }
            }
            if self.may_go() {
                break;
            }
        }
        self.mailbox.close();
        let mut unread = Vec::new();
        while let Ok(message) = self.mailbox.try_recv() {
            unread.push(message);
        }
        // Whoever waits for a fenced attempt takes it without a word of this one.
        if self.slot.fate() == Fate::Live {
            for reply in self.leaving.drain(..) {
                reply.send(Release::Done).ok();
            }
        }
        unread
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Open(message) => {
                let (opening, reply) = *message;
                self.open_for(opening, reply);
            }
            Message::Gone(connection) => self.gone(connection),
            Message::Client(message) => {
                let (connection, message) = *message;
                self.client(connection, message);
            }
            Message::Exchange(message) => {
                let (exchange, reply) = *message;
                self.exchange(exchange, reply);
            }
            Message::Staff(message) => {
                let (key, action, reply) = *message;
                self.staff(key, action, reply);
            }
            Message::Look(reply) => {
                reply.send(self.look()).ok();
            }
            Message::Health => self.tell_health(),
            Message::Drain => self.drain(),
            Message::Release(message) => {
                let (epoch, entry, reply) = *message;
                // Who wants it of an earlier taking has given up long ago.
                if epoch.is_none_or(|epoch| epoch == self.epoch()) {
                    self.release(&entry, reply);
                }
            }
            Message::Lost { epoch } => self.lose(epoch),
        }
    }

    /// Gives back the time in which no node was alive.
    fn give_back_outages(&mut self) {
        let now = self.shared.clock.now();
        for (from, until) in Arc::clone(&self.shared.outages).iter().copied() {
            // Already given back, or not in this attempt's time: no events.
            self.perform(now, &Command::Outage { from, until }, Change::default())
                .ok();
        }
    }

    /// Does what time asks for, before anything else is looked at: a slow timer
    /// lends nobody time.
    fn catch_up(&mut self) {
        let now = self.shared.clock.now();
        // One tick may lead to the next: the exam opens, a section ends.
        while self.attempt.next_deadline().is_some_and(|at| at <= now) {
            let before = self.attempt.version();
            self.perform(now, &Command::Tick, Change::default()).ok();
            if self.attempt.version() == before {
                break;
            }
        }
    }

    /// Decides, applies, and puts what changed on its way to the store.
    fn perform(
        &mut self,
        now: Timestamp,
        command: &Command,
        mut change: Change,
    ) -> Result<(), Refusal> {
        self.attempt.watch_by(self.rules.current());
        let events = self.attempt.decide(now, command)?;
        if events.is_empty() {
            return Ok(());
        }
        for event in &events {
            self.attempt.apply(event);
            self.record(now, event, &mut change);
            self.follow(now, event, &mut change);
        }
        self.put(now, change);
        self.look_into_suspicions(now);
        Ok(())
    }

    fn put(&mut self, now: Timestamp, mut change: Change) {
        change.progress = self.progress(now);
        // Whoever waits, or wants the attempt, waits for the last commit.
        change.wakes_actor |= !(self.waiting.is_empty() && self.leaving.is_empty());
        if self.slot.put(change, Instant::now()) {
            self.shared.writer.enqueue(Arc::clone(&self.slot));
        }
    }

    /// Plans what an event leads to besides being stored. What depends on the
    /// store waits for the commit; what time alone decides does not, so that an
    /// exam opens while the store is away.
    fn follow(&mut self, now: Timestamp, event: &Event, change: &mut Change) {
        let after = match event {
            Event::ClockStarted { .. } => return self.tell_open(now),
            Event::SectionChanged { .. } => return self.tell_section(now),
            Event::Answered { .. } => return self.look_at_answer(event),
            Event::IncidentRaised { raised } => return self.tell_incident_of(&raised.kind),
            Event::IncidentClosed { incident, .. } | Event::IncidentAssigned { incident, .. } => {
                return self.tell_incident(incident);
            }
            Event::Compensated { .. } => After::Timing(TimingReason::Compensated),
            Event::Extended { .. } => After::Timing(TimingReason::Extended),
            Event::Paused { reason, .. } => After::Status(reason.clone()),
            Event::Resumed { reason, .. } => {
                self.after_this(After::Timing(TimingReason::Resumed));
                After::Status(reason.clone())
            }
            Event::Noticed { .. } => match self.attempt.control().notices.last() {
                Some(notice) => After::Notice(notice.clone()),
                None => return,
            },
            Event::HandedIn { reason, by, .. } => {
                self.shared.metrics.handed_in(by.as_str());
                change.hand_in = self.hand_in_row().map(Box::new);
                After::Finish(reason.clone())
            }
            Event::Cancelled { reason, .. } => After::Void(reason.clone()),
            Event::Refused { code, .. } => return self.shared.metrics.refused(code.as_str()),
            Event::SessionOpened { .. }
            | Event::SessionResumed
            | Event::Left { .. }
            | Event::QuestionFlagged { .. }
            | Event::Observed { .. }
            | Event::Detected { .. }
            | Event::Arrived { .. }
            | Event::Noted
            | Event::NoticesSent
            | Event::NoticeAcknowledged { .. }
            | Event::Flagged { .. }
            | Event::Unflagged { .. }
            | Event::Released { .. }
            | Event::CommandDone { .. } => return,
        };
        self.after_this(after);
        change.wakes_actor = true;
    }

    /// Plans something for when the present version is durable.
    fn after_this(&mut self, after: After) {
        self.waiting.push_back((self.attempt.version(), after));
    }

    /// Waits for everything so far, though nothing changed: a repeat must not be
    /// confirmed before the first one is durable.
    fn after_all(&mut self, now: Timestamp, after: After) {
        self.after_this(after);
        if self.slot.is_clean(self.attempt.version()) {
            self.after_commit();
        } else {
            self.put(
                now,
                Change {
                    wakes_actor: true,
                    ..Change::default()
                },
            );
        }
    }

    /// Refuses somebody something once a commit has shown that the attempt is still this
    /// node's. A node that was replaced may not know it yet, and would refuse by what is
    /// no longer so; whoever asks such a one gets no answer, and comes to the owner.
    fn refuse<T, E>(&mut self, now: Timestamp, reply: Reply<T, E>, refusal: E)
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        if self.waiting.len() >= REFUSALS_MAX {
            return;
        }
        self.attempt.apply(&Event::Noted);
        self.after_this(After::Refuse(Box::new(|| {
            reply.send(Err(refusal)).ok();
        })));
        self.put(now, Change::default());
    }

    fn after_commit(&mut self) {
        let durable = self.slot.durable();
        while let Some((version, _)) = self.waiting.front()
            && *version <= durable.version
        {
            if let Some((_, after)) = self.waiting.pop_front() {
                self.carry_out(after);
            }
        }
    }

    /// Commands of the present session that are durable.
    fn saved_seq(&self) -> u64 {
        let durable = self.slot.durable();
        match self.attempt.session() {
            Some(session) if durable.session.as_ref() == Some(&session.id) => durable.seq,
            Some(_) | None => 0,
        }
    }

    fn wake_at(&self) -> Instant {
        let deadline = self
            .attempt
            .next_deadline()
            .map(|at| self.shared.clock.instant(at));
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
            OVER_STOP
        } else {
            self.shared.idle_stop
        };
        let earliest = self.idle_since + grace;
        if self.is_settled() {
            earliest
        } else {
            // Nothing says when the store comes back; look again.
            earliest.max(Instant::now() + Duration::from_secs(1))
        }
    }

    /// Numbers of records that changed nothing wait for the next save. Whoever is
    /// about to leave memory has none, and makes one.
    fn keep_number(&mut self) {
        if self.connection.is_none() && self.slot.is_idle_behind(self.attempt.version()) {
            let now = self.shared.clock.now();
            self.put(now, Change::default());
        }
    }

    fn may_stop(&self) -> bool {
        self.connection.is_none() && self.is_settled() && self.stop_at() <= Instant::now()
    }

    /// Whether everything is durable, and nobody waits to hear so. The first alone is not
    /// enough: who asks again for what was done waits for one more commit.
    fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.slot.is_clean(self.attempt.version())
    }

    /// Another owner has the attempt, or the store refuses it: what is in memory
    /// is worth nothing any more.
    fn give_up(&mut self) {
        let code = match self.slot.fate() {
            Fate::Fenced => CloseCode::Moved,
            Fate::Rejected | Fate::Live => CloseCode::InternalError,
        };
        tracing::warn!(attempt.id = %self.attempt.identity().id, ?code, "the attempt is given up");
        self.close_connection(Closing::new(code));
    }

    fn drain(&mut self) {
        self.idle_since = Instant::now();
        let retry_ms = drain_retry_ms(&*self.shared.entropy);
        self.close_connection(Closing {
            code: CloseCode::Draining,
            detail: None,
            retry_ms: Some(retry_ms),
        });
        if !self.slot.is_clean(self.attempt.version()) {
            let (now, wakes_actor) = (self.shared.clock.now(), true);
            self.put(
                now,
                Change {
                    wakes_actor,
                    ..Change::default()
                },
            );
        }
    }

    fn close_connection(&mut self, closing: Closing) {
        if let Some(connection) = self.connection.take() {
            connection.outbox.close(closing);
            self.idle_since = Instant::now();
        }
    }
}

//! The client's half of the protocol, without IO.
//!
//! Every command gets a [`Ticket`] that stays the same for good, while its number
//! (`seq`) is the session's: after a break within a session the [`outbox`] is
//! sent again under the same numbers; where the session is lost, what is unsaved
//! is numbered anew, each answer with the revision that it edited, so that the
//! engine can tell an older edit from a newer record.
//!
//! Who drives it: [`Core::hello`] on a new connection, [`Core::receive`] for
//! what comes in, [`Core::due`] for what may go out, [`Core::disconnected`] when the
//! connection is gone or an exchange had no answer, [`Core::recorded`] with the
//! stored answers while the client [is in doubt](Core::is_in_doubt). No queue in
//! here grows without bound.

mod outbox;

use std::collections::VecDeque;

use invigil_protocol::{
    candidate::{
        self, ClientMessage, Hello, Limits, NoticeAck, Refused, Resume, ServerMessage, Submitted,
        Welcome,
    },
    exchange,
    paper::StoredAnswers,
};
use serde_json::{Map, Value};

use self::outbox::{Outbox, Way};

/// Names a command for as long as the client lives.
pub type Ticket = u64;

/// Events that may wait for their acknowledgement. Over it new ones are dropped
/// before they get a number: the engine's timeline matters less than memory.
const EVENTS_MAX: usize = 1_000;

/// Under this level of health events are held back.
const HEALTH_FOR_EVENTS: u8 = 5;

/// Something that changes the record.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Answers a question; `null` clears.
    Answer {
        /// Which.
        question: String,
        /// As the protocol has it for the question's type.
        value: Value,
    },
    /// Marks a question for review.
    Flag {
        /// Which.
        question: String,
        /// Set or taken off.
        on: bool,
    },
    /// Hands in.
    Submit,
}

/// What the application learns.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// The client is in; numbers and time are known.
    Entered(Box<Welcome>),
    /// Commands that are durable. Where the word of one was lost, this is also said
    /// once a later one of this client has durably taken its place.
    Saved(Vec<Ticket>),
    /// A command is void for good.
    Refused {
        /// Which.
        ticket: Ticket,
        /// Why, as the engine said it.
        refused: Refused,
    },
    /// A command is void for good; why was lost with a connection. The stored answers
    /// do not have it.
    Unheard {
        /// Which.
        ticket: Ticket,
    },
    /// The record has a newer answer than the one that this client edited. The
    /// person decides between the two.
    Conflict {
        /// The client's answer, not stored.
        ticket: Ticket,
        /// Which question.
        question: String,
        /// The client's value.
        mine: Value,
        /// The stored one.
        stored: Value,
        /// Its revision.
        rev: u32,
    },
    /// The time changed: the deadline and what is left, by the engine's clock.
    Timing {
        /// The end of the candidate's time.
        deadline_at: i64,
        /// What is left of it.
        remaining_ms: i64,
    },
    /// The exam opens: the key of the sealed paper.
    Open {
        /// Standard base64.
        key: String,
    },
    /// Any other message of the engine.
    Message(Box<ServerMessage>),
    /// The attempt is handed in.
    Submitted(Box<Submitted>),
    /// The client has given up for good, with the engine's close code.
    Closed {
        /// See [`invigil_protocol::code::CloseCode`].
        code: u16,
        /// What the engine said.
        detail: Option<String>,
    },
}

/// An event that is not acknowledged.
#[derive(Debug)]
struct PendingEvent {
    event: candidate::Event,
    /// Whether it went out on the present connection.
    sent: bool,
}

/// The state of a client.
#[derive(Debug, Default)]
pub struct Core {
    session: Option<String>,
    outbox: Outbox,
    events: VecDeque<PendingEvent>,
    /// Events that ever got a number in this session.
    events_counted: u64,
    /// Notices that the person has seen and the engine does not know yet.
    seen: Vec<String>,
    timing_rev: u64,
    limits: Option<Limits>,
    /// The engine's, 0 to 10; none before the first word of it.
    health: Option<u8>,
    over: bool,
}

impl Core {
    /// A client that was never connected.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells the client a revision of the stored record.
    pub fn know(&mut self, question: &str, rev: u32) {
        self.outbox.know(question, rev);
    }

    /// Takes a command; it goes out with [`Core::due`].
    pub fn push(&mut self, command: Command) -> Ticket {
        self.outbox.push(command)
    }

    /// Whether commands should be taken at all: a person who goes on answering
    /// without a connection is served for a long while, a program not for ever.
    pub fn has_room(&self) -> bool {
        self.outbox.has_room()
    }

    /// Takes an integrity event; it goes out with [`Core::due`].
    pub fn push_event(&mut self, kind: &str, at: i64, data: Option<Map<String, Value>>) {
        if self.events.len() >= EVENTS_MAX {
            return;
        }
        self.events_counted += 1;
        let event = candidate::Event {
            n: self.events_counted,
            kind: kind.to_owned(),
            at,
            data,
            bad_field: None,
        };
        self.events.push_back(PendingEvent { event, sent: false });
    }

    /// The person has seen a notice.
    pub fn push_seen(&mut self, notice: String) {
        if !self.seen.contains(&notice) {
            self.seen.push(notice);
        }
    }

    /// The first message on a new connection.
    pub fn hello(&self, token: &str) -> Hello {
        Hello {
            token: token.to_owned(),
            resume: self.session.as_ref().map(|session| Resume {
                session: session.clone(),
                next_seq: self.outbox.next_seq(),
                next_event: Some(self.events_counted + 1),
            }),
            client: None,
        }
    }

    /// What may go out, each once a connection: commands, no more than the engine
    /// allows to be unsaved, and where it is well, signals.
    pub fn due(&mut self) -> Vec<ClientMessage> {
        let window = self.limits.as_ref().map(|limits| limits.unsaved as usize);
        let mut due = self.outbox.due(window.unwrap_or(usize::MAX));
        if self.health.is_none_or(|health| health >= HEALTH_FOR_EVENTS) {
            for pending in self.events.iter_mut().filter(|pending| !pending.sent) {
                pending.sent = true;
                due.push(ClientMessage::Event(pending.event.clone()));
            }
        }
        due.extend(
            self.seen
                .drain(..)
                .map(|id| ClientMessage::NoticeAck(NoticeAck { id })),
        );
        due
    }

    /// The connection is gone, or an exchange had no answer: everything that is not
    /// saved goes out again.
    pub fn disconnected(&mut self) {
        self.outbox.resend();
        for pending in &mut self.events {
            pending.sent = false;
        }
    }

    /// Whether everything is saved, and known to be.
    pub fn is_clean(&self) -> bool {
        self.outbox.is_empty() && !self.is_in_doubt()
    }

    /// Whether there are commands to send.
    pub fn has_commands(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Whether only the stored answers can tell what became of something.
    pub fn is_in_doubt(&self) -> bool {
        self.outbox.is_in_doubt()
    }

    /// The stored answers, which were asked for while the client was in doubt, or once
    /// the attempt was over with something unsaved. It may be so still: they came from a
    /// node that was behind.
    pub fn recorded(&mut self, stored: &StoredAnswers) -> Vec<Update> {
        if stored.session != self.session {
            return Vec::new();
        }
        if self.over {
            self.outbox.ended(stored)
        } else {
            self.outbox.recorded(stored)
        }
    }

    /// Whether the attempt is over for this client.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// An exchange with what is unsaved, from the first on, as much as one takes.
    pub fn exchange(&mut self) -> exchange::Request {
        let events = self
            .events
            .iter()
            .map(|pending| ClientMessage::Event(pending.event.clone()));
        let seen = self
            .seen
            .iter()
            .cloned()
            .map(|id| ClientMessage::NoticeAck(NoticeAck { id }));
        exchange::Request {
            session: self.session.clone(),
            next_seq: Some(self.outbox.next_seq()),
            signals: events.chain(seen).collect(),
            commands: self.outbox.exchange(self.session.is_none()),
        }
    }

    /// Whether the next command is too long for a socket.
    pub fn wants_exchange(&self) -> bool {
        self.outbox.wants_exchange()
    }

    /// What an exchange did.
    pub fn exchanged(&mut self, reply: exchange::Reply) -> Vec<Update> {
        self.session = Some(reply.session);
        let mut updates = self.settle(reply.refused);
        updates.extend(self.outbox.saved(reply.saved_seq, Way::Exchange));
        updates.extend(self.outbox.handed_in(reply.status.is_over()));
        if let Some(ack) = reply.event_ack {
            self.acknowledged(ack.n);
            updates.push(Update::Message(Box::new(ServerMessage::EventAck(ack))));
        }
        self.seen.clear();
        updates.extend(self.time(reply.deadline_at, reply.remaining_ms, reply.timing_rev));
        let notices = reply.notices.into_iter();
        updates
            .extend(notices.map(|notice| Update::Message(Box::new(ServerMessage::Notice(notice)))));
        updates
    }

    /// Deals with a message of the engine.
    pub fn receive(&mut self, message: ServerMessage) -> Vec<Update> {
        match message {
            ServerMessage::Welcome(welcome) => self.welcomed(welcome),
            ServerMessage::Saved(saved) => self.saved(saved.seq),
            ServerMessage::Refused(refused) => self.settle([refused]),
            ServerMessage::Pulse(pulse) => self.saved(pulse.saved_seq),
            ServerMessage::EventAck(ref ack) => {
                self.acknowledged(ack.n);
                vec![Update::Message(Box::new(message))]
            }
            ServerMessage::Open(open) => {
                let timing = self.time(open.deadline_at, open.remaining_ms, open.timing_rev);
                timing
                    .into_iter()
                    .chain([Update::Open { key: open.key }])
                    .collect()
            }
            ServerMessage::Timing(timing) => self
                .time(timing.deadline_at, timing.remaining_ms, timing.timing_rev)
                .into_iter()
                .collect(),
            ServerMessage::Submitted(submitted) => {
                self.over = true;
                let mut updates = self.outbox.handed_in(true);
                updates.push(Update::Submitted(submitted));
                updates
            }
            ServerMessage::Health(ref health) => {
                self.health = Some(health.level);
                vec![Update::Message(Box::new(message))]
            }
            ServerMessage::Status(_)
            | ServerMessage::Notice(_)
            | ServerMessage::Error(_)
            | ServerMessage::Bye(_) => vec![Update::Message(Box::new(message))],
        }
    }

    fn welcomed(&mut self, welcome: Box<Welcome>) -> Vec<Update> {
        self.limits = Some(welcome.limits.clone());
        self.health = Some(welcome.health);
        self.timing_rev = self.timing_rev.max(welcome.attempt.timing_rev);
        if !welcome.resumed {
            self.outbox.renumber();
            for (pending, n) in self.events.iter_mut().zip(1..) {
                pending.event.n = n;
            }
            self.events_counted = self.events.len() as u64;
        }
        self.session = Some(welcome.session.clone());
        let mut settled = self.saved(welcome.saved_seq);
        // An attempt that is handed in welcomes nobody.
        settled.extend(self.outbox.handed_in(false));
        [Update::Entered(welcome)]
            .into_iter()
            .chain(settled)
            .collect()
    }

    fn saved(&mut self, seq: u64) -> Vec<Update> {
        self.outbox.saved(seq, Way::Socket).into_iter().collect()
    }

    fn settle(&mut self, refused: impl IntoIterator<Item = Refused>) -> Vec<Update> {
        refused
            .into_iter()
            .filter_map(|refused| self.outbox.refused(refused))
            .collect()
    }

    fn acknowledged(&mut self, n: u64) {
        self.events.retain(|pending| pending.event.n > n);
    }

    fn time(&mut self, deadline_at: i64, remaining_ms: i64, timing_rev: u64) -> Option<Update> {
        if timing_rev < self.timing_rev {
            return None;
        }
        self.timing_rev = timing_rev;
        Some(Update::Timing {
            deadline_at,
            remaining_ms,
        })
    }
}

#[cfg(test)]
mod tests;

//! The client's half of the protocol, without IO.
//!
//! Every command gets a [`Ticket`] that stays the same for good, while its number
//! (`seq`) is the session's: after a break within a session the outbox is sent
//! again under the same numbers; where the session is lost, what is unsaved is
//! numbered anew, each answer with the revision that it edited, so that the
//! engine can tell an older edit from a newer record. A conflict whose stored
//! value is the client's own is no conflict: the answer had arrived, only its
//! `saved` had not.

use std::collections::{HashMap, VecDeque};

use invigil_protocol::{
    candidate::{
        self, ClientMessage, Hello, Limits, Refused, Resume, ServerMessage, Submitted, Welcome,
        WireValue,
    },
    code::RefusalCode,
    exchange,
};
use serde_json::Value;

/// Names a command for as long as the client lives.
pub type Ticket = u64;

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
    /// Commands that are durable.
    Saved(Vec<Ticket>),
    /// A command is void for good.
    Refused {
        /// Which.
        ticket: Ticket,
        /// Why, as the engine said it.
        refused: Refused,
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

/// A command that is not known to be durable.
#[derive(Debug, Clone, PartialEq)]
struct Unsaved {
    ticket: Ticket,
    seq: u64,
    command: Command,
    /// The revision that an answer edited.
    base_rev: Option<u32>,
    /// Whether it went out on the present connection.
    sent: bool,
    /// Refused, and so only waiting for the `saved` that covers its number.
    refused: bool,
}

/// The state of a client.
#[derive(Debug, Default)]
pub struct Core {
    session: Option<String>,
    next_seq: u64,
    saved_seq: u64,
    tickets: Ticket,
    outbox: VecDeque<Unsaved>,
    /// Revisions of the record as far as this client knows, its own included.
    revs: HashMap<String, u32>,
    events: VecDeque<candidate::Event>,
    next_event: u64,
    timing_rev: u64,
    limits: Option<Limits>,
    over: bool,
}

impl Core {
    /// A client that was never connected.
    pub fn new() -> Self {
        Self {
            next_seq: 1,
            next_event: 1,
            ..Self::default()
        }
    }

    /// Tells the client a revision of the stored record.
    pub fn know(&mut self, question: &str, rev: u32) {
        self.revs.insert(question.to_owned(), rev);
    }

    /// Takes a command; it goes out with [`Core::due`].
    pub fn push(&mut self, command: Command) -> Ticket {
        self.tickets += 1;
        let base_rev = match &command {
            Command::Answer { question, .. } => {
                let rev = self.revs.entry(question.clone()).or_default();
                // The revision that this answer will make, if it is accepted.
                *rev += 1;
                Some(*rev - 1)
            }
            Command::Flag { .. } | Command::Submit => None,
        };
        self.outbox.push_back(Unsaved {
            ticket: self.tickets,
            seq: self.next_seq,
            command,
            base_rev,
            sent: false,
            refused: false,
        });
        self.next_seq += 1;
        self.tickets
    }

    /// Takes an integrity event; it goes out with [`Core::due_events`].
    pub fn push_event(&mut self, kind: &str, at: i64) {
        self.events.push_back(candidate::Event {
            n: self.next_event,
            kind: kind.to_owned(),
            at,
            data: None,
            bad_field: None,
        });
        self.next_event += 1;
    }

    /// The first message on a new connection.
    pub fn hello(&self, token: &str) -> Hello {
        Hello {
            token: token.to_owned(),
            resume: self.session.as_ref().map(|session| Resume {
                session: session.clone(),
                next_seq: self.next_seq,
                next_event: Some(self.next_event),
            }),
            client: None,
        }
    }

    /// Commands that may go out, each once a connection, no more than the engine
    /// allows to be unsaved.
    pub fn due(&mut self) -> Vec<ClientMessage> {
        let window = self
            .limits
            .as_ref()
            .map_or(usize::MAX, |limits| limits.unsaved as usize);
        let due = self
            .outbox
            .iter_mut()
            .take(window)
            .filter(|unsaved| !unsaved.sent);
        due.map(|unsaved| {
            unsaved.sent = true;
            unsaved.message()
        })
        .collect()
    }

    /// Events that are not acknowledged, from the first.
    pub fn due_events(&self) -> impl Iterator<Item = ClientMessage> + '_ {
        self.events.iter().cloned().map(ClientMessage::Event)
    }

    /// The connection is gone: everything that is not saved goes out again.
    pub fn disconnected(&mut self) {
        for unsaved in &mut self.outbox {
            unsaved.sent = false;
        }
    }

    /// Whether everything is saved.
    pub fn is_clean(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Whether the attempt is over for this client.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// An exchange with everything that is unsaved.
    pub fn exchange(&self) -> exchange::Request {
        exchange::Request {
            session: self.session.clone(),
            next_seq: Some(self.next_seq),
            commands: self.outbox.iter().map(Unsaved::message).collect(),
            signals: self.due_events().collect(),
        }
    }

    /// What an exchange did.
    pub fn exchanged(&mut self, reply: exchange::Reply) -> Vec<Update> {
        let mut updates = Vec::new();
        if self.session.as_ref() != Some(&reply.session) {
            self.session = Some(reply.session);
        }
        for refused in reply.refused {
            updates.extend(self.refused(refused));
        }
        updates.extend(self.saved(reply.saved_seq));
        if let Some(ack) = reply.event_ack {
            self.acknowledged(ack.n);
        }
        updates.extend(self.time(reply.deadline_at, reply.remaining_ms, reply.timing_rev));
        updates
    }

    /// The engine lost the session, or another took over and the person wants it
    /// back: what is unsaved goes to a new one.
    pub fn lose_session(&mut self) {
        self.session = None;
        self.renumber();
    }

    /// Deals with a message of the engine.
    pub fn receive(&mut self, message: ServerMessage) -> Vec<Update> {
        match message {
            ServerMessage::Welcome(welcome) => self.welcomed(welcome),
            ServerMessage::Saved(saved) => self.saved(saved.seq).into_iter().collect(),
            ServerMessage::Refused(refused) => self.refused(refused).into_iter().collect(),
            ServerMessage::Pulse(pulse) => self.saved(pulse.saved_seq).into_iter().collect(),
            ServerMessage::EventAck(ack) => {
                self.acknowledged(ack.n);
                Vec::new()
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
                vec![Update::Submitted(submitted)]
            }
            ServerMessage::Health(_)
            | ServerMessage::Status(_)
            | ServerMessage::Notice(_)
            | ServerMessage::Error(_)
            | ServerMessage::Bye(_) => vec![Update::Message(Box::new(message))],
        }
    }

    fn welcomed(&mut self, welcome: Box<Welcome>) -> Vec<Update> {
        self.limits = Some(welcome.limits.clone());
        self.timing_rev = self.timing_rev.max(welcome.attempt.timing_rev);
        if !welcome.resumed {
            self.renumber();
        }
        self.session = Some(welcome.session.clone());
        let saved = self.saved(welcome.saved_seq);
        [Update::Entered(welcome)]
            .into_iter()
            .chain(saved)
            .collect()
    }

    /// Numbers everything unsaved from 1, as a new session wants it.
    fn renumber(&mut self) {
        // A refused command had its answer; only its number was still needed.
        self.outbox.retain(|unsaved| !unsaved.refused);
        for (unsaved, seq) in self.outbox.iter_mut().zip(1..) {
            unsaved.seq = seq;
            unsaved.sent = false;
        }
        self.next_seq = self.outbox.len() as u64 + 1;
        self.saved_seq = 0;
        for (event, n) in self.events.iter_mut().zip(1..) {
            event.n = n;
        }
        self.next_event = self.events.len() as u64 + 1;
    }

    fn saved(&mut self, seq: u64) -> Option<Update> {
        self.saved_seq = self.saved_seq.max(seq);
        let mut tickets = Vec::new();
        while let Some(unsaved) = self.outbox.front()
            && unsaved.seq <= self.saved_seq
        {
            if !unsaved.refused {
                tickets.push(unsaved.ticket);
            }
            self.outbox.pop_front();
        }
        (!tickets.is_empty()).then_some(Update::Saved(tickets))
    }

    fn refused(&mut self, refused: Refused) -> Option<Update> {
        if refused.code == RefusalCode::Gap {
            // Something before it did not arrive: all of it goes out again.
            self.disconnected();
            return None;
        }
        let unsaved = self
            .outbox
            .iter_mut()
            .find(|unsaved| unsaved.seq == refused.seq)?;
        if std::mem::replace(&mut unsaved.refused, true) {
            return None;
        }
        let ticket = unsaved.ticket;
        let Command::Answer { question, value } = &unsaved.command else {
            return Some(Update::Refused { ticket, refused });
        };
        let (question, mine) = (question.clone(), value.clone());
        if refused.code != RefusalCode::Conflict {
            let rev = self.revs.entry(question).or_default();
            *rev = rev.saturating_sub(1);
            return Some(Update::Refused { ticket, refused });
        }
        let stored = refused.detail.get("value").cloned().unwrap_or_default();
        let rev = refused
            .detail
            .get("rev")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let rev = u32::try_from(rev).unwrap_or(u32::MAX);
        self.revs.insert(question.clone(), rev);
        if stored == mine {
            // It had arrived; only the word of it was lost. It counts as saved.
            return Some(Update::Saved(vec![ticket]));
        }
        Some(Update::Conflict {
            ticket,
            question,
            mine,
            stored,
            rev,
        })
    }

    fn acknowledged(&mut self, n: u64) {
        self.events.retain(|event| event.n > n);
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

impl Unsaved {
    fn message(&self) -> ClientMessage {
        let seq = self.seq;
        match &self.command {
            Command::Answer { question, value } => ClientMessage::Answer(candidate::Answer {
                seq,
                q: question.clone(),
                value: WireValue::Json(value.clone()),
                base_rev: self.base_rev,
                spent_ms: None,
                bad_field: None,
            }),
            Command::Flag { question, on } => ClientMessage::Flag(candidate::Flag {
                seq,
                q: question.clone(),
                on: *on,
            }),
            Command::Submit => ClientMessage::Submit(candidate::Submit { seq }),
        }
    }
}

#[cfg(test)]
mod tests;

//! The client's half of the protocol, without IO.
//!
//! Every command gets a [`Ticket`] that never changes, while its number (`seq`)
//! belongs to the session: after a break within a session the [`outbox`] is sent
//! again under the same numbers. If the session is lost, unsaved commands get new
//! numbers, each answer with the revision that it edited, so that the engine can tell
//! an older edit from a newer record.
//!
//! The caller uses [`ClientCore::hello_message`] on a new connection,
//! [`ClientCore::handle_message`] for incoming messages, [`ClientCore::due_messages`] for
//! outgoing ones, [`ClientCore::mark_disconnected`] after a broken connection or a failed
//! exchange, and [`ClientCore::apply_record`] with the stored answers while the client
//! [is in doubt](ClientCore::is_in_doubt). Every queue is bounded.

mod outbox;

use std::collections::VecDeque;

use invigil_protocol::{
    candidate::{
        self, AttemptSubmitted, CandidateHello, CandidateLimits, CandidateWelcome, ClientMessage,
        CommandRefused, NoticeAck, ServerMessage, SessionResume,
    },
    exchange,
    paper::RecordedAnswers,
};
use serde_json::{Map, Value};

use self::outbox::{CommandOutbox, CommandTransport};

/// Id of a command for the lifetime of the client.
pub type Ticket = u64;

/// Events that may wait for their acknowledgement. Above it new ones are dropped before
/// they get a number: the engine's timeline matters less than memory.
const EVENTS_MAX: usize = 1_000;

/// Events are held back below this level of health.
const HEALTH_FOR_EVENTS: u8 = 5;

/// A command, which changes the record.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientCommand {
    /// Answers a question; `null` clears.
    Answer {
        /// Id of the question.
        question: String,
        /// In the protocol's form for the question's type.
        value: Value,
    },
    /// Marks a question for review.
    Flag {
        /// Id of the question.
        question: String,
        /// True to set the mark, false to remove it.
        on: bool,
    },
    /// Hands in.
    Submit,
}

/// An update for the application.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientUpdate {
    /// The client has entered; numbers and time are known.
    Entered(Box<CandidateWelcome>),
    /// Commands that are durable. A command whose acknowledgement was lost is also
    /// reported once a later, durable command of this client supersedes it.
    Saved(Vec<Ticket>),
    /// A command is void for good.
    Refused {
        /// The command.
        ticket: Ticket,
        /// The engine's refusal.
        refused: CommandRefused,
    },
    /// A command is void for good: the stored answers do not have it. The engine's refusal
    /// was lost with a connection.
    Unheard {
        /// The command.
        ticket: Ticket,
    },
    /// The stored answer is newer than the one that this client edited. The person
    /// decides between the two.
    Conflict {
        /// The command with the client's answer, which is not stored.
        ticket: Ticket,
        /// Id of the question.
        question: String,
        /// The client's value.
        mine: Value,
        /// The stored value.
        stored: Value,
        /// Revision of the stored value.
        rev: u32,
    },
    /// The time changed: deadline and remaining time, by the engine's clock.
    Timing {
        /// The end of the candidate's time.
        deadline_at: i64,
        /// Remaining time.
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
    Submitted(Box<AttemptSubmitted>),
    /// The client has ended for good, with the engine's close code.
    Closed {
        /// See [`invigil_protocol::code::CloseCode`].
        code: u16,
        /// Detail from the engine.
        detail: Option<String>,
    },
}

/// An event without an acknowledgement.
#[derive(Debug)]
struct PendingEvent {
    event: candidate::ReportedEvent,
    /// True if it went out on the present connection.
    sent: bool,
}

/// The state of a client.
#[derive(Debug, Default)]
pub struct ClientCore {
    session: Option<String>,
    outbox: CommandOutbox,
    events: VecDeque<PendingEvent>,
    /// Number of events numbered in this session.
    events_counted: u64,
    /// Seen notices whose acknowledgement did not go out yet.
    seen: Vec<String>,
    timing_rev: u64,
    limits: Option<CandidateLimits>,
    /// Health of the engine, 0 to 10; none until the engine reports it.
    health: Option<u8>,
    over: bool,
}

impl ClientCore {
    /// Creates a client that was never connected.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the revision of a stored answer.
    pub fn set_revision(&mut self, question: &str, rev: u32) {
        self.outbox.set_revision(question, rev);
    }

    /// Queues a command, which goes out with [`ClientCore::due_messages`].
    pub fn push_command(&mut self, command: ClientCommand) -> Ticket {
        self.outbox.push_command(command)
    }

    /// True while there is room for commands: enough for a person who answers without a
    /// connection for hours, not for a program that never stops.
    pub fn has_room(&self) -> bool {
        self.outbox.has_room()
    }

    /// Queues an integrity event, which goes out with [`ClientCore::due_messages`].
    pub fn push_event(&mut self, kind: &str, at: i64, data: Option<Map<String, Value>>) {
        if self.events.len() >= EVENTS_MAX {
            return;
        }
        self.events_counted += 1;
        let event = candidate::ReportedEvent {
            n: self.events_counted,
            kind: kind.to_owned(),
            at,
            data,
            bad_field: None,
        };
        self.events.push_back(PendingEvent { event, sent: false });
    }

    /// Queues the acknowledgement of a notice.
    pub fn push_notice_ack(&mut self, notice: String) {
        if !self.seen.contains(&notice) {
            self.seen.push(notice);
        }
    }

    /// Returns the first message of a new connection.
    pub fn hello_message(&self, token: &str) -> CandidateHello {
        CandidateHello {
            token: token.to_owned(),
            resume: self.session.as_ref().map(|session| SessionResume {
                session: session.clone(),
                next_seq: self.outbox.next_seq(),
                next_event: Some(self.events_counted + 1),
            }),
            client: None,
        }
    }

    /// Returns the messages that may go out, each once a connection: commands, within the
    /// engine's limit of unsaved ones, and signals while the engine is healthy.
    pub fn due_messages(&mut self) -> Vec<ClientMessage> {
        let window = self.limits.as_ref().map(|limits| limits.unsaved as usize);
        let mut due = self.outbox.due_messages(window.unwrap_or(usize::MAX));
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

    /// Marks everything unsaved to be sent again, after a broken connection or a failed
    /// exchange.
    pub fn mark_disconnected(&mut self) {
        self.outbox.resend_all();
        for pending in &mut self.events {
            pending.sent = false;
        }
    }

    /// True if everything is known to be saved.
    pub fn is_clean(&self) -> bool {
        self.outbox.is_empty() && !self.is_in_doubt()
    }

    /// True if there are unsaved commands.
    pub fn has_commands(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// True if only the stored answers can show the outcome of some command.
    pub fn is_in_doubt(&self) -> bool {
        self.outbox.is_in_doubt()
    }

    /// Applies the stored answers, fetched while the client is in doubt, or once the
    /// attempt is over with unsaved commands. The client may still be in doubt after
    /// that: the answers may come from a node that is behind.
    pub fn apply_record(&mut self, stored: &RecordedAnswers) -> Vec<ClientUpdate> {
        if stored.session != self.session {
            return Vec::new();
        }
        if self.over {
            self.outbox.settle_ended(stored)
        } else {
            self.outbox.settle_recorded(stored)
        }
    }

    /// True if the attempt is over for this client.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Returns an exchange with the first unsaved commands, as many as fit.
    pub fn exchange_request(&mut self) -> exchange::ExchangeRequest {
        let events = self
            .events
            .iter()
            .map(|pending| ClientMessage::Event(pending.event.clone()));
        let seen = self
            .seen
            .iter()
            .cloned()
            .map(|id| ClientMessage::NoticeAck(NoticeAck { id }));
        exchange::ExchangeRequest {
            session: self.session.clone(),
            next_seq: Some(self.outbox.next_seq()),
            signals: events.chain(seen).collect(),
            commands: self.outbox.exchange_commands(self.session.is_none()),
        }
    }

    /// True if the next command is too long for a socket.
    pub fn wants_exchange(&self) -> bool {
        self.outbox.wants_exchange()
    }

    /// Applies the response to an exchange.
    pub fn apply_exchange_reply(&mut self, reply: exchange::ExchangeResponse) -> Vec<ClientUpdate> {
        self.session = Some(reply.session);
        let mut updates = self.handle_refusals(reply.refused);
        updates.extend(
            self.outbox
                .settle_saved(reply.saved_seq, CommandTransport::Exchange),
        );
        updates.extend(self.outbox.settle_submits(reply.status.is_over()));
        if let Some(ack) = reply.event_ack {
            self.drop_acknowledged(ack.n);
            updates.push(ClientUpdate::Message(Box::new(ServerMessage::EventAck(
                ack,
            ))));
        }
        self.seen.clear();
        updates.extend(self.update_timing(reply.deadline_at, reply.remaining_ms, reply.timing_rev));
        let notices = reply.notices.into_iter();
        updates.extend(
            notices.map(|notice| ClientUpdate::Message(Box::new(ServerMessage::Notice(notice)))),
        );
        updates
    }

    /// Applies a message of the engine.
    pub fn handle_message(&mut self, message: ServerMessage) -> Vec<ClientUpdate> {
        match message {
            ServerMessage::Welcome(welcome) => self.handle_welcome(welcome),
            ServerMessage::Saved(saved) => self.handle_saved(saved.seq),
            ServerMessage::Refused(refused) => self.handle_refusals([refused]),
            ServerMessage::Pulse(pulse) => self.handle_saved(pulse.saved_seq),
            ServerMessage::EventAck(ref ack) => {
                self.drop_acknowledged(ack.n);
                vec![ClientUpdate::Message(Box::new(message))]
            }
            ServerMessage::Open(open) => {
                let timing =
                    self.update_timing(open.deadline_at, open.remaining_ms, open.timing_rev);
                timing
                    .into_iter()
                    .chain([ClientUpdate::Open { key: open.key }])
                    .collect()
            }
            ServerMessage::Timing(timing) => self
                .update_timing(timing.deadline_at, timing.remaining_ms, timing.timing_rev)
                .into_iter()
                .collect(),
            ServerMessage::Submitted(submitted) => {
                self.over = true;
                let mut updates = self.outbox.settle_submits(true);
                updates.push(ClientUpdate::Submitted(submitted));
                updates
            }
            ServerMessage::Health(ref health) => {
                self.health = Some(health.level);
                vec![ClientUpdate::Message(Box::new(message))]
            }
            ServerMessage::Status(_)
            | ServerMessage::Notice(_)
            | ServerMessage::Error(_)
            | ServerMessage::Bye(_) => vec![ClientUpdate::Message(Box::new(message))],
        }
    }

    fn handle_welcome(&mut self, welcome: Box<CandidateWelcome>) -> Vec<ClientUpdate> {
        self.limits = Some(welcome.limits.clone());
        self.health = Some(welcome.health);
        self.timing_rev = self.timing_rev.max(welcome.attempt.timing_rev);
        if !welcome.resumed {
            self.outbox.renumber_all();
            for (pending, n) in self.events.iter_mut().zip(1..) {
                pending.event.n = n;
            }
            self.events_counted = self.events.len() as u64;
        }
        self.session = Some(welcome.session.clone());
        let mut settled = self.handle_saved(welcome.saved_seq);
        // There is no `welcome` for an attempt that is handed in.
        settled.extend(self.outbox.settle_submits(false));
        [ClientUpdate::Entered(welcome)]
            .into_iter()
            .chain(settled)
            .collect()
    }

    fn handle_saved(&mut self, seq: u64) -> Vec<ClientUpdate> {
        self.outbox
            .settle_saved(seq, CommandTransport::Socket)
            .into_iter()
            .collect()
    }

    fn handle_refusals(
        &mut self,
        refused: impl IntoIterator<Item = CommandRefused>,
    ) -> Vec<ClientUpdate> {
        refused
            .into_iter()
            .filter_map(|refused| self.outbox.settle_refused(refused))
            .collect()
    }

    fn drop_acknowledged(&mut self, n: u64) {
        self.events.retain(|pending| pending.event.n > n);
    }

    fn update_timing(
        &mut self,
        deadline_at: i64,
        remaining_ms: i64,
        timing_rev: u64,
    ) -> Option<ClientUpdate> {
        if timing_rev < self.timing_rev {
            return None;
        }
        self.timing_rev = timing_rev;
        Some(ClientUpdate::Timing {
            deadline_at,
            remaining_ms,
        })
    }
}

#[cfg(test)]
mod tests;

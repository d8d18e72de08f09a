//! Commands without a socket: the same actor, rules and numbers.

use invigil_protocol::{
    candidate::{ClientMessage, EventAck, Refused},
    code::CloseCode,
    exchange::{Reply, Request},
};

use super::{
    Actor, After,
    client::{EnterRefusal, numbered},
    message::{Exchange, ExchangeRefusal, ExchangeReply},
};
use crate::{
    domain::{
        attempt::{Command, Refusal},
        id::SessionId,
        time::Timestamp,
    },
    engine::{outbox::Closing, shared::wire_status, slot::Change},
};

/// Exchanges that may wait for one attempt's commits. A client has one under
/// way; more are repeats of one whose answer did not arrive.
const WAITING_MAX: usize = 32;

/// An exchange whose commands are applied and wait for their commit.
pub(super) struct Exchanged {
    resumed: bool,
    refused: Vec<Refused>,
    event_ack: Option<EventAck>,
    reply: ExchangeReply,
}

impl Actor {
    /// Applies an exchange; the answer follows the commit.
    pub(super) fn exchange(&mut self, exchange: Exchange, reply: ExchangeReply) {
        let Exchange {
            request,
            fresh,
            address,
            again,
        } = exchange;
        if self.waiting.len() >= WAITING_MAX {
            reply.send(Err(ExchangeRefusal::Unavailable)).ok();
            return;
        }
        let now = self.shared.clock.now();
        // What was refused then is not known any more. The client sends it again, and
        // knows by that what to look up.
        if again && request.session.is_some() && self.is_repeat(&request) {
            return self.refuse(now, reply, ExchangeRefusal::Unavailable);
        }
        let begun = self.admit(now, address).map_err(ExchangeRefusal::Forbidden);
        match begun.and_then(|()| self.begin_exchange(now, &request, fresh)) {
            Err(refusal) => self.refuse(now, reply, refusal),
            Ok(resumed) => {
                self.heard(now);
                self.events_may_be_late(now);
                self.look_at_origin(now, address.to_string(), None);
                let refused = self.exchange_commands(now, request.commands);
                let event_ack = self.exchange_signals(now, request.signals);
                if self.connection.is_none() {
                    self.leave();
                }
                let done = Exchanged {
                    resumed,
                    refused,
                    event_ack,
                    reply,
                };
                self.after_all(now, After::Exchange(Box::new(done)));
            }
        }
    }

    /// Whether some of it was done before.
    fn is_repeat(&self, request: &Request) -> bool {
        let first = request.commands.iter().find_map(ClientMessage::seq);
        let session = self.attempt.session();
        let applied = session.map_or(0, |session| session.applied_seq);
        first.is_some_and(|first| first <= applied)
    }

    /// Checks the session or begins one. True: the session goes on.
    fn begin_exchange(
        &mut self,
        now: Timestamp,
        request: &Request,
        fresh: SessionId,
    ) -> Result<bool, ExchangeRefusal> {
        let known = request.session.as_deref().map(SessionId::from);
        let owner = self.attempt.session().map(|owner| &owner.id);
        // The fresh one is known where this was done before, and the answer got lost.
        let is_new = known.is_none() && owner != Some(&fresh);
        if is_new {
            if self.attempt.is_over() {
                return Err(ExchangeRefusal::Closed);
            }
            self.enter_by_exchange(now, None, fresh)?;
            self.close_connection(Closing::new(CloseCode::Superseded));
            return Ok(false);
        }
        if known.is_some() && owner != known.as_ref() {
            return Err(ExchangeRefusal::Superseded);
        }
        let resumed = known.is_some();
        // Whoever uses the exchange alone is back with each one.
        if self.connection.is_none() && !self.attempt.is_over() {
            let session = known.unwrap_or_else(|| fresh.clone());
            self.enter_by_exchange(now, Some(session), fresh)?;
        }
        Ok(resumed)
    }

    fn enter_by_exchange(
        &mut self,
        now: Timestamp,
        resume: Option<SessionId>,
        fresh: SessionId,
    ) -> Result<(), ExchangeRefusal> {
        self.enter(now, resume, fresh)
            .map_err(|refusal| match refusal {
                EnterRefusal::AnotherDevice => ExchangeRefusal::AnotherDevice,
                EnterRefusal::Closed => ExchangeRefusal::Closed,
            })
    }

    fn exchange_commands(&mut self, now: Timestamp, commands: Vec<ClientMessage>) -> Vec<Refused> {
        let mut refused = Vec::new();
        for (seq, what) in commands.into_iter().filter_map(numbered) {
            self.shared.metrics.command(what.name());
            let before = self.attempt.version();
            match self.perform(now, &Command::Numbered { seq, what }, Change::default()) {
                Ok(()) if self.attempt.version() > before => refused.extend(self.refusal.take()),
                Err(Refusal::Gap { expected }) => refused.push(Refused::gap(seq, expected, None)),
                Ok(()) | Err(_) => {}
            }
        }
        refused
    }

    fn exchange_signals(
        &mut self,
        now: Timestamp,
        signals: Vec<ClientMessage>,
    ) -> Option<EventAck> {
        let (mut last, mut dropped) = (None, 0);
        for signal in signals {
            match signal {
                ClientMessage::Event(event) => {
                    last = last.max(Some(event.n));
                    if self.is_known(&event) {
                        dropped += u64::from(self.take_repeat(now, &event, Change::default()));
                        continue;
                    }
                    dropped += u64::from(self.take_event(now, event, Change::default()));
                }
                ClientMessage::NoticeAck(ack) => self.acknowledge_notice(now, ack.id),
                ClientMessage::Heartbeat(heartbeat) => self.look_at_heartbeat(now, &heartbeat),
                // The rest is no signal.
                ClientMessage::Hello(_)
                | ClientMessage::Answer(_)
                | ClientMessage::Flag(_)
                | ClientMessage::Submit(_) => {}
            }
        }
        last.map(|n| EventAck {
            n,
            dropped: Some(dropped).filter(|count| *count > 0),
        })
    }

    /// The commit is done: answers with where the attempt stands by now.
    pub(super) fn end_exchange(&mut self, mut done: Exchanged) {
        if let Some(ack) = &mut done.event_ack {
            let more = self.slot.take_unrecorded();
            if more > 0 {
                *ack.dropped.get_or_insert(0) += more;
            }
        }
        let now = self.shared.clock.now();
        let Some(session) = self.attempt.session() else {
            return;
        };
        let (session_id, applied_seq) = (session.id.to_string(), session.applied_seq);
        let mut reply = Reply {
            session: session_id,
            resumed: done.resumed,
            saved_seq: self.saved_seq(),
            applied_seq,
            refused: done.refused,
            event_ack: done.event_ack,
            status: wire_status(self.attempt.status()),
            deadline_at: self.expected_deadline(now).as_ms(),
            remaining_ms: self.remaining_ms(now),
            timing_rev: self.attempt.control().ledger.timing_rev,
            notices: self.notices(),
        };
        let Some(recorder) = self
            .shared
            .recorder
            .clone()
            .filter(|_| reply.event_ack.is_some())
        else {
            done.reply.send(Ok(Box::new(reply))).ok();
            return;
        };
        // What the reply acknowledges must be in the recorder's durable path. Answers do
        // not wait long for that: events come again.
        recorder.when_durable(move |durable| {
            if !durable {
                reply.event_ack = None;
            }
            done.reply.send(Ok(Box::new(reply))).ok();
        });
    }
}

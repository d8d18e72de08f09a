//! Commands without a socket: the same actor, rules and numbers.

use invigil_protocol::{
    candidate::{ClientMessage, CommandRefused, EventAck},
    code::CloseCode,
    exchange::ExchangeRequest,
};

use super::{AttemptActor, client::into_numbered};
use crate::{
    attempt::{
        entry::check_access,
        journal::{DeferredEffect, PendingExchange},
        mailbox::{ExchangeInput, ExchangeRefusal, ExchangeReplySender},
    },
    commit::{outbox::CloseReason, write_buffer::AttemptChanges},
    wire,
};
use invigil_domain::{
    attempt::{AttemptCommand, DecideError},
    id::SessionId,
    time::Timestamp,
};

impl AttemptActor {
    /// Applies an exchange; the reply follows the commit.
    pub(super) fn handle_exchange(&mut self, exchange: ExchangeInput, reply: ExchangeReplySender) {
        let ExchangeInput {
            request,
            fresh,
            address,
            again,
        } = exchange;
        if !self.journal.has_room_for_exchange() {
            reply.send(Err(ExchangeRefusal::Unavailable)).ok();
            return;
        }
        let now = self.shared.clock.now();
        // The refusals of the first run are not known any more. The client sends the
        // exchange again, and knows by that what to look up.
        if again && request.session.is_some() && self.is_repeat(&request) {
            return self.refuse_after_commit(now, reply, ExchangeRefusal::Unavailable);
        }
        let begun = check_access(&self.attempt, now, address).map_err(ExchangeRefusal::Forbidden);
        match begun.and_then(|()| self.begin_exchange(now, &request, fresh)) {
            Err(refusal) => self.refuse_after_commit(now, reply, refusal),
            Ok(resumed) => {
                self.monitor.mark_seen(now);
                self.monitor.expect_late_events(now);
                self.inspect_origin(now, address, None);
                let refused = self.exchange_commands(now, request.commands);
                let event_ack = self.exchange_signals(now, request.signals);
                if !self.connection.is_open() {
                    self.record_leave();
                }
                let done = PendingExchange {
                    resumed,
                    refused,
                    event_ack,
                    reply,
                };
                self.defer_until_durable(now, DeferredEffect::Exchange(Box::new(done)));
            }
        }
    }

    /// True if some of the commands were applied before.
    fn is_repeat(&self, request: &ExchangeRequest) -> bool {
        let first = request.commands.iter().find_map(ClientMessage::seq);
        let session = self.attempt.session();
        let applied = session.map_or(0, |session| session.applied_seq);
        first.is_some_and(|first| first <= applied)
    }

    /// Checks the session or begins one. Returns true if the session goes on.
    fn begin_exchange(
        &mut self,
        now: Timestamp,
        request: &ExchangeRequest,
        fresh: SessionId,
    ) -> Result<bool, ExchangeRefusal> {
        let known = request.session.as_deref().map(SessionId::from);
        let owner = self.attempt.session().map(|owner| &owner.id);
        // The fresh id is known if this was done before and the reply was lost.
        let is_new = known.is_none() && owner != Some(&fresh);
        if is_new {
            if self.attempt.is_over() {
                return Err(ExchangeRefusal::Closed);
            }
            self.enter_session(now, None, fresh)?;
            self.close_connection(CloseReason::new(CloseCode::Superseded));
            return Ok(false);
        }
        if known.is_some() && owner != known.as_ref() {
            return Err(ExchangeRefusal::Superseded);
        }
        let resumed = known.is_some();
        // A client without a socket is back with each exchange.
        if !self.connection.is_open() && !self.attempt.is_over() {
            let session = known.unwrap_or_else(|| fresh.clone());
            self.enter_session(now, Some(session), fresh)?;
        }
        Ok(resumed)
    }

    fn exchange_commands(
        &mut self,
        now: Timestamp,
        commands: Vec<ClientMessage>,
    ) -> Vec<CommandRefused> {
        let mut refused = Vec::new();
        for (seq, what) in commands.into_iter().filter_map(into_numbered) {
            self.shared.metrics.count_command(what.wire_name());
            let before = self.attempt.version();
            match self.perform_command(
                now,
                &AttemptCommand::Numbered { seq, what },
                AttemptChanges::default(),
            ) {
                Ok(()) if self.attempt.version() > before => {
                    refused.extend(self.journal.take_refusal());
                }
                Err(DecideError::Gap { expected }) => {
                    refused.push(CommandRefused::for_gap(seq, expected, None));
                }
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
                    if self.is_known_event(&event) {
                        dropped += u64::from(self.accept_repeated_event(
                            now,
                            &event,
                            AttemptChanges::default(),
                        ));
                        continue;
                    }
                    dropped += u64::from(self.accept_event(now, event, AttemptChanges::default()));
                }
                ClientMessage::NoticeAck(ack) => self.acknowledge_notice(now, ack.id),
                ClientMessage::Heartbeat(heartbeat) => self.inspect_heartbeat(now, &heartbeat),
                // Not signals.
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

    /// Replies with the attempt's present state, after the commit.
    pub(super) fn end_exchange(&mut self, mut done: PendingExchange) {
        if let Some(ack) = &mut done.event_ack {
            let more = self.journal.take_unrecorded();
            if more > 0 {
                *ack.dropped.get_or_insert(0) += more;
            }
        }
        let now = self.shared.clock.now();
        let outcome = (done.resumed, done.refused, done.event_ack);
        let response = wire::wire_exchange(&self.attempt, now, self.saved_seq(), outcome);
        if let Some(response) = response {
            self.journal.send_reply(response, done.reply);
        }
    }
}

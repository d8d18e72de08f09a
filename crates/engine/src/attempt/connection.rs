//! The candidate's connection: its outbox, the answers to its heartbeats, and the budget
//! of its events.
//!
//! An attempt has one connection at most. The next one replaces it, and messages of the
//! replaced one are known by their number.

use std::{sync::Arc, time::Duration};

use invigil_protocol::{
    candidate::{CandidatePulse, ServerMessage},
    code::CloseCode,
};
use tokio::time::Instant;

use super::mailbox::ConnectionId;
use crate::commit::outbox::{CloseReason, Outbox};
use invigil_domain::time::Timestamp;

/// Shortest interval between answers to heartbeats.
const PULSE_INTERVAL: Duration = Duration::from_secs(1);

/// Most events of one candidate that are stored in a second.
const EVENTS_PER_SECOND: u32 = 50;

/// The candidate's connection, or the time since the last one.
pub(super) struct CandidateConnection {
    open: Option<OpenConnection>,
    opened_count: ConnectionId,
    idle_since: Instant,
    event_budget: EventBudget,
}

/// A connection that is open.
struct OpenConnection {
    id: ConnectionId,
    outbox: Arc<Outbox>,
    last_pulse: Option<Instant>,
    /// Time of the client's request.
    asked_at: Option<Timestamp>,
}

impl Drop for OpenConnection {
    /// Closes the socket however the actor ends, even by a panic. The first closing
    /// counts, so this one is the fallback.
    fn drop(&mut self) {
        self.outbox
            .close(CloseReason::new(CloseCode::InternalError));
    }
}

/// Budget of events that a candidate may store in the present second.
struct EventBudget {
    second: Instant,
    used: u32,
}

impl CandidateConnection {
    /// The connection of an attempt that was just loaded: not open.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            open: None,
            opened_count: 0,
            idle_since: now,
            event_budget: EventBudget {
                second: now,
                used: 0,
            },
        }
    }

    /// Opens the connection of an outbox, in the place of the present one.
    pub(super) fn open(
        &mut self,
        now: Instant,
        outbox: Arc<Outbox>,
        asked_at: Option<Timestamp>,
    ) -> ConnectionId {
        self.close(now, CloseReason::new(CloseCode::Superseded));
        self.opened_count += 1;
        self.open = Some(OpenConnection {
            id: self.opened_count,
            outbox,
            last_pulse: None,
            asked_at,
        });
        self.opened_count
    }

    /// Closes the connection, if one is open.
    pub(super) fn close(&mut self, now: Instant, closing: CloseReason) {
        if let Some(open) = self.open.take() {
            open.outbox.close(closing);
            self.idle_since = now;
        }
    }

    /// Forgets a connection that has ended. Returns false if it is not the present one.
    pub(super) fn end(&mut self, id: ConnectionId) -> bool {
        let current = self.is_current(id);
        if current {
            self.open = None;
        }
        current
    }

    /// True if a connection is open.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// True if this connection is the open one.
    pub(super) fn is_current(&self, id: ConnectionId) -> bool {
        self.open.as_ref().is_some_and(|open| open.id == id)
    }

    /// Time of the open connection's request.
    pub(super) fn asked_at(&self) -> Option<Timestamp> {
        self.open.as_ref()?.asked_at
    }

    /// Begins the idle time anew.
    pub(super) const fn mark_idle(&mut self, now: Instant) {
        self.idle_since = now;
    }

    /// Begin of the idle time, which counts while no connection is open.
    pub(super) const fn idle_since(&self) -> Instant {
        self.idle_since
    }

    /// Time since which a candidate who was connected is away; `None` while connected, and
    /// before the first connection.
    pub(super) fn away_since(&self) -> Option<Instant> {
        let away = !self.is_open() && self.opened_count > 0;
        away.then_some(self.idle_since)
    }

    /// Outbox of the open connection.
    pub(super) fn outbox(&self) -> Option<&Arc<Outbox>> {
        self.open.as_ref().map(|open| &open.outbox)
    }

    /// Sends a message, if a connection is open.
    pub(super) fn send(&self, message: ServerMessage) {
        if let Some(outbox) = self.outbox() {
            outbox.send(message);
        }
    }

    /// Sends a message ahead of all others, if a connection is open.
    pub(super) fn send_acknowledgement(&self, message: ServerMessage) {
        if let Some(outbox) = self.outbox() {
            outbox.send_acknowledgement(message);
        }
    }

    /// Answers a heartbeat, unless the last answer was a moment ago.
    pub(super) fn send_pulse(&mut self, now: Instant, pulse: CandidatePulse) {
        let Some(open) = &mut self.open else {
            return;
        };
        if open
            .last_pulse
            .is_some_and(|last| now.duration_since(last) < PULSE_INTERVAL)
        {
            return;
        }
        open.last_pulse = Some(now);
        open.outbox.send(ServerMessage::Pulse(pulse));
    }

    /// Spends one event of the present second. Returns false if none is left.
    pub(super) fn spend_event(&mut self, now: Instant) -> bool {
        let budget = &mut self.event_budget;
        if now.duration_since(budget.second) >= Duration::from_secs(1) {
            *budget = EventBudget {
                second: now,
                used: 0,
            };
        }
        budget.used += 1;
        budget.used <= EVENTS_PER_SECOND
    }
}

#[cfg(test)]
mod tests;

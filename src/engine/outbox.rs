//! What waits to be sent on one connection, bounded.
//!
//! Actor and writer put messages in without ever waiting; the connection's task
//! takes them out. Acknowledgements have a bound of their own, so that neither
//! a flood of notices delays them nor they the notices, and `saved` is
//! cumulative: however many commits pass, one waits. Whoever lets its outbox
//! fill up does not read, and is closed with 4430.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use invigil_protocol::{candidate::ServerMessage, code::CloseCode};
use tokio::sync::Notify;

/// Refusals that may wait: more than a client may have unsaved, so that only
/// one that does not read can fill it.
const ACKNOWLEDGEMENTS_MAX: usize = 512;

/// Other messages that may wait. They are rare (timing, notices, one pulse a
/// heartbeat), so a client that leaves this many unread is gone.
const REST_MAX: usize = 64;

/// Why and how a connection is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// The close code; its name goes into `bye`.
    pub code: CloseCode,
    /// A short English sentence.
    pub detail: Option<String>,
    /// When the client should come back.
    pub retry_ms: Option<u64>,
}

impl Closing {
    /// A closing that needs no explanation.
    pub const fn new(code: CloseCode) -> Self {
        Self {
            code,
            detail: None,
            retry_ms: None,
        }
    }
}

/// What the connection's task does next.
#[derive(Debug)]
pub enum Outgoing {
    /// Send this.
    Message(ServerMessage),
    /// Send `bye`, close, and end.
    Close(Closing),
}

/// The queue of one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    acknowledgements: VecDeque<ServerMessage>,
    saved: Option<u64>,
    /// Highest event in the durable path, and how many were dropped.
    events: Option<(u64, u64)>,
    rest: VecDeque<ServerMessage>,
    closing: Option<Closing>,
    closed: bool,
}

impl Outbox {
    /// Queues an acknowledgement of one command.
    pub fn acknowledge(&self, message: ServerMessage) {
        let mut state = self.lock();
        if state.acknowledgements.len() >= ACKNOWLEDGEMENTS_MAX {
            state.close_slow_consumer();
        } else {
            state.acknowledgements.push_back(message);
        }
        drop(state);
        self.ready.notify_one();
    }

    /// Says that every command up to `seq` is durable or was refused.
    pub fn saved(&self, seq: u64) {
        self.lock().saved = Some(seq);
        self.ready.notify_one();
    }

    /// Says that every event up to `n` is durable, except `dropped` of them.
    pub fn events_stored(&self, n: u64, dropped: u64) {
        let mut state = self.lock();
        let before = state.events.map_or(0, |(_, dropped)| dropped);
        state.events = Some((n, before + dropped));
        drop(state);
        self.ready.notify_one();
    }

    /// Queues anything else.
    pub fn send(&self, message: ServerMessage) {
        let mut state = self.lock();
        if state.rest.len() >= REST_MAX {
            state.close_slow_consumer();
        } else {
            state.rest.push_back(message);
        }
        drop(state);
        self.ready.notify_one();
    }

    /// Closes the connection once what waits is sent. The first closing counts.
    pub fn close(&self, closing: Closing) {
        self.lock().closing.get_or_insert(closing);
        self.ready.notify_one();
    }

    /// The next thing to do: refusals, then the `saved` that covers them, then
    /// events, then the rest. Pends for good after the closing was taken.
    ///
    /// # Cancel safety
    /// Nothing is taken unless it is returned.
    pub async fn next(&self) -> Outgoing {
        loop {
            if let Some(outgoing) = self.lock().take() {
                return outgoing;
            }
            self.ready.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder of this lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Option<Outgoing> {
        use invigil_protocol::candidate::{EventAck, Saved};
        if self.closed {
            return None;
        }
        if let Some(message) = pop(&mut self.acknowledgements) {
            return Some(Outgoing::Message(message));
        }
        if let Some(seq) = self.saved.take() {
            return Some(Outgoing::Message(ServerMessage::Saved(Saved { seq })));
        }
        if let Some((n, dropped)) = self.events.take() {
            let dropped = Some(dropped).filter(|count| *count > 0);
            return Some(Outgoing::Message(ServerMessage::EventAck(EventAck {
                n,
                dropped,
            })));
        }
        if let Some(message) = pop(&mut self.rest) {
            return Some(Outgoing::Message(message));
        }
        let closing = self.closing.take()?;
        self.closed = true;
        Some(Outgoing::Close(closing))
    }

    fn close_slow_consumer(&mut self) {
        self.acknowledgements.clear();
        self.rest.clear();
        self.closing
            .get_or_insert(Closing::new(CloseCode::SlowConsumer));
    }
}

/// Takes the first message. An empty queue keeps no room: most are empty most
/// of the time, and there are thousands.
fn pop(queue: &mut VecDeque<ServerMessage>) -> Option<ServerMessage> {
    let message = queue.pop_front();
    if queue.is_empty() {
        *queue = VecDeque::new();
    }
    message
}

#[cfg(test)]
mod tests;

//! Bounded queue of messages to one connection.
//!
//! Actor and writer add messages without ever waiting; the connection's task takes them
//! out. Acknowledgements have a bound of their own, so that they and floods of notices do
//! not delay each other, and `saved` is cumulative: however many commits pass, one waits.
//! A client whose outbox fills up does not read, and is closed with 4430.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use invigil_protocol::{candidate::ServerMessage, code::CloseCode};
use tokio::sync::Notify;

/// Refusals that may wait: more than a client may have unsaved, so that only a client
/// that does not read can fill the queue.
const ACKNOWLEDGEMENTS_MAX: usize = 512;

/// Other messages that may wait. They are rare (timing, notices, one pulse a
/// heartbeat), so a client that leaves this many unread is gone.
const MESSAGES_MAX: usize = 64;

/// Reason for closing a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseReason {
    /// The close code; its name goes into `bye`.
    pub code: CloseCode,
    /// A short English sentence.
    pub detail: Option<String>,
    /// Delay after which the client should come back, milliseconds.
    pub retry_ms: Option<u64>,
}

impl CloseReason {
    /// A reason that needs no explanation.
    pub const fn new(code: CloseCode) -> Self {
        Self {
            code,
            detail: None,
            retry_ms: None,
        }
    }
}

/// Next action of the connection's task.
#[derive(Debug)]
pub enum OutboxItem {
    /// Send this.
    Message(ServerMessage),
    /// Send `bye`, close, and end.
    Close(CloseReason),
}

/// Queue of one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    state: Mutex<OutboxState>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct OutboxState {
    acknowledgements: VecDeque<ServerMessage>,
    saved: Option<u64>,
    /// Highest event in the durable path, and the number of dropped ones.
    events: Option<(u64, u64)>,
    messages: VecDeque<ServerMessage>,
    closing: Option<CloseReason>,
    closed: bool,
}

impl Outbox {
    /// Queues an acknowledgement of one command.
    pub fn send_acknowledgement(&self, message: ServerMessage) {
        let mut state = self.lock();
        if state.acknowledgements.len() >= ACKNOWLEDGEMENTS_MAX {
            state.close_slow_consumer();
        } else {
            state.acknowledgements.push_back(message);
        }
        drop(state);
        self.ready.notify_one();
    }

    /// Reports that every command up to `seq` is durable or was refused.
    pub fn report_saved(&self, seq: u64) {
        self.lock().saved = Some(seq);
        self.ready.notify_one();
    }

    /// Reports that every event up to `n` is durable, except `dropped` of them.
    pub fn report_events_stored(&self, n: u64, dropped: u64) {
        let mut state = self.lock();
        let before = state.events.map_or(0, |(_, dropped)| dropped);
        state.events = Some((n, before + dropped));
        drop(state);
        self.ready.notify_one();
    }

    /// Queues any other message.
    pub fn send(&self, message: ServerMessage) {
        let mut state = self.lock();
        if state.messages.len() >= MESSAGES_MAX {
            state.close_slow_consumer();
        } else {
            state.messages.push_back(message);
        }
        drop(state);
        self.ready.notify_one();
    }

    /// Closes the connection once all waiting messages are sent. The first closing counts.
    pub fn close(&self, closing: CloseReason) {
        self.lock().closing.get_or_insert(closing);
        self.ready.notify_one();
    }

    /// The next action: refusals, then the `saved` that covers them, then events, then
    /// the rest. Pends forever after the closing.
    ///
    /// # Cancel safety
    /// Nothing is taken unless it is returned.
    pub async fn next(&self) -> OutboxItem {
        loop {
            if let Some(outgoing) = self.lock().next_item() {
                return outgoing;
            }
            self.ready.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, OutboxState> {
        // No holder of this lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OutboxState {
    fn next_item(&mut self) -> Option<OutboxItem> {
        use invigil_protocol::candidate::{CommandsSaved, EventAck};
        if self.closed {
            return None;
        }
        if let Some(message) = pop_message(&mut self.acknowledgements) {
            return Some(OutboxItem::Message(message));
        }
        if let Some(seq) = self.saved.take() {
            return Some(OutboxItem::Message(ServerMessage::Saved(CommandsSaved {
                seq,
            })));
        }
        if let Some((n, dropped)) = self.events.take() {
            let dropped = Some(dropped).filter(|count| *count > 0);
            return Some(OutboxItem::Message(ServerMessage::EventAck(EventAck {
                n,
                dropped,
            })));
        }
        if let Some(message) = pop_message(&mut self.messages) {
            return Some(OutboxItem::Message(message));
        }
        let closing = self.closing.take()?;
        self.closed = true;
        Some(OutboxItem::Close(closing))
    }

    fn close_slow_consumer(&mut self) {
        self.acknowledgements.clear();
        self.messages.clear();
        self.closing
            .get_or_insert(CloseReason::new(CloseCode::SlowConsumer));
    }
}

/// Takes the first message. An empty queue gives its memory back: most are empty most of
/// the time, and there are thousands.
fn pop_message(queue: &mut VecDeque<ServerMessage>) -> Option<ServerMessage> {
    let message = queue.pop_front();
    if queue.is_empty() {
        *queue = VecDeque::new();
    }
    message
}

#[cfg(test)]
mod tests;

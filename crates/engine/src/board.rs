//! Boards: the live view of an exam that proctors have.
//!
//! Every attempt in memory has a [`BoardRow`] on its exam's board, which its actor
//! keeps up to date. While a console watches, a task publishes the changed rows four
//! times a second, the newest state winning: one message, encoded once for each
//! encoding, however many consoles there are. A console for some groups of candidates
//! gets only their rows and totals: there is one message for each [`CandidateScope`] in
//! use. A console that falls behind misses messages, learns of it from the channel, and
//! asks for the whole board again.
//!
//! Nothing here is durable: the content of a board is in the store, or in an actor.

mod frame;
mod publish;
mod receipts;
mod registry;
mod remote;
mod row;
mod state;
mod subscription;
mod watchers;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use invigil_protocol::proctor::{ProctorAction, ProctorServerMessage};
use tokio::sync::broadcast;

use self::state::BoardState;
pub use self::{
    frame::{BoardMessage, ConsoleAudience, ConsoleFrame},
    subscription::BoardSubscription,
};
pub(super) use self::{
    registry::BoardRegistry,
    row::{BoardRow, incident_counts, incident_info, timeline_entry},
};
pub(super) use crate::peers::messages::RowState;
use crate::{
    node::clock::EngineClock,
    peers::messages::{ConsoleNotice, PeerProtocol},
};
use invigil_cluster::PeerLink;
use invigil_domain::{
    attempt::{AttemptIdentity, command::CommandKey},
    id::{AttemptId, ExamCode, NodeId},
    person::CandidateScope,
};

/// The board of one exam.
#[derive(Debug)]
pub struct ExamBoard {
    exam: ExamCode,
    node: NodeId,
    link: Arc<PeerLink<PeerProtocol>>,
    clock: EngineClock,
    state: Mutex<BoardState>,
    messages: broadcast::Sender<Arc<BoardMessage>>,
    /// Actors with a row on this board.
    live_attempts: AtomicUsize,
    publishing: AtomicBool,
    /// True if a console of another node watches.
    watched_by_peers: AtomicBool,
}

impl ExamBoard {
    /// The exam.
    pub const fn exam(&self) -> &ExamCode {
        &self.exam
    }

    /// Counts the attempts in this node's memory that are within a scope.
    pub(super) fn live_count(&self, scope: &CandidateScope) -> u32 {
        let live = match scope {
            CandidateScope::All => self.live_attempts.load(Ordering::Acquire),
            CandidateScope::Of(_) => {
                let state = self.lock_state();
                let seats = state.rows.values();
                let own = seats.filter(|seat| scope.contains(seat.groups()));
                own.filter(|seat| seat.is_on_node(|at| *at == self.node))
                    .count()
            }
        };
        u32::try_from(live).unwrap_or(u32::MAX)
    }

    /// Returns the row of an attempt within a scope.
    fn find_row(&self, attempt: AttemptId, scope: &CandidateScope) -> Option<Arc<BoardRow>> {
        let state = self.lock_state();
        let seat = state.rows.get(&attempt)?;
        scope.contains(seat.groups()).then(|| Arc::clone(seat))
    }

    /// Returns true if a console of this node receives messages.
    pub(super) fn is_watched(&self) -> bool {
        self.messages.receiver_count() > 0
    }

    /// Returns true if a console watches, on this node or another.
    pub(super) fn is_watched_anywhere(&self) -> bool {
        self.is_watched() || self.is_watched_by_peers()
    }

    /// Returns true if a console of this node is registered.
    fn has_watchers(&self) -> bool {
        !self.lock_state().watchers.is_empty()
    }

    /// Returns the row of an attempt, made if it is missing.
    pub(super) fn ensure_row(
        self: &Arc<Self>,
        identity: &AttemptIdentity,
        name: &str,
        questions: u32,
    ) -> Arc<BoardRow> {
        let mut state = self.lock_state();
        let seat = state
            .rows
            .entry(identity.id)
            .or_insert_with(|| BoardRow::new(identity, name, questions, self));
        Arc::clone(seat)
    }

    /// Adds an attempt that is only in the store. A row from a node's memory is newer, and stays.
    pub(super) fn add_stored_row(
        self: &Arc<Self>,
        identity: &AttemptIdentity,
        name: &str,
        questions: u32,
        shown: RowState,
    ) {
        let seat = self.ensure_row(identity, name, questions);
        seat.update_from_store(shown);
    }

    /// Adds an attempt that was started just now and is in no node's memory yet.
    pub(super) fn add_started_row(
        self: &Arc<Self>,
        identity: &AttemptIdentity,
        name: &str,
        questions: u32,
        shown: RowState,
    ) {
        let seat = self.ensure_row(identity, name, questions);
        seat.update_started(shown);
    }

    /// Returns true if the attempts that are only in the store have rows.
    pub(super) fn has_stored_rows(&self) -> bool {
        self.lock_state().has_stored_rows
    }

    /// Notes that the attempts in the store have rows.
    pub(super) fn mark_stored_rows(&self) {
        self.lock_state().has_stored_rows = true;
    }

    /// Queues a changed row of a watched board for its next publication.
    fn enqueue_row(&self, seat: &Arc<BoardRow>) {
        self.lock_state().changed_rows.push(Arc::clone(seat));
    }

    /// Sends a message to consoles at once.
    pub(super) fn send_message(&self, topic: ConsoleAudience, message: ProctorServerMessage) {
        let frame = Arc::new(ConsoleFrame::new(message));
        // Without receivers, the message is of no use.
        self.messages
            .send(Arc::new(BoardMessage {
                audience: topic,
                frame,
            }))
            .ok();
    }

    /// Starts to count the deliveries of a command to `total` attempts.
    pub(super) fn track_command(&self, key: &CommandKey, total: u32) {
        self.lock_state().receipts.track_command(key, total);
    }

    /// Notes that a candidate's device has received a command's effect.
    pub(super) fn note_delivered(&self, key: &CommandKey, attempt: AttemptId) {
        self.lock_state().receipts.note_delivered(key, attempt);
        self.note_peer_delivery(key, attempt, false);
    }

    /// Notes that a candidate has acknowledged a command's effect.
    pub(super) fn note_acknowledged(&self, key: &CommandKey, attempt: AttemptId) {
        self.lock_state().receipts.note_acknowledged(key, attempt);
        self.note_peer_delivery(key, attempt, true);
    }

    /// Shows an action on the candidates of `own` to each console that sees any of its targets.
    pub(super) fn send_action(&self, action: &ProctorAction, own: &CandidateScope) {
        self.notify_peers(ConsoleNotice::Action {
            own: own.clone(),
            action: action.clone(),
        });
        self.send_action_locally(action, own);
    }

    fn send_action_locally(&self, action: &ProctorAction, own: &CandidateScope) {
        let state = self.lock_state();
        let scopes = state.totals.keys();
        let seen: Vec<_> = scopes
            .filter_map(|scope| {
                let target = state.visible_target(scope, own, &action.target)?;
                Some((scope.clone(), target))
            })
            .collect();
        drop(state);
        for (scope, target) in seen {
            let action = ProctorAction {
                target,
                ..action.clone()
            };
            self.send_message(
                ConsoleAudience::Scope(scope),
                ProctorServerMessage::Action(action),
            );
        }
    }

    /// Sends each console of this node the list of watchers, with the attempts they
    /// inspect among those that it sees.
    pub(crate) fn send_presence_locally(&self) {
        let state = self.lock_state();
        let scopes = state.totals.keys();
        let told: Vec<_> = scopes
            .map(|scope| {
                let elsewhere = state.peers.consoles();
                let presence = state
                    .watchers
                    .presence_message(elsewhere, &self.exam, |attempt| {
                        let seat = state.rows.get(&attempt);
                        seat.is_some_and(|seat| scope.contains(seat.groups()))
                    });
                (scope.clone(), presence)
            })
            .collect();
        drop(state);
        for (scope, presence) in told {
            self.send_message(
                ConsoleAudience::Scope(scope),
                ProctorServerMessage::Presence(presence),
            );
        }
    }

    fn set_inspecting(&self, console: u64, seat: &BoardRow, on: bool) {
        let mut state = self.lock_state();
        if state.watchers.set_inspecting(console, seat.attempt(), on) {
            seat.set_inspected(on);
        }
        drop(state);
        self.send_presence();
    }

    /// Changes the scope of a console, and ends its inspections outside of it.
    fn set_scope(&self, console: u64, scope: &CandidateScope) {
        let mut guard = self.lock_state();
        let state = &mut *guard;
        state.track_totals(scope);
        for attempt in state.watchers.set_scope(console, scope) {
            let Some(seat) = state.rows.get(&attempt) else {
                continue;
            };
            if !scope.contains(seat.groups())
                && state.watchers.set_inspecting(console, attempt, false)
            {
                seat.set_inspected(false);
            }
        }
        state.forget_unwatched_totals();
        drop(guard);
        self.send_presence();
    }

    fn remove_watcher(&self, console: u64) {
        let mut state = self.lock_state();
        for attempt in state.watchers.remove_console(console) {
            if let Some(seat) = state.rows.get(&attempt) {
                seat.set_inspected(false);
            }
        }
        state.forget_unwatched_totals();
        drop(state);
        self.send_presence();
    }

    fn lock_state(&self) -> MutexGuard<'_, BoardState> {
        // No holder of this lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

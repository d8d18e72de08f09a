//! Boards across nodes: every node shows the attempts in its memory, and hears of the rest.
//!
//! A node with a console on an exam announces it to all others, every half second and
//! on each change. They answer with their rows of the exam when asked, and from then on
//! send changes as often as boards publish. Their messages are numbered: a node that
//! misses one asks for all rows again. Of two rows of an attempt, the one with the
//! higher epoch counts, in whatever order they arrive.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use invigil_protocol::proctor::ProctorServerMessage;

use super::{BoardRegistry, BoardRow, BoardState, ConsoleAudience, ExamBoard};
use crate::peers::messages::{
    BoardUpdate, CommandDelivery, ConsoleNotice, PeerEvent, PeerRow, WatchedExam, WatchingConsole,
};
use invigil_domain::{
    attempt::command::CommandKey,
    id::{AttemptId, NodeId},
    time::Timestamp,
};

/// The state of a board's copy of another node's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PeerSync {
    /// Complete up to this message.
    UpTo(u64),
    /// Incomplete: the node was asked, and did not answer.
    Silent,
}

/// The other nodes, as one board sees them.
#[derive(Debug, Default)]
pub(super) struct PeerBoards {
    /// The consoles of each node.
    consoles: BTreeMap<NodeId, Vec<WatchingConsole>>,
    sync: BTreeMap<NodeId, PeerSync>,
    /// Deliveries for the next message to other nodes.
    deliveries: Vec<CommandDelivery>,
    /// The number of the last message. A board that was forgotten and made again
    /// continues above its earlier numbers.
    revision: u64,
    /// True if a message is due, although no row changed.
    announcement_due: bool,
    /// True if consoles were told that rows of other nodes may be missing or old.
    partial_sent: bool,
    /// True if the attempts in the store must be read again.
    stale: bool,
}

impl PeerBoards {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            revision: u64::try_from(now.as_ms()).unwrap_or_default(),
            ..Self::default()
        }
    }

    pub(super) fn consoles(&self) -> impl Iterator<Item = &WatchingConsole> {
        self.consoles.values().flatten()
    }
}

impl BoardRegistry {
    /// Announces the exams watched here to the other nodes.
    pub(crate) fn announce_watched(&self) {
        let watched = self.watched_boards().into_iter();
        self.link.broadcast_event(&PeerEvent::Watching {
            watched: watched.map(|board| board.watched_exam()).collect(),
            all: true,
        });
    }

    /// Returns the boards that are watched here.
    pub(crate) fn watched_boards(&self) -> Vec<Arc<ExamBoard>> {
        let mut boards = self.sorted_boards();
        boards.retain(|board| board.has_watchers());
        boards
    }

    /// Applies another node's list of watched exams, all of them or those that changed.
    /// Returns the boards that must publish to it from now on.
    pub(crate) fn apply_watched(
        &self,
        node: &NodeId,
        watched: Vec<WatchedExam>,
        all: bool,
    ) -> Vec<Arc<ExamBoard>> {
        let mut boards = Vec::new();
        let mut named = BTreeSet::new();
        for WatchedExam { exam, consoles } in watched {
            named.insert(exam.clone());
            if consoles.is_empty() {
                if let Some(board) = self.find_board(&exam) {
                    board.set_peer_consoles(node, consoles);
                }
                continue;
            }
            let entry = self.exams.entry(exam.clone());
            let board = Arc::clone(&entry.or_insert_with(|| self.new_board(&exam)));
            board.set_peer_consoles(node, consoles);
            boards.push(board);
        }
        for board in self.sorted_boards() {
            if all && !named.contains(&board.exam) {
                board.set_peer_consoles(node, Vec::new());
            }
        }
        boards
    }

    /// Marks the rows of a lost node, or of all others, as lost, and removes its consoles.
    pub(crate) fn lose_node(&self, node: Option<&NodeId>) {
        for board in self.sorted_boards() {
            board.lose_node(node);
        }
    }

    /// Marks all peers as unsynced, as a message may have
    /// been missed: their rows are asked for again.
    pub(crate) fn mark_unsynced(&self) {
        for board in self.sorted_boards() {
            let mut state = board.lock_state();
            state.peers.sync.clear();
            state.peers.stale = true;
        }
    }

    /// Returns all boards in a fixed order, for simulations.
    fn sorted_boards(&self) -> Vec<Arc<ExamBoard>> {
        let mut boards: Vec<Arc<ExamBoard>> = self.exams.iter().map(|b| Arc::clone(&*b)).collect();
        boards.sort_unstable_by(|one, other| one.exam.cmp(&other.exam));
        boards
    }
}

impl ExamBoard {
    /// Returns true if a console of another node watches.
    pub(super) fn is_watched_by_peers(&self) -> bool {
        self.watched_by_peers.load(Ordering::Acquire)
    }

    /// Returns the exam, with the consoles of this node.
    fn watched_exam(&self) -> WatchedExam {
        WatchedExam {
            exam: self.exam.clone(),
            consoles: self.lock_state().watchers.consoles(),
        }
    }

    /// Sends the list of watchers to all consoles, here and on other nodes.
    pub(crate) fn send_presence(&self) {
        self.announce_watched();
        self.send_presence_locally();
    }

    /// Announces this node's consoles to the other nodes, which send changes from then on.
    pub(crate) fn announce_watched(&self) {
        self.link.broadcast_event(&PeerEvent::Watching {
            watched: vec![self.watched_exam()],
            all: false,
        });
    }

    /// Returns the rows of all attempts in this node's memory.
    pub(crate) fn full_update(&self) -> BoardUpdate {
        let state = self.lock_state();
        let mut rows: Vec<PeerRow> = state
            .rows
            .values()
            .filter_map(|seat| seat.peer_row(|shown| shown.node.as_ref() == Some(&self.node)))
            .collect();
        rows.sort_unstable_by_key(|row| row.attempt);
        BoardUpdate {
            rev: state.peers.revision,
            seats: rows,
            reached: Vec::new(),
        }
    }

    /// Applies the rows of another node: all of them, or the changed ones.
    pub(crate) fn apply_update(self: &Arc<Self>, node: &NodeId, said: BoardUpdate, all: bool) {
        let BoardUpdate {
            rev,
            seats,
            reached,
        } = said;
        let told: BTreeSet<AttemptId> = seats.iter().map(|row| row.attempt).collect();
        for row in seats {
            let seat = self.ensure_peer_row(&row);
            seat.update_from_peer(row.epoch, row.change, row.shown);
        }
        for CommandDelivery {
            key,
            attempt,
            acknowledged,
        } in reached
        {
            let mut state = self.lock_state();
            if acknowledged {
                state.receipts.note_acknowledged(&key, attempt);
            } else {
                state.receipts.note_delivered(&key, attempt);
            }
        }
        let mut state = self.lock_state();
        if !all {
            match state.peers.sync.get(node) {
                Some(PeerSync::UpTo(known)) if rev == *known + 1 => {
                    state.peers.sync.insert(node.clone(), PeerSync::UpTo(rev));
                }
                // An old message is ignored; one after a gap makes the copy incomplete.
                Some(PeerSync::UpTo(known)) if rev <= *known => {}
                Some(_) => drop(state.peers.sync.remove(node)),
                None => {}
            }
            return;
        }
        state.peers.sync.insert(node.clone(), PeerSync::UpTo(rev));
        let gone = state.rows_at(|at| at == node);
        let gone = gone
            .into_iter()
            .filter(|seat| !told.contains(&seat.attempt()));
        let gone: Vec<_> = gone.collect();
        // The message about their end was missed.
        state.peers.stale |= !gone.is_empty();
        drop(state);
        for seat in gone {
            seat.mark_lost();
        }
    }

    /// Returns the nodes whose rows are incomplete here.
    pub(crate) fn unsynced_peers(&self) -> Vec<NodeId> {
        let state = self.lock_state();
        let known = &state.peers.sync;
        let others = self.link.peers().into_iter();
        others
            .filter(|node| !matches!(known.get(node), Some(PeerSync::UpTo(_))))
            .collect()
    }

    /// Notes that a node did not send its rows.
    pub(crate) fn mark_silent(&self, node: NodeId) {
        self.lock_state().peers.sync.insert(node, PeerSync::Silent);
    }

    /// Returns true if the attempts in the store must be read again, once for each reason.
    pub(crate) fn take_stale(&self) -> bool {
        std::mem::take(&mut self.lock_state().peers.stale)
    }

    /// Asks for another read of the store, after one that failed.
    pub(crate) fn mark_stale(&self) {
        self.lock_state().peers.stale = true;
    }

    /// Returns true if rows of other nodes may be missing or old.
    pub(super) fn is_partial(&self, state: &BoardState) -> bool {
        let silent = state.peers.sync.values();
        !self.link.is_up() || silent.into_iter().any(|known| *known == PeerSync::Silent)
    }

    /// Returns the same, if consoles do not know it yet.
    pub(super) fn take_partial_change(&self, state: &mut BoardState) -> Option<bool> {
        let partial = self.is_partial(state);
        let known = std::mem::replace(&mut state.peers.partial_sent, partial);
        (known != partial).then_some(partial)
    }

    /// Sends the changed rows to the nodes that watch.
    pub(super) fn send_rows(&self, seats: Vec<PeerRow>) {
        let mut state = self.lock_state();
        let others = &mut state.peers;
        let reached = std::mem::take(&mut others.deliveries);
        let nothing = seats.is_empty() && reached.is_empty() && !others.announcement_due;
        if others.consoles.is_empty() || nothing {
            return;
        }
        others.announcement_due = false;
        others.revision += 1;
        let rev = others.revision;
        let nodes: Vec<NodeId> = others.consoles.keys().cloned().collect();
        drop(state);
        let rows = BoardUpdate {
            rev,
            seats,
            reached,
        };
        let news = PeerEvent::Rows(self.exam.clone(), rows);
        for node in nodes {
            self.link.send_event(node, &news);
        }
    }

    /// Sends a notice at once to the consoles of other nodes.
    pub(crate) fn notify_peers(&self, told: ConsoleNotice) {
        if !self.is_watched_by_peers() {
            return;
        }
        let state = self.lock_state();
        let wants = |consoles: &[WatchingConsole]| match &told {
            ConsoleNotice::Entry { attempt, .. } => {
                consoles.iter().any(|own| own.inspects_attempt(*attempt))
            }
            ConsoleNotice::Incident { .. } | ConsoleNotice::Action { .. } => true,
        };
        let others = state.peers.consoles.iter();
        let nodes: Vec<NodeId> = others
            .filter(|(_, consoles)| wants(consoles))
            .map(|(node, _)| node.clone())
            .collect();
        drop(state);
        let news = PeerEvent::Told(self.exam.clone(), Box::new(told));
        for node in nodes {
            self.link.send_event(node, &news);
        }
    }

    /// Forwards another node's notice to the consoles here.
    pub(crate) fn forward_notice(&self, told: ConsoleNotice) {
        match told {
            ConsoleNotice::Incident { groups, incident } => {
                self.send_message(
                    ConsoleAudience::Candidate(groups),
                    ProctorServerMessage::Incident(incident),
                );
            }
            ConsoleNotice::Action { own, action } => self.send_action_locally(&action, &own),
            ConsoleNotice::Entry { attempt, message } => {
                self.send_message(ConsoleAudience::Inspectors(attempt), message);
            }
        }
    }

    /// Queues a delivery to an attempt of this node, for the other nodes.
    pub(super) fn note_peer_delivery(
        &self,
        key: &CommandKey,
        attempt: AttemptId,
        acknowledged: bool,
    ) {
        if self.is_watched_by_peers() {
            self.lock_state().peers.deliveries.push(CommandDelivery {
                key: key.clone(),
                attempt,
                acknowledged,
            });
        }
    }

    fn set_peer_consoles(&self, node: &NodeId, consoles: Vec<WatchingConsole>) {
        let mut guard = self.lock_state();
        let state = &mut *guard;
        let known = state.peers.consoles.get(node);
        if known.map_or(&[][..], Vec::as_slice) == consoles {
            return;
        }
        let looked_at = |consoles: &[WatchingConsole]| -> BTreeSet<AttemptId> {
            let attempts = consoles
                .iter()
                .flat_map(WatchingConsole::inspected_attempts);
            attempts.copied().collect()
        };
        let before = known.map(|known| looked_at(known)).unwrap_or_default();
        let after = looked_at(&consoles);
        for (attempts, on) in [(&after - &before, true), (&before - &after, false)] {
            for attempt in attempts {
                if let Some(seat) = state.rows.get(&attempt) {
                    seat.set_inspected_by_peer(on);
                }
            }
        }
        if consoles.is_empty() {
            state.peers.consoles.remove(node);
        } else if state
            .peers
            .consoles
            .insert(node.clone(), consoles)
            .is_none()
        {
            // The node has not heard earlier changes. If it watched before, the skipped
            // number makes it ask for everything again.
            state.peers.revision += 1;
            state.peers.announcement_due = true;
        }
        let watched = !state.peers.consoles.is_empty();
        self.watched_by_peers.store(watched, Ordering::Release);
        drop(guard);
        self.send_presence_locally();
    }

    /// Forgets a node that is no longer heard, or all others.
    fn lose_node(&self, node: Option<&NodeId>) {
        let lost = |at: &NodeId| node.map_or(*at != self.node, |node| at == node);
        let state = self.lock_state();
        let nodes = state.peers.consoles.keys().filter(|at| lost(at));
        let nodes: Vec<NodeId> = nodes.cloned().collect();
        drop(state);
        self.forget_nodes(lost);
        for node in nodes {
            self.set_peer_consoles(&node, Vec::new());
        }
    }

    /// Forgets the rows of other nodes, whose messages were ignored without a watcher here.
    pub(super) fn forget_peers(&self) {
        self.forget_nodes(|at| *at != self.node);
    }

    fn forget_nodes(&self, is_such: impl Fn(&NodeId) -> bool) {
        let mut state = self.lock_state();
        state.peers.sync.retain(|node, _| !is_such(node));
        let seats = state.rows_at(is_such);
        drop(state);
        for seat in seats {
            seat.mark_lost();
        }
    }

    fn ensure_peer_row(self: &Arc<Self>, row: &PeerRow) -> Arc<BoardRow> {
        let mut state = self.lock_state();
        let made = state
            .rows
            .entry(row.attempt)
            .or_insert_with(|| BoardRow::from_peer(row, self));
        Arc::clone(made)
    }
}

impl BoardState {
    /// Returns the rows of the attempts on matching nodes.
    fn rows_at(&self, is_such: impl Fn(&NodeId) -> bool) -> Vec<Arc<BoardRow>> {
        let mut seats: Vec<Arc<BoardRow>> = self
            .rows
            .values()
            .filter(|seat| seat.is_on_node(&is_such))
            .map(Arc::clone)
            .collect();
        seats.sort_unstable_by_key(|seat| seat.attempt());
        seats
    }
}

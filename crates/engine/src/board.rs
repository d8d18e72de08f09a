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
mod receipts;
mod remote;
mod row;
mod watchers;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use invigil_protocol::proctor::{
    BoardDelta, BoardPart, BoardTotals, CommandTarget, ConsoleRow, ProctorAction,
    ProctorServerMessage,
};
use tokio::{sync::broadcast, time::MissedTickBehavior};

pub use self::frame::{BoardMessage, ConsoleAudience, ConsoleFrame};
pub(super) use self::row::{BoardRow, incident_counts, incident_info, timeline_entry};
use self::{receipts::CommandReceipts, remote::PeerBoards, watchers::BoardWatchers};
pub(super) use crate::peers::messages::RowState;
use crate::{
    node::clock::EngineClock,
    peers::messages::{ConsoleNotice, PeerProtocol, PeerRow},
};
use invigil_cluster::PeerLink;
use invigil_domain::{
    attempt::{AttemptIdentity, command::CommandKey},
    id::{AttemptId, ExamCode, NodeId},
    person::{CandidateScope, RosterPerson},
};

/// Interval at which a board publishes its changes.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(250);

/// Messages by which a console may lag before it needs the whole board: a few seconds' worth.
const MESSAGES_BEHIND_MAX: usize = 256;

/// Bytes of rows in one frame, by an estimate that is never too low for JSON: the whole
/// frame stays under 64 KiB.
const ROWS_BYTES_MAX: usize = 60 * 1024;

/// The boards of this node.
#[derive(Debug)]
pub(super) struct BoardRegistry {
    exams: DashMap<ExamCode, Arc<ExamBoard>>,
    node: NodeId,
    link: Arc<PeerLink<PeerProtocol>>,
    clock: EngineClock,
}

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

#[derive(Debug, Default)]
struct BoardState {
    rows: HashMap<AttemptId, Arc<BoardRow>>,
    changed_rows: Vec<Arc<BoardRow>>,
    watchers: BoardWatchers,
    receipts: CommandReceipts,
    peers: PeerBoards,
    /// Totals over the published rows, for each scope in use.
    totals: BTreeMap<CandidateScope, BoardTotals>,
    /// True if the attempts that are only in the store have rows.
    has_stored_rows: bool,
}

impl BoardState {
    /// Starts anew for the first watcher, which gets only later changes as deltas.
    fn reset_published(&mut self) {
        self.has_stored_rows = false;
        self.totals.clear();
        for seat in self.rows.values() {
            seat.mark_published();
        }
    }

    /// Starts the totals of a scope, unless it has some.
    fn track_totals(&mut self, scope: &CandidateScope) {
        if self.totals.contains_key(scope) {
            return;
        }
        let mut totals = BoardTotals::default();
        let seats = self.rows.values();
        for seat in seats.filter(|seat| scope.contains(seat.groups())) {
            if let Some(published) = seat.published_state() {
                published.adjust_totals(&mut totals, true);
            }
        }
        self.totals.insert(scope.clone(), totals);
    }

    /// Drops the totals of scopes that are no longer in use.
    fn forget_unwatched_totals(&mut self) {
        let watchers = &self.watchers;
        self.totals.retain(|scope, _| watchers.has_scope(scope));
    }

    /// Returns the part of an action's target that a console with `scope` may see,
    /// where the action covers the candidates of `own`; none if that is nothing.
    fn visible_target(
        &self,
        scope: &CandidateScope,
        own: &CandidateScope,
        target: &CommandTarget,
    ) -> Option<CommandTarget> {
        let is_shared =
            |seat: &Arc<BoardRow>| scope.contains(seat.groups()) && own.contains(seat.groups());
        let is_within = |attempt: &&String| {
            let attempt = attempt.parse().ok();
            attempt
                .and_then(|attempt| self.rows.get(&attempt))
                .is_some_and(is_shared)
        };
        match target {
            _ if *scope == CandidateScope::All && scope == own => Some(target.clone()),
            CommandTarget::Exam(_) => self.rows.values().any(is_shared).then(|| target.clone()),
            CommandTarget::Attempt(attempt) => is_within(&attempt).then(|| target.clone()),
            CommandTarget::Attempts(attempts) => {
                let own: Vec<_> = attempts.iter().filter(is_within).cloned().collect();
                (!own.is_empty()).then_some(CommandTarget::Attempts(own))
            }
        }
    }
}

impl BoardRegistry {
    /// Creates a registry without boards.
    pub(super) fn new(link: Arc<PeerLink<PeerProtocol>>, clock: EngineClock) -> Self {
        Self {
            exams: DashMap::new(),
            node: link.node().clone(),
            link,
            clock,
        }
    }

    /// Opens the row of an attempt that comes into memory; [`BoardRegistry::close_row`] ends it.
    pub(super) fn open_row(
        &self,
        identity: &AttemptIdentity,
        name: &str,
        questions: u32,
    ) -> Arc<BoardRow> {
        let entry = self.exams.entry(identity.exam.clone());
        let board = entry.or_insert_with(|| self.new_board(&identity.exam));
        board.live_attempts.fetch_add(1, Ordering::AcqRel);
        board.ensure_row(identity, name, questions)
    }

    /// Notes that an actor has ended, and forgets its board if it has no further use.
    pub(super) fn close_row(&self, seat: &BoardRow) {
        let board = seat.board();
        board.live_attempts.fetch_sub(1, Ordering::AcqRel);
        self.forget_unused(board.exam());
    }

    /// Subscribes a person's console to an exam.
    pub(super) fn watch_exam(&self, exam: &ExamCode, person: &RosterPerson) -> BoardSubscription {
        let entry = self.exams.entry(exam.clone());
        let held = entry.or_insert_with(|| self.new_board(exam));
        let board = Arc::clone(&held);
        // Subscribed while the entry is held: the board cannot be forgotten.
        let news = board.messages.subscribe();
        drop(held);
        if !board.has_watchers() {
            board.forget_peers();
        }
        let mut state = board.lock_state();
        if state.watchers.is_empty() {
            state.reset_published();
        }
        let scope = person.candidate_scope();
        state.track_totals(&scope);
        let console = state.watchers.add_console(person);
        drop(state);
        BoardSubscription {
            board,
            console,
            scope,
            messages: Some(news),
        }
    }

    /// Ends the subscription of a console.
    pub(super) fn end_watch(&self, watching: BoardSubscription) {
        let BoardSubscription {
            board,
            console,
            messages: news,
            ..
        } = watching;
        drop(news);
        board.remove_watcher(console);
        self.forget_unused(board.exam());
    }

    /// Returns the board of an exam, if there is one.
    pub(super) fn find_board(&self, exam: &ExamCode) -> Option<Arc<ExamBoard>> {
        self.exams.get(exam).map(|board| Arc::clone(&*board))
    }

    fn new_board(&self, exam: &ExamCode) -> Arc<ExamBoard> {
        Arc::new(ExamBoard {
            exam: exam.clone(),
            node: self.node.clone(),
            link: Arc::clone(&self.link),
            clock: self.clock,
            state: Mutex::new(BoardState {
                peers: PeerBoards::new(self.clock.now()),
                ..BoardState::default()
            }),
            messages: broadcast::Sender::new(MESSAGES_BEHIND_MAX),
            live_attempts: AtomicUsize::new(0),
            publishing: AtomicBool::new(false),
            watched_by_peers: AtomicBool::new(false),
        })
    }

    /// Forgets the board of an exam without live attempts or watchers.
    pub(super) fn forget_unused(&self, exam: &ExamCode) {
        let forgotten = self.exams.remove_if(exam, |_, board| {
            board.live_attempts.load(Ordering::Acquire) == 0 && !board.is_watched_anywhere()
        });
        if let Some((_, board)) = forgotten {
            // Rows and board hold each other.
            *board.lock_state() = BoardState::default();
        }
    }
}

/// The subscription of one console to one board.
#[derive(Debug)]
pub struct BoardSubscription {
    board: Arc<ExamBoard>,
    console: u64,
    scope: CandidateScope,
    /// Messages published since the subscription began.
    messages: Option<broadcast::Receiver<Arc<BoardMessage>>>,
}

impl BoardSubscription {
    /// Returns the receiver of the board's messages, to its first caller only.
    pub fn take_messages(&mut self) -> Option<broadcast::Receiver<Arc<BoardMessage>>> {
        self.messages.take()
    }

    /// The board.
    pub const fn board(&self) -> &Arc<ExamBoard> {
        &self.board
    }

    /// The candidates that the console sees.
    pub const fn scope(&self) -> &CandidateScope {
        &self.scope
    }

    /// Changes which candidates the console sees.
    pub fn set_scope(&mut self, scope: CandidateScope) {
        self.board.set_scope(self.console, &scope);
        self.scope = scope;
    }

    /// Returns the whole board, in parts that fit a frame each.
    pub fn snapshot_frames(&self) -> Vec<Arc<ConsoleFrame>> {
        self.board.snapshot_frames(&self.scope)
    }

    /// Returns true if the console sees the attempt.
    pub fn sees_attempt(&self, attempt: AttemptId) -> bool {
        self.board.find_row(attempt, &self.scope).is_some()
    }

    /// Returns the row of one attempt, if the console sees it.
    pub(super) fn wire_row(&self, attempt: AttemptId) -> Option<ConsoleRow> {
        let seat = self.board.find_row(attempt, &self.scope)?;
        let shown = seat.current_state()?;
        Some(seat.to_wire(&shown, None))
    }

    /// Begins or ends the inspection of one attempt; none if the console does not see it.
    pub fn set_inspecting(&self, attempt: AttemptId, on: bool) -> Option<()> {
        let seat = self.board.find_row(attempt, &self.scope)?;
        self.board.set_inspecting(self.console, &seat, on);
        Some(())
    }
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

    fn snapshot_frames(&self, scope: &CandidateScope) -> Vec<Arc<ConsoleFrame>> {
        let state = self.lock_state();
        let mut totals = BoardTotals::default();
        let rows: Vec<ConsoleRow> = state
            .rows
            .values()
            .filter(|seat| scope.contains(seat.groups()))
            .filter_map(|seat| {
                let shown = seat.snapshot_state()?;
                shown.adjust_totals(&mut totals, true);
                Some(seat.to_wire(&shown, None))
            })
            .collect();
        let partial = self.is_partial(&state);
        drop(state);
        let parts = chunk_rows(rows);
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let now_at = self.clock.now().as_ms();
        (1..)
            .zip(parts)
            .map(|(part, rows)| {
                Arc::new(ConsoleFrame::new(ProctorServerMessage::Board(BoardPart {
                    exam: self.exam.to_string(),
                    now_at,
                    part,
                    parts: count,
                    rows,
                    totals,
                    partial,
                })))
            })
            .collect()
    }

    /// Publishes changes until the last watcher leaves. The first watcher starts it.
    pub(super) async fn publish_changes(self: Arc<Self>) {
        if self.publishing.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut interval = tokio::time::interval(PUBLISH_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.publish_pending();
            if !self.is_watched_anywhere() {
                self.publishing.store(false, Ordering::Release);
                // A watcher that came in between found the task running.
                if !self.is_watched_anywhere() || self.publishing.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        }
    }

    /// Publishes the pending changes once.
    pub(super) fn publish_pending(&self) {
        let (deltas, rows) = self.take_deltas();
        for (scope, delta) in deltas {
            self.send_message(
                ConsoleAudience::Scope(scope),
                ProctorServerMessage::Delta(delta),
            );
        }
        self.send_rows(rows);
        let receipts = self.lock_state().receipts.take_changed();
        for (person, receipt) in receipts {
            self.send_message(
                ConsoleAudience::Person(person),
                ProctorServerMessage::Receipt(receipt),
            );
        }
    }

    /// Takes the pending changes: a delta for each scope watched here, and rows for other nodes.
    fn take_deltas(&self) -> (Vec<(CandidateScope, BoardDelta)>, Vec<PeerRow>) {
        let mut state = self.lock_state();
        let changed = std::mem::take(&mut state.changed_rows);
        let (mut rows, mut told) = (Vec::with_capacity(changed.len()), Vec::new());
        for seat in changed {
            if self.is_watched_by_peers() {
                told.extend(seat.peer_row(|_| true));
            }
            let Some((before, shown)) = seat.publish_state() else {
                continue;
            };
            for (scope, totals) in &mut state.totals {
                if scope.contains(seat.groups()) {
                    if let Some(before) = &before {
                        before.adjust_totals(totals, false);
                    }
                    shown.adjust_totals(totals, true);
                }
            }
            let row = seat.to_wire(&shown, before.as_ref());
            if before.is_none() || row.changes_anything() {
                rows.push((seat, row));
            }
        }
        let changes = self.take_partial_change(&mut state).is_some();
        let partial = self.is_partial(&state);
        let watched = state.totals.clone();
        drop(state);
        let now_at = self.clock.now().as_ms();
        let mut deltas = Vec::new();
        for (scope, totals) in watched {
            let within = rows
                .iter()
                .filter(|(seat, _)| scope.contains(seat.groups()));
            let own: Vec<ConsoleRow> = within.map(|(_, row)| row.clone()).collect();
            if own.is_empty() && !changes {
                continue;
            }
            deltas.extend(chunk_rows(own).into_iter().map(|rows| {
                let delta = BoardDelta {
                    exam: self.exam.to_string(),
                    now_at,
                    rows,
                    totals,
                    partial,
                };
                (scope.clone(), delta)
            }));
        }
        (deltas, told)
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

/// Splits rows into portions that fit a frame each; at least one portion, possibly empty.
fn chunk_rows(rows: Vec<ConsoleRow>) -> Vec<Vec<ConsoleRow>> {
    let mut chunks = vec![Vec::new()];
    let mut bytes = 0;
    for row in rows {
        let size = row.size_bound();
        if bytes + size > ROWS_BYTES_MAX {
            chunks.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(row);
        }
    }
    chunks
}

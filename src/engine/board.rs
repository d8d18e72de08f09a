//! Boards: what proctors see of an exam, live.
//!
//! Every attempt in memory has a [`Seat`] on its exam's board, where its actor
//! shows what changed. While somebody watches, a task publishes the seats that
//! changed, four times a second, the newest state winning: one message, encoded
//! once for each encoding, however many consoles there are. Who watches groups of
//! candidates gets rows and sums of those alone: there is one message for each
//! [`CandidateScope`] that somebody watches with. A console that does not keep up
//! misses messages, is told so by the channel, and asks for the whole board again.
//!
//! Nothing here is durable: what a board shows is in the store, or in an actor.

mod frame;
mod others;
mod receipts;
mod seat;
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
    Action, Board as BoardPart, ConsoleMessage, Delta, Row, Target, Totals,
};
use tokio::{sync::broadcast, time::MissedTickBehavior};

pub use self::frame::{Frame, News, Topic};
pub(super) use self::others::{Rows, Told, Watched};
pub(super) use self::seat::{Seat, Shown, incident_counts, incident_info, timeline_entry};
use self::{
    others::{Others, SeatRow},
    receipts::Receipts,
    watchers::Watchers,
};
use super::{clock::Clock, nodes::Talk};
use crate::cluster::Link;
use crate::domain::{
    attempt::{Identity, command::CommandKey},
    id::{AttemptId, ExamCode, NodeId},
    person::{CandidateScope, Person},
};

/// How often a board says what changed.
const TICK: Duration = Duration::from_millis(250);

/// Messages that a console may be behind before it needs the whole board: some
/// seconds' worth.
const BEHIND_MAX: usize = 256;

/// Bytes of rows in one frame, by an estimate that is never too low for JSON: the
/// whole stays under the 64 KiB of a frame.
const ROWS_BYTES_MAX: usize = 60 * 1024;

/// The boards of this node.
#[derive(Debug)]
pub(super) struct Boards {
    exams: DashMap<ExamCode, Arc<Board>>,
    node: NodeId,
    nodes: Arc<Link<Talk>>,
    clock: Clock,
}

/// One exam's board.
#[derive(Debug)]
pub struct Board {
    exam: ExamCode,
    node: NodeId,
    nodes: Arc<Link<Talk>>,
    clock: Clock,
    state: Mutex<State>,
    news: broadcast::Sender<Arc<News>>,
    /// Actors that show something here.
    live: AtomicUsize,
    ticking: AtomicBool,
    /// Whether somebody watches on another node.
    elsewhere: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    seats: HashMap<AttemptId, Arc<Seat>>,
    changed: Vec<Arc<Seat>>,
    watchers: Watchers,
    receipts: Receipts,
    others: Others,
    /// Sums over what was published, for everyone who watches.
    totals: BTreeMap<CandidateScope, Totals>,
    /// Whether the attempts are on it that are in the store only.
    stored: bool,
}

impl State {
    /// Nobody watched so far: what changes from here on is news.
    fn begin(&mut self) {
        self.stored = false;
        self.totals.clear();
        for seat in self.seats.values() {
            seat.mark_published();
        }
    }

    /// Somebody watches these candidates.
    fn sum_up(&mut self, scope: &CandidateScope) {
        if self.totals.contains_key(scope) {
            return;
        }
        let mut totals = Totals::default();
        let seats = self.seats.values();
        for seat in seats.filter(|seat| scope.contains(seat.groups())) {
            if let Some(published) = seat.published() {
                published.count(&mut totals, true);
            }
        }
        self.totals.insert(scope.clone(), totals);
    }

    /// Sums are kept only for who watches.
    fn forget_sums(&mut self) {
        let watchers = &self.watchers;
        self.totals.retain(|scope, _| watchers.watch_with(scope));
    }

    /// What who sees `scope` may know of the target of somebody who acts on `own`;
    /// none: it is nothing to them.
    fn within(
        &self,
        scope: &CandidateScope,
        own: &CandidateScope,
        target: &Target,
    ) -> Option<Target> {
        let is_shared =
            |seat: &Arc<Seat>| scope.contains(seat.groups()) && own.contains(seat.groups());
        let is_within = |attempt: &&String| {
            let attempt = attempt.parse().ok();
            attempt
                .and_then(|attempt| self.seats.get(&attempt))
                .is_some_and(is_shared)
        };
        match target {
            _ if *scope == CandidateScope::All && scope == own => Some(target.clone()),
            Target::Exam(_) => self.seats.values().any(is_shared).then(|| target.clone()),
            Target::Attempt(attempt) => is_within(&attempt).then(|| target.clone()),
            Target::Attempts(attempts) => {
                let own: Vec<_> = attempts.iter().filter(is_within).cloned().collect();
                (!own.is_empty()).then_some(Target::Attempts(own))
            }
        }
    }
}

impl Boards {
    /// No boards yet.
    pub(super) fn new(nodes: Arc<Link<Talk>>, clock: Clock) -> Self {
        Self {
            exams: DashMap::new(),
            node: nodes.node().clone(),
            nodes,
            clock,
        }
    }

    /// The seat of an attempt that comes into memory; [`Boards::leave`] ends it.
    pub(super) fn seat(&self, identity: &Identity, name: &str, questions: u32) -> Arc<Seat> {
        let entry = self.exams.entry(identity.exam.clone());
        let board = entry.or_insert_with(|| self.board(&identity.exam));
        board.live.fetch_add(1, Ordering::AcqRel);
        board.place(identity, name, questions)
    }

    /// An actor has ended; a board that nobody needs any more is forgotten.
    pub(super) fn leave(&self, seat: &Seat) {
        let board = seat.board();
        board.live.fetch_sub(1, Ordering::AcqRel);
        self.forget(board.exam());
    }

    /// A person begins to watch an exam.
    pub(super) fn watch(&self, exam: &ExamCode, person: &Person) -> Watching {
        let entry = self.exams.entry(exam.clone());
        let held = entry.or_insert_with(|| self.board(exam));
        let board = Arc::clone(&held);
        // Subscribed while the entry is held: the board cannot be forgotten.
        let news = board.news.subscribe();
        drop(held);
        if !board.has_watchers() {
            board.forget_others();
        }
        let mut state = board.lock();
        if state.watchers.is_empty() {
            state.begin();
        }
        let scope = person.candidates();
        state.sum_up(&scope);
        let console = state.watchers.add(person);
        drop(state);
        Watching {
            board,
            console,
            scope,
            news: Some(news),
        }
    }

    /// A console has gone.
    pub(super) fn unwatch(&self, watching: Watching) {
        let Watching {
            board,
            console,
            news,
            ..
        } = watching;
        drop(news);
        board.remove_watcher(console);
        self.forget(board.exam());
    }

    /// The board of an exam, where there is one.
    pub(super) fn find(&self, exam: &ExamCode) -> Option<Arc<Board>> {
        self.exams.get(exam).map(|board| Arc::clone(&*board))
    }

    fn board(&self, exam: &ExamCode) -> Arc<Board> {
        Arc::new(Board {
            exam: exam.clone(),
            node: self.node.clone(),
            nodes: Arc::clone(&self.nodes),
            clock: self.clock,
            state: Mutex::new(State {
                others: Others::new(self.clock.now()),
                ..State::default()
            }),
            news: broadcast::Sender::new(BEHIND_MAX),
            live: AtomicUsize::new(0),
            ticking: AtomicBool::new(false),
            elsewhere: AtomicBool::new(false),
        })
    }

    /// Forgets the board of an exam that nobody takes or watches.
    pub(super) fn forget(&self, exam: &ExamCode) {
        let forgotten = self.exams.remove_if(exam, |_, board| {
            board.live.load(Ordering::Acquire) == 0 && !board.is_shown()
        });
        if let Some((_, board)) = forgotten {
            // Seats and board hold each other.
            *board.lock() = State::default();
        }
    }
}

/// One console on one board.
#[derive(Debug)]
pub struct Watching {
    board: Arc<Board>,
    console: u64,
    scope: CandidateScope,
    /// What happens on the board from here on.
    news: Option<broadcast::Receiver<Arc<News>>>,
}

impl Watching {
    /// What happens on the board from here on: for one to take, once.
    pub fn news(&mut self) -> Option<broadcast::Receiver<Arc<News>>> {
        self.news.take()
    }

    /// The board.
    pub const fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Which candidates the console sees.
    pub const fn scope(&self) -> &CandidateScope {
        &self.scope
    }

    /// The console sees other candidates from here on.
    pub fn set_scope(&mut self, scope: CandidateScope) {
        self.board.set_scope(self.console, &scope);
        self.scope = scope;
    }

    /// The whole board, in parts that fit a frame each.
    pub fn snapshot(&self) -> Vec<Arc<Frame>> {
        self.board.snapshot(&self.scope)
    }

    /// Whether the console sees the attempt.
    pub fn shows(&self, attempt: AttemptId) -> bool {
        self.board.seat(attempt, &self.scope).is_some()
    }

    /// The row of one attempt.
    pub(super) fn row(&self, attempt: AttemptId) -> Option<Row> {
        let seat = self.board.seat(attempt, &self.scope)?;
        let shown = seat.shown()?;
        Some(seat.row(&shown, None))
    }

    /// Begins or ends to look at one attempt. None: it is not on the board.
    pub fn inspect(&self, attempt: AttemptId, on: bool) -> Option<()> {
        let seat = self.board.seat(attempt, &self.scope)?;
        self.board.inspect(self.console, &seat, on);
        Some(())
    }
}

impl Board {
    /// Which exam.
    pub const fn exam(&self) -> &ExamCode {
        &self.exam
    }

    /// How many attempts are in this node's memory.
    pub(super) fn live(&self, scope: &CandidateScope) -> u32 {
        let live = match scope {
            CandidateScope::All => self.live.load(Ordering::Acquire),
            CandidateScope::Of(_) => {
                let state = self.lock();
                let seats = state.seats.values();
                let own = seats.filter(|seat| scope.contains(seat.groups()));
                own.filter(|seat| seat.is_at(|at| *at == self.node)).count()
            }
        };
        u32::try_from(live).unwrap_or(u32::MAX)
    }

    /// The seat of an attempt that is within reach.
    fn seat(&self, attempt: AttemptId, scope: &CandidateScope) -> Option<Arc<Seat>> {
        let state = self.lock();
        let seat = state.seats.get(&attempt)?;
        scope.contains(seat.groups()).then(|| Arc::clone(seat))
    }

    /// Whether somebody watches.
    pub(super) fn is_watched(&self) -> bool {
        self.news.receiver_count() > 0
    }

    /// Whether somebody watches, here or on another node.
    pub(super) fn is_shown(&self) -> bool {
        self.is_watched() || self.is_watched_elsewhere()
    }

    /// Whether a console is here.
    fn has_watchers(&self) -> bool {
        !self.lock().watchers.is_empty()
    }

    /// The seat of an attempt, found or made.
    pub(super) fn place(
        self: &Arc<Self>,
        identity: &Identity,
        name: &str,
        questions: u32,
    ) -> Arc<Seat> {
        let mut state = self.lock();
        let seat = state
            .seats
            .entry(identity.id)
            .or_insert_with(|| Seat::new(identity, name, questions, self));
        Arc::clone(seat)
    }

    /// Shows an attempt that is in the store only. One in memory knows better.
    pub(super) fn place_stored(
        self: &Arc<Self>,
        identity: &Identity,
        name: &str,
        questions: u32,
        shown: Shown,
    ) {
        let seat = self.place(identity, name, questions);
        seat.show_stored(shown);
    }

    /// Shows an attempt that was started just now, and is in no memory yet.
    pub(super) fn place_started(
        self: &Arc<Self>,
        identity: &Identity,
        name: &str,
        questions: u32,
        shown: Shown,
    ) {
        let seat = self.place(identity, name, questions);
        seat.show_started(shown);
    }

    /// Whether the attempts are on it that are in the store only.
    pub(super) fn has_stored(&self) -> bool {
        self.lock().stored
    }

    /// They are.
    pub(super) fn note_stored(&self) {
        self.lock().stored = true;
    }

    /// Queues a seat whose row changed. A board that nobody watches keeps none.
    fn enqueue(&self, seat: &Arc<Seat>) {
        self.lock().changed.push(Arc::clone(seat));
    }

    fn snapshot(&self, scope: &CandidateScope) -> Vec<Arc<Frame>> {
        let state = self.lock();
        let mut totals = Totals::default();
        let rows: Vec<Row> = state
            .seats
            .values()
            .filter(|seat| scope.contains(seat.groups()))
            .filter_map(|seat| {
                let shown = seat.handed_out()?;
                shown.count(&mut totals, true);
                Some(seat.row(&shown, None))
            })
            .collect();
        let partial = self.is_partial(&state);
        drop(state);
        let parts = chunks(rows);
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let now_at = self.clock.now().as_ms();
        (1..)
            .zip(parts)
            .map(|(part, rows)| {
                Arc::new(Frame::new(ConsoleMessage::Board(BoardPart {
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

    /// Publishes what changed until nobody watches. The first watcher starts it.
    pub(super) async fn publish_changes(self: Arc<Self>) {
        if self.ticking.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.publish();
            if !self.is_shown() {
                self.ticking.store(false, Ordering::Release);
                // A watcher who came in between found it ticking.
                if !self.is_shown() || self.ticking.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        }
    }

    /// Publishes what changed.
    pub(super) fn publish(&self) {
        let (deltas, rows) = self.deltas();
        for (scope, delta) in deltas {
            self.tell(Topic::Scope(scope), ConsoleMessage::Delta(delta));
        }
        self.tell_rows(rows);
        let receipts = self.lock().receipts.take_changed();
        for (person, receipt) in receipts {
            self.tell(Topic::Person(person), ConsoleMessage::Receipt(receipt));
        }
    }

    /// What changed since the last time, for everyone who watches here, and for other
    /// nodes.
    fn deltas(&self) -> (Vec<(CandidateScope, Delta)>, Vec<SeatRow>) {
        let mut state = self.lock();
        let changed = std::mem::take(&mut state.changed);
        let (mut rows, mut told) = (Vec::with_capacity(changed.len()), Vec::new());
        for seat in changed {
            if self.is_watched_elsewhere() {
                told.extend(seat.told(|_| true));
            }
            let Some((before, shown)) = seat.publish() else {
                continue;
            };
            for (scope, totals) in &mut state.totals {
                if scope.contains(seat.groups()) {
                    if let Some(before) = &before {
                        before.count(totals, false);
                    }
                    shown.count(totals, true);
                }
            }
            let row = seat.row(&shown, before.as_ref());
            if before.is_none() || row.changes_anything() {
                rows.push((seat, row));
            }
        }
        let changes = self.take_partial(&mut state).is_some();
        let partial = self.is_partial(&state);
        let watched = state.totals.clone();
        drop(state);
        let now_at = self.clock.now().as_ms();
        let mut deltas = Vec::new();
        for (scope, totals) in watched {
            let within = rows
                .iter()
                .filter(|(seat, _)| scope.contains(seat.groups()));
            let own: Vec<Row> = within.map(|(_, row)| row.clone()).collect();
            if own.is_empty() && !changes {
                continue;
            }
            deltas.extend(chunks(own).into_iter().map(|rows| {
                let delta = Delta {
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

    /// Tells the consoles something at once.
    pub(super) fn tell(&self, topic: Topic, message: ConsoleMessage) {
        let frame = Arc::new(Frame::new(message));
        // Nobody watches: nobody needs to know.
        self.news.send(Arc::new(News { topic, frame })).ok();
    }

    /// A command to so many attempts begins: who gets it is counted.
    pub(super) fn expect_receipts(&self, key: &CommandKey, total: u32) {
        self.lock().receipts.expect(key, total);
    }

    /// A candidate's device has what a command led to.
    pub(super) fn delivered(&self, key: &CommandKey, attempt: AttemptId) {
        self.lock().receipts.delivered(key, attempt);
        self.note_reached(key, attempt, false);
    }

    /// A person has acknowledged what a command led to.
    pub(super) fn acknowledged(&self, key: &CommandKey, attempt: AttemptId) {
        self.lock().receipts.acknowledged(key, attempt);
        self.note_reached(key, attempt, true);
    }

    /// Tells the consoles what somebody does who acts on the candidates of `own`, as
    /// far as theirs are among the targets.
    pub(super) fn tell_action(&self, action: &Action, own: &CandidateScope) {
        self.tell_others(Told::Action {
            own: own.clone(),
            action: action.clone(),
        });
        self.tell_action_here(action, own);
    }

    fn tell_action_here(&self, action: &Action, own: &CandidateScope) {
        let state = self.lock();
        let scopes = state.totals.keys();
        let seen: Vec<_> = scopes
            .filter_map(|scope| {
                let target = state.within(scope, own, &action.target)?;
                Some((scope.clone(), target))
            })
            .collect();
        drop(state);
        for (scope, target) in seen {
            let action = Action {
                target,
                ..action.clone()
            };
            self.tell(Topic::Scope(scope), ConsoleMessage::Action(action));
        }
    }

    /// Tells everybody here who watches, and whom of those that they see.
    pub(in crate::engine) fn tell_presence_here(&self) {
        let state = self.lock();
        let scopes = state.totals.keys();
        let told: Vec<_> = scopes
            .map(|scope| {
                let elsewhere = state.others.consoles();
                let presence = state.watchers.presence(elsewhere, &self.exam, |attempt| {
                    let seat = state.seats.get(&attempt);
                    seat.is_some_and(|seat| scope.contains(seat.groups()))
                });
                (scope.clone(), presence)
            })
            .collect();
        drop(state);
        for (scope, presence) in told {
            self.tell(Topic::Scope(scope), ConsoleMessage::Presence(presence));
        }
    }

    fn inspect(&self, console: u64, seat: &Seat, on: bool) {
        let mut state = self.lock();
        if state.watchers.inspect(console, seat.attempt(), on) {
            seat.inspected(on);
        }
        drop(state);
        self.tell_presence();
    }

    /// A console sees other candidates from here on, and looks at no others.
    fn set_scope(&self, console: u64, scope: &CandidateScope) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.sum_up(scope);
        for attempt in state.watchers.set_scope(console, scope) {
            let Some(seat) = state.seats.get(&attempt) else {
                continue;
            };
            if !scope.contains(seat.groups()) && state.watchers.inspect(console, attempt, false) {
                seat.inspected(false);
            }
        }
        state.forget_sums();
        drop(guard);
        self.tell_presence();
    }

    fn remove_watcher(&self, console: u64) {
        let mut state = self.lock();
        for attempt in state.watchers.remove(console) {
            if let Some(seat) = state.seats.get(&attempt) {
                seat.inspected(false);
            }
        }
        state.forget_sums();
        drop(state);
        self.tell_presence();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder of this lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows in portions that fit a frame each; at least one, though it be empty.
fn chunks(rows: Vec<Row>) -> Vec<Vec<Row>> {
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

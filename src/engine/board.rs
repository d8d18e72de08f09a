//! Boards: what proctors see of an exam, live.
//!
//! Every attempt in memory has a [`Seat`] on its exam's board, where its actor
//! shows what changed. While somebody watches, a task publishes the seats that
//! changed, four times a second, the newest state winning: one message, encoded
//! once for each encoding, however many consoles there are. A console that
//! does not keep up misses messages, is told so by the channel, and asks for the
//! whole board again.
//!
//! Nothing here is durable: what a board shows is in the store, or in an actor.

mod frame;
mod receipts;
mod seat;
mod watchers;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use invigil_protocol::proctor::{Action, Board as BoardPart, ConsoleMessage, Delta, Row, Totals};
use tokio::{sync::broadcast, time::MissedTickBehavior};

pub use self::frame::{Frame, News, Topic};
pub(super) use self::seat::{Seat, Shown, incident_counts, incident_info, timeline_entry};
use self::{receipts::Receipts, watchers::Watchers};
use super::clock::Clock;
use crate::domain::{
    attempt::{Identity, command::CommandKey},
    id::{AttemptId, ExamCode, NodeId},
    person::Person,
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
    clock: Clock,
}

/// One exam's board.
#[derive(Debug)]
pub struct Board {
    exam: ExamCode,
    node: NodeId,
    clock: Clock,
    state: Mutex<State>,
    news: broadcast::Sender<Arc<News>>,
    /// Actors that show something here.
    live: AtomicUsize,
    ticking: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    seats: HashMap<AttemptId, Arc<Seat>>,
    changed: Vec<Arc<Seat>>,
    watchers: Watchers,
    receipts: Receipts,
    /// Sums over what was published.
    totals: Totals,
    /// Whether the attempts are on it that are in the store only.
    stored: bool,
}

impl State {
    /// Nobody watched so far: what changes from here on is news.
    fn begin(&mut self) {
        self.stored = false;
        self.totals = Totals::default();
        for seat in self.seats.values() {
            if let Some(shown) = seat.mark_published() {
                shown.count(&mut self.totals, true);
            }
        }
    }
}

impl Boards {
    /// No boards yet.
    pub(super) fn new(node: NodeId, clock: Clock) -> Self {
        Self {
            exams: DashMap::new(),
            node,
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
        let board = Arc::clone(&entry.or_insert_with(|| self.board(exam)));
        // Subscribed while the entry is held: the board cannot be forgotten.
        let news = board.news.subscribe();
        let mut state = board.lock();
        if state.watchers.is_empty() {
            state.begin();
        }
        let console = state.watchers.add(person);
        drop(state);
        Watching {
            board,
            console,
            news: Some(news),
        }
    }

    /// A console has gone.
    pub(super) fn unwatch(&self, watching: Watching) {
        let Watching {
            board,
            console,
            news,
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
            clock: self.clock,
            state: Mutex::default(),
            news: broadcast::Sender::new(BEHIND_MAX),
            live: AtomicUsize::new(0),
            ticking: AtomicBool::new(false),
        })
    }

    /// Forgets the board of an exam that nobody takes or watches.
    pub(super) fn forget(&self, exam: &ExamCode) {
        let forgotten = self.exams.remove_if(exam, |_, board| {
            board.live.load(Ordering::Acquire) == 0 && !board.is_watched()
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

    /// Begins or ends to look at one attempt. None: it is not on the board.
    pub fn inspect(&self, attempt: AttemptId, on: bool) -> Option<()> {
        self.board.inspect(self.console, attempt, on)
    }
}

impl Board {
    /// Which exam.
    pub const fn exam(&self) -> &ExamCode {
        &self.exam
    }

    /// How many attempts are in memory.
    pub(super) fn live(&self) -> u32 {
        u32::try_from(self.live.load(Ordering::Acquire)).unwrap_or(u32::MAX)
    }

    /// Whether somebody watches.
    pub(super) fn is_watched(&self) -> bool {
        self.news.receiver_count() > 0
    }

    /// The seat of an attempt, found or made.
    pub(super) fn place(
        self: &Arc<Self>,
        identity: &Identity,
        name: &str,
        questions: u32,
    ) -> Arc<Seat> {
        let mut state = self.lock();
        let seat = state.seats.entry(identity.id).or_insert_with(|| {
            let (attempt, candidate) = (identity.id, identity.candidate.clone());
            Seat::new(attempt, candidate, name, questions, self)
        });
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

    /// The whole board, in parts that fit a frame each.
    pub fn snapshot(&self) -> Vec<Arc<Frame>> {
        let state = self.lock();
        let mut totals = Totals::default();
        let rows: Vec<Row> = state
            .seats
            .values()
            .filter_map(|seat| {
                let shown = seat.handed_out()?;
                shown.count(&mut totals, true);
                Some(seat.row(&shown, None, &self.node))
            })
            .collect();
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
                })))
            })
            .collect()
    }

    /// The row of one attempt.
    pub(super) fn row(&self, attempt: AttemptId) -> Option<Row> {
        let seat = Arc::clone(self.lock().seats.get(&attempt)?);
        let shown = seat.shown()?;
        Some(seat.row(&shown, None, &self.node))
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
            for delta in self.deltas() {
                self.tell(Topic::Everyone, ConsoleMessage::Delta(delta));
            }
            let receipts = self.lock().receipts.take_changed();
            for (person, receipt) in receipts {
                self.tell(Topic::Person(person), ConsoleMessage::Receipt(receipt));
            }
            if !self.is_watched() {
                self.ticking.store(false, Ordering::Release);
                // A watcher who came in between found it ticking.
                if !self.is_watched() || self.ticking.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        }
    }

    /// What changed since the last time. Several only where it is too much for
    /// one frame.
    fn deltas(&self) -> Vec<Delta> {
        let mut state = self.lock();
        let changed = std::mem::take(&mut state.changed);
        let mut rows = Vec::with_capacity(changed.len());
        for seat in changed {
            let Some((before, shown)) = seat.publish() else {
                continue;
            };
            if let Some(before) = &before {
                before.count(&mut state.totals, false);
            }
            shown.count(&mut state.totals, true);
            let row = seat.row(&shown, before.as_ref(), &self.node);
            if before.is_none() || row.changes_anything() {
                rows.push(row);
            }
        }
        let totals = state.totals;
        drop(state);
        if rows.is_empty() {
            return Vec::new();
        }
        let now_at = self.clock.now().as_ms();
        chunks(rows)
            .into_iter()
            .map(|rows| Delta {
                exam: self.exam.to_string(),
                now_at,
                rows,
                totals,
            })
            .collect()
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
    }

    /// A person has acknowledged what a command led to.
    pub(super) fn acknowledged(&self, key: &CommandKey, attempt: AttemptId) {
        self.lock().receipts.acknowledged(key, attempt);
    }

    /// Tells the consoles what a proctor does.
    pub(super) fn tell_action(&self, action: Action) {
        self.tell(Topic::Everyone, ConsoleMessage::Action(action));
    }

    /// Tells everybody who watches, and whom.
    pub(super) fn tell_presence(&self) {
        let presence = self.lock().watchers.presence(&self.exam);
        self.tell(Topic::Everyone, ConsoleMessage::Presence(presence));
    }

    fn inspect(&self, console: u64, attempt: AttemptId, on: bool) -> Option<()> {
        let mut state = self.lock();
        let seat = Arc::clone(state.seats.get(&attempt)?);
        if state.watchers.inspect(console, attempt, on) {
            seat.inspected(on);
        }
        drop(state);
        self.tell_presence();
        Some(())
    }

    fn remove_watcher(&self, console: u64) {
        let mut state = self.lock();
        for attempt in state.watchers.remove(console) {
            if let Some(seat) = state.seats.get(&attempt) {
                seat.inspected(false);
            }
        }
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

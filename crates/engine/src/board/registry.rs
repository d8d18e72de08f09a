//! The boards of a node: made by the first live attempt or watcher of an exam, forgotten
//! after the last.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use dashmap::DashMap;
use tokio::sync::broadcast;

use super::{BoardRow, BoardState, BoardSubscription, ExamBoard, remote::PeerBoards};
use crate::{node::clock::EngineClock, peers::messages::PeerProtocol};
use invigil_cluster::PeerLink;
use invigil_domain::{
    attempt::AttemptIdentity,
    id::{ExamCode, NodeId},
    person::RosterPerson,
};

/// Messages by which a console may lag before it needs the whole board: a few seconds' worth.
const MESSAGES_BEHIND_MAX: usize = 256;

/// The boards of this node.
#[derive(Debug)]
pub(crate) struct BoardRegistry {
    pub(super) exams: DashMap<ExamCode, Arc<ExamBoard>>,
    pub(super) node: NodeId,
    pub(super) link: Arc<PeerLink<PeerProtocol>>,
    pub(super) clock: EngineClock,
}

impl BoardRegistry {
    /// Creates a registry without boards.
    pub(crate) fn new(link: Arc<PeerLink<PeerProtocol>>, clock: EngineClock) -> Self {
        Self {
            exams: DashMap::new(),
            node: link.node().clone(),
            link,
            clock,
        }
    }

    /// Opens the row of an attempt that comes into memory; [`BoardRegistry::close_row`] ends it.
    pub(crate) fn open_row(
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
    pub(crate) fn close_row(&self, seat: &BoardRow) {
        let board = seat.board();
        board.live_attempts.fetch_sub(1, Ordering::AcqRel);
        self.forget_unused(board.exam());
    }

    /// Subscribes a person's console to an exam.
    pub(crate) fn watch_exam(&self, exam: &ExamCode, person: &RosterPerson) -> BoardSubscription {
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
    pub(crate) fn end_watch(&self, watching: BoardSubscription) {
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
    pub(crate) fn find_board(&self, exam: &ExamCode) -> Option<Arc<ExamBoard>> {
        self.exams.get(exam).map(|board| Arc::clone(&*board))
    }

    pub(super) fn new_board(&self, exam: &ExamCode) -> Arc<ExamBoard> {
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
    pub(crate) fn forget_unused(&self, exam: &ExamCode) {
        let forgotten = self.exams.remove_if(exam, |_, board| {
            board.live_attempts.load(Ordering::Acquire) == 0 && !board.is_watched_anywhere()
        });
        if let Some((_, board)) = forgotten {
            // Rows and board hold each other.
            *board.lock_state() = BoardState::default();
        }
    }
}

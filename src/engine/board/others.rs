//! Boards over nodes: every node shows what it has in memory, and hears of the rest.
//!
//! A node where somebody watches an exam says so to all others, every half second and
//! whenever that changes. They answer with what they have of it, once it asks, and from
//! then on say what changes, as often as boards do. Their messages are numbered: a node
//! that misses one asks again for all of it. Of two rows of an attempt the one of the
//! later taking counts, whichever comes first.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
};

use invigil_protocol::proctor::{Action, ConsoleMessage, Incident};
use serde::{Deserialize, Serialize};

use super::{Board, Boards, Seat, Shown, State, Topic, watchers::Console};
use crate::{
    domain::{
        attempt::command::CommandKey,
        id::{AttemptId, ExamCode, NodeId, PersonId},
        person::{CandidateScope, Groups},
        time::Timestamp,
    },
    engine::nodes::News,
};

/// A row as nodes tell it each other: whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::engine) struct SeatRow {
    pub(super) attempt: AttemptId,
    pub(super) candidate: PersonId,
    pub(super) name: Box<str>,
    pub(super) groups: Groups,
    pub(super) questions: u32,
    /// The taking that it is of; 0: nobody has taken the attempt yet.
    pub(super) epoch: u64,
    /// Rises with every change within a taking.
    pub(super) change: u64,
    pub(super) shown: Shown,
}

/// A command that reached a candidate's device, or the person.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::engine) struct Reached {
    key: CommandKey,
    attempt: AttemptId,
    acknowledged: bool,
}

/// What changed of what a node has of an exam, or all of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::engine) struct Rows {
    /// Rises by one with every message of the node about the exam.
    pub(super) rev: u64,
    pub(super) seats: Vec<SeatRow>,
    pub(super) reached: Vec<Reached>,
}

/// An exam that somebody watches on a node, and who.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::engine) struct Watched {
    exam: ExamCode,
    consoles: Vec<Console>,
}

/// Something that the consoles of other nodes hear at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::engine) enum Told {
    /// An incident of a candidate of these groups.
    Incident { groups: Groups, incident: Incident },
    /// What somebody does who acts on these candidates.
    Action { own: CandidateScope, action: Action },
    /// An entry of the timeline of an attempt that is inspected.
    Entry {
        attempt: AttemptId,
        message: ConsoleMessage,
    },
}

/// What a board knows of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Everything up to a message.
    UpTo(u64),
    /// It did not say, though it was asked.
    Silent,
}

/// The other nodes, as one board sees them.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// Who watches where.
    consoles: BTreeMap<NodeId, Vec<Console>>,
    known: BTreeMap<NodeId, Known>,
    /// What this node has to say the next time.
    reached: Vec<Reached>,
    /// The number of the last message. Those of a board that was forgotten meanwhile
    /// and made again rise above those from before.
    rev: u64,
    /// Whether a message is due, though nothing changed.
    greets: bool,
    /// What consoles were told: that rows of other nodes may be missing or old.
    partial: bool,
    /// Whether what is in the store is to be read again.
    stale: bool,
}

impl Others {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            rev: u64::try_from(now.as_ms()).unwrap_or_default(),
            ..Self::default()
        }
    }

    pub(super) fn consoles(&self) -> impl Iterator<Item = &Console> {
        self.consoles.values().flatten()
    }
}

impl Boards {
    /// Says what is watched here, to the other nodes.
    pub(in crate::engine) fn announce(&self) {
        let watched = self.watched().into_iter();
        self.nodes.tell(&News::Watching {
            watched: watched.map(|board| board.watched()).collect(),
            all: true,
        });
    }

    /// The boards that are watched here.
    pub(in crate::engine) fn watched(&self) -> Vec<Arc<Board>> {
        let mut boards = self.all();
        boards.retain(|board| board.has_watchers());
        boards
    }

    /// A node says what is watched there, all of it or what changed. The boards are
    /// those that have something to say from now on.
    pub(in crate::engine) fn note_watched(
        &self,
        node: &NodeId,
        watched: Vec<Watched>,
        all: bool,
    ) -> Vec<Arc<Board>> {
        let mut boards = Vec::new();
        let mut named = BTreeSet::new();
        for Watched { exam, consoles } in watched {
            named.insert(exam.clone());
            if consoles.is_empty() {
                if let Some(board) = self.find(&exam) {
                    board.set_consoles(node, consoles);
                }
                continue;
            }
            let entry = self.exams.entry(exam.clone());
            let board = Arc::clone(&entry.or_insert_with(|| self.board(&exam)));
            board.set_consoles(node, consoles);
            boards.push(board);
        }
        for board in self.all() {
            if all && !named.contains(&board.exam) {
                board.set_consoles(node, Vec::new());
            }
        }
        boards
    }

    /// A node is gone, or all are out of hearing.
    pub(in crate::engine) fn lose(&self, node: Option<&NodeId>) {
        for board in self.all() {
            board.lose(node);
        }
    }

    /// Something may have been missed: everything is asked for again.
    pub(in crate::engine) fn doubt(&self) {
        for board in self.all() {
            let mut state = board.lock();
            state.others.known.clear();
            state.others.stale = true;
        }
    }

    /// In the same order every time, for simulations.
    fn all(&self) -> Vec<Arc<Board>> {
        let mut boards: Vec<Arc<Board>> = self.exams.iter().map(|b| Arc::clone(&*b)).collect();
        boards.sort_unstable_by(|one, other| one.exam.cmp(&other.exam));
        boards
    }
}

impl Board {
    /// Whether somebody watches on another node.
    pub(super) fn is_watched_elsewhere(&self) -> bool {
        self.elsewhere.load(Ordering::Acquire)
    }

    /// Who watches here.
    fn watched(&self) -> Watched {
        Watched {
            exam: self.exam.clone(),
            consoles: self.lock().watchers.consoles(),
        }
    }

    /// Tells everybody who watches, here and on other nodes, who that is.
    pub(in crate::engine) fn tell_presence(&self) {
        self.tell_watched();
        self.tell_presence_here();
    }

    /// Tells other nodes who watches here: from then on they say what changes.
    pub(in crate::engine) fn tell_watched(&self) {
        self.nodes.tell(&News::Watching {
            watched: vec![self.watched()],
            all: false,
        });
    }

    /// Everything that this node has in memory.
    pub(in crate::engine) fn rows(&self) -> Rows {
        let state = self.lock();
        let mut rows: Vec<SeatRow> = state
            .seats
            .values()
            .filter_map(|seat| seat.told(|shown| shown.node.as_ref() == Some(&self.node)))
            .collect();
        rows.sort_unstable_by_key(|row| row.attempt);
        Rows {
            rev: state.others.rev,
            seats: rows,
            reached: Vec::new(),
        }
    }

    /// Takes in what another node says: all that it has, or what changed.
    pub(in crate::engine) fn take_rows(self: &Arc<Self>, node: &NodeId, said: Rows, all: bool) {
        let Rows {
            rev,
            seats,
            reached,
        } = said;
        let told: BTreeSet<AttemptId> = seats.iter().map(|row| row.attempt).collect();
        for row in seats {
            let seat = self.seat_of(&row);
            seat.show_elsewhere(row.epoch, row.change, row.shown);
        }
        for Reached {
            key,
            attempt,
            acknowledged,
        } in reached
        {
            let mut state = self.lock();
            if acknowledged {
                state.receipts.acknowledged(&key, attempt);
            } else {
                state.receipts.delivered(&key, attempt);
            }
        }
        let mut state = self.lock();
        if !all {
            match state.others.known.get(node) {
                Some(Known::UpTo(known)) if rev == *known + 1 => {
                    state.others.known.insert(node.clone(), Known::UpTo(rev));
                }
                // An old one, or one after others that were missed.
                Some(Known::UpTo(known)) if rev <= *known => {}
                Some(_) => drop(state.others.known.remove(node)),
                None => {}
            }
            return;
        }
        state.others.known.insert(node.clone(), Known::UpTo(rev));
        let gone = state.seats_at(|at| at == node);
        let gone = gone
            .into_iter()
            .filter(|seat| !told.contains(&seat.attempt()));
        let gone: Vec<_> = gone.collect();
        // What became of them was missed.
        state.others.stale |= !gone.is_empty();
        drop(state);
        for seat in gone {
            seat.show_lost();
        }
    }

    /// The nodes that are to be asked what they have.
    pub(in crate::engine) fn unknown(&self) -> Vec<NodeId> {
        let state = self.lock();
        let known = &state.others.known;
        let others = self.nodes.others().into_iter();
        others
            .filter(|node| !matches!(known.get(node), Some(Known::UpTo(_))))
            .collect()
    }

    /// A node did not say what it has.
    pub(in crate::engine) fn note_silent(&self, node: NodeId) {
        self.lock().others.known.insert(node, Known::Silent);
    }

    /// Whether the store is to be read again; not twice for the same reason.
    pub(in crate::engine) fn take_stale(&self) -> bool {
        std::mem::take(&mut self.lock().others.stale)
    }

    /// The store could not be read.
    pub(in crate::engine) fn note_stale(&self) {
        self.lock().others.stale = true;
    }

    /// Whether rows of other nodes may be missing or old.
    pub(super) fn is_partial(&self, state: &State) -> bool {
        let silent = state.others.known.values();
        !self.nodes.is_up() || silent.into_iter().any(|known| *known == Known::Silent)
    }

    /// The same, where consoles do not know it yet.
    pub(super) fn take_partial(&self, state: &mut State) -> Option<bool> {
        let partial = self.is_partial(state);
        let known = std::mem::replace(&mut state.others.partial, partial);
        (known != partial).then_some(partial)
    }

    /// What changed, for the nodes where somebody watches.
    pub(super) fn tell_rows(&self, seats: Vec<SeatRow>) {
        let mut state = self.lock();
        let others = &mut state.others;
        let reached = std::mem::take(&mut others.reached);
        let nothing = seats.is_empty() && reached.is_empty() && !others.greets;
        if others.consoles.is_empty() || nothing {
            return;
        }
        others.greets = false;
        others.rev += 1;
        let rev = others.rev;
        let nodes: Vec<NodeId> = others.consoles.keys().cloned().collect();
        drop(state);
        let rows = Rows {
            rev,
            seats,
            reached,
        };
        let news = News::Rows(self.exam.clone(), rows);
        for node in nodes {
            self.nodes.tell_one(node, &news);
        }
    }

    /// Tells the consoles of other nodes something at once.
    pub(in crate::engine) fn tell_others(&self, told: Told) {
        if !self.is_watched_elsewhere() {
            return;
        }
        let state = self.lock();
        let wants = |consoles: &[Console]| match &told {
            Told::Entry { attempt, .. } => consoles.iter().any(|own| own.inspects(*attempt)),
            Told::Incident { .. } | Told::Action { .. } => true,
        };
        let others = state.others.consoles.iter();
        let nodes: Vec<NodeId> = others
            .filter(|(_, consoles)| wants(consoles))
            .map(|(node, _)| node.clone())
            .collect();
        drop(state);
        let news = News::Told(self.exam.clone(), Box::new(told));
        for node in nodes {
            self.nodes.tell_one(node, &news);
        }
    }

    /// Passes on what another node tells.
    pub(in crate::engine) fn pass_on(&self, told: Told) {
        match told {
            Told::Incident { groups, incident } => {
                self.tell(Topic::Candidate(groups), ConsoleMessage::Incident(incident));
            }
            Told::Action { own, action } => self.tell_action_here(&action, &own),
            Told::Entry { attempt, message } => self.tell(Topic::Inspectors(attempt), message),
        }
    }

    /// A command reached somebody whose attempt is here.
    pub(super) fn note_reached(&self, key: &CommandKey, attempt: AttemptId, acknowledged: bool) {
        if self.is_watched_elsewhere() {
            self.lock().others.reached.push(Reached {
                key: key.clone(),
                attempt,
                acknowledged,
            });
        }
    }

    fn set_consoles(&self, node: &NodeId, consoles: Vec<Console>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let known = state.others.consoles.get(node);
        if known.map_or(&[][..], Vec::as_slice) == consoles {
            return;
        }
        let looked_at = |consoles: &[Console]| -> BTreeSet<AttemptId> {
            let attempts = consoles.iter().flat_map(Console::inspected);
            attempts.copied().collect()
        };
        let before = known.map(|known| looked_at(known)).unwrap_or_default();
        let after = looked_at(&consoles);
        for (attempts, on) in [(&after - &before, true), (&before - &after, false)] {
            for attempt in attempts {
                if let Some(seat) = state.seats.get(&attempt) {
                    seat.inspected_elsewhere(on);
                }
            }
        }
        if consoles.is_empty() {
            state.others.consoles.remove(node);
        } else if state
            .others
            .consoles
            .insert(node.clone(), consoles)
            .is_none()
        {
            // Nobody there heard what changed so far. Where somebody did before, the
            // number that is left out has that node ask for everything again.
            state.others.rev += 1;
            state.others.greets = true;
        }
        let watched = !state.others.consoles.is_empty();
        self.elsewhere.store(watched, Ordering::Release);
        drop(guard);
        self.tell_presence_here();
    }

    /// Nobody hears a node any more, or any.
    fn lose(&self, node: Option<&NodeId>) {
        let lost = |at: &NodeId| node.map_or(*at != self.node, |node| at == node);
        let state = self.lock();
        let nodes = state.others.consoles.keys().filter(|at| lost(at));
        let nodes: Vec<NodeId> = nodes.cloned().collect();
        drop(state);
        self.unlearn(lost);
        for node in nodes {
            self.set_consoles(&node, Vec::new());
        }
    }

    /// Nobody watched here so far: what other nodes said was not listened to.
    pub(super) fn forget_others(&self) {
        self.unlearn(|at| *at != self.node);
    }

    fn unlearn(&self, is_such: impl Fn(&NodeId) -> bool) {
        let mut state = self.lock();
        state.others.known.retain(|node, _| !is_such(node));
        let seats = state.seats_at(is_such);
        drop(state);
        for seat in seats {
            seat.show_lost();
        }
    }

    fn seat_of(self: &Arc<Self>, row: &SeatRow) -> Arc<Seat> {
        let mut state = self.lock();
        let made = state
            .seats
            .entry(row.attempt)
            .or_insert_with(|| Seat::of(row, self));
        Arc::clone(made)
    }
}

impl State {
    /// The seats whose attempts are at such a node.
    fn seats_at(&self, is_such: impl Fn(&NodeId) -> bool) -> Vec<Arc<Seat>> {
        let mut seats: Vec<Arc<Seat>> = self
            .seats
            .values()
            .filter(|seat| seat.is_at(&is_such))
            .map(Arc::clone)
            .collect();
        seats.sort_unstable_by_key(|seat| seat.attempt());
        seats
    }
}

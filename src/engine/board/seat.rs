//! One attempt on a board.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, Weak,
    atomic::{AtomicU32, Ordering},
};

use invigil_protocol::proctor::{
    AttemptEvent, CandidateName, ConsoleMessage, Incident as IncidentMessage, IncidentCounts,
    IncidentInfo, Row, TimelineEntry, Totals,
};

use super::{
    Board, Topic,
    others::{SeatRow, Told},
};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        attempt::{Identity, Status, command::CommandKey},
        exam::Severity,
        id::{AttemptId, NodeId, PersonId, QuestionId},
        integrity::Incident,
        person::Groups,
        time::Timestamp,
    },
    engine::shared::wire_status,
    store::TimelineRow,
};

/// Where an attempt shows what proctors see of it.
#[derive(Debug)]
pub(in crate::engine) struct Seat {
    /// For the queue of the board, which wants shared seats.
    own: Weak<Self>,
    attempt: AttemptId,
    candidate: PersonId,
    groups: Groups,
    name: Box<str>,
    questions: u32,
    /// A board outlives no node, and a seat no board that is of use.
    board: Arc<Board>,
    inspectors: AtomicU32,
    inspectors_elsewhere: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    shown: Option<Shown>,
    published: Option<Shown>,
    queued: bool,
    /// The taking that it is of, and the number of the change within it.
    epoch: u64,
    change: u64,
    /// Whether it is this node that says so.
    own: bool,
}

/// What changes of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Shown {
    /// Where the attempt stands.
    pub status: Status,
    /// Whether the candidate is connected.
    pub online: bool,
    /// End of the candidate's time.
    pub deadline_at: Option<Timestamp>,
    /// Questions that have an answer.
    pub answered: u32,
    /// The question on screen.
    pub q: Option<QuestionId>,
    /// 0 to 100.
    pub risk: u8,
    /// By severity.
    pub incidents: IncidentCounts,
    /// When the candidate was last heard.
    pub last_seen_at: Option<Timestamp>,
    /// As the client measured.
    pub rtt_ms: Option<i64>,
    /// Marked for review after the exam.
    pub flagged: bool,
    /// In whose memory it is.
    pub node: Option<NodeId>,
}

impl Seat {
    pub(super) fn new(
        identity: &Identity,
        name: &str,
        questions: u32,
        board: &Arc<Board>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            own: Weak::clone(own),
            attempt: identity.id,
            candidate: identity.candidate.clone(),
            groups: identity.groups.clone(),
            name: name.into(),
            questions,
            board: Arc::clone(board),
            inspectors: AtomicU32::new(0),
            inspectors_elsewhere: AtomicU32::new(0),
            state: Mutex::default(),
        })
    }

    /// The seat of an attempt that another node shows.
    pub(super) fn of(row: &SeatRow, board: &Arc<Board>) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            own: Weak::clone(own),
            attempt: row.attempt,
            candidate: row.candidate.clone(),
            groups: row.groups.clone(),
            name: row.name.clone(),
            questions: row.questions,
            board: Arc::clone(board),
            inspectors: AtomicU32::new(0),
            inspectors_elsewhere: AtomicU32::new(0),
            state: Mutex::default(),
        })
    }

    pub(super) const fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// The candidate's groups.
    pub(super) const fn groups(&self) -> &Groups {
        &self.groups
    }

    pub(super) const fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Shows how things stand with an attempt in this node's memory.
    pub(in crate::engine) fn show(&self, epoch: u64, shown: Shown) {
        self.show_where(shown, |state| {
            let newer = epoch >= state.epoch;
            if newer {
                (state.epoch, state.own) = (epoch, true);
                state.change += 1;
            }
            newer
        });
    }

    /// Shows what the store says. What is in a node's memory is newer.
    pub(super) fn show_stored(&self, shown: Shown) {
        self.show_where(shown, |state| {
            let known = state.shown.as_ref();
            known.is_none_or(|known| known.node.is_none())
        });
    }

    /// Shows an attempt that was started at this node just now.
    pub(super) fn show_started(&self, shown: Shown) {
        self.show_where(shown, |state| {
            state.own = state.shown.is_none();
            state.own
        });
    }

    /// Shows what another node says.
    pub(super) fn show_elsewhere(&self, epoch: u64, change: u64, shown: Shown) {
        self.show_where(shown, |state| {
            let newer =
                (epoch, change) >= (state.epoch, state.change) && !state.is_live_here(epoch);
            if newer {
                (state.epoch, state.change, state.own) = (epoch, change, false);
            }
            newer
        });
    }

    /// Shows that nobody hears the attempt's node any more.
    pub(super) fn show_lost(&self) {
        if let Some(shown) = self.shown() {
            let gone = Shown {
                online: false,
                node: None,
                ..shown
            };
            self.show_where(gone, |state| {
                state.own = false;
                true
            });
        }
    }

    /// Shows that the attempt is no longer in this node's memory.
    pub(in crate::engine) fn show_gone(&self, epoch: u64) {
        if let Some(shown) = self.shown() {
            self.show(
                epoch,
                Shown {
                    online: false,
                    node: None,
                    ..shown
                },
            );
        }
    }

    fn show_where(&self, shown: Shown, may: impl FnOnce(&mut State) -> bool) {
        let mut state = self.lock();
        if !may(&mut state) || state.shown.as_ref() == Some(&shown) {
            return;
        }
        state.shown = Some(shown);
        if state.queued || !self.board.is_shown() {
            return;
        }
        state.queued = true;
        drop(state);
        if let Some(own) = self.own.upgrade() {
            self.board.enqueue(&own);
        }
    }

    /// The row for other nodes, where it is such a one and this node's to tell.
    pub(super) fn told(&self, is_such: impl FnOnce(&Shown) -> bool) -> Option<SeatRow> {
        let state = self.lock();
        let shown = state
            .shown
            .clone()
            .filter(|shown| state.own && is_such(shown))?;
        Some(SeatRow {
            attempt: self.attempt,
            candidate: self.candidate.clone(),
            name: self.name.clone(),
            groups: self.groups.clone(),
            questions: self.questions,
            epoch: state.epoch,
            change: state.change,
            shown,
        })
    }

    /// Whether it is at such a node.
    pub(super) fn is_at(&self, is_such: impl Fn(&NodeId) -> bool) -> bool {
        let state = self.lock();
        let at = state.shown.as_ref().and_then(|shown| shown.node.as_ref());
        at.is_some_and(is_such)
    }

    pub(super) fn shown(&self) -> Option<Shown> {
        self.lock().shown.clone()
    }

    /// What consoles know.
    pub(super) fn published(&self) -> Option<Shown> {
        self.lock().published.clone()
    }

    /// What a console gets that comes now: deltas say what changed since.
    pub(super) fn handed_out(&self) -> Option<Shown> {
        let state = self.lock();
        state.published.as_ref().or(state.shown.as_ref()).cloned()
    }

    /// Takes what is to be published: what was before, and what is.
    pub(super) fn publish(&self) -> Option<(Option<Shown>, Shown)> {
        let mut state = self.lock();
        state.queued = false;
        let shown = state.shown.clone()?;
        let before = state.published.replace(shown.clone());
        Some((before, shown))
    }

    /// As if it had been published just now: a board was handed out.
    pub(super) fn mark_published(&self) {
        let mut state = self.lock();
        if let Some(shown) = state.shown.clone() {
            state.published = Some(shown);
        }
    }

    pub(super) fn inspected(&self, on: bool) {
        if on {
            self.inspectors.fetch_add(1, Ordering::AcqRel);
        } else {
            self.inspectors.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The same for a console of another node.
    pub(super) fn inspected_elsewhere(&self, on: bool) {
        if on {
            self.inspectors_elsewhere.fetch_add(1, Ordering::AcqRel);
        } else {
            self.inspectors_elsewhere.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Shows an entry of the timeline to those who look at this attempt.
    pub(in crate::engine) fn tell_entry(&self, entry: &TimelineRow) {
        let here = self.inspectors.load(Ordering::Acquire) > 0;
        let elsewhere = self.inspectors_elsewhere.load(Ordering::Acquire) > 0;
        if !here && !elsewhere {
            return;
        }
        let message = ConsoleMessage::Event(AttemptEvent {
            attempt: self.attempt.to_string(),
            event: timeline_entry(entry),
        });
        if elsewhere {
            let (attempt, message) = (self.attempt, message.clone());
            self.board.tell_others(Told::Entry { attempt, message });
        }
        if here {
            self.board.tell(Topic::Inspectors(self.attempt), message);
        }
    }

    /// The candidate's device has what a command led to.
    pub(in crate::engine) fn delivered(&self, key: &CommandKey) {
        self.board.delivered(key, self.attempt);
    }

    /// The candidate has acknowledged what a command led to.
    pub(in crate::engine) fn acknowledged(&self, key: &CommandKey) {
        self.board.acknowledged(key, self.attempt);
    }

    /// Shows an incident to everybody who sees the candidate, at once.
    pub(in crate::engine) fn tell_incident(&self, incident: &Incident) {
        if !self.board.is_shown() {
            return;
        }
        let incident = IncidentMessage {
            exam: self.board.exam().to_string(),
            attempt: self.attempt.to_string(),
            incident: incident_info(incident),
        };
        let groups = self.groups.clone();
        self.board.tell_others(Told::Incident {
            groups: groups.clone(),
            incident: incident.clone(),
        });
        let message = ConsoleMessage::Incident(incident);
        self.board.tell(Topic::Candidate(groups), message);
    }

    /// The row: whole, or what differs from `before`.
    pub(super) fn row(&self, shown: &Shown, before: Option<&Shown>) -> Row {
        fn changed<T: PartialEq>(old: Option<&T>, new: &T) -> bool {
            old != Some(new)
        }
        macro_rules! field {
            ($name:ident, $value:expr) => {
                changed(before.map(|before| &before.$name), &shown.$name).then_some($value)
            };
        }
        let whole = before.is_none();
        // Of a whole row, what has no value is left out; of a changed one, it is null.
        macro_rules! optional {
            ($name:ident, $value:expr) => {
                field!($name, $value).filter(|value| !whole || value.is_some())
            };
        }
        Row {
            attempt: self.attempt.to_string(),
            candidate: whole.then(|| CandidateName {
                id: self.candidate.to_string(),
                name: self.name.to_string(),
            }),
            status: field!(status, wire_status(shown.status)),
            online: field!(online, shown.online),
            deadline_at: field!(deadline_at, shown.deadline_at.map(Timestamp::as_ms)).flatten(),
            answered: field!(answered, shown.answered),
            questions: whole.then_some(self.questions),
            q: optional!(q, shown.q.as_ref().map(ToString::to_string)),
            risk: field!(risk, shown.risk),
            incidents: field!(incidents, shown.incidents),
            last_seen_at: field!(last_seen_at, shown.last_seen_at.map(Timestamp::as_ms)).flatten(),
            rtt_ms: optional!(rtt_ms, shown.rtt_ms),
            flagged: field!(flagged, shown.flagged),
            node: optional!(node, shown.node.as_ref().map(ToString::to_string)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No holder of this lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether this node has the attempt in memory, and not another one since.
    fn is_live_here(&self, epoch: u64) -> bool {
        let live = self
            .shown
            .as_ref()
            .is_some_and(|shown| shown.node.is_some());
        self.own && live && self.epoch >= epoch
    }
}

impl Shown {
    /// Adds the row to the sums, or takes it out.
    pub(super) fn count(&self, totals: &mut Totals, add: bool) {
        let in_progress = self.status == Status::InProgress;
        let paused = self.status == Status::Paused;
        let over = !matches!(
            self.status,
            Status::Started | Status::InProgress | Status::Paused | Status::Cancelled
        );
        for (sum, counts) in [
            (&mut totals.attempts, true),
            (&mut totals.online, self.online),
            (&mut totals.in_progress, in_progress),
            (&mut totals.paused, paused),
            (&mut totals.submitted, over),
            (&mut totals.flagged, self.flagged),
        ] {
            let change = u32::from(counts);
            *sum = if add {
                *sum + change
            } else {
                sum.saturating_sub(change)
            };
        }
    }
}

/// An entry of the timeline, as consoles see it.
pub(in crate::engine) fn timeline_entry(entry: &TimelineRow) -> TimelineEntry {
    let entry = entry.without_answer();
    TimelineEntry {
        at: entry.at.as_ms(),
        kind: entry.kind.clone(),
        data: serde_json::from_str(&entry.data).unwrap_or_default(),
    }
}

/// An incident, as consoles see it.
pub(in crate::engine) fn incident_info(incident: &Incident) -> IncidentInfo {
    let closed = incident.closed.as_ref();
    IncidentInfo {
        id: incident.id.clone(),
        kind: incident.kind.clone(),
        severity: incident.severity.as_str().to_owned(),
        at: incident.opened_at.as_ms(),
        open: incident.is_open(),
        events: incident.events,
        then: incident.then.as_str().to_owned(),
        last_at: incident.last_at.as_ms(),
        assigned_to: incident.assigned_to.clone(),
        verdict: closed.map(|closed| closed.verdict.clone()),
        note: closed
            .and_then(|closed| closed.note.clone())
            .or_else(|| incident.note.clone()),
    }
}

/// How many incidents there are of each severity.
pub(in crate::engine) fn incident_counts(incidents: &[Incident]) -> IncidentCounts {
    let mut counts = IncidentCounts::default();
    for incident in incidents {
        let count = match incident.severity {
            Severity::Low => &mut counts.low,
            Severity::Medium => &mut counts.medium,
            Severity::High => &mut counts.high,
            Severity::Critical => &mut counts.critical,
        };
        *count += 1;
    }
    counts
}

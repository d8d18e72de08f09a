//! The row of one attempt on a board.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, Weak,
    atomic::{AtomicU32, Ordering},
};

use invigil_protocol::proctor::{
    BoardTotals, CandidateName, ConsoleRow, IncidentAlert as IncidentMessage, IncidentCounts,
    IncidentView, InspectedEvent, ProctorServerMessage, TimelineEntry,
};

use super::{ConsoleAudience, ExamBoard};
use crate::{
    peers::messages::{ConsoleNotice, PeerRow, RowState},
    wire::wire_status,
};
use invigil_domain::{
    attempt::{AttemptIdentity, LifecycleStatus, command::CommandKey},
    exam::EventSeverity,
    id::{AttemptId, NodeId, PersonId},
    integrity::Incident,
    person::GroupSet,
    time::Timestamp,
};
use invigil_store::TimelineRow;

/// The row of one attempt, which its actor keeps up to date.
#[derive(Debug)]
pub(crate) struct BoardRow {
    /// For the board's queue, which holds shared rows.
    weak_self: Weak<Self>,
    attempt: AttemptId,
    candidate: PersonId,
    groups: GroupSet,
    name: Box<str>,
    questions: u32,
    /// The cycle of board and row ends in `BoardRegistry::forget_unused`.
    board: Arc<ExamBoard>,
    inspectors: AtomicU32,
    peer_inspectors: AtomicU32,
    state: Mutex<VersionedRow>,
}

#[derive(Debug, Default)]
struct VersionedRow {
    current: Option<RowState>,
    published: Option<RowState>,
    queued: bool,
    /// Epoch of the attempt's lease, and number of the change within it.
    epoch: u64,
    change: u64,
    /// True if this node reported the state.
    is_local: bool,
}

impl BoardRow {
    pub(super) fn new(
        identity: &AttemptIdentity,
        name: &str,
        questions: u32,
        board: &Arc<ExamBoard>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            weak_self: Weak::clone(own),
            attempt: identity.id,
            candidate: identity.candidate.clone(),
            groups: identity.groups.clone(),
            name: name.into(),
            questions,
            board: Arc::clone(board),
            inspectors: AtomicU32::new(0),
            peer_inspectors: AtomicU32::new(0),
            state: Mutex::default(),
        })
    }

    /// Returns the row of an attempt that another node reports.
    pub(super) fn from_peer(row: &PeerRow, board: &Arc<ExamBoard>) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            weak_self: Weak::clone(own),
            attempt: row.attempt,
            candidate: row.candidate.clone(),
            groups: row.groups.clone(),
            name: row.name.clone(),
            questions: row.questions,
            board: Arc::clone(board),
            inspectors: AtomicU32::new(0),
            peer_inspectors: AtomicU32::new(0),
            state: Mutex::default(),
        })
    }

    pub(super) const fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// The candidate's groups.
    pub(super) const fn groups(&self) -> &GroupSet {
        &self.groups
    }

    pub(super) const fn board(&self) -> &Arc<ExamBoard> {
        &self.board
    }

    /// Updates the row from the attempt's actor on this node.
    pub(crate) fn update_row(&self, epoch: u64, shown: RowState) {
        self.update_if(shown, |state| {
            let newer = epoch >= state.epoch;
            if newer {
                (state.epoch, state.is_local) = (epoch, true);
                state.change += 1;
            }
            newer
        });
    }

    /// Updates the row from the store, unless a node has the attempt in memory: that is newer.
    pub(super) fn update_from_store(&self, shown: RowState) {
        self.update_if(shown, |state| {
            let known = state.current.as_ref();
            known.is_none_or(|known| known.node.is_none())
        });
    }

    /// Updates the row of an attempt that was started on this node just now.
    pub(super) fn update_started(&self, shown: RowState) {
        self.update_if(shown, |state| {
            state.is_local = state.current.is_none();
            state.is_local
        });
    }

    /// Updates the row from another node's report.
    pub(super) fn update_from_peer(&self, epoch: u64, change: u64, shown: RowState) {
        self.update_if(shown, |state| {
            let newer =
                (epoch, change) >= (state.epoch, state.change) && !state.is_live_here(epoch);
            if newer {
                (state.epoch, state.change, state.is_local) = (epoch, change, false);
            }
            newer
        });
    }

    /// Shows the candidate as offline, as the attempt's node is no longer heard.
    pub(super) fn mark_lost(&self) {
        if let Some(shown) = self.current_state() {
            let gone = RowState {
                online: false,
                node: None,
                ..shown
            };
            self.update_if(gone, |state| {
                state.is_local = false;
                true
            });
        }
    }

    /// Shows that the attempt has left this node's memory.
    pub(crate) fn mark_unloaded(&self, epoch: u64) {
        if let Some(shown) = self.current_state() {
            self.update_row(
                epoch,
                RowState {
                    online: false,
                    node: None,
                    ..shown
                },
            );
        }
    }

    fn update_if(&self, shown: RowState, may: impl FnOnce(&mut VersionedRow) -> bool) {
        let mut state = self.lock_state();
        if !may(&mut state) || state.current.as_ref() == Some(&shown) {
            return;
        }
        state.current = Some(shown);
        if state.queued || !self.board.is_watched_anywhere() {
            return;
        }
        state.queued = true;
        drop(state);
        if let Some(own) = self.weak_self.upgrade() {
            self.board.enqueue_row(&own);
        }
    }

    /// Returns the row for other nodes, if this node reports it and its state matches.
    pub(super) fn peer_row(&self, is_such: impl FnOnce(&RowState) -> bool) -> Option<PeerRow> {
        let state = self.lock_state();
        let shown = state
            .current
            .clone()
            .filter(|shown| state.is_local && is_such(shown))?;
        Some(PeerRow {
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

    /// Returns true if the attempt is on a matching node.
    pub(super) fn is_on_node(&self, is_such: impl Fn(&NodeId) -> bool) -> bool {
        let state = self.lock_state();
        let at = state.current.as_ref().and_then(|shown| shown.node.as_ref());
        at.is_some_and(is_such)
    }

    pub(super) fn current_state(&self) -> Option<RowState> {
        self.lock_state().current.clone()
    }

    /// Returns the state that consoles have.
    pub(super) fn published_state(&self) -> Option<RowState> {
        self.lock_state().published.clone()
    }

    /// Returns the state for a new console: the published one, which deltas build on.
    pub(super) fn snapshot_state(&self) -> Option<RowState> {
        let state = self.lock_state();
        state.published.as_ref().or(state.current.as_ref()).cloned()
    }

    /// Publishes the current state. Returns the one published before, and it.
    pub(super) fn publish_state(&self) -> Option<(Option<RowState>, RowState)> {
        let mut state = self.lock_state();
        state.queued = false;
        let shown = state.current.clone()?;
        let before = state.published.replace(shown.clone());
        Some((before, shown))
    }

    /// Marks the current state as published, as new watchers get the whole board.
    pub(super) fn mark_published(&self) {
        let mut state = self.lock_state();
        if let Some(shown) = state.current.clone() {
            state.published = Some(shown);
        }
    }

    pub(super) fn set_inspected(&self, on: bool) {
        if on {
            self.inspectors.fetch_add(1, Ordering::AcqRel);
        } else {
            self.inspectors.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The same for a console of another node.
    pub(super) fn set_inspected_by_peer(&self, on: bool) {
        if on {
            self.peer_inspectors.fetch_add(1, Ordering::AcqRel);
        } else {
            self.peer_inspectors.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Sends a timeline entry to the consoles that inspect the attempt.
    pub(crate) fn send_entry(&self, entry: &TimelineRow) {
        let here = self.inspectors.load(Ordering::Acquire) > 0;
        let elsewhere = self.peer_inspectors.load(Ordering::Acquire) > 0;
        if !here && !elsewhere {
            return;
        }
        let message = ProctorServerMessage::Event(InspectedEvent {
            attempt: self.attempt.to_string(),
            event: timeline_entry(entry),
        });
        if elsewhere {
            let (attempt, message) = (self.attempt, message.clone());
            self.board
                .notify_peers(ConsoleNotice::Entry { attempt, message });
        }
        if here {
            self.board
                .send_message(ConsoleAudience::Inspectors(self.attempt), message);
        }
    }

    /// Notes that the candidate's device has received a command's effect.
    pub(crate) fn note_delivered(&self, key: &CommandKey) {
        self.board.note_delivered(key, self.attempt);
    }

    /// Notes that the candidate has acknowledged a command's effect.
    pub(crate) fn note_acknowledged(&self, key: &CommandKey) {
        self.board.note_acknowledged(key, self.attempt);
    }

    /// Sends an incident at once to every console that sees the candidate.
    pub(crate) fn send_incident(&self, incident: &Incident) {
        if !self.board.is_watched_anywhere() {
            return;
        }
        let incident = IncidentMessage {
            exam: self.board.exam().to_string(),
            attempt: self.attempt.to_string(),
            incident: incident_info(incident),
        };
        let groups = self.groups.clone();
        self.board.notify_peers(ConsoleNotice::Incident {
            groups: groups.clone(),
            incident: incident.clone(),
        });
        let message = ProctorServerMessage::Incident(incident);
        self.board
            .send_message(ConsoleAudience::Candidate(groups), message);
    }

    /// Returns the row for the wire: whole, or the fields that differ from `before`.
    pub(super) fn to_wire(&self, shown: &RowState, before: Option<&RowState>) -> ConsoleRow {
        fn changed<T: PartialEq>(old: Option<&T>, new: &T) -> bool {
            old != Some(new)
        }
        macro_rules! field {
            ($name:ident, $value:expr) => {
                changed(before.map(|before| &before.$name), &shown.$name).then_some($value)
            };
        }
        let whole = before.is_none();
        // A whole row omits fields without a value; a changed row has null for them.
        macro_rules! optional {
            ($name:ident, $value:expr) => {
                field!($name, $value).filter(|value| !whole || value.is_some())
            };
        }
        ConsoleRow {
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

    fn lock_state(&self) -> MutexGuard<'_, VersionedRow> {
        // No holder of this lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VersionedRow {
    /// Returns true if this node has the attempt in memory, under this epoch or a later one.
    fn is_live_here(&self, epoch: u64) -> bool {
        let live = self
            .current
            .as_ref()
            .is_some_and(|shown| shown.node.is_some());
        self.is_local && live && self.epoch >= epoch
    }
}

impl RowState {
    /// Adds the row to the totals, or subtracts it.
    pub(super) fn adjust_totals(&self, totals: &mut BoardTotals, add: bool) {
        let in_progress = self.status == LifecycleStatus::InProgress;
        let paused = self.status == LifecycleStatus::Paused;
        let over = !matches!(
            self.status,
            LifecycleStatus::Started
                | LifecycleStatus::InProgress
                | LifecycleStatus::Paused
                | LifecycleStatus::Cancelled
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

/// Converts a timeline entry for consoles.
pub(crate) fn timeline_entry(entry: &TimelineRow) -> TimelineEntry {
    let entry = entry.without_answer();
    TimelineEntry {
        at: entry.at.as_ms(),
        kind: entry.kind.clone(),
        data: serde_json::from_str(&entry.data).unwrap_or_default(),
    }
}

/// Converts an incident for consoles.
pub(crate) fn incident_info(incident: &Incident) -> IncidentView {
    let closed = incident.closed.as_ref();
    IncidentView {
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

/// Counts incidents by severity.
pub(crate) fn incident_counts(incidents: &[Incident]) -> IncidentCounts {
    let mut counts = IncidentCounts::default();
    for incident in incidents {
        let count = match incident.severity {
            EventSeverity::Low => &mut counts.low,
            EventSeverity::Medium => &mut counts.medium,
            EventSeverity::High => &mut counts.high,
            EventSeverity::Critical => &mut counts.critical,
        };
        *count += 1;
    }
    counts
}

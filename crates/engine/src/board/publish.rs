//! Publication of a board: the whole of it to a new console, then its changes four times a second.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use invigil_protocol::proctor::{
    BoardDelta, BoardPart, BoardTotals, ConsoleRow, ProctorServerMessage,
};
use tokio::time::MissedTickBehavior;

use super::{ConsoleAudience, ConsoleFrame, ExamBoard};
use crate::peers::messages::PeerRow;
use invigil_domain::person::CandidateScope;

/// Interval at which a board publishes its changes.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(250);

/// Bytes of rows in one frame, by an estimate that is never too low for JSON: the whole
/// frame stays under 64 KiB.
const ROWS_BYTES_MAX: usize = 60 * 1024;

impl ExamBoard {
    pub(super) fn snapshot_frames(&self, scope: &CandidateScope) -> Vec<Arc<ConsoleFrame>> {
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
    pub(crate) async fn publish_changes(self: Arc<Self>) {
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
    pub(crate) fn publish_pending(&self) {
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

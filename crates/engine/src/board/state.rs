//! The state of one board, behind its lock.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use invigil_protocol::proctor::{BoardTotals, CommandTarget};

use super::{BoardRow, receipts::CommandReceipts, remote::PeerBoards, watchers::BoardWatchers};
use invigil_domain::{id::AttemptId, person::CandidateScope};

/// Rows, watchers and receipts of a board.
#[derive(Debug, Default)]
pub(super) struct BoardState {
    pub(super) rows: HashMap<AttemptId, Arc<BoardRow>>,
    pub(super) changed_rows: Vec<Arc<BoardRow>>,
    pub(super) watchers: BoardWatchers,
    pub(super) receipts: CommandReceipts,
    pub(super) peers: PeerBoards,
    /// Totals over the published rows, for each scope in use.
    pub(super) totals: BTreeMap<CandidateScope, BoardTotals>,
    /// True if the attempts that are only in the store have rows.
    pub(super) has_stored_rows: bool,
}

impl BoardState {
    /// Starts anew for the first watcher, which gets only later changes as deltas.
    pub(super) fn reset_published(&mut self) {
        self.has_stored_rows = false;
        self.totals.clear();
        for seat in self.rows.values() {
            seat.mark_published();
        }
    }

    /// Starts the totals of a scope, unless it has some.
    pub(super) fn track_totals(&mut self, scope: &CandidateScope) {
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
    pub(super) fn forget_unwatched_totals(&mut self) {
        let watchers = &self.watchers;
        self.totals.retain(|scope, _| watchers.has_scope(scope));
    }

    /// Returns the part of an action's target that a console with `scope` may see,
    /// where the action covers the candidates of `own`; none if that is nothing.
    pub(super) fn visible_target(
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

//! Cells of the attempts in memory: an attempt's actor, or the load that is to start it.
//!
//! Callers that look for one attempt share its cell, and one of them loads it. A cell that
//! stays empty goes with its last caller: if it went earlier, a caller that still waits
//! would fill it, and the attempt would live where no other caller finds it.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicUsize, Ordering},
};

use dashmap::DashMap;
use tokio::sync::OnceCell;

use super::mailbox::ActorHandle;
use invigil_domain::id::AttemptId;

/// The attempts of this node that are live, or being loaded.
#[derive(Debug, Default)]
pub(super) struct ActorCells {
    cells: DashMap<AttemptId, Arc<ActorCell>>,
}

/// Actor of an attempt that is live, or being loaded.
#[derive(Debug, Default)]
pub(super) struct ActorCell {
    handle: OnceCell<ActorHandle>,
    /// Callers that may fill the cell, or wait for another to do so. Changed only under the
    /// lock of the cell's entry.
    callers: AtomicUsize,
}

/// A caller of a cell. Dropped, it removes the cell if no actor is there any more and none
/// can come.
pub(super) struct CellCaller<'a> {
    cells: &'a ActorCells,
    attempt: AttemptId,
    cell: Arc<ActorCell>,
}

impl CellCaller<'_> {
    /// The actor, once it is there.
    pub(super) fn handle(&self) -> &OnceCell<ActorHandle> {
        &self.cell.handle
    }

    /// The cell, for the actor's task, which must not keep it.
    pub(super) fn downgrade(&self) -> Weak<ActorCell> {
        Arc::downgrade(&self.cell)
    }
}

impl Drop for CellCaller<'_> {
    fn drop(&mut self) {
        let cell = &self.cell;
        self.cells.cells.remove_if(&self.attempt, |_, current| {
            if !Arc::ptr_eq(current, cell) {
                return false;
            }
            let last = cell.callers.fetch_sub(1, Ordering::Relaxed) == 1;
            cell.handle.get().map_or(last, ActorHandle::is_closed)
        });
    }
}

impl ActorCells {
    /// Joins the callers of an attempt's cell, which is made if there is none.
    pub(super) fn join(&self, attempt: AttemptId) -> CellCaller<'_> {
        let entry = self.cells.entry(attempt).or_default();
        self.caller_of(attempt, &entry)
    }

    /// The same, if there is a cell.
    pub(super) fn join_existing(&self, attempt: AttemptId) -> Option<CellCaller<'_>> {
        let entry = self.cells.get(&attempt)?;
        Some(self.caller_of(attempt, &entry))
    }

    /// Counts a caller of a cell, whose entry is locked.
    fn caller_of(&self, attempt: AttemptId, cell: &Arc<ActorCell>) -> CellCaller<'_> {
        cell.callers.fetch_add(1, Ordering::Relaxed);
        CellCaller {
            cells: self,
            attempt,
            cell: Arc::clone(cell),
        }
    }

    /// The attempt's actor, if it is there.
    pub(super) fn find(&self, attempt: AttemptId) -> Option<ActorHandle> {
        let entry = self.cells.get(&attempt)?;
        let handle = entry.handle.get();
        handle.filter(|handle| !handle.is_closed()).cloned()
    }

    /// Removes the cell of an actor that has ended.
    pub(super) fn remove(&self, attempt: AttemptId, cell: &Weak<ActorCell>) {
        self.cells.remove_if(&attempt, |_, current| {
            std::ptr::eq(Weak::as_ptr(cell), Arc::as_ptr(current))
        });
    }

    /// All attempts with a cell, sorted.
    pub(super) fn attempts(&self) -> Vec<AttemptId> {
        let mut all: Vec<AttemptId> = self.cells.iter().map(|entry| *entry.key()).collect();
        all.sort_unstable();
        all
    }

    /// All actors, in the order of their attempts: a fixed one, for simulations.
    pub(super) fn handles(&self) -> Vec<ActorHandle> {
        let cells = self.cells.iter();
        let mut handles: Vec<(AttemptId, ActorHandle)> = cells
            .filter_map(|entry| Some((*entry.key(), entry.handle.get()?.clone())))
            .collect();
        handles.sort_unstable_by_key(|(attempt, _)| *attempt);
        handles.into_iter().map(|(_, handle)| handle).collect()
    }
}

#[cfg(test)]
mod tests;

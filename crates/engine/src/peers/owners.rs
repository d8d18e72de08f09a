//! The owners of attempts at other nodes, as far as this node has heard.
//!
//! The store decides which node owns an attempt; the owners cached here only shorten the way
//! to it. A request to a node that is not the owner gets no response, and the store is asked.

use dashmap::DashMap;

use invigil_domain::id::{AttemptId, NodeId};

/// Owners that are cached. Above that the cache starts anew, and the store is asked.
const OWNERS_MAX: usize = 200_000;

/// The owners of attempts among the other nodes, as far as this one has heard.
#[derive(Debug, Default)]
pub(crate) struct AttemptOwners(DashMap<AttemptId, (NodeId, u64)>);

impl AttemptOwners {
    /// Notes that a node has acquired an attempt.
    pub(crate) fn note_owner(&self, attempt: AttemptId, node: NodeId, epoch: u64) {
        if self.0.len() >= OWNERS_MAX {
            self.0.clear();
        }
        let mut known = self
            .0
            .entry(attempt)
            .or_insert_with(|| (node.clone(), epoch));
        if known.1 < epoch {
            *known = (node, epoch);
        }
    }

    /// Returns the node that owns an attempt, if it is known.
    pub(crate) fn find_owner(&self, attempt: AttemptId) -> Option<NodeId> {
        self.0.get(&attempt).map(|known| known.0.clone())
    }

    /// Forgets an owner that proved wrong.
    pub(crate) fn forget_attempt(&self, attempt: AttemptId) {
        self.0.remove(&attempt);
    }

    /// Forgets all owners, as events may have been missed.
    pub(super) fn forget_all(&self) {
        self.0.clear();
    }

    /// Forgets the attempts of a node that is gone.
    pub(super) fn forget_node(&self, node: &NodeId) {
        self.0.retain(|_, (owner, _)| owner != node);
    }
}

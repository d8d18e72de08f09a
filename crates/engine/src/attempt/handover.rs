//! Hand-over of an attempt between nodes: the nodes that wait for its release, and the time
//! lost with a node that died.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{
    entry,
    mailbox::{ConnectRefusal, ReleaseOutcome},
};
use crate::peers::messages::JoinRequest;
use invigil_domain::{
    attempt::Attempt,
    time::{Timestamp, duration_ms},
};

/// Heartbeat intervals until a candidate whose node died is back: three until the client
/// notices, one to reach another node.
const RETURN_HEARTBEATS: u32 = 4;

/// State of an attempt between two nodes.
#[derive(Default)]
pub(super) struct Handover {
    /// Nodes that wait for the attempt's release.
    release_waiters: Vec<oneshot::Sender<ReleaseOutcome>>,
    /// Interval still to be given back for the death of the attempt's previous node.
    owed_outage: Option<(Timestamp, Timestamp)>,
}

impl Handover {
    /// State of an attempt that was just acquired. If its previous node died, at `lost_at`,
    /// the candidate is owed at most the time that a connected one needs to reach another
    /// node. A candidate who was not connected gets no more.
    pub(super) fn new(attempt: &Attempt, lost_at: Option<Timestamp>) -> Self {
        let heartbeat = attempt.indexed_exam().exam().proctoring.heartbeat;
        Self {
            release_waiters: Vec::new(),
            owed_outage: lost_at.map(|at| (at, at + heartbeat * RETURN_HEARTBEATS)),
        }
    }

    /// Lets a node wait for the release, if the candidate may join there; otherwise refuses
    /// it, as a second device must not end the first one's connection. Returns true if the
    /// release begins: the connection is to be closed, and everything to be written.
    /// `connected_at` is the time of the open connection's request.
    #[must_use]
    pub(super) fn begin_release(
        &mut self,
        attempt: &Attempt,
        now: Timestamp,
        (saved_seq, connected_at): (u64, Option<Timestamp>),
        join: &JoinRequest,
        reply: oneshot::Sender<ReleaseOutcome>,
    ) -> bool {
        // The request may come late, after the candidate came back here: it gets no
        // answer, and a client that is still at the other node asks again.
        if connected_at.is_some_and(|own| join.asked_at.is_some_and(|asked| asked < own)) {
            return false;
        }
        if let Err(ConnectRefusal(closing)) = entry::check_join(attempt, now, join, saved_seq) {
            reply.send(ReleaseOutcome::Refused(closing)).ok();
            return false;
        }
        self.release_waiters.push(reply);
        true
    }

    /// True if a node waits for the release.
    pub(super) const fn is_awaited(&self) -> bool {
        !self.release_waiters.is_empty()
    }

    /// Forgets the waiting nodes, because the candidate is back here. A node that still
    /// wants the attempt asks again, or acquires it.
    pub(super) fn cancel_release(&mut self) {
        self.release_waiters.clear();
    }

    /// Tells the waiting nodes that everything is written, and nothing more will be.
    pub(super) fn confirm_release(&mut self) {
        for reply in self.release_waiters.drain(..) {
            reply.send(ReleaseOutcome::Released).ok();
        }
    }

    /// Returns the part of the owed time that has passed, to be given back now, unless it is
    /// shorter than `outage_min`. If another caller than the candidate comes first, the
    /// candidate gets the rest on return.
    pub(super) fn take_owed_outage(
        &mut self,
        now: Timestamp,
        outage_min: Duration,
    ) -> Option<(Timestamp, Timestamp)> {
        let (from, owed_until) = self.owed_outage.take()?;
        let until = now.min(owed_until);
        let due = duration_ms(until.since(from)) >= duration_ms(outage_min);
        let rest_from = if due { until } else { from };
        self.owed_outage = (until < owed_until).then_some((rest_from, owed_until));
        due.then_some((from, until))
    }
}

#[cfg(test)]
mod tests;

//! Routing of work to the node that has an attempt.

use tokio::sync::oneshot;

use super::messages::{
    ACTION_TIMEOUTS, AttemptSnapshot, COMMIT_TIMEOUT, PeerRequest, PeerResponse, QUERY_TIMEOUTS,
};
use crate::{
    Engine, EngineInner,
    attempt::{
        mailbox::{ActorMessage, ReplySender},
        registry::{LoadError, LoadReason},
    },
};
use invigil_cluster::PeerError;
use invigil_domain::id::AttemptId;

/// Tries to reach an attempt, which may itself be moving.
const ROUTE_TRIES: usize = 4;

/// Outcome of work on an attempt.
pub(crate) enum Dispatched<T, E> {
    /// Done by this node.
    Here(Result<T, E>),
    /// Done by another node.
    There(PeerResponse),
    /// There is no such attempt.
    NoSuchAttempt,
    /// Not known to be done.
    Unknown,
}

impl Engine {
    /// Has work done by the node that has the attempt, or else does it here. It may be
    /// done twice: callers number their work, and the second time is recognized.
    pub(crate) async fn dispatch_to_owner<T, E>(
        &self,
        attempt: AttemptId,
        request: impl Fn(bool) -> PeerRequest,
        message: impl Fn(ReplySender<T, E>, bool) -> ActorMessage,
    ) -> Dispatched<T, E> {
        let EngineInner {
            shared, registry, ..
        } = &*self.inner;
        let (mut why, mut again) = (LoadReason::Unowned, false);
        for _ in 0..ROUTE_TRIES {
            let heard = shared.owners.find_owner(attempt);
            let heard = heard.filter(|_| registry.find_actor(attempt).is_none());
            let (reply, done) = oneshot::channel();
            let (holder, lease) = match (heard, &why) {
                (Some(holder), LoadReason::Unowned) => (holder, None),
                (_, reason) => match registry
                    .deliver_message(attempt, message(reply, again), reason)
                    .await
                {
                    Ok(true) => match tokio::time::timeout(COMMIT_TIMEOUT, done).await {
                        Ok(Ok(done)) => return Dispatched::Here(done),
                        Ok(Err(_)) => {
                            // Released meanwhile, to the present owner.
                            (why, again) = (LoadReason::Unowned, true);
                            continue;
                        }
                        Err(_) => return Dispatched::Unknown,
                    },
                    Ok(false) => return Dispatched::NoSuchAttempt,
                    Err(LoadError::Elsewhere { node, epoch }) => (node, Some(epoch)),
                    Err(missing) => {
                        tracing::warn!(attempt.id = %attempt, ?missing, "cannot load");
                        return Dispatched::Unknown;
                    }
                },
            };
            match shared
                .peers
                .send_request(&holder, &request(again), ACTION_TIMEOUTS)
                .await
            {
                Ok(answer) => return Dispatched::There(answer),
                // The caller may repeat it, and finds it done.
                Err(PeerError::TimedOut) => return Dispatched::Unknown,
                Err(PeerError::Declined | PeerError::Unreachable) => again = true,
            }
            // The owner was only hearsay, and the store knows; or it does not have the
            // attempt in memory, or is dead, or hangs.
            shared.owners.forget_attempt(attempt);
            why = lease.map_or(LoadReason::Unowned, |epoch| LoadReason::Reclaim { epoch });
        }
        Dispatched::Unknown
    }

    /// Snapshot of the attempt from the memory of the node that has it, if any.
    pub(crate) async fn attempt_snapshot(&self, attempt: AttemptId) -> Option<AttemptSnapshot> {
        let EngineInner {
            shared,
            registry,
            attempts,
            ..
        } = &*self.inner;
        if let Some(look) = registry.local_snapshot(attempt).await {
            return Some(look);
        }
        let others = shared.peers.peers();
        if others.is_empty() {
            return None;
        }
        let holder = match shared.owners.find_owner(attempt) {
            Some(holder) => holder,
            None => attempts.read_owners(&[attempt]).await.ok()?.pop()?.node?,
        };
        let request = PeerRequest::Look { attempt };
        match shared
            .peers
            .send_request(&holder, &request, QUERY_TIMEOUTS)
            .await
            .ok()?
        {
            PeerResponse::Look(look) => Some(*look),
            PeerResponse::Released
            | PeerResponse::Refused { .. }
            | PeerResponse::Exchanged(_)
            | PeerResponse::Staffed(_)
            | PeerResponse::Board(_)
            | PeerResponse::Live(_) => None,
        }
    }
}

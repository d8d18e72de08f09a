//! Hands in overdue attempts that no actor has, because their candidate is not connected
//! or their node died.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::registry::{ActorRegistry, LoadError, LoadReason};
use crate::{Error, node::context::NodeContext};
use invigil_domain::id::AttemptId;
use invigil_store::{self, AttemptStore, OverdueScope};
use invigil_telemetry::error_chain;

/// Interval between queries of the store. An attempt without an actor is handed in at
/// most this long after its time; its `submitted_at` is exact all the same.
const INTERVAL: Duration = Duration::from_secs(1);

/// Attempts of one query; after a full one, the next follows at once.
const ROUND_MAX: u32 = 500;

/// Attempts loaded at once.
const LOADS_AT_ONCE: usize = 8;

/// Time after an absence of the store in which other nodes may not have reached it again:
/// a call that hangs, and the next one. Until then their attempts are left to them: they
/// may have answers to save.
const SETTLED_AFTER: Duration = Duration::from_secs(12);

/// Loads overdue attempts until `stop`; each hands itself in on loading.
pub(crate) async fn run(
    registry: Arc<ActorRegistry>,
    store: Arc<dyn AttemptStore>,
    shared: Arc<NodeContext>,
    stop: CancellationToken,
) {
    let mut pause = Duration::ZERO;
    // A node that has just started does not know whether the store was away.
    let mut settled_at = Instant::now() + SETTLED_AFTER;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let living = shared.peers.peers();
        let whose = if Instant::now() < settled_at {
            OverdueScope::Own
        } else {
            OverdueScope::OwnAndLost(&living)
        };
        let now = shared.clock.now();
        let swept = match store
            .find_overdue(now, &shared.node, whose, ROUND_MAX)
            .await
        {
            Ok(overdue) => load_overdue(&registry, &overdue).await.map(|woken| {
                let more = woken > 0 && overdue.len() == ROUND_MAX as usize;
                if more { Duration::ZERO } else { INTERVAL }
            }),
            Err(error) => {
                tracing::debug!(error = error_chain(&error), "cannot read overdue attempts");
                Err(StoreAway)
            }
        };
        pause = swept.unwrap_or_else(|StoreAway| {
            settled_at = Instant::now() + SETTLED_AFTER;
            INTERVAL
        });
    }
}

/// The store does not answer.
struct StoreAway;

/// Loads attempts that no actor has; the others have timers. Returns their number.
async fn load_overdue(
    registry: &ActorRegistry,
    overdue: &[(AttemptId, u64)],
) -> Result<usize, StoreAway> {
    let missing = overdue.iter().copied();
    let missing = missing.filter(|(attempt, _)| registry.find_actor(*attempt).is_none());
    let waking = stream::iter(missing).map(async |(attempt, epoch)| {
        match registry
            .get_or_load(attempt, &LoadReason::Reclaim { epoch })
            .await
        {
            Ok(_) => Ok(1),
            Err(LoadError::Failed(Error::Store(invigil_store::Error::Unavailable { .. }))) => {
                Err(StoreAway)
            }
            Err(LoadError::Failed(error)) => {
                tracing::error!(attempt.id = %attempt, error = error_chain(&error),
                    "cannot load an overdue attempt");
                Ok(0)
            }
            // Another node was quicker.
            Err(LoadError::Elsewhere { .. } | LoadError::Refused(_)) => Ok(0),
        }
    });
    let woken = waking.buffer_unordered(LOADS_AT_ONCE);
    woken.try_fold(0, async |sum, one| Ok(sum + one)).await
}

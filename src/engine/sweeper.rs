//! Hands in what nobody is looking at: attempts whose time is over and that no
//! actor has, because nobody is connected or their node died.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Error,
    registry::{Missing, Registry, Why},
    shared::Shared,
};
use crate::{
    domain::id::AttemptId,
    store::{self, AttemptStore, Whose},
    telemetry::chain,
};

/// How often the store is asked. An attempt that nobody watches is handed in at
/// most this much after its time; its `submitted_at` is exact all the same.
const INTERVAL: Duration = Duration::from_secs(1);

/// Attempts asked for at once; with more, the next round follows at once.
const BATCH: u32 = 500;

/// Attempts loaded at once.
const LOADS: usize = 8;

/// How long after an absence of the store other nodes may need to be heard by it again: a
/// call that hangs, and the next one. Until then their attempts are left to them: they
/// may have answers to save.
const SETTLED_AFTER: Duration = Duration::from_secs(12);

/// Loads overdue attempts until `stop`; each hands itself in on loading.
pub(super) async fn run(
    registry: Arc<Registry>,
    store: Arc<dyn AttemptStore>,
    shared: Arc<Shared>,
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
        let living = shared.nodes.others();
        let whose = if Instant::now() < settled_at {
            Whose::Own
        } else {
            Whose::Lost(&living)
        };
        let now = shared.clock.now();
        let swept = match store.overdue(now, &shared.node, whose, BATCH).await {
            Ok(overdue) => wake(&registry, &overdue).await.map(|woken| {
                let more = woken > 0 && overdue.len() == BATCH as usize;
                if more { Duration::ZERO } else { INTERVAL }
            }),
            Err(error) => {
                tracing::debug!(error = chain(&error), "cannot ask for overdue attempts");
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

/// Loads those that no actor has; the others have timers of their own. How many.
async fn wake(registry: &Registry, overdue: &[(AttemptId, u64)]) -> Result<usize, StoreAway> {
    let missing = overdue.iter().copied();
    let missing = missing.filter(|(attempt, _)| registry.find(*attempt).is_none());
    let waking = stream::iter(missing).map(async |(attempt, epoch)| {
        match registry.get(attempt, &Why::Owed { epoch }).await {
            Ok(_) => Ok(1),
            Err(Missing::Failed(Error::Store(store::Error::Unavailable { .. }))) => Err(StoreAway),
            Err(Missing::Failed(error)) => {
                tracing::error!(attempt.id = %attempt, error = chain(&error),
                    "cannot load an overdue attempt");
                Ok(0)
            }
            // Somebody else was quicker.
            Err(Missing::Elsewhere { .. } | Missing::Refused(_)) => Ok(0),
        }
    });
    let woken = waking.buffer_unordered(LOADS);
    woken.try_fold(0, async |sum, one| Ok(sum + one)).await
}

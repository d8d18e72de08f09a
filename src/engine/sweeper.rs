//! Hands in what nobody is looking at: attempts whose time is over and that no
//! actor has, because nobody is connected or their node died.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    registry::{Missing, Registry, Why},
    shared::Shared,
};
use crate::{
    domain::id::AttemptId,
    store::{AttemptStore, Whose},
    telemetry::chain,
};

/// How often the store is asked. An attempt that nobody watches is handed in at
/// most this much after its time; its `submitted_at` is exact all the same.
const INTERVAL: Duration = Duration::from_secs(1);

/// Attempts asked for at once; with more, the next round follows at once.
const BATCH: u32 = 500;

/// Attempts loaded at once.
const LOADS: usize = 8;

/// How long after an absence of the store other nodes may need to be heard by it again.
/// Until then their attempts are left to them: they may have answers to save.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// Loads overdue attempts until `stop`; each hands itself in on loading.
pub(super) async fn run(
    registry: Arc<Registry>,
    store: Arc<dyn AttemptStore>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    let mut pause = Duration::ZERO;
    let mut settled_at = Instant::now();
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
        pause = match store.overdue(now, &shared.node, whose, BATCH).await {
            Ok(overdue) => {
                let woken = wake(&registry, &overdue).await;
                let more = woken > 0 && overdue.len() == BATCH as usize;
                if more { Duration::ZERO } else { INTERVAL }
            }
            Err(error) => {
                tracing::debug!(error = chain(&error), "cannot ask for overdue attempts");
                settled_at = Instant::now() + SETTLED_AFTER;
                INTERVAL
            }
        };
    }
}

/// Loads those that no actor has; the others have timers of their own. How many.
async fn wake(registry: &Registry, overdue: &[AttemptId]) -> usize {
    let missing = overdue.iter().copied();
    let missing = missing.filter(|attempt| registry.find(*attempt).is_none());
    let waking = stream::iter(missing).map(async |attempt| {
        match registry.get(attempt, &Why::Unowned).await {
            Ok(_) => 1,
            Err(Missing::Failed(error)) => {
                tracing::error!(attempt.id = %attempt, error = chain(&error),
                    "cannot load an overdue attempt");
                0
            }
            // Somebody else was quicker.
            Err(Missing::Elsewhere(_) | Missing::Refused(_)) => 0,
        }
    });
    let woken = waking.buffer_unordered(LOADS);
    woken.fold(0, async |sum, one| sum + one).await
}

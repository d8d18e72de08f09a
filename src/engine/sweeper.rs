//! Hands in what nobody is looking at: attempts whose time is over and that no
//! actor has, because nobody is connected or their node died.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{
    registry::{Missing, Registry, Why},
    shared::Shared,
};
use crate::{domain::id::AttemptId, store::AttemptStore, telemetry::chain};

/// How often the store is asked. An attempt that nobody watches is handed in at
/// most this much after its time; its `submitted_at` is exact all the same.
const INTERVAL: Duration = Duration::from_secs(1);

/// Attempts asked for at once; with more, the next round follows at once.
const BATCH: u32 = 500;

/// Loads overdue attempts until `stop`; each hands itself in on loading.
pub(super) async fn run(
    registry: Arc<Registry>,
    store: Arc<dyn AttemptStore>,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = match store.overdue(shared.clock.now(), &shared.node, BATCH).await {
            Ok(overdue) => {
                let woken = wake(&registry, &overdue).await;
                let more = woken > 0 && overdue.len() == BATCH as usize;
                if more { Duration::ZERO } else { INTERVAL }
            }
            Err(error) => {
                tracing::debug!(error = chain(&error), "cannot ask for overdue attempts");
                INTERVAL
            }
        };
    }
}

/// Loads those that no actor has; the others have timers of their own.
async fn wake(registry: &Registry, overdue: &[AttemptId]) -> usize {
    let mut woken = 0;
    for &attempt in overdue {
        if registry.find(attempt).is_some() {
            continue;
        }
        // It is this node's, or was claimed for it.
        match registry.get(attempt, &Why::Unowned).await {
            Ok(_) => woken += 1,
            Err(Missing::Failed(error)) => {
                tracing::error!(attempt.id = %attempt, error = chain(&error),
                    "cannot load an overdue attempt");
            }
            // Somebody else was quicker.
            Err(Missing::Elsewhere(_) | Missing::Refused(_)) => {}
        }
    }
    woken
}

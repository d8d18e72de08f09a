//! Looks whether the attempts in memory are still this node's, whenever it may have
//! missed that another one took them: after a gap on the bus, while it does not hear it,
//! and after it stood still.
//!
//! Nothing depends on it but how soon: what a node writes of an attempt that is not its
//! own is refused by the store in any case.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{actor::message::Message, registry::Registry, shared::Shared};
use crate::{
    store::{self, AttemptStore},
    telemetry::chain,
};

/// How often it is looked whether this node stood still.
const INTERVAL: Duration = Duration::from_secs(1);

/// A node that stood still for so long may be thought dead.
const STILL_MAX: Duration = Duration::from_secs(2);

/// Attempts that the store is asked about at once.
const PORTION: usize = 1_000;

/// Looks at every doubt, until `stop`.
pub(super) async fn run(
    registry: Arc<Registry>,
    store: Arc<dyn AttemptStore>,
    shared: Arc<Shared>,
    doubts: Arc<Notify>,
    stop: CancellationToken,
) {
    let mut looked_at = Instant::now();
    let mut doubtful = false;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = doubts.notified() => doubtful = true,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        doubtful |= looked_at.elapsed() > INTERVAL + STILL_MAX || !shared.nodes.is_up();
        looked_at = Instant::now();
        if doubtful {
            match look(&registry, &*store, &shared).await {
                Ok(()) => doubtful = false,
                Err(error) => {
                    tracing::debug!(error = chain(&error), "owners cannot be looked up");
                }
            }
        }
    }
}

async fn look(
    registry: &Registry,
    store: &dyn AttemptStore,
    shared: &Shared,
) -> Result<(), store::Error> {
    for attempts in registry.live().chunks(PORTION) {
        for owner in store.owners(attempts).await? {
            let other = owner.node.is_some_and(|node| node != shared.node);
            if let Some(handle) = registry.find(owner.attempt).filter(|_| other) {
                let message = Message::Lost { epoch: owner.epoch };
                // One that has ended needs to hear nothing.
                handle.deliver(message).await.ok();
            }
        }
    }
    Ok(())
}

//! Checks that the attempts in memory are still this node's, whenever it may have missed
//! that another one acquired them: after a gap on the bus, while the bus is down, and
//! after this node stood still.
//!
//! Only speed depends on it: the store refuses every write of an attempt that another
//! node owns.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    attempt::{mailbox::ActorMessage, registry::ActorRegistry},
    node::context::NodeContext,
};
use invigil_store::{self, AttemptStore};
use invigil_telemetry::error_chain;

/// Interval between checks for a standstill of this node.
const INTERVAL: Duration = Duration::from_secs(1);

/// Standstill after which other nodes may think this one dead.
const STALL_MAX: Duration = Duration::from_secs(2);

/// Attempts in one query of the store.
const PORTION: usize = 1_000;

/// Checks ownership whenever it is in doubt, until `stop`.
pub(crate) async fn run(
    registry: Arc<ActorRegistry>,
    store: Arc<dyn AttemptStore>,
    shared: Arc<NodeContext>,
    ownership_checks: Arc<Notify>,
    stop: CancellationToken,
) {
    let mut looked_at = Instant::now();
    let mut check_due = false;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = ownership_checks.notified() => check_due = true,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        check_due |= looked_at.elapsed() > INTERVAL + STALL_MAX || !shared.peers.is_up();
        looked_at = Instant::now();
        if check_due {
            match check_owners(&registry, &*store, &shared).await {
                Ok(()) => check_due = false,
                Err(error) => {
                    tracing::debug!(
                        error = error_chain(&error),
                        "cannot read the owners of attempts"
                    );
                }
            }
        }
    }
}

async fn check_owners(
    registry: &ActorRegistry,
    store: &dyn AttemptStore,
    shared: &NodeContext,
) -> Result<(), invigil_store::Error> {
    for attempts in registry.live_attempts().chunks(PORTION) {
        for owner in store.read_owners(attempts).await? {
            let other = owner.node.is_some_and(|node| node != shared.node);
            if let Some(handle) = registry.find_actor(owner.attempt).filter(|_| other) {
                let message = ActorMessage::Lost { epoch: owner.epoch };
                // An actor that has ended needs no message.
                handle.deliver_message(message).await.ok();
            }
        }
    }
    Ok(())
}

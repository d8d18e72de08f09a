//! State that all actors of a node share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use super::{
    clock::EngineClock,
    devices::KnownDevices,
    entropy::EntropySource,
    keys::InstallationKeys,
    limits::ConnectionLimits,
    overload::{LoadLevel, Overload},
};
use crate::{
    board::BoardRegistry,
    commit::writer::BatchWriter,
    peers::{messages::PeerProtocol, owners::AttemptOwners},
    recorder::Recorder,
};
use invigil_cluster::PeerLink;
use invigil_domain::{id::NodeId, time::Timestamp};
use invigil_telemetry::metrics::Metrics;

/// Health while the store takes batches.
const HEALTH_FULL: u8 = 10;

/// Health while it does not: low enough that clients hold back events.
const HEALTH_STORE_AWAY: u8 = 3;

/// Health while a part is behind: events cannot be recorded or wait for long, the writer
/// has too much to do, the machine is short of time or memory.
const HEALTH_BEHIND: u8 = 4;

/// Health in degraded operation: records wait on local disk, or the machine is under
/// load.
const HEALTH_DEGRADED: u8 = 7;

/// Depth of the queue of a writer that is behind. A healthy store needs some tenths of a
/// second for so many attempts.
const WRITER_DEPTH_MAX: usize = 5_000;

/// Age of the oldest record in memory that shows a slow disk and store.
const LAG_MAX: Duration = Duration::from_secs(5);

/// Fill level of a spool that is about to drop records.
const SPOOL_NEARLY_FULL: f64 = 0.8;

/// State that all actors of a node share.
pub(crate) struct NodeContext {
    /// This node.
    pub node: NodeId,
    /// Link to the other nodes.
    pub peers: Arc<PeerLink<PeerProtocol>>,
    /// Owners of attempts at other nodes.
    pub owners: AttemptOwners,
    /// Source of random numbers.
    pub entropy: Arc<dyn EntropySource>,
    /// The only clock that decides anything.
    pub clock: EngineClock,
    /// Makes changes durable.
    pub writer: BatchWriter,
    /// Metrics of this node.
    pub metrics: Arc<Metrics>,
    /// Limits of a candidate's connection.
    pub limits: ConnectionLimits,
    /// Time that an attempt without a connection stays in memory.
    pub idle_stop: Duration,
    /// Shortest interruption of the engine that is given back.
    pub outage_min: Duration,
    /// Keys that sign receipts and seal papers.
    pub keys: Arc<InstallationKeys>,
    /// Recorder; without one, records are part of every commit.
    pub recorder: Option<Arc<Recorder>>,
    /// Counter of changes to people, their rights and exams.
    pub changes: watch::Sender<u64>,
    /// Boards of the proctors.
    pub boards: BoardRegistry,
    /// Devices of the candidates.
    pub devices: KnownDevices,
    /// Load of the machine.
    pub overload: Arc<Overload>,
    /// Intervals in which no node was alive, before this one started.
    pub outages: Arc<[(Timestamp, Timestamp)]>,
    /// True once this node is about to end.
    pub draining: AtomicBool,
}

impl NodeContext {
    /// Begins the drain: no attempt is acquired and no candidate let in any more.
    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// True if this node is about to end.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Counts a change of people, their rights or exams.
    pub(crate) fn note_changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Health from 0 to 10, the normal one; under 5 clients send nothing but answers.
    pub(crate) fn health_level(&self) -> u8 {
        if !*self.writer.subscribe_available().borrow() {
            return HEALTH_STORE_AWAY;
        }
        let machine = match self.overload.level() {
            LoadLevel::Normal => HEALTH_FULL,
            LoadLevel::Degraded => HEALTH_DEGRADED,
            LoadLevel::Overloaded => HEALTH_BEHIND,
        };
        let writer = if self.writer.queue_depth() >= WRITER_DEPTH_MAX {
            HEALTH_BEHIND
        } else {
            HEALTH_FULL
        };
        let recorder = self.recorder.as_ref().map_or(HEALTH_FULL, |recorder| {
            let fullness = recorder.spool_fullness();
            if fullness >= SPOOL_NEARLY_FULL || recorder.lag() >= LAG_MAX {
                HEALTH_BEHIND
            } else if fullness > 0.0 {
                HEALTH_DEGRADED
            } else {
                HEALTH_FULL
            }
        });
        machine.min(writer).min(recorder)
    }
}

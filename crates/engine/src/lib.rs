//! The live part of an exam: attempts as actors, and the machinery that makes them
//! durable.
//!
//! [`Engine`] is the entry point for the web layer. No HTTP and no SQL here. The web layer
//! authorizes; the engine decides admission, because that must be decided where attempts are
//! created.
//!
//! The rooms, in reading order. A change of an attempt takes this way: `api` finds its actor,
//! by `peers` if that is at another node; the actor in `attempt` decides and applies; `commit`
//! makes it durable and then replies; `board` shows it to proctors, and `recorder` keeps what
//! happened.

// The engine's errors.
mod error;
// Requests of callers: connect, exchange, start, command, watch, read, replay.
mod api;
// A live attempt: its actor, the mailbox, the registry that finds it, and the sweeper.
mod attempt;
// The way to the store and back: write buffers, the writer, outboxes.
mod commit;
// The live view that proctors have of an exam.
mod board;
// The other nodes: messages, owners of attempts, service, routing, reconciliation.
mod peers;
// Events and history on their way to the store of records, with the spool on local disk.
mod recorder;
// Conversions from the domain to the protocol of candidates, one direction.
mod wire;
// Exams as attempts use them; grades and receipt of a hand-in.
mod content;
// This node: context, clock, entropy, keys, load, devices, start up and drain.
mod node;

#[cfg(test)]
mod fixture;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use crate::{
    api::{
        command::CommandError,
        replay::replay_timeline,
        start::{StartError, StartedAttempt},
        watch::CandidateIncident,
    },
    attempt::mailbox::{ActorHandle, ConnectRefusal, ConnectRequest, Connected},
    board::{BoardMessage, BoardSubscription, ConsoleAudience, ConsoleFrame},
    commit::{
        outbox::{CloseReason, Outbox, OutboxItem},
        writer::WriterSettings,
    },
    content::{ExamContent, PaperBody},
    error::Error,
    node::{
        clock::EngineClock,
        entropy::{EntropySource, SystemEntropy, fresh_session},
        limits::ConnectionLimits,
    },
    peers::messages::{ExchangeRefusal, JoinRequest, StaffRefusal},
    recorder::RecorderSettings,
};
use crate::{
    attempt::registry::ActorRegistry, content::ContentCache, node::context::NodeContext,
    peers::messages::PeerEvent,
};
use invigil_cluster::Bus;
use invigil_domain::{id::NodeId, time::Timestamp};
use invigil_store::{AttemptStore, records::RecordStore};

/// Settings of the engine.
#[derive(Clone)]
pub struct EngineSettings {
    /// This node's name, never used by another node before.
    pub node: NodeId,
    /// Transport to the other nodes.
    pub bus: Arc<dyn Bus>,
    /// The clock.
    pub clock: EngineClock,
    /// Source of random numbers.
    pub entropy: Arc<dyn EntropySource>,
    /// Limits of a candidate's connection.
    pub limits: ConnectionLimits,
    /// Settings of the writer.
    pub flush: WriterSettings,
    /// Shortest interruption of the engine that is given back; clients bridge shorter
    /// ones.
    pub outage_min: Duration,
    /// Time that an attempt without a connection stays in memory.
    pub idle_stop: Duration,
    /// Store and settings of records. Without them, records are part of every commit.
    pub records: Option<(Arc<dyn RecordStore>, RecorderSettings)>,
}

/// Handle to the engine. Clones share one engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<EngineInner>,
}

struct EngineInner {
    shared: Arc<NodeContext>,
    registry: Arc<ActorRegistry>,
    contents: Arc<ContentCache>,
    attempts: Arc<dyn AttemptStore>,
    actors: TaskTracker,
    background: TaskTracker,
    recording: TaskTracker,
    linked: TaskTracker,
    stop: CancellationToken,
    /// Stops the link to other nodes, last of all.
    stop_link: CancellationToken,
}

impl Engine {
    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.inner.shared.clock.now()
    }

    /// Counts a change of people, their rights or exams, and reports it to the other
    /// nodes.
    pub fn note_changed(&self) {
        let EngineInner { shared, .. } = &*self.inner;
        shared.note_changed();
        shared.peers.broadcast_event(&PeerEvent::Changed);
    }

    /// Counter of changes to people, their rights and exams, at any node.
    pub fn subscribe_changes(&self) -> watch::Receiver<u64> {
        self.inner.shared.changes.subscribe()
    }

    /// Limits of a candidate's connection.
    pub fn limits(&self) -> &ConnectionLimits {
        &self.inner.shared.limits
    }

    /// True if the store took the last batch. A store that answers may still have a full
    /// disk.
    pub fn is_saving(&self) -> bool {
        *self.inner.shared.writer.subscribe_available().borrow()
    }
}

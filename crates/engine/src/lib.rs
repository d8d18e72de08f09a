//! The live part of an exam: attempts as actors, and the machinery that makes them
//! durable.
//!
//! [`Engine`] is the entry point for the web layer. Behind it: the registry (attempts in
//! memory), the actor (one attempt), write buffer and writer (the way to the store), the
//! outbox (the way to the candidate), the sweeper (overdue attempts without an actor). No
//! HTTP and no SQL here. The web layer authorizes; the engine decides admission, because
//! that must be decided where attempts are created.

mod api;
mod attempt;
mod board;
mod commit;
mod content;
mod node;
mod peers;
mod recorder;

use std::{
    net::IpAddr,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use crate::{
    api::{
        command::CommandError,
        replay::{ReplayedTimeline, replay_timeline},
        start::{StartError, StartedAttempt},
        watch::CandidateIncident,
    },
    attempt::actor::{
        ActorHandle, ConnectRefusal, ConnectRequest, Connected, ExchangeRefusal, StaffRefusal,
    },
    board::{BoardMessage, BoardSubscription, ConsoleAudience, ConsoleFrame},
    commit::{
        outbox::{CloseReason, Outbox, OutboxItem},
        writer::WriterSettings,
    },
    content::{ExamContent, PaperBody},
    node::{
        clock::EngineClock,
        context::ConnectionLimits,
        entropy::{EntropySource, SystemEntropy, fresh_session},
    },
    peers::messages::JoinRequest,
    recorder::RecorderSettings,
};
use crate::{
    attempt::{
        mailbox::{ActorMessage, ExchangeInput},
        registry::{ActorRegistry, LoadError, LoadReason},
    },
    board::BoardRegistry,
    commit::writer::BatchWriter,
    content::{ContentCache, hand_in::InstallationKeys},
    node::{context::NodeContext, devices::KnownDevices, overload::Overload},
    peers::{
        messages::{AttemptOwners, PeerRequest, PeerResponse, PeerService},
        routing::Dispatched,
    },
    recorder::Recorder,
};
use invigil_cluster::{Bus, PeerLink};
use invigil_domain::{
    id::{AttemptId, NodeId},
    time::{Timestamp, duration_ms},
};
use invigil_protocol::{code::CloseCode, exchange};
use invigil_store::{self, AttemptStore, CatalogStore, records::RecordStore};
use invigil_telemetry::{error_chain, metrics::Metrics};
use tokio::{
    sync::{Notify, oneshot, watch},
    time::Instant,
};

/// Interval between a node's signs of life. The time from the last one to the next start
/// counts as an outage, so this is also the precision of outages.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// Interval between checks of the engine's health.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// Time that a caller without a socket waits for a commit before it must try again.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Time that the requests of other nodes get to finish during shutdown.
const LINK_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Largest lag of the wall clock behind the newest instant in the store.
const CLOCK_BEHIND_MAX: Duration = Duration::from_secs(5);

/// Failure of an engine operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] invigil_store::Error),
    /// Stored data that this program would not write.
    #[error("attempt {attempt}: the stored {what} cannot be read")]
    Damaged {
        /// The attempt.
        attempt: AttemptId,
        /// The damaged part.
        what: &'static str,
    },
    /// The exam version of an attempt is not in the store, or not valid.
    #[error("exam version {0} cannot be read")]
    Content(String),
    /// The stored result of a staff command cannot be read.
    #[error("the stored result of command {0} cannot be read")]
    Command(String),
    /// The spool of records cannot be opened.
    #[error("cannot open the spool of records in {path}")]
    Spool {
        /// The folder.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The operating system returned no random bytes.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
    /// The wall clock is behind the newest instant in the store.
    #[error(
        "the system clock is {behind_seconds} s behind the last time that was recorded here; \
         set the clock and start again"
    )]
    ClockBehind {
        /// Seconds by which it is behind.
        behind_seconds: i64,
    },
}

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
    /// Starts the engine on a store.
    ///
    /// # Errors
    /// If the store fails, or contains instants in this machine's future.
    pub async fn start_up(
        attempts: Arc<dyn AttemptStore>,
        catalog: Arc<dyn CatalogStore>,
        settings: EngineSettings,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        let clock = settings.clock;
        note_outage(&*attempts, &settings, clock.now()).await?;
        let keys = Arc::new(InstallationKeys::from_store(&*catalog).await?);
        let overload = Arc::new(Overload::default());
        let recorder = settings.records.map(|(store, settings)| {
            let (attempts, metrics) = (Arc::clone(&attempts), Arc::clone(&metrics));
            let overload = Arc::clone(&overload);
            Arc::new(Recorder::new(store, attempts, metrics, overload, settings))
        });
        let link = Arc::new(PeerLink::new(
            settings.node.clone(),
            settings.bus,
            Arc::clone(&metrics),
        ));
        let shared = Arc::new(NodeContext {
            peers: Arc::clone(&link),
            owners: AttemptOwners::default(),
            entropy: settings.entropy,
            recorder: recorder.clone(),
            changes: watch::Sender::new(0),
            boards: BoardRegistry::new(link, clock),
            devices: KnownDevices::default(),
            overload,
            node: settings.node,
            clock,
            writer: BatchWriter::new(),
            metrics,
            limits: settings.limits,
            idle_stop: settings.idle_stop,
            outage_min: settings.outage_min,
            keys: Arc::clone(&keys),
            outages: attempts.list_outages().await?.into(),
            draining: AtomicBool::new(false),
        });
        let contents = Arc::new(ContentCache::new(catalog, keys));
        let actors = TaskTracker::new();
        let ownership_checks = Arc::new(Notify::new());
        let registry = ActorRegistry::new(
            Arc::clone(&shared),
            Arc::clone(&contents),
            Arc::clone(&attempts),
            Arc::clone(&ownership_checks),
            actors.clone(),
        );
        let (background, stop) = (TaskTracker::new(), CancellationToken::new());
        let recording = TaskTracker::new();
        if let Some(recorder) = recorder {
            start_recording(recorder, clock, &recording, &stop)?;
        }
        let engine = Self {
            inner: Arc::new(EngineInner {
                shared,
                registry,
                contents,
                attempts,
                actors,
                background,
                recording,
                linked: TaskTracker::new(),
                stop,
                stop_link: CancellationToken::new(),
            }),
        };
        engine.spawn_background(settings.flush);
        engine.spawn_link(ownership_checks);
        Ok(engine)
    }

    fn spawn_background(&self, flush: WriterSettings) {
        let EngineInner {
            shared,
            registry,
            contents,
            attempts,
            background,
            stop,
            ..
        } = &*self.inner;
        let (writer, store) = (Arc::clone(shared), Arc::clone(attempts));
        background.spawn(async move {
            writer
                .writer
                .run(store, flush, Arc::clone(&writer.metrics))
                .await;
        });
        background.spawn(attempt::sweeper::run(
            Arc::clone(registry),
            Arc::clone(attempts),
            Arc::clone(shared),
            stop.clone(),
        ));
        background.spawn(broadcast_health(
            Arc::clone(registry),
            Arc::clone(shared),
            shared.writer.subscribe_available(),
            stop.clone(),
        ));
        let (measured, until) = (Arc::clone(shared), stop.clone());
        background.spawn(async move { measured.overload.measure(&measured.metrics, until).await });
        let (followed, until) = (Arc::clone(contents), stop.clone());
        let changes = shared.changes.subscribe();
        background.spawn(async move { followed.watch_rules(changes, until).await });
        background.spawn(shared.clock.report_steps(stop.clone()));
        background.spawn(report_alive(
            Arc::clone(attempts),
            Arc::clone(shared),
            stop.clone(),
        ));
    }

    fn spawn_link(&self, ownership_checks: Arc<Notify>) {
        let EngineInner {
            shared,
            registry,
            attempts,
            background,
            linked,
            stop,
            stop_link: unlink,
            ..
        } = &*self.inner;
        let desk = PeerService {
            registry: Arc::clone(registry),
            shared: Arc::clone(shared),
            tasks: linked.clone(),
        };
        linked.spawn(Arc::clone(&shared.peers).run(Arc::new(desk), linked.clone(), unlink.clone()));
        background.spawn(peers::reconcile::run(
            Arc::clone(registry),
            Arc::clone(attempts),
            Arc::clone(shared),
            ownership_checks,
            stop.clone(),
        ));
        background.spawn(self.clone().sync_boards(stop.clone()));
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.inner.shared.clock.now()
    }

    /// Counts a change of people, their rights or exams, and reports it to the other
    /// nodes.
    pub fn note_changed(&self) {
        let EngineInner { shared, .. } = &*self.inner;
        shared.note_changed();
        shared
            .peers
            .broadcast_event(&peers::messages::PeerEvent::Changed);
    }

    /// Counter of changes to people, their rights and exams, at any node.
    pub fn subscribe_changes(&self) -> watch::Receiver<u64> {
        self.inner.shared.changes.subscribe()
    }

    /// Limits of a candidate's connection.
    pub fn limits(&self) -> &ConnectionLimits {
        &self.inner.shared.limits
    }

    /// Opens a candidate's connection. The handle delivers its later messages.
    ///
    /// # Errors
    /// The reason to close the connection with.
    pub async fn connect_candidate(
        &self,
        attempt: AttemptId,
        request: ConnectRequest,
    ) -> Result<(ActorHandle, Connected), ConnectRefusal> {
        let overloaded = || ConnectRefusal(CloseReason::new(CloseCode::Overloaded));
        let registry = &self.inner.registry;
        let (reason, until) = (LoadReason::from_connect(&request), request.until);
        loop {
            let handle = match registry.get_or_load(attempt, &reason).await {
                Ok(Some(handle)) => handle,
                Ok(None) => return Err(ConnectRefusal(CloseReason::new(CloseCode::Unauthorized))),
                Err(LoadError::Refused(closing)) => return Err(ConnectRefusal(closing)),
                Err(LoadError::Elsewhere { .. }) => return Err(overloaded()),
                Err(LoadError::Failed(error)) => {
                    let error = error_chain(&error);
                    tracing::warn!(attempt.id = %attempt, error, "cannot load");
                    return Err(overloaded());
                }
            };
            let (reply, opened) = oneshot::channel();
            let message = ActorMessage::Connect(Box::new((request.clone(), reply)));
            if handle.deliver_message(message).await.is_ok() {
                // A refusal waits for a commit, but no longer than the client does.
                let opened = tokio::time::timeout_at(until, opened).await;
                match opened.map_err(|_late| overloaded())? {
                    Ok(opened) => return Ok((handle, opened?)),
                    Err(_ended) if handle.is_closed() && Instant::now() < until => {}
                    Err(_) => return Err(overloaded()),
                }
            }
        }
    }

    /// Applies commands sent without a socket, with the JSON they came in. Replies once
    /// they are durable.
    ///
    /// # Errors
    /// The refusal, or `Unavailable` if durability is unknown.
    pub async fn run_exchange(
        &self,
        attempt: AttemptId,
        request: exchange::ExchangeRequest,
        json: &str,
        address: IpAddr,
    ) -> Result<Box<exchange::ExchangeResponse>, ExchangeRefusal> {
        // Drawn once, so that a repeated exchange begins one session only.
        let fresh = fresh_session(&*self.inner.shared.entropy).map_err(|error| {
            tracing::error!(%error, "the system gives no random bytes");
            ExchangeRefusal::Unavailable
        })?;
        let asked = |again| PeerRequest::Exchange {
            attempt,
            request: json.to_owned(),
            fresh: Some(fresh.clone()),
            address,
            again,
        };
        let message = |reply, again| {
            let exchange = ExchangeInput {
                request: request.clone(),
                fresh: fresh.clone(),
                address,
                again,
            };
            ActorMessage::Exchange(Box::new((exchange, reply)))
        };
        match self.dispatch_to_owner(attempt, asked, message).await {
            Dispatched::Here(done) | Dispatched::There(PeerResponse::Exchanged(done)) => done,
            Dispatched::NoSuchAttempt => Err(ExchangeRefusal::Closed),
            Dispatched::There(_) | Dispatched::Unknown => Err(ExchangeRefusal::Unavailable),
        }
    }

    /// True if the store took the last batch. A store that answers may still have a full
    /// disk.
    pub fn is_saving(&self) -> bool {
        *self.inner.shared.writer.subscribe_available().borrow()
    }

    /// Shuts down: closes every connection, writes pending changes, and ends all tasks.
    /// Clients resend everything that is not durable within `timeout`.
    pub async fn drain(&self, timeout: Duration) {
        let EngineInner {
            registry,
            actors,
            background,
            recording,
            shared,
            attempts,
            linked,
            stop,
            stop_link: unlink,
            ..
        } = &*self.inner;
        stop.cancel();
        registry.drain().await;
        shared.writer.stop();
        background.close();
        actors.close();
        if tokio::time::timeout(timeout, background.wait())
            .await
            .is_err()
        {
            tracing::error!("not everything was saved in time; clients resend the rest");
        }
        // No task can produce a record any more.
        if let Some(recorder) = &shared.recorder {
            recorder.request_stop();
        }
        recording.close();
        if tokio::time::timeout(timeout, recording.wait())
            .await
            .is_err()
        {
            tracing::error!("not every record was sent in time; acknowledged ones are on disk");
        }
        if let Err(error) = attempts.mark_node_left(&shared.node).await {
            tracing::debug!(
                error = error_chain(&error),
                "cannot record that this node leaves"
            );
        }
        shared.peers.announce_leave();
        unlink.cancel();
        // This node has left the bus.
        shared.boards.lose_node(None);
        linked.close();
        if tokio::time::timeout(LINK_STOP_TIMEOUT, linked.wait())
            .await
            .is_err()
        {
            tracing::debug!("requests of other nodes were still running");
        }
    }
}

/// Starts the tasks that move records to their store.
fn start_recording(
    recorder: Arc<Recorder>,
    clock: EngineClock,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let spool = recorder.open_spool().map_err(|source| Error::Spool {
        path: recorder.settings().spool_dir.display().to_string(),
        source,
    })?;
    let (writing, relaying) = (Arc::clone(&recorder), Arc::clone(&recorder));
    tasks.spawn(async move { writing.run(spool).await });
    let relay_stop = stop.clone();
    tasks.spawn(async move { relaying.relay_history(clock, relay_stop).await });
    let stop = stop.clone();
    tasks.spawn(async move { recorder.prepare_store(stop).await });
    Ok(())
}

/// Records the outage between any node's last sign of life and this start.
async fn note_outage(
    store: &dyn AttemptStore,
    settings: &EngineSettings,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(last) = store.mark_node_alive(&settings.node, now).await? else {
        return Ok(());
    };
    let behind_ms = last.as_ms() - now.as_ms();
    if behind_ms > duration_ms(CLOCK_BEHIND_MAX) {
        return Err(Error::ClockBehind {
            behind_seconds: behind_ms / 1_000,
        });
    }
    if now.since(last) >= settings.outage_min {
        store.record_outage(last, now).await?;
    }
    Ok(())
}

/// Reports changes of the engine's health to every attempt. One task for all: ten
/// thousand watchers of one value would wake all at once.
async fn broadcast_health(
    registry: Arc<ActorRegistry>,
    shared: Arc<NodeContext>,
    mut available: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let mut told = shared.health_level();
    let mut interval = tokio::time::interval(HEALTH_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = available.changed() => if changed.is_err() {
                return;
            },
            _ = interval.tick() => {}
        }
        let level = shared.health_level();
        shared.metrics.health.set(level.into());
        if std::mem::replace(&mut told, level) != level {
            registry
                .broadcast_message(|| ActorMessage::HealthChanged)
                .await;
        }
    }
}

async fn report_alive(
    store: Arc<dyn AttemptStore>,
    shared: Arc<NodeContext>,
    stop: CancellationToken,
) {
    let mut interval = tokio::time::interval(ALIVE_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        if let Err(error) = store
            .mark_node_alive(&shared.node, shared.clock.now())
            .await
        {
            tracing::debug!(
                error = error_chain(&error),
                "cannot record that this node is alive"
            );
        }
    }
}

//! The life of a node: start up, background tasks, signs of life, drain.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use tokio::sync::{Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    clock::EngineClock, context::NodeContext, devices::KnownDevices, keys::InstallationKeys,
    overload::Overload,
};
use crate::{
    Engine, EngineInner, EngineSettings, Error,
    attempt::{mailbox::ActorMessage, registry::ActorRegistry, sweeper},
    board::BoardRegistry,
    commit::writer::{BatchWriter, WriterSettings},
    content::ContentCache,
    peers::{owners::AttemptOwners, reconcile, service::PeerService},
    recorder::Recorder,
};
use invigil_cluster::PeerLink;
use invigil_domain::time::{Timestamp, duration_ms};
use invigil_store::{AttemptStore, CatalogStore};
use invigil_telemetry::{error_chain, metrics::Metrics};

/// Interval between a node's signs of life. The time from the last one to the next start
/// counts as an outage, so this is also the precision of outages.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// Interval between checks of the engine's health.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// Time that the requests of other nodes get to finish during shutdown.
const LINK_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Largest lag of the wall clock behind the newest instant in the store.
const CLOCK_BEHIND_MAX: Duration = Duration::from_secs(5);

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
        background.spawn(sweeper::run(
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
        let service = PeerService {
            registry: Arc::clone(registry),
            shared: Arc::clone(shared),
            tasks: linked.clone(),
        };
        linked.spawn(Arc::clone(&shared.peers).run(
            Arc::new(service),
            linked.clone(),
            unlink.clone(),
        ));
        background.spawn(reconcile::run(
            Arc::clone(registry),
            Arc::clone(attempts),
            Arc::clone(shared),
            ownership_checks,
            stop.clone(),
        ));
        background.spawn(self.clone().sync_boards(stop.clone()));
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

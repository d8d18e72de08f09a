//! `invigil serve`: runs the engine until a signal stops it.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use chrono::DateTime;
use invigil::{
    config::{self, Config},
    web::{self, WebApp, access_code_key},
};
use invigil_cluster::{Bus, local::LocalBus, redis::RedisBus};
use invigil_domain::id::NodeId;
use invigil_engine::{
    ConnectionLimits, Engine, EngineClock, EngineSettings, RecorderSettings, SystemEntropy,
    WriterSettings,
};
use invigil_management::{
    Management, ManagementError,
    maintenance::{
        Maintenance,
        model::{JobResult, MaintenanceJob},
    },
};
use invigil_objects::media::MediaStore;
use invigil_secrets::sealed::SealingKeys;
use invigil_store::{self, records::RecordStore};
use invigil_telemetry::metrics::{JobLabels, Metrics};
use prometheus_client::metrics::{counter::Counter, family::Family};
use secrecy::ExposeSecret as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    BadUsage,
    files::{self, FileFaults},
    stores::OpenStore,
};

/// Exit code after a second signal: 128 and the number of SIGINT, as in shells.
const SECOND_SIGNAL_EXIT: u8 = 130;

/// Interval of the store's maintenance.
const MAINTENANCE_INTERVAL: Duration = Duration::from_hours(24);

#[derive(Debug, Default, clap::Args)]
pub(super) struct Args {
    /// Address and port; port 0 selects a free one
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<SocketAddr>,
    /// Exam files, for the embedded store
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) exam: Vec<PathBuf>,
    /// Roster file, for the embedded store
    #[arg(long, value_name = "FILE")]
    pub(super) roster: Option<PathBuf>,
    /// Directory of the embedded store [default: ./data]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
}

pub(super) async fn run(args: Args, mut config: Config) -> anyhow::Result<ExitCode> {
    config.server.listen = args.listen.unwrap_or(config.server.listen);
    config.database.data = args.data.unwrap_or(config.database.data);
    if config.database.url.is_some() && (!args.exam.is_empty() || args.roster.is_some()) {
        return Err(anyhow::Error::new(BadUsage(
            "with database.url set, exams and people come from the database: use `invigil import \
             exam` and `invigil import roster` instead of --exam and --roster"
                .to_owned(),
        )));
    }
    let mut faults = FileFaults::default();
    let exams = files::read_exams(&args.exam, &mut faults);
    let roster = args
        .roster
        .as_deref()
        .map(|path| faults.collect_faults(path, files::read_roster(path)));
    faults.into_result()?;

    let stores = OpenStore::open_for_engine(&config.database).await?;
    let catalog = stores.catalog();
    let exams: Vec<_> = exams.iter().map(files::to_stored_exam).collect();
    catalog
        .upsert_exams(&exams)
        .await
        .context("cannot store the exams")?;
    if let Some(entries) = roster.flatten() {
        let people = files::to_stored_people(entries, &access_code_key(&*catalog).await?);
        catalog
            .upsert_people(&people)
            .await
            .context("cannot store the roster")?;
    }
    run_engine(stores, config, |_| Ok(())).await
}

/// Runs the engine on an open store. `ready` gets the listening address.
pub(super) async fn run_engine(
    stores: OpenStore,
    config: Config,
    ready: impl FnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let mut signals = StopSignals::new().context("cannot listen to signals")?;
    let wanted = config.server.listen;
    let listener =
        web::server::bind_listener(wanted).with_context(|| format!("cannot listen on {wanted}"))?;
    let address = listener
        .local_addr()
        .context("cannot read the listening address")?;

    let stop = CancellationToken::new();
    let metrics = Arc::new(Metrics::default());
    let (engine, link) = start_engine(&stores, &config, address, &metrics).await?;
    let drain = config.drain.time;
    let (management, maintenance) = match stores.as_postgres() {
        Some(store) => {
            let keys =
                SealingKeys::open(&config.database.key_file).context("cannot read the keys")?;
            let media = super::stores::open_media(&config, store).await?;
            let retention = config.retention.clone();
            let maintenance = Maintenance::new(store, keys, retention, media.clone());
            (
                connect_management(&config.database, media).await?,
                Some(maintenance),
            )
        }
        None => (None, None),
    };
    let jobs = metrics.maintenance_jobs.clone();
    let app = WebApp::new(
        engine.clone(),
        stores.for_web(),
        metrics,
        management,
        config,
        stop.clone(),
    )
    .await
    .context("cannot start the engine")?;

    super::print_text(&format!("listening on {address}\n"))?;
    ready(address)?;
    let serving = async {
        let draining = async {
            stop.cancelled().await;
            engine.drain(drain).await;
        };
        let answering = web::server::serve_until_stopped(listener, Arc::clone(&app));
        tokio::select! {
            () = async { tokio::join!(answering, draining); } => {}
            () = maintain_store(&stores, &app) => {}
            () = run_maintenance(maintenance, &engine, &jobs) => {}
        }
        link.close().await;
        stores.close().await;
        tracing::info!("stopped");
    };
    let told_twice = async {
        signals.wait_for_signal().await;
        tracing::info!("stopping; a second signal ends the process at once");
        stop.cancel();
        signals.wait_for_signal().await;
    };
    tokio::select! {
        () = serving => Ok(ExitCode::SUCCESS),
        () = told_twice => Ok(ExitCode::from(SECOND_SIGNAL_EXIT)),
    }
}

/// Starts the engine and its connection to the bus.
async fn start_engine(
    stores: &OpenStore,
    config: &Config,
    address: SocketAddr,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<(Engine, BusConnection)> {
    let node = node_id(config, address).context("cannot name this node")?;
    let link = BusConnection::open(config, &node, metrics)?;
    let engine = Engine::start_up(
        stores.attempts(),
        stores.catalog(),
        engine_settings(config, node, Arc::clone(&link.bus)).await?,
        Arc::clone(metrics),
    )
    .await
    .context("cannot start the engine")?;
    Ok((engine, link))
}

/// Connects the management side, with PostgreSQL only. The engine also runs
/// without the database role of the management side: exams need none.
async fn connect_management(
    settings: &config::DatabaseSettings,
    media: MediaStore,
) -> anyhow::Result<Option<Management>> {
    let Some(url) = settings.management_url.as_ref().or(settings.url.as_ref()) else {
        return Ok(None);
    };
    let connected = Management::connect(
        url.expose_secret(),
        settings.management_connections,
        settings.key_file.clone(),
        media,
    )
    .await;
    match connected {
        Ok(management) => Ok(Some(management)),
        Err(invigil_store::Error::Schema(sentence)) => {
            tracing::warn!("the management API is off: {sentence}");
            Ok(None)
        }
        Err(error) => Err(error).context("cannot connect the management side"),
    }
}

/// Returns an id that is unique among nodes and across restarts.
fn node_id(config: &Config, address: SocketAddr) -> anyhow::Result<NodeId> {
    let start = getrandom::u32()?;
    let name = config.cluster.node.clone();
    let name = name.unwrap_or_else(|| address.to_string());
    Ok(format!("{name}/{start:08x}").into())
}

/// The node's connection to the bus, with its task.
struct BusConnection {
    bus: Arc<dyn Bus>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl BusConnection {
    fn open(config: &Config, node: &NodeId, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let bus: Arc<dyn Bus> = match &config.redis.url {
            None => LocalBus::single_node(node.clone()),
            Some(_) if config.database.url.is_none() => {
                bail!("`redis.url` needs `database.url`: the embedded store serves one process")
            }
            Some(address) => {
                let (node, metrics) = (node.clone(), Arc::clone(metrics));
                let redis = RedisBus::new(address, &config.redis.prefix, node, metrics);
                let redis = Arc::new(redis.context("redis.url")?);
                let (running, until) = (Arc::clone(&redis), stop.clone());
                tasks.spawn(async move { running.run(until).await });
                redis
            }
        };
        Ok(Self { bus, tasks, stop })
    }

    async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn engine_settings(
    config: &Config,
    node: NodeId,
    bus: Arc<dyn Bus>,
) -> anyhow::Result<EngineSettings> {
    let limits = &config.limits;
    Ok(EngineSettings {
        node,
        bus,
        clock: EngineClock::system(),
        entropy: Arc::new(SystemEntropy),
        limits: ConnectionLimits {
            frame_bytes: limits.frame_bytes,
            answer_bytes: limits.answer_bytes,
            commands_per_second: limits.commands_per_second.get(),
            burst: limits.burst.get(),
            unsaved: limits.unsaved,
        },
        flush: WriterSettings {
            max_delay: config.flush.max_delay,
            attempts_max: config.flush.max_attempts,
        },
        outage_min: config.timing.outage_min,
        idle_stop: config.idle.stop_after,
        records: record_store(config).await?,
    })
}

/// Opens the store of records, if one is configured.
pub(super) async fn record_store(
    config: &Config,
) -> anyhow::Result<Option<(Arc<dyn RecordStore>, RecorderSettings)>> {
    let Some(url) = &config.mongodb.url else {
        tracing::info!("records are kept with the attempts: mongodb.url is empty");
        return Ok(None);
    };
    if config.database.url.is_none() {
        bail!("`mongodb.url` needs `database.url`: the embedded store keeps its own records");
    }
    let recorder = &config.recorder;
    let (url, database) = (url.expose_secret(), &config.mongodb.database);
    let store = connect_mongodb(url, database, recorder.patience).await?;
    let settings = RecorderSettings {
        spool_dir: recorder.spool.clone(),
        spool_bytes: recorder.spool_bytes,
        write_timeout: recorder.patience,
        events_kept: recorder.events,
        history_kept: recorder.history,
    };
    Ok(Some((store, settings)))
}

#[cfg(feature = "mongodb")]
async fn connect_mongodb(
    url: &str,
    database: &str,
    patience: Duration,
) -> anyhow::Result<Arc<dyn RecordStore>> {
    let store = invigil_store_mongo::MongoStore::connect(url, database, patience);
    Ok(Arc::new(store.await.context("mongodb.url")?))
}

#[cfg(not(feature = "mongodb"))]
#[expect(clippy::unused_async, reason = "the same call as with the feature")]
async fn connect_mongodb(_: &str, _: &str, _: Duration) -> anyhow::Result<Arc<dyn RecordStore>> {
    bail!(
        "`mongodb.url` is set, but this program was built without the feature `mongodb`: \
         build it with `make release`, or leave `mongodb.url` empty"
    )
}

/// Runs the jobs of the management side, each on one node. Never ends.
async fn run_maintenance(
    maintenance: Option<Maintenance>,
    engine: &Engine,
    jobs: &Family<JobLabels, Counter>,
) {
    let Some(maintenance) = maintenance else {
        return std::future::pending().await;
    };
    let now = || DateTime::from_timestamp_millis(engine.now().as_ms()).unwrap_or_default();
    let told = |job: MaintenanceJob, done: Result<JobResult, ManagementError>| {
        let outcome = match done {
            Ok(JobResult::Completed(said)) => {
                tracing::debug!(job = job.name(), said, "maintenance");
                "done"
            }
            Ok(JobResult::RunningElsewhere) => "elsewhere",
            Ok(JobResult::NotDue) => return,
            Err(error) => {
                let error = invigil_telemetry::error_chain(&error);
                tracing::warn!(job = job.name(), error, "maintenance failed");
                "failed"
            }
        };
        let job = job.name();
        jobs.get_or_create(&JobLabels { job, outcome }).inc();
    };
    maintenance.run_forever(now, told).await;
}

/// Maintains the store and removes old evidence every day. Never ends: a failed
/// job is tried again the next day.
async fn maintain_store(stores: &OpenStore, app: &WebApp) {
    let mut interval = tokio::time::interval(MAINTENANCE_INTERVAL);
    loop {
        interval.tick().await;
        let now = app.engine.now();
        if let Err(error) = stores.maintain_daily(now).await {
            let error = invigil_telemetry::error_chain(&error);
            tracing::warn!(error, "cannot maintain the store");
        }
        match app.evidence.remove_expired(now).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed old evidence"),
            Err(error) => {
                let error = invigil_telemetry::error_chain(&error);
                tracing::warn!(error, "cannot remove old evidence");
            }
        }
    }
}

/// The signals that stop the engine: SIGTERM and Ctrl-C.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait_for_signal(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(all(test, not(feature = "mongodb")))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_without_mongodb_refuses_its_address() {
        let settings = [
            ("INVIGIL__DATABASE__URL", "postgres://127.0.0.1/invigil"),
            ("INVIGIL__MONGODB__URL", "mongodb://127.0.0.1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::from_layers(None, Some(settings.into())).unwrap();
        let refused = record_store(&config).await.err().unwrap().to_string();
        assert!(
            refused.contains("without the feature `mongodb`"),
            "{refused}"
        );
    }
}

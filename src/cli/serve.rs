//! `invigil serve`: the engine, until it is told to stop.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use chrono::DateTime;
use invigil::{
    cluster::{Bus, local::Local, redis::Redis},
    config::{self, Config},
    domain::id::NodeId,
    engine::{Clock, Engine, Flush, Limits, RecorderSettings, Settings, SystemEntropy},
    management::{
        Fault, Management,
        maintenance::{Done, Job, Maintenance},
    },
    media::Media,
    secrets::sealed::Keys,
    store::{self, mongo::Mongo, records::RecordStore},
    telemetry::metrics::{JobOutcome, Metrics},
    web::{self, App, access_code_key},
};
use prometheus_client::metrics::{counter::Counter, family::Family};
use secrecy::ExposeSecret as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    BadUsage,
    files::{self, Faults},
    stores::Stores,
};

/// What a process gets that was ended by a signal, as shells count.
const ENDED_AT_ONCE: u8 = 130;

/// How often the store gets its maintenance.
const MAINTENANCE_INTERVAL: Duration = Duration::from_hours(24);

#[derive(Debug, Default, clap::Args)]
pub(super) struct Args {
    /// Address and port; port 0 asks for a free one
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<SocketAddr>,
    /// Exam files, without servers
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) exam: Vec<PathBuf>,
    /// People, without servers
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
    let mut faults = Faults::default();
    let exams = files::read_exams(&args.exam, &mut faults);
    let roster = args
        .roster
        .as_deref()
        .map(|path| faults.take(path, files::read_roster(path)));
    faults.into_result()?;

    let stores = Stores::open_for_engine(&config.database).await?;
    let catalog = stores.catalog();
    let exams: Vec<_> = exams.iter().map(files::to_store).collect();
    catalog
        .put_exams(&exams)
        .await
        .context("cannot store the exams")?;
    if let Some(entries) = roster.flatten() {
        let people = files::people(entries, &access_code_key(&*catalog).await?);
        catalog
            .put_people(&people)
            .await
            .context("cannot store the roster")?;
    }
    run_engine(stores, config, |_| Ok(())).await
}

/// Runs the engine on an open store. `ready` is told where it listens.
pub(super) async fn run_engine(
    stores: Stores,
    config: Config,
    ready: impl FnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new().context("listen to signals")?;
    let wanted = config.server.listen;
    let listener =
        web::server::listen(wanted).with_context(|| format!("cannot listen on {wanted}"))?;
    let address = listener.local_addr().context("read the address")?;

    let stop = CancellationToken::new();
    let metrics = Arc::new(Metrics::default());
    let (engine, link) = start_engine(&stores, &config, address, &metrics).await?;
    let drain = config.drain.time;
    let (management, maintenance) = match stores.servers() {
        Some(store) => {
            let keys = Keys::open(&config.database.key_file).context("cannot read the keys")?;
            let media = super::stores::media(&config, store).await?;
            let retention = config.retention.clone();
            let maintenance = Maintenance::new(store, keys, retention, media.clone());
            (
                management(&config.database, media).await?,
                Some(maintenance),
            )
        }
        None => (None, None),
    };
    let jobs = metrics.maintenance_jobs.clone();
    let app = App::new(
        engine.clone(),
        stores.for_web(),
        metrics,
        management,
        config,
        stop.clone(),
    )
    .await
    .context("cannot start the engine")?;

    super::print(&format!("listening on {address}\n"))?;
    ready(address)?;
    let serving = async {
        let draining = async {
            stop.cancelled().await;
            engine.drain(drain).await;
        };
        let answering = web::server::serve(listener, Arc::clone(&app));
        tokio::select! {
            () = async { tokio::join!(answering, draining); } => {}
            () = maintain(&stores, &app) => {}
            () = look_after(maintenance, &engine, &jobs) => {}
        }
        link.close().await;
        stores.close().await;
        tracing::info!("stopped");
    };
    let told_twice = async {
        signals.next().await;
        tracing::info!("stopping; a second signal ends at once");
        stop.cancel();
        signals.next().await;
    };
    tokio::select! {
        () = serving => Ok(ExitCode::SUCCESS),
        () = told_twice => Ok(ExitCode::from(ENDED_AT_ONCE)),
    }
}

/// The engine, and what it hears other nodes by.
async fn start_engine(
    stores: &Stores,
    config: &Config,
    address: SocketAddr,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<(Engine, Link)> {
    let node = node_id(config, address).context("name this node")?;
    let link = Link::open(config, &node, metrics)?;
    let engine = Engine::start_up(
        stores.attempts(),
        stores.catalog(),
        settings(config, node, Arc::clone(&link.bus)).await?,
        Arc::clone(metrics),
    )
    .await
    .context("cannot start the engine")?;
    Ok((engine, link))
}

/// The management side, where there is PostgreSQL. Without its database role the
/// engine runs all the same: exams are taken whoever manages them.
async fn management(
    settings: &config::Database,
    media: Media,
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
        Err(store::Error::Schema(sentence)) => {
            tracing::warn!("the management API is off: {sentence}");
            Ok(None)
        }
        Err(error) => Err(error).context("cannot connect the management side"),
    }
}

/// A name that no other node has, nor had before a restart.
fn node_id(config: &Config, address: SocketAddr) -> anyhow::Result<NodeId> {
    let start = getrandom::u32()?;
    let name = config.cluster.node.clone();
    let name = name.unwrap_or_else(|| address.to_string());
    Ok(format!("{name}/{start:08x}").into())
}

/// What this node hears the others by.
struct Link {
    bus: Arc<dyn Bus>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Link {
    fn open(config: &Config, node: &NodeId, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let bus: Arc<dyn Bus> = match &config.redis.url {
            None => Local::alone(node.clone()),
            Some(_) if config.database.url.is_none() => {
                bail!("redis.url needs database.url: the embedded store is one process's")
            }
            Some(address) => {
                let (node, metrics) = (node.clone(), Arc::clone(metrics));
                let redis = Redis::new(address, &config.redis.prefix, node, metrics);
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

async fn settings(config: &Config, node: NodeId, bus: Arc<dyn Bus>) -> anyhow::Result<Settings> {
    let limits = &config.limits;
    Ok(Settings {
        node,
        bus,
        clock: Clock::system(),
        entropy: Arc::new(SystemEntropy),
        limits: Limits {
            frame_bytes: limits.frame_bytes,
            answer_bytes: limits.answer_bytes,
            commands_per_second: limits.commands_per_second.get(),
            burst: limits.burst.get(),
            unsaved: limits.unsaved,
        },
        flush: Flush {
            max_delay: config.flush.max_delay,
            attempts_max: config.flush.max_rows,
        },
        outage_min: config.timing.outage_min,
        idle_stop: config.idle.stop_after,
        records: records(config).await?,
    })
}

/// The store of records, where one is set.
pub(super) async fn records(
    config: &Config,
) -> anyhow::Result<Option<(Arc<dyn RecordStore>, RecorderSettings)>> {
    let Some(url) = &config.mongodb.url else {
        tracing::info!("records are kept with the attempts: mongodb.url is empty");
        return Ok(None);
    };
    if config.database.url.is_none() {
        bail!("mongodb.url needs database.url: the embedded store keeps its records itself");
    }
    let recorder = &config.recorder;
    let (url, database) = (url.expose_secret(), &config.mongodb.database);
    let store = Mongo::connect(url, database, recorder.patience)
        .await
        .context("mongodb.url")?;
    let settings = RecorderSettings {
        spool_dir: recorder.spool.clone(),
        spool_bytes: recorder.spool_bytes,
        patience: recorder.patience,
        events_kept: recorder.events,
        history_kept: recorder.history,
    };
    Ok(Some((Arc::new(store), settings)))
}

/// The jobs of the management side, on whichever node is first. Never ends.
async fn look_after(
    maintenance: Option<Maintenance>,
    engine: &Engine,
    jobs: &Family<JobOutcome, Counter>,
) {
    let Some(maintenance) = maintenance else {
        return std::future::pending().await;
    };
    let now = || DateTime::from_timestamp_millis(engine.now().as_ms()).unwrap_or_default();
    let told = |job: Job, done: Result<Done, Fault>| {
        let outcome = match done {
            Ok(Done::Yes(said)) => {
                tracing::debug!(job = job.name(), said, "maintenance");
                "done"
            }
            Ok(Done::Elsewhere) => "elsewhere",
            Ok(Done::NotYet) => return,
            Err(error) => {
                let error = invigil::telemetry::chain(&error);
                tracing::warn!(job = job.name(), error, "maintenance failed");
                "failed"
            }
        };
        let job = job.name();
        jobs.get_or_create(&JobOutcome { job, outcome }).inc();
    };
    maintenance.run_forever(now, told).await;
}

/// Never ends: a store that could not be maintained today may be tomorrow.
async fn maintain(stores: &Stores, app: &App) {
    let mut interval = tokio::time::interval(MAINTENANCE_INTERVAL);
    loop {
        interval.tick().await;
        let now = app.engine.now();
        if let Err(error) = stores.maintain(now).await {
            let error = invigil::telemetry::chain(&error);
            tracing::warn!(error, "the store could not be maintained");
        }
        match app.evidence.sweep(now).await {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "old evidence is removed"),
            Err(error) => {
                let error = invigil::telemetry::chain(&error);
                tracing::warn!(error, "old evidence could not be removed");
            }
        }
    }
}

/// SIGTERM and Ctrl-C.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

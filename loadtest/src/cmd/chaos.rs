//! Candidates answer while everything around them fails; nothing may be lost.
//!
//! The run starts its own servers (PostgreSQL, Redis, MongoDB if it is installed,
//! three nodes), puts proxies between them, and inflicts faults in an order given by
//! the seed. Meanwhile and at the end, the acknowledgements of candidates are compared
//! with PostgreSQL. The seed repeats the order of the faults, not the exact moment at
//! which each hits the engine.

mod args;
pub(super) mod candidate;
mod check;
pub(super) mod database;
pub(super) mod dice;
pub(super) mod events;
pub(super) mod exam;
mod fault;
pub(super) mod history;
pub(super) mod lines;
pub(super) mod process;
pub(super) mod proxy;
mod report;
pub(super) mod servers;
mod staff;
mod timeline;
mod versions;
mod watch;

use std::{
    collections::BTreeMap, os::unix::fs::PermissionsExt as _, path::Path, process::ExitCode,
    sync::Arc, time::Duration,
};

use anyhow::{Context as _, anyhow, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{
    sync::watch::Sender,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::args::Args;
use self::{
    candidate::{CandidatePhase, ChaosCandidate},
    dice::SeededRandom,
    fault::{FaultLane, FaultLog, NODE_FAULTS, OTHER_FAULTS},
    report::{ChaosReport, ChaosRun},
    servers::ChaosServers,
    staff::{GivenCommand, StaffMember},
    watch::SharedFindings,
};
use crate::util::output;

/// Candidates that sign in at once: each costs a deliberately slow hash.
const ENTER_AT_ONCE: usize = 4;

/// Time after the last fault in which everything must be saved.
const SETTLE_TIMEOUT: Duration = Duration::from_mins(1);

/// Timeout of the shutdown.
const END_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    ensure!(args.candidates > 0, "`--candidates` must be at least 1");
    let period = Duration::try_from_secs_f64(1.0 / args.rate).context("invalid `--rate`")?;
    let temporary;
    let dir = if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir).context("make the folder")?;
        std::path::absolute(dir)?
    } else {
        temporary = tempfile::Builder::new()
            .prefix("invigil-chaos.")
            .tempdir()?;
        temporary.path().to_owned()
    };
    // PostgreSQL may run as another user, who must be able to enter the folder.
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o711))?;

    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let done = tokio::select! {
        done = run_all(&args, period, &dir, &tasks, &stop) => done,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow!("terminated")),
    };
    // The tasks drop the servers, which must end before their folder is removed.
    stop.cancel();
    tasks.close();
    if timeout(END_TIMEOUT, tasks.wait()).await.is_err() {
        output::print_progress("some tasks of the run do not end");
    }
    done
}

async fn run_all(
    args: &Args,
    period: Duration,
    dir: &Path,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let servers = start_servers(args, dir, tasks, stop).await?;
    let http = reqwest::Client::builder()
        .timeout(Duration::from_mins(1))
        .build()?;
    let checks = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .build()?;
    tasks.spawn(watch::watch_nodes(
        Arc::clone(&servers),
        checks,
        stop.clone(),
    ));

    let findings = SharedFindings::default();
    let base = format!("http://{}", servers.front.address);
    let reader = timeline::sign_in(http.clone(), &base).await?;
    let candidates = enter_candidates(args, &servers, &http, tasks).await?;
    output::print_progress(&format!("{} candidates are in", candidates.len()));
    let FaultOutcome {
        mut candidates,
        given,
        log,
        start,
        recovery,
    } = run_under_faults(
        args,
        period,
        &servers,
        (candidates, reader.token()),
        &findings,
        (tasks, stop),
    )
    .await?;
    let events_found =
        check::compare_all(&servers, &reader, &given, &mut candidates, &findings).await?;
    let log = log.faults();
    let failed = log.iter().filter(|fault| fault.failed);
    findings.add_violations(
        failed
            .map(|fault| format!("{}: {}", fault.kind.name(), fault.note))
            .collect(),
    );
    let report = ChaosReport::new(ChaosRun {
        args,
        with_mongodb: servers.mongodb.is_some(),
        revivals: servers.revival_count().await,
        versions: versions::collect_versions(args).await,
        start,
        recovery,
        candidates: &candidates,
        faults: &log,
        given: &given,
        events_found,
        found: findings.current_findings(),
    });
    if let Some(path) = &args.report {
        report.write_markdown(path)?;
    }
    if let Some(path) = &args.report_json {
        report.write_json(path)?;
    }
    report.print_report()?;
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Outcome of the time of faults.
struct FaultOutcome {
    candidates: Vec<ChaosCandidate>,
    given: Vec<GivenCommand>,
    log: FaultLog,
    start: Instant,
    /// Time from the end of the faults until everything was saved.
    recovery: Duration,
}

/// Lets candidates answer and staff act under faults, then waits until everything is
/// settled.
async fn run_under_faults(
    args: &Args,
    period: Duration,
    servers: &Arc<ChaosServers>,
    (candidates, token): (Vec<ChaosCandidate>, &str),
    findings: &SharedFindings,
    (tasks, stop): (&TaskTracker, &CancellationToken),
) -> anyhow::Result<FaultOutcome> {
    let attempts: Vec<String> = candidates
        .iter()
        .map(|candidate| candidate.attempt_id().to_owned())
        .collect();
    let histories: BTreeMap<_, _> = candidates
        .iter()
        .map(|candidate| (candidate.attempt_id().to_owned(), candidate.history.clone()))
        .collect();
    let end = stop.child_token();
    let store = watch::watch_store(
        Arc::clone(servers),
        histories,
        findings.clone(),
        end.clone(),
    );
    let store = tasks.spawn(store);

    let (phase, start) = (Sender::new(CandidatePhase::Answer), Instant::now());
    let mut answering = JoinSet::new();
    for candidate in candidates {
        answering.spawn(tasks.track_future(candidate.keep_answering(period, phase.subscribe())));
    }
    let mut acting = JoinSet::new();
    let base = format!("http://{}", servers.front.address);
    for staff in
        StaffMember::share_attempts(&base, token, &attempts, args.seed, &phase.subscribe())?
    {
        acting.spawn(tasks.track_future(staff.keep_acting()));
    }
    let log = inflict_faults(args, servers, start, tasks, stop).await?;
    servers.restore_all().await.context("restore all servers")?;
    let restored = Instant::now();
    phase.send_replace(CandidatePhase::SettleBy(restored + SETTLE_TIMEOUT));
    output::print_progress("the faults are over; waiting until everything is saved");
    let mut given = Vec::new();
    while let Some(done) = acting.join_next().await {
        given.extend(done.context("staff act")?);
    }
    let (mut candidates, mut settled) = (Vec::new(), restored);
    while let Some(done) = answering.join_next().await {
        let (candidate, at) = done.context("a candidate answers")?;
        settled = settled.max(at);
        candidates.push(candidate);
    }
    end.cancel();
    store.await.context("watch the store")?;
    Ok(FaultOutcome {
        candidates,
        given,
        log,
        start,
        recovery: settled.duration_since(restored),
    })
}

/// Starts the servers and nodes.
async fn start_servers(
    args: &Args,
    dir: &Path,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<Arc<ChaosServers>> {
    let bin = std::path::absolute(&args.bin)?;
    ensure!(bin.is_file(), "{} is missing: build it", bin.display());
    let mongodb = args.mongodb_program(&bin);
    if mongodb.is_none() {
        output::print_progress(
            "WITHOUT MongoDB: records stay in PostgreSQL, its faults are left out",
        );
    }
    let roster = dir.join("roster.csv");
    let people = u32::try_from(args.candidates).context("count the candidates")?;
    super::roster::write_to(&roster, people, exam::EXAM)?;
    timeline::add_staff(&roster)?;
    let programs = (&*bin, mongodb.as_deref());
    let servers = ChaosServers::start(dir, programs, &roster, args.seconds, tasks, stop);
    Ok(Arc::new(servers.await?))
}

async fn enter_candidates(
    args: &Args,
    servers: &ChaosServers,
    http: &reqwest::Client,
    tasks: &TaskTracker,
) -> anyhow::Result<Vec<ChaosCandidate>> {
    let base = format!("http://{}", servers.front.address);
    stream::iter(1..=args.candidates)
        .map(|number| {
            let entering =
                ChaosCandidate::enter_exam(http.clone(), &base, number, args.seed, tasks);
            async move {
                entering
                    .await
                    .with_context(|| format!("candidate {number} enters"))
            }
        })
        .buffered(ENTER_AT_ONCE)
        .try_collect()
        .await
}

/// Inflicts faults for the given time.
async fn inflict_faults(
    args: &Args,
    servers: &Arc<ChaosServers>,
    start: Instant,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<FaultLog> {
    let (log, over) = (FaultLog::default(), stop.child_token());
    let mut lanes = JoinSet::new();
    let others = OTHER_FAULTS
        .iter()
        .copied()
        .filter(|kind| !kind.is_of_mongodb() || servers.mongodb.is_some());
    for (kinds, lane) in [(NODE_FAULTS.to_vec(), 1), (others.collect(), 2)] {
        let lane = FaultLane {
            servers: Arc::clone(servers),
            kinds,
            dice: SeededRandom::new(args.seed.wrapping_mul(1_000).wrapping_add(lane)),
            hang: Duration::from_secs(args.hang_seconds),
            log: log.clone(),
            start,
            stop: over.clone(),
        };
        lanes.spawn(tasks.track_future(lane.run()));
    }
    sleep(Duration::from_secs(args.seconds)).await;
    over.cancel();
    while let Some(ended) = lanes.join_next().await {
        ended.context("inflict faults")?;
    }
    Ok(log)
}

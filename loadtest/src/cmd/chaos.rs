//! Candidates answer while everything around them fails, and nothing may be lost.
//!
//! The run starts servers of its own (PostgreSQL, Redis, MongoDB where it is
//! there, three nodes), puts proxies between them, and lets faults happen in an
//! order that the seed gives. During it and at the end, what candidates were
//! told is compared with what PostgreSQL has. The seed repeats the faults, not
//! the moment at which each meets the engine: that is the machine's.

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
    candidate::{Candidate, Phase},
    dice::Dice,
    fault::{Lane, Log, NODE_FAULTS, OTHER_FAULTS},
    report::{Report, Run},
    servers::Servers,
    staff::{Given, Staff},
    watch::Findings,
};
use crate::util::output;

/// Candidates that sign in at once: each costs a hash that is slow on purpose.
const ENTER_AT_ONCE: usize = 4;

/// How long after the last fault everything must be saved.
const SETTLE: Duration = Duration::from_mins(1);

/// How long the end of everything may take.
const END: Duration = Duration::from_secs(30);

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    ensure!(args.candidates > 0, "there is nobody");
    let period = Duration::try_from_secs_f64(1.0 / args.rate).context("take the rate")?;
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
    // PostgreSQL may run as somebody else, who must come through.
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o711))?;

    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let done = tokio::select! {
        done = all(&args, period, &dir, &tasks, &stop) => done,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow!("told to stop")),
    };
    // Whoever has the servers lets go of them, and they end before their folder.
    stop.cancel();
    tasks.close();
    if timeout(END, tasks.wait()).await.is_err() {
        output::progress("something of the run does not end");
    }
    done
}

async fn all(
    args: &Args,
    period: Duration,
    dir: &Path,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let servers = servers(args, dir, tasks, stop).await?;
    let http = reqwest::Client::builder()
        .timeout(Duration::from_mins(1))
        .build()?;
    let checks = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .build()?;
    tasks.spawn(watch::nodes(Arc::clone(&servers), checks, stop.clone()));

    let findings = Findings::default();
    let base = format!("http://{}", servers.front.address);
    let reader = timeline::sign_in(http.clone(), &base).await?;
    let candidates = enter(args, &servers, &http, tasks).await?;
    output::progress(&format!("{} candidates are in", candidates.len()));
    let Lived {
        mut candidates,
        given,
        log,
        start,
        recovery,
    } = live(
        args,
        period,
        &servers,
        (candidates, reader.token()),
        &findings,
        (tasks, stop),
    )
    .await?;
    let events_found = check::all(&servers, &reader, &given, &mut candidates, &findings).await?;
    let log = log.faults();
    let failed = log.iter().filter(|fault| fault.failed);
    findings.add(
        failed
            .map(|fault| format!("{}: {}", fault.kind.name(), fault.note))
            .collect(),
    );
    let report = Report::new(Run {
        args,
        with_mongodb: servers.mongodb.is_some(),
        revivals: servers.revivals().await,
        versions: versions::all(args).await,
        start,
        recovery,
        candidates: &candidates,
        faults: &log,
        given: &given,
        events_found,
        found: findings.get(),
    });
    if let Some(path) = &args.report {
        report.write(path)?;
    }
    if let Some(path) = &args.report_json {
        report.write_json(path)?;
    }
    report.print()?;
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What came of the time of faults.
struct Lived {
    candidates: Vec<Candidate>,
    given: Vec<Given>,
    log: Log,
    start: Instant,
    /// From the end of the faults until everything was saved.
    recovery: Duration,
}

/// Lets candidates answer, staff act and everything fail, then waits until all of it
/// is settled.
async fn live(
    args: &Args,
    period: Duration,
    servers: &Arc<Servers>,
    (candidates, token): (Vec<Candidate>, &str),
    findings: &Findings,
    (tasks, stop): (&TaskTracker, &CancellationToken),
) -> anyhow::Result<Lived> {
    let attempts: Vec<String> = candidates
        .iter()
        .map(|candidate| candidate.attempt().to_owned())
        .collect();
    let histories: BTreeMap<_, _> = candidates
        .iter()
        .map(|candidate| (candidate.attempt().to_owned(), candidate.history.clone()))
        .collect();
    let end = stop.child_token();
    let store = watch::store(
        Arc::clone(servers),
        histories,
        findings.clone(),
        end.clone(),
    );
    let store = tasks.spawn(store);

    let (phase, start) = (Sender::new(Phase::Answer), Instant::now());
    let mut answering = JoinSet::new();
    for candidate in candidates {
        answering.spawn(tasks.track_future(candidate.answer(period, phase.subscribe())));
    }
    let mut acting = JoinSet::new();
    let base = format!("http://{}", servers.front.address);
    for staff in Staff::all(&base, token, &attempts, args.seed, &phase.subscribe())? {
        acting.spawn(tasks.track_future(staff.act()));
    }
    let log = faults(args, servers, start, tasks, stop).await?;
    servers.restore().await.context("bring everything back")?;
    let restored = Instant::now();
    phase.send_replace(Phase::SettleBy(restored + SETTLE));
    output::progress("the faults are over; waiting until everything is saved");
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
    Ok(Lived {
        candidates,
        given,
        log,
        start,
        recovery: settled.duration_since(restored),
    })
}

/// Starts everything that answers.
async fn servers(
    args: &Args,
    dir: &Path,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<Arc<Servers>> {
    let bin = std::path::absolute(&args.bin)?;
    ensure!(bin.is_file(), "{} is missing: build it", bin.display());
    let mongodb = args.mongodb(&bin);
    if mongodb.is_none() {
        output::progress("WITHOUT MongoDB: records stay in PostgreSQL, its faults are left out");
    }
    let roster = dir.join("roster.csv");
    let people = u32::try_from(args.candidates).context("count the candidates")?;
    super::roster::write_to(&roster, people, exam::EXAM)?;
    timeline::add_staff(&roster)?;
    let programs = (&*bin, mongodb.as_deref());
    let servers = Servers::start(dir, programs, &roster, args.seconds, tasks, stop);
    Ok(Arc::new(servers.await?))
}

async fn enter(
    args: &Args,
    servers: &Servers,
    http: &reqwest::Client,
    tasks: &TaskTracker,
) -> anyhow::Result<Vec<Candidate>> {
    let base = format!("http://{}", servers.front.address);
    stream::iter(1..=args.candidates)
        .map(|number| {
            let entering = Candidate::enter(http.clone(), &base, number, args.seed, tasks);
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

/// Lets everything fail for as long as was asked.
async fn faults(
    args: &Args,
    servers: &Arc<Servers>,
    start: Instant,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<Log> {
    let (log, over) = (Log::default(), stop.child_token());
    let mut lanes = JoinSet::new();
    let others = OTHER_FAULTS
        .iter()
        .copied()
        .filter(|kind| !kind.is_of_mongodb() || servers.mongodb.is_some());
    for (kinds, lane) in [(NODE_FAULTS.to_vec(), 1), (others.collect(), 2)] {
        let lane = Lane {
            servers: Arc::clone(servers),
            kinds,
            dice: Dice::new(args.seed.wrapping_mul(1_000).wrapping_add(lane)),
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
        ended.context("let things fail")?;
    }
    Ok(log)
}

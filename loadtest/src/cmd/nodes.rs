//! Figures of one exam on several nodes: the time of a candidate's hand-over between
//! two live nodes, the time that candidates are away when their node is killed, and
//! the cost of a second node.
//!
//! Each figure starts its own servers. The acknowledgements of candidates are compared
//! with PostgreSQL at the end of each; the run ends with 1 if they differ, and never
//! because of a bad figure, which also depends on the machine.

mod args;
mod cluster;
mod cpu;
mod crowd;
mod hand_over;
mod kill;
mod line;
mod mover;

use std::{collections::BTreeMap, path::Path, process::ExitCode, time::Duration};

use anyhow::{Context as _, anyhow, ensure};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::args::Args;
use self::args::NodesFigure;
use super::chaos::{candidate::ChaosCandidate, database::DatabaseAttempt};
use crate::util::output;

/// Candidates that sign in, or are checked, at once: signing in costs a deliberately
/// slow hash.
const ENTER_AT_ONCE: usize = 16;

/// Tries of a candidate to enter, before anything is measured.
const TRIES: u32 = 5;

/// Time between two of these tries.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Time after the last answer in which everything must be saved.
const SETTLE_TIMEOUT: Duration = Duration::from_mins(1);

/// Timeout of the shutdown.
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// Number of violations printed.
const SHOWN: usize = 10;

/// The measured figures.
#[derive(Debug, Default, Serialize)]
struct NodesReport {
    hand_over: Option<hand_over::HandOverReport>,
    kill: Option<kill::KillReport>,
    cpu: Option<cpu::CpuReport>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let temporary;
    let dir = if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir).context("make the folder")?;
        std::path::absolute(dir)?
    } else {
        temporary = tempfile::Builder::new()
            .prefix("invigil-nodes.")
            .tempdir()?;
        temporary.path().to_owned()
    };
    cluster::open_to_all(&dir)?;

    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let done = tokio::select! {
        done = measure_all(&args, &dir, &tasks, &stop) => done,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow!("terminated")),
    };
    stop.cancel();
    tasks.close();
    if timeout(END_TIMEOUT, tasks.wait()).await.is_err() {
        output::print_progress("some tasks of the run do not end");
    }
    done
}

async fn measure_all(
    args: &Args,
    dir: &Path,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let bin = std::path::absolute(&args.bin)?;
    ensure!(bin.is_file(), "{} is missing: build it", bin.display());
    let http = reqwest::Client::builder()
        .timeout(Duration::from_mins(1))
        .build()?;
    let (mut report, mut good) = (NodesReport::default(), true);
    if args.wants(NodesFigure::HandOver) {
        let measuring = hand_over::measure_hand_overs(args, dir, &bin, &http, tasks);
        let measured = Box::pin(measuring).await.context("measure hand-overs")?;
        measured.print_report()?;
        good &= measured.is_good();
        report.hand_over = Some(measured);
    }
    if args.wants(NodesFigure::Kill) {
        let measuring = kill::measure_kill(args, dir, &bin, &http, tasks, stop);
        let measured = Box::pin(measuring).await.context("measure a kill")?;
        measured.print_report()?;
        good &= measured.is_good();
        report.kill = Some(measured);
    }
    if args.wants(NodesFigure::Cpu) {
        let measuring = cpu::measure_cpu(args, dir, &bin, &http, tasks);
        let measured = Box::pin(measuring).await.context("measure a second node")?;
        measured.print_report()?;
        good &= measured.is_good();
        report.cpu = Some(measured);
    }
    if let Some(path) = &args.report {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text).context("write the report")?;
    }
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Enters with retries, as the engine may be busy with the others.
async fn enter_with_retry<T, E: Future<Output = anyhow::Result<T>>>(
    mut entering: impl FnMut() -> E,
) -> anyhow::Result<T> {
    for _ in 1..TRIES {
        match entering().await {
            Ok(entered) => return Ok(entered),
            Err(error) => output::print_progress(&format!("trying again: {error:#}")),
        }
        sleep(RETRY_INTERVAL).await;
    }
    entering().await
}

/// Compares all candidates with the store, and with the engine's view of it.
async fn check_all(
    candidates: &[ChaosCandidate],
    stored: &BTreeMap<String, DatabaseAttempt>,
) -> Vec<String> {
    let checks = stream::iter(candidates)
        .map(|candidate| candidate.check_settled(stored.get(candidate.attempt_id())))
        .buffer_unordered(ENTER_AT_ONCE);
    checks.collect::<Vec<_>>().await.concat()
}

/// Prints violations, up to a limit.
fn print_problems(what: &str, wrong: &[String]) {
    for wrong in wrong.iter().take(SHOWN) {
        output::print_progress(&format!("{what}  {wrong}"));
    }
}

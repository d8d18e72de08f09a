//! The figures of one exam on several nodes: how fast a candidate changes between
//! two that live, how long all are away when theirs is killed, and what a second
//! node costs.
//!
//! Each figure starts servers of its own. What candidates were told is compared
//! with PostgreSQL at the end of each; the run ends with 1 where that differs, and
//! never because a figure is bad: a figure is the machine's, too.

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
use self::args::Figure;
use super::chaos::{candidate::Candidate, database::StoredAttempt};
use crate::util::output;

/// Candidates that sign in, or are checked, at once: signing in costs a hash that
/// is slow on purpose.
const ENTER_AT_ONCE: usize = 16;

/// How often somebody tries to come in before anything is measured.
const TRIES: u32 = 5;

/// Between two of these tries.
const AGAIN: Duration = Duration::from_secs(1);

/// How long after the last answer everything must be saved.
const SETTLE: Duration = Duration::from_mins(1);

/// How long the end of everything may take.
const END: Duration = Duration::from_secs(30);

/// What is wrong is shown up to here.
const SHOWN: usize = 10;

/// What was measured.
#[derive(Debug, Default, Serialize)]
struct Report {
    hand_over: Option<hand_over::Report>,
    kill: Option<kill::Report>,
    cpu: Option<cpu::Report>,
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
        done = all(&args, &dir, &tasks, &stop) => done,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow!("told to stop")),
    };
    stop.cancel();
    tasks.close();
    if timeout(END, tasks.wait()).await.is_err() {
        output::progress("something of the run does not end");
    }
    done
}

async fn all(
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
    let (mut report, mut good) = (Report::default(), true);
    if args.wants(Figure::HandOver) {
        let measuring = hand_over::measure(args, dir, &bin, &http, tasks);
        let measured = Box::pin(measuring).await.context("measure hand-overs")?;
        measured.print()?;
        good &= measured.is_good();
        report.hand_over = Some(measured);
    }
    if args.wants(Figure::Kill) {
        let measuring = kill::measure(args, dir, &bin, &http, tasks, stop);
        let measured = Box::pin(measuring).await.context("measure a kill")?;
        measured.print()?;
        good &= measured.is_good();
        report.kill = Some(measured);
    }
    if args.wants(Figure::Cpu) {
        let measuring = cpu::measure(args, dir, &bin, &http, tasks);
        let measured = Box::pin(measuring).await.context("measure a second node")?;
        measured.print()?;
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

/// Lets somebody in, again where the engine is too busy with all the others.
async fn enter<T, E: Future<Output = anyhow::Result<T>>>(
    mut entering: impl FnMut() -> E,
) -> anyhow::Result<T> {
    for _ in 1..TRIES {
        match entering().await {
            Ok(entered) => return Ok(entered),
            Err(error) => output::progress(&format!("once more: {error:#}")),
        }
        sleep(AGAIN).await;
    }
    entering().await
}

/// Compares everybody with the store, and with what the engine says is in it.
async fn check_all(
    candidates: &[Candidate],
    stored: &BTreeMap<String, StoredAttempt>,
) -> Vec<String> {
    let checks = stream::iter(candidates)
        .map(|candidate| candidate.check_settled(stored.get(candidate.attempt())))
        .buffer_unordered(ENTER_AT_ONCE);
    checks.collect::<Vec<_>>().await.concat()
}

/// Says what is wrong, or some of it.
fn shown(what: &str, wrong: &[String]) {
    for wrong in wrong.iter().take(SHOWN) {
        output::progress(&format!("{what}  {wrong}"));
    }
}

//! How long candidates are away when the node that has all of them is killed: from
//! the kill to `welcome` of another node, with the SDK's own back-off. A proxy
//! stands before the nodes, as a load balancer does, and sends nobody to the
//! others before.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tokio::{
    sync::watch::Sender,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{SETTLE, args::Args, check_all, cluster::Cluster, crowd, shown};
use crate::{
    cmd::chaos::{
        candidate::{Phase, Shared},
        proxy::Proxy,
    },
    util::{latency::Percentiles, output},
};

/// Within this everybody should be back.
const GOAL: Duration = Duration::from_secs(10);

/// Whoever is not back by then is not seated.
const SEATED: Duration = Duration::from_mins(2);

/// How long everybody's first answer may take.
const FIRST: Duration = Duration::from_mins(1);

/// Between two looks at who is back.
const LOOK: Duration = Duration::from_millis(100);

/// Descriptors of a candidate here: its own socket, and both ends at the proxy.
const DESCRIPTORS_EACH: u64 = 3;

/// Descriptors for everything else, requests over HTTP among it.
const DESCRIPTORS: u64 = 1_000;

/// See the module.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    candidates: u32,
    survivors: usize,
    answers_per_second: f64,
    seated: u64,
    seated_within_goal: usize,
    from_kill_to_welcome_ms: Percentiles,
    /// Processor time of the survivors until all were back, for each of them.
    engine_ms_each: f64,
    postgres_ms_each: f64,
    /// Attempts that a survivor took after it had asked the dead node for them.
    asked_the_dead: f64,
    /// Answers that were called saved before the kill.
    saved_before: usize,
    /// From the kill until all answers of everyone were saved.
    settled_s: f64,
    saved: usize,
    violations: Vec<String>,
}

pub(super) async fn measure(
    args: &Args,
    dir: &Path,
    bin: &Path,
    http: &reqwest::Client,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<Report> {
    ensure!(args.survivors > 0, "somebody must remain");
    let needed = u64::from(args.candidates) * DESCRIPTORS_EACH + DESCRIPTORS;
    ensure!(
        descriptors()? >= needed,
        "{needed} descriptors are needed; allow them with: ulimit -n {needed}"
    );
    let mut cluster = Cluster::start(&dir.join("kill"), bin, args.candidates).await?;
    let count = 1 + args.survivors;
    cluster.start_nodes(http, count).await?;
    let front = Proxy::start(count, tasks, stop.clone()).await?;
    front.open(0, cluster.address(0)?);
    let base = format!("http://{}", front.address);
    let numbers = 1..=args.candidates as usize;
    let candidates = crowd::enter(http, &[base], numbers, tasks).await?;
    output::progress(&format!("{} candidates are in", candidates.len()));
    let histories: Vec<Shared> = candidates
        .iter()
        .map(|candidate| candidate.history.clone())
        .collect();

    let phase = Sender::new(Phase::Answer);
    let period = crowd::period(candidates.len(), args.light_rate)?;
    let answering = crowd::answer(candidates, args.light_rate, &phase, tasks)?;
    let until = Instant::now() + period + FIRST;
    while histories.iter().any(|history| history.lock().saved() == 0) {
        ensure!(Instant::now() < until, "not everybody's answer is saved");
        sleep(LOOK).await;
    }
    for index in 1..count {
        front.open(index, cluster.address(index)?);
    }
    let saved_before = histories.iter().map(|history| history.lock().saved()).sum();
    output::progress("everybody has answered; the node is killed");
    let killed = Instant::now();
    cluster.kill_node(0);
    let before = cluster.cpu()?;
    let times = seated(&histories, killed).await;
    let after = cluster.cpu()?;
    let each = |after: Duration, before: Duration| {
        after.saturating_sub(before).as_secs_f64() * 1_000.0 / f64::from(args.candidates)
    };
    let takeovers = cluster.takeovers(http).await?;
    phase.send_replace(Phase::SettleBy(Instant::now() + SETTLE));
    let candidates = crowd::join(answering).await?;
    let settled_s = killed.elapsed().as_secs_f64();

    let stored = cluster.database.attempts().await;
    let stored = stored.context("read what is stored")?;
    let mut violations = check_all(&candidates, &stored).await;
    for _ in times.len()..histories.len() {
        violations.push("a candidate was not seated".to_owned());
    }
    Ok(Report {
        candidates: args.candidates,
        survivors: args.survivors,
        answers_per_second: args.light_rate,
        seated: times.len() as u64,
        seated_within_goal: times.iter().filter(|&&time| time <= GOAL).count(),
        from_kill_to_welcome_ms: Percentiles::of(times),
        engine_ms_each: each(after.engine, before.engine),
        postgres_ms_each: each(after.postgres, before.postgres),
        asked_the_dead: takeovers.taken,
        saved_before,
        settled_s,
        saved: histories.iter().map(|history| history.lock().saved()).sum(),
        violations,
    })
}

/// Waits until everyone is back, or no longer; how long each was away who is.
async fn seated(histories: &[Shared], killed: Instant) -> Vec<Duration> {
    let back = || {
        histories.iter().filter_map(|history| {
            let history = history.lock();
            let mut entered = history.entered_at.iter();
            entered.find(|&&at| at > killed).map(|&at| at - killed)
        })
    };
    while back().count() < histories.len() && killed.elapsed() < SEATED {
        sleep(LOOK).await;
    }
    back().collect()
}

/// Files that this process may have open.
fn descriptors() -> anyhow::Result<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").context("read the limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    match soft.context("find the limit of open files")? {
        "unlimited" => Ok(u64::MAX),
        soft => soft.parse().context("read the limit of open files"),
    }
}

impl Report {
    /// Whether everybody is seated, and everything that was called saved is there.
    pub(super) const fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    pub(super) fn print(&self) -> anyhow::Result<()> {
        let title = format!(
            "kill -9: {} candidates, {} answers/s, {} other node(s)",
            self.candidates, self.answers_per_second, self.survivors
        );
        let seconds = |ms: f64| format!("{:.2} s", ms / 1_000.0);
        let times = &self.from_kill_to_welcome_ms;
        let rows = [
            ("seated", self.seated.to_string()),
            ("within 10 s", self.seated_within_goal.to_string()),
            ("p50", seconds(times.p50)),
            ("p95", seconds(times.p95)),
            ("p99", seconds(times.p99)),
            ("max", seconds(times.max)),
            ("engine CPU each", format!("{:.1} ms", self.engine_ms_each)),
            (
                "PostgreSQL CPU each",
                format!("{:.1} ms", self.postgres_ms_each),
            ),
            ("dead node was asked", self.asked_the_dead.to_string()),
            ("answers saved before", self.saved_before.to_string()),
            ("answers saved", self.saved.to_string()),
            ("all saved after", format!("{:.2} s", self.settled_s)),
            ("violations", self.violations.len().to_string()),
        ];
        output::print(false, self, &title, &rows)?;
        shown("VIOLATION", &self.violations);
        Ok(())
    }
}

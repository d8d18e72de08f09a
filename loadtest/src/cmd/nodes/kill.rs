//! Time that candidates are away when the node of all of them is killed: from the kill to
//! `welcome` of another node, with the SDK's own back-off. A proxy before the nodes acts
//! as a load balancer and sends all candidates to that node before the kill.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tokio::{
    sync::watch::Sender,
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{SETTLE_TIMEOUT, args::Args, check_all, cluster::NodeCluster, crowd, print_problems};
use crate::{
    cmd::chaos::{
        candidate::{CandidatePhase, SharedHistory},
        proxy::TcpProxy,
    },
    util::{latency::LatencyPercentiles, output},
};

/// Time within which all candidates should be back.
const GOAL: Duration = Duration::from_secs(10);

/// Timeout of a candidate's return.
const RETURN_TIMEOUT: Duration = Duration::from_mins(2);

/// Timeout of the first answers of all candidates.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// Interval of polling.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Descriptors of a candidate: its socket, and both ends at the proxy.
const DESCRIPTORS_EACH: u64 = 3;

/// Descriptors for everything else, such as HTTP requests.
const DESCRIPTORS: u64 = 1_000;

/// The report; see the module.
#[derive(Debug, Serialize)]
pub(super) struct KillReport {
    candidates: u32,
    survivors: usize,
    answers_per_second: f64,
    seated: u64,
    seated_within_goal: usize,
    from_kill_to_welcome_ms: LatencyPercentiles,
    /// Processor time of the survivors until all were back, per candidate.
    engine_ms_each: f64,
    postgres_ms_each: f64,
    /// Attempts that a survivor acquired after asking the dead node for them.
    asked_the_dead: f64,
    /// Answers reported as saved before the kill.
    saved_before: usize,
    /// Time from the kill until all answers were saved.
    settled_s: f64,
    saved: usize,
    violations: Vec<String>,
}

pub(super) async fn measure_kill(
    args: &Args,
    dir: &Path,
    bin: &Path,
    http: &reqwest::Client,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<KillReport> {
    ensure!(args.survivors > 0, "`--survivors` must be at least 1");
    let needed = u64::from(args.candidates) * DESCRIPTORS_EACH + DESCRIPTORS;
    ensure!(
        descriptor_limit()? >= needed,
        "{needed} descriptors are needed; allow them with: ulimit -n {needed}"
    );
    let mut cluster = NodeCluster::start(&dir.join("kill"), bin, args.candidates).await?;
    let count = 1 + args.survivors;
    cluster.start_nodes(http, count).await?;
    let front = TcpProxy::start(count, tasks, stop.clone()).await?;
    front.set_target(0, cluster.node_address(0)?);
    let base = format!("http://{}", front.address);
    let numbers = 1..=args.candidates as usize;
    let candidates = crowd::enter_crowd(http, &[base], numbers, tasks).await?;
    output::print_progress(&format!("{} candidates are in", candidates.len()));
    let histories: Vec<SharedHistory> = candidates
        .iter()
        .map(|candidate| candidate.history.clone())
        .collect();

    let phase = Sender::new(CandidatePhase::Answer);
    let period = crowd::answer_period(candidates.len(), args.light_rate)?;
    let answering = crowd::start_answering(candidates, args.light_rate, &phase, tasks)?;
    let until = Instant::now() + period + FIRST_ANSWER_TIMEOUT;
    while histories
        .iter()
        .any(|history| history.lock().saved_count() == 0)
    {
        ensure!(Instant::now() < until, "some first answers are not saved");
        sleep(POLL_INTERVAL).await;
    }
    for index in 1..count {
        front.set_target(index, cluster.node_address(index)?);
    }
    let saved_before = saved_total(&histories);
    output::print_progress("all candidates have answered; killing the node");
    let killed = Instant::now();
    cluster.kill_node(0);
    let before = cluster.processor_time()?;
    let times = wait_until_back(&histories, killed).await;
    let after = cluster.processor_time()?;
    let each = |after: Duration, before: Duration| {
        after.saturating_sub(before).as_secs_f64() * 1_000.0 / f64::from(args.candidates)
    };
    let takeovers = cluster.takeover_totals(http).await?;
    phase.send_replace(CandidatePhase::SettleBy(Instant::now() + SETTLE_TIMEOUT));
    let candidates = crowd::join_crowd(answering).await?;
    let settled_s = killed.elapsed().as_secs_f64();

    let stored = cluster.database.read_attempts().await;
    let stored = stored.context("read what is stored")?;
    let mut violations = check_all(&candidates, &stored).await;
    for _ in times.len()..histories.len() {
        violations.push("a candidate did not come back".to_owned());
    }
    Ok(KillReport {
        candidates: args.candidates,
        survivors: args.survivors,
        answers_per_second: args.light_rate,
        seated: times.len() as u64,
        seated_within_goal: times.iter().filter(|&&time| time <= GOAL).count(),
        from_kill_to_welcome_ms: LatencyPercentiles::from_latencies(times),
        engine_ms_each: each(after.engine, before.engine),
        postgres_ms_each: each(after.postgres, before.postgres),
        asked_the_dead: takeovers.taken,
        saved_before,
        settled_s,
        saved: saved_total(&histories),
        violations,
    })
}

/// Count of answers that candidates know as saved.
fn saved_total(histories: &[SharedHistory]) -> usize {
    let counts = histories.iter().map(|history| history.lock().saved_count());
    counts.sum()
}

/// Waits until all candidates are back, up to a timeout. Returns the times that they were
/// away.
async fn wait_until_back(histories: &[SharedHistory], killed: Instant) -> Vec<Duration> {
    let back = || {
        histories.iter().filter_map(|history| {
            let history = history.lock();
            let mut entered = history.entered_at.iter();
            entered.find(|&&at| at > killed).map(|&at| at - killed)
        })
    };
    while back().count() < histories.len() && killed.elapsed() < RETURN_TIMEOUT {
        sleep(POLL_INTERVAL).await;
    }
    back().collect()
}

/// Returns the number of files that this process may have open.
fn descriptor_limit() -> anyhow::Result<u64> {
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

impl KillReport {
    /// True if all candidates are back, and everything reported as saved is stored.
    pub(super) const fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    pub(super) fn print_report(&self) -> anyhow::Result<()> {
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
        output::print_result(false, self, &title, &rows)?;
        print_problems("VIOLATION", &self.violations);
        Ok(())
    }
}

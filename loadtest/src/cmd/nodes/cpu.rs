//! Cost of a command on one node, and on two that share the same load. The runs
//! alternate, because the speed of the machine varies over minutes. Every run has new
//! nodes, and all rows exist before the first.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use invigil_client::ClientOptions;
use serde::Serialize;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::task::TaskTracker;

use super::{ENTER_AT_ONCE, args::Args, cluster::NodeCluster, print_problems};
use crate::{
    cmd::{
        chaos::exam::{EXAM, QUESTIONS},
        steady::candidate::SteadyCandidate,
    },
    util::{
        latency::LatencyPercentiles, metrics::WriterMetrics, output, pace::SendPace,
        process::to_f64,
    },
};

/// Time between the last sign-in and the first answer.
const WARM_UP: Duration = Duration::from_secs(2);

/// Figures of a run on one node or on two.
#[derive(Debug, Clone, Serialize)]
struct CpuTurn {
    nodes: usize,
    saved: u64,
    engine_us: f64,
    postgres_us: f64,
    redis_us: f64,
    batch_rows_mean: f64,
    /// Answers that the generator sent too late.
    missed: u64,
    to_saved_ms: LatencyPercentiles,
    #[serde(skip)]
    violations: Vec<String>,
}

/// The report; see the module.
#[derive(Debug, Serialize)]
pub(super) struct CpuReport {
    candidates: u32,
    answers_per_second: f64,
    seconds: u64,
    turns: Vec<CpuTurn>,
    /// Ratio of a command's processor time on two nodes to that on one: the engine's.
    engine_ratio: f64,
    postgres_ratio: f64,
    /// The same of engine, PostgreSQL and Redis together.
    whole_ratio: f64,
    violations: Vec<String>,
}

/// Load of a run.
#[derive(Clone, Copy)]
struct TurnLoad {
    nodes: usize,
    length: Duration,
}

pub(super) async fn measure_cpu(
    args: &Args,
    dir: &Path,
    bin: &Path,
    http: &reqwest::Client,
    tasks: &TaskTracker,
) -> anyhow::Result<CpuReport> {
    let mut cluster = NodeCluster::start(&dir.join("cpu"), bin, args.load_candidates).await?;
    let rows = f64::from(args.load_candidates) * f64::from(u32::try_from(QUESTIONS)?);
    let filling = Duration::try_from_secs_f64(rows / args.load_rate).context("invalid rate")?;
    let load = |nodes, length| TurnLoad { nodes, length };
    // Every candidate answers every question once; later runs only replace rows.
    run_turn(args, load(1, filling), &mut cluster, http, tasks).await?;
    let (mut turns, mut violations) = (Vec::new(), Vec::new());
    for _ in 0..args.load_pairs {
        for nodes in [1, 2] {
            let load = load(nodes, Duration::from_secs(args.load_seconds));
            let mut turn = run_turn(args, load, &mut cluster, http, tasks).await?;
            output::print_progress(&turn.summary_line());
            violations.append(&mut turn.violations);
            turns.push(turn);
        }
    }
    let ratio = |of: fn(&CpuTurn) -> f64| mean_of(&turns, 2, of) / mean_of(&turns, 1, of);
    Ok(CpuReport {
        candidates: args.load_candidates,
        answers_per_second: args.load_rate,
        seconds: args.load_seconds,
        engine_ratio: ratio(|turn| turn.engine_us),
        postgres_ratio: ratio(|turn| turn.postgres_us),
        whole_ratio: ratio(|turn| turn.engine_us + turn.postgres_us + turn.redis_us),
        turns,
        violations,
    })
}

fn mean_of(turns: &[CpuTurn], nodes: usize, of: fn(&CpuTurn) -> f64) -> f64 {
    let of: Vec<f64> = turns
        .iter()
        .filter(|turn| turn.nodes == nodes)
        .map(of)
        .collect();
    of.iter().sum::<f64>() / to_f64(of.len() as u64)
}

async fn run_turn(
    args: &Args,
    load: TurnLoad,
    cluster: &mut NodeCluster,
    http: &reqwest::Client,
    tasks: &TaskTracker,
) -> anyhow::Result<CpuTurn> {
    cluster.start_nodes(http, load.nodes).await?;
    let bases = cluster.base_urls();
    let candidates = enter_candidates(args, &bases, http, tasks).await?;
    output::print_progress(&format!(
        "{} candidates are in, on {} node(s)",
        candidates.len(),
        load.nodes
    ));
    sleep(WARM_UP).await;
    let (before, writer_before) = (
        cluster.processor_time()?,
        writer_metrics(http, &bases).await?,
    );
    let pace = SendPace {
        start: Instant::now(),
        per_second: args.load_rate,
        length: load.length,
        connections: args.load_candidates,
    };
    let mut running = JoinSet::new();
    for (number, candidate) in (0..).zip(candidates) {
        running.spawn(candidate.answer_at_pace(pace, number));
    }
    let mut candidates = Vec::new();
    while let Some(candidate) = running.join_next().await {
        candidates.push(candidate.context("a candidate answers")?);
    }
    let (after, writer_after) = (
        cluster.processor_time()?,
        writer_metrics(http, &bases).await?,
    );

    let latencies =
        LatencyPercentiles::from_latencies(candidates.iter().flat_map(SteadyCandidate::latencies));
    let saved = latencies.count;
    let unsettled: u64 = candidates
        .iter()
        .map(SteadyCandidate::unsettled_count)
        .sum();
    let missed = candidates.iter().map(|candidate| candidate.missed).sum();
    let mut violations = check_answers(candidates).await?;
    if unsettled > 0 {
        violations.push(format!("{unsettled} answers are not saved"));
    }
    cluster.stop_nodes().await?;
    let each = |after: Duration, before: Duration| {
        (after.saturating_sub(before)).as_secs_f64() * 1e6 / to_f64(saved.max(1))
    };
    Ok(CpuTurn {
        nodes: load.nodes,
        saved,
        engine_us: each(after.engine, before.engine),
        postgres_us: each(after.postgres, before.postgres),
        redis_us: each(after.redis, before.redis),
        batch_rows_mean: writer_after
            .means_since(writer_before)
            .map_or(0.0, |(rows, _)| rows),
        missed,
        to_saved_ms: latencies,
        violations,
    })
}

/// Signs all candidates in, at all nodes in turn. The first one fetches the paper for
/// all.
async fn enter_candidates(
    args: &Args,
    bases: &[String],
    http: &reqwest::Client,
    tasks: &TaskTracker,
) -> anyhow::Result<Vec<SteadyCandidate>> {
    let enter = |number: u32, questions| {
        let base = &bases[number as usize % bases.len()];
        let http = http.clone();
        async move {
            let (id, code) = (format!("load-{number:05}"), format!("code-{number:05}"));
            let options = ClientOptions::default();
            let entering = SteadyCandidate::enter_exam(
                http, base, EXAM, &id, &code, options, questions, tasks,
            );
            entering.await.with_context(|| format!("{id} enters"))
        }
    };
    if args.load_candidates == 0 {
        bail!("`--load-candidates` must be at least 1");
    }
    let first = enter(1, None).await?;
    let questions = first.questions();
    let mut all: Vec<SteadyCandidate> = stream::iter(2..=args.load_candidates)
        .map(|number| {
            let (enter, questions) = (&enter, &questions);
            super::enter_with_retry(move || enter(number, Some(std::sync::Arc::clone(questions))))
        })
        .buffer_unordered(ENTER_AT_ONCE)
        .try_collect()
        .await?;
    all.push(first);
    Ok(all)
}

/// Returns the writer's metrics, summed over all nodes.
async fn writer_metrics(http: &reqwest::Client, bases: &[String]) -> anyhow::Result<WriterMetrics> {
    let mut all: Option<WriterMetrics> = None;
    for base in bases {
        let one = WriterMetrics::fetch_from(http, base).await;
        let one = one.context("read a node's metrics")?;
        all = Some(all.map_or(one, |all| all.combined_with(one)));
    }
    all.context("no node runs")
}

async fn check_answers(candidates: Vec<SteadyCandidate>) -> anyhow::Result<Vec<String>> {
    let mut checks = stream::iter(candidates)
        .map(|mut candidate| async move { candidate.check_stored().await })
        .buffer_unordered(ENTER_AT_ONCE);
    let mut violations = Vec::new();
    while let Some(mut checked) = checks.try_next().await.context("compare the answers")? {
        violations.append(&mut checked.differences);
    }
    Ok(violations)
}

impl CpuTurn {
    fn summary_line(&self) -> String {
        format!(
            "engine {:.1} \u{b5}s, PostgreSQL {:.1}, Redis {:.1}; {:.1} rows a batch, \
             p99 {:.1} ms, {} saved, {} missed",
            self.engine_us,
            self.postgres_us,
            self.redis_us,
            self.batch_rows_mean,
            self.to_saved_ms.p99,
            self.saved,
            self.missed
        )
    }
}

impl CpuReport {
    /// True if everything reported as saved is stored.
    pub(super) const fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    pub(super) fn print_report(&self) -> anyhow::Result<()> {
        let title = format!(
            "CPU a command: {} candidates, {}/s for {} s, on one node and on two",
            self.candidates, self.answers_per_second, self.seconds
        );
        let mut rows: Vec<(&str, String)> = self
            .turns
            .iter()
            .map(|turn| {
                let name = if turn.nodes == 1 {
                    "one node"
                } else {
                    "two nodes"
                };
                (name, turn.summary_line())
            })
            .collect();
        let ratio = |ratio: f64| format!("{ratio:.2}");
        rows.extend([
            ("two against one, engine", ratio(self.engine_ratio)),
            ("the same, PostgreSQL", ratio(self.postgres_ratio)),
            ("the same, all of it", ratio(self.whole_ratio)),
            ("violations", self.violations.len().to_string()),
        ]);
        output::print_result(false, self, &title, &rows)?;
        print_problems("VIOLATION", &self.violations);
        Ok(())
    }
}

//! What a command costs on one node, and on two that share the same load: turn by
//! turn, because the machine is not always as fast as it was a minute ago. Every
//! turn has new nodes, and everyone's rows are there before the first.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use invigil_client::Options;
use serde::Serialize;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::task::TaskTracker;

use super::{ENTER_AT_ONCE, args::Args, cluster::Cluster, shown};
use crate::{
    cmd::{
        chaos::exam::{EXAM, QUESTIONS},
        steady::candidate::Candidate,
    },
    util::{latency::Percentiles, metrics::Writer, output, pace::Pace, process::precise},
};

/// Between the last sign-in and the first answer.
const BREATH: Duration = Duration::from_secs(2);

/// One run on one node or on two.
#[derive(Debug, Clone, Serialize)]
struct Turn {
    nodes: usize,
    saved: u64,
    engine_us: f64,
    postgres_us: f64,
    redis_us: f64,
    batch_rows_mean: f64,
    /// Sent too late by the generator.
    missed: u64,
    to_saved_ms: Percentiles,
    #[serde(skip)]
    violations: Vec<String>,
}

/// See the module.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    candidates: u32,
    answers_per_second: f64,
    seconds: u64,
    turns: Vec<Turn>,
    /// A command's processor time on two nodes against that on one: the engine's.
    engine_ratio: f64,
    postgres_ratio: f64,
    /// All of it: engine, PostgreSQL and Redis.
    whole_ratio: f64,
    violations: Vec<String>,
}

/// How a run is.
#[derive(Clone, Copy)]
struct Load {
    nodes: usize,
    length: Duration,
}

pub(super) async fn measure(
    args: &Args,
    dir: &Path,
    bin: &Path,
    http: &reqwest::Client,
    tasks: &TaskTracker,
) -> anyhow::Result<Report> {
    let mut cluster = Cluster::start(&dir.join("cpu"), bin, args.load_candidates).await?;
    let rows = f64::from(args.load_candidates) * f64::from(u32::try_from(QUESTIONS)?);
    let filling = Duration::try_from_secs_f64(rows / args.load_rate).context("take the rate")?;
    let load = |nodes, length| Load { nodes, length };
    // Everyone answers everything once: from then on rows are only replaced.
    turn(args, load(1, filling), &mut cluster, http, tasks).await?;
    let (mut turns, mut violations) = (Vec::new(), Vec::new());
    for _ in 0..args.load_pairs {
        for nodes in [1, 2] {
            let load = load(nodes, Duration::from_secs(args.load_seconds));
            let mut turn = turn(args, load, &mut cluster, http, tasks).await?;
            output::progress(&turn.line());
            violations.append(&mut turn.violations);
            turns.push(turn);
        }
    }
    let ratio = |of: fn(&Turn) -> f64| mean(&turns, 2, of) / mean(&turns, 1, of);
    Ok(Report {
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

fn mean(turns: &[Turn], nodes: usize, of: fn(&Turn) -> f64) -> f64 {
    let of: Vec<f64> = turns
        .iter()
        .filter(|turn| turn.nodes == nodes)
        .map(of)
        .collect();
    of.iter().sum::<f64>() / precise(of.len() as u64)
}

async fn turn(
    args: &Args,
    load: Load,
    cluster: &mut Cluster,
    http: &reqwest::Client,
    tasks: &TaskTracker,
) -> anyhow::Result<Turn> {
    cluster.start_nodes(http, load.nodes).await?;
    let bases = cluster.bases();
    let candidates = enter(args, &bases, http, tasks).await?;
    output::progress(&format!(
        "{} candidates are in, on {} node(s)",
        candidates.len(),
        load.nodes
    ));
    sleep(BREATH).await;
    let (before, writer_before) = (cluster.cpu()?, writers(http, &bases).await?);
    let pace = Pace {
        start: Instant::now(),
        per_second: args.load_rate,
        length: load.length,
        connections: args.load_candidates,
    };
    let mut running = JoinSet::new();
    for (number, candidate) in (0..).zip(candidates) {
        running.spawn(candidate.answer(pace, number));
    }
    let mut candidates = Vec::new();
    while let Some(candidate) = running.join_next().await {
        candidates.push(candidate.context("a candidate answers")?);
    }
    let (after, writer_after) = (cluster.cpu()?, writers(http, &bases).await?);

    let latencies = Percentiles::of(candidates.iter().flat_map(Candidate::latencies));
    let saved = latencies.count;
    let unsettled: u64 = candidates.iter().map(Candidate::unsettled).sum();
    let missed = candidates.iter().map(|candidate| candidate.missed).sum();
    let mut violations = check(candidates).await?;
    if unsettled > 0 {
        violations.push(format!("{unsettled} answers are not saved"));
    }
    cluster.stop_nodes().await?;
    let each = |after: Duration, before: Duration| {
        (after.saturating_sub(before)).as_secs_f64() * 1e6 / precise(saved.max(1))
    };
    Ok(Turn {
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

/// Signs everyone in, at all nodes in turn. The first one fetches the paper, which
/// is everyone's.
async fn enter(
    args: &Args,
    bases: &[String],
    http: &reqwest::Client,
    tasks: &TaskTracker,
) -> anyhow::Result<Vec<Candidate>> {
    let enter = |number: u32, questions| {
        let base = &bases[number as usize % bases.len()];
        let http = http.clone();
        async move {
            let (id, code) = (format!("load-{number:05}"), format!("code-{number:05}"));
            let options = Options::default();
            let entering =
                Candidate::enter(http, base, EXAM, &id, &code, options, questions, tasks);
            entering.await.with_context(|| format!("{id} enters"))
        }
    };
    if args.load_candidates == 0 {
        bail!("nobody is to enter");
    }
    let first = enter(1, None).await?;
    let questions = first.questions();
    let mut all: Vec<Candidate> = stream::iter(2..=args.load_candidates)
        .map(|number| {
            let (enter, questions) = (&enter, &questions);
            super::enter(move || enter(number, Some(std::sync::Arc::clone(questions))))
        })
        .buffer_unordered(ENTER_AT_ONCE)
        .try_collect()
        .await?;
    all.push(first);
    Ok(all)
}

/// The writers of all nodes, together.
async fn writers(http: &reqwest::Client, bases: &[String]) -> anyhow::Result<Writer> {
    let mut all: Option<Writer> = None;
    for base in bases {
        let one = Writer::read(http, base).await;
        let one = one.context("read a node's metrics")?;
        all = Some(all.map_or(one, |all| all.plus(one)));
    }
    all.context("no node runs")
}

async fn check(candidates: Vec<Candidate>) -> anyhow::Result<Vec<String>> {
    let mut checks = stream::iter(candidates)
        .map(|mut candidate| async move { candidate.check().await })
        .buffer_unordered(ENTER_AT_ONCE);
    let mut violations = Vec::new();
    while let Some(mut checked) = checks.try_next().await.context("compare the answers")? {
        violations.append(&mut checked.differences);
    }
    Ok(violations)
}

impl Turn {
    fn line(&self) -> String {
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

impl Report {
    /// Whether everything that was called saved is there.
    pub(super) const fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    pub(super) fn print(&self) -> anyhow::Result<()> {
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
                (name, turn.line())
            })
            .collect();
        let ratio = |ratio: f64| format!("{ratio:.2}");
        rows.extend([
            ("two against one, engine", ratio(self.engine_ratio)),
            ("the same, PostgreSQL", ratio(self.postgres_ratio)),
            ("the same, all of it", ratio(self.whole_ratio)),
            ("violations", self.violations.len().to_string()),
        ]);
        output::print(false, self, &title, &rows)?;
        shown("VIOLATION", &self.violations);
        Ok(())
    }
}

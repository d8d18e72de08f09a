//! How long a candidate who comes to another node waits, while the node that has
//! the attempt lives: from sending `hello` on an open socket to `welcome`.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use tokio::{
    sync::watch::Sender,
    task::JoinSet,
    time::{Duration, Instant},
};
use tokio_util::task::TaskTracker;

use super::{
    ENTER_AT_ONCE, SETTLE, args::Args, check_all, cluster::Cluster, crowd, mover::Mover, shown,
};
use crate::{
    cmd::chaos::candidate::Phase,
    util::{latency::Percentiles, output, pace::Pace, process::precise},
};

/// Between the last sign-in and the first move: meanwhile everybody answers.
const BREATH: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    movers: u32,
    stayers: u32,
    hand_overs: u64,
    per_second: f64,
    /// Of the movers, begun too late by the generator.
    missed: u64,
    from_hello_to_welcome_ms: Percentiles,
    /// The part of it between asking the other node and having the attempt.
    node_mean_ms: f64,
    /// As the nodes counted them.
    handed_over: f64,
    /// Attempts taken because the other node did not answer in time.
    taken: f64,
    /// Of the movers: went on with their session.
    resumed: u64,
    /// Tries that did not lead to `welcome` at once.
    turned_away: Vec<String>,
    saved: usize,
    violations: Vec<String>,
}

pub(super) async fn measure(
    args: &Args,
    dir: &Path,
    bin: &Path,
    http: &reqwest::Client,
    tasks: &TaskTracker,
) -> anyhow::Result<Report> {
    let people = args.movers + args.stayers;
    let mut cluster = Cluster::start(&dir.join("hand-over"), bin, people).await?;
    cluster.start_nodes(http, 2).await?;
    let bases: Arc<[String]> = cluster.bases().into();
    let movers: Vec<Mover> = stream::iter(1..=args.movers as usize)
        .map(|number| {
            let bases = &bases;
            super::enter(move || Mover::enter(http.clone(), bases, number))
        })
        .buffer_unordered(ENTER_AT_ONCE)
        .try_collect()
        .await
        .context("sign in those who move")?;
    let numbers = args.movers as usize + 1..=people as usize;
    let stayers = crowd::enter(http, &bases, numbers, tasks).await?;
    output::progress(&format!("{people} candidates are in; hand-overs begin"));

    let phase = Sender::new(Phase::Answer);
    let stayers = crowd::answer(stayers, args.light_rate, &phase, tasks)?;
    let pace = Pace {
        start: Instant::now() + BREATH,
        per_second: args.hand_over_rate,
        length: Duration::try_from_secs_f64(f64::from(args.hand_overs) / args.hand_over_rate)
            .context("take the rate")?,
        connections: args.movers,
    };
    let before = cluster.takeovers(http).await?;
    let mut movers = go(movers, &bases, pace).await?;
    let after = cluster.takeovers(http).await?;
    phase.send_replace(Phase::SettleBy(Instant::now() + SETTLE));
    let stayers = crowd::join(stayers).await?;

    let stored = cluster.database.attempts().await;
    let stored = stored.context("read what is stored")?;
    let mut violations = check_all(&stayers, &stored).await;
    for mover in &mut movers {
        violations.append(&mut mover.moved.violations);
        violations.extend(mover.check(stored.get(mover.attempt())));
    }
    let (handed_over, taken) = (
        after.handed_over - before.handed_over,
        after.taken - before.taken,
    );
    let moved = || movers.iter().map(|mover| &mover.moved);
    let latencies = Percentiles::of(moved().flat_map(|moved| moved.took.iter().copied()));
    let saved = stayers.iter().map(|stayer| stayer.history.lock().saved());
    Ok(Report {
        movers: args.movers,
        stayers: args.stayers,
        hand_overs: latencies.count,
        per_second: args.hand_over_rate,
        missed: moved().map(|moved| moved.missed).sum(),
        from_hello_to_welcome_ms: latencies,
        node_mean_ms: (after.seconds - before.seconds) * 1_000.0 / (handed_over + taken).max(1.0),
        handed_over,
        taken,
        resumed: moved().map(|moved| moved.resumed).sum(),
        turned_away: moved()
            .flat_map(|moved| moved.turned_away.clone())
            .collect(),
        saved: saved.chain(movers.iter().map(Mover::saved)).sum(),
        violations,
    })
}

/// Lets them move until the pace ends.
async fn go(movers: Vec<Mover>, bases: &Arc<[String]>, pace: Pace) -> anyhow::Result<Vec<Mover>> {
    let mut moving = JoinSet::new();
    for (number, mover) in (0..).zip(movers) {
        let bases = Arc::clone(bases);
        moving.spawn(async move { mover.run(&bases, pace, number).await });
    }
    let mut movers = Vec::new();
    while let Some(mover) = moving.join_next().await {
        movers.push(mover.context("a candidate moves")?);
    }
    Ok(movers)
}

impl Report {
    /// Whether everything that was called saved is there, and nobody was shut out.
    pub(super) const fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    pub(super) fn print(&self) -> anyhow::Result<()> {
        let title = format!(
            "hand-over: {} of {} candidates, {}/s, {} others answer",
            self.hand_overs, self.movers, self.per_second, self.stayers
        );
        let mut rows = self.from_hello_to_welcome_ms.rows();
        rows.extend([
            ("missed", self.missed.to_string()),
            (
                "between nodes, mean",
                format!("{:.2} ms", self.node_mean_ms),
            ),
            ("handed over", self.handed_over.to_string()),
            ("taken", self.taken.to_string()),
            ("session went on", self.resumed.to_string()),
            ("turned away", self.turned_away.len().to_string()),
            ("answers saved", self.saved.to_string()),
            ("violations", self.violations.len().to_string()),
        ]);
        output::print(false, self, &title, &rows)?;
        shown("TURNED AWAY", &self.turned_away);
        shown("VIOLATION", &self.violations);
        // The nodes count all of them; whoever is on the other side by chance is none.
        if self.handed_over + self.taken < precise(self.hand_overs) {
            output::progress("not every move was from a node that had the attempt");
        }
        Ok(())
    }
}

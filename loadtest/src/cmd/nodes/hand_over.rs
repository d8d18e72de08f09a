//! Time of a candidate's hand-over to another node, while the attempt's owner lives:
//! from sending `hello` on an open socket to `welcome`.

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
    ENTER_AT_ONCE, SETTLE_TIMEOUT, args::Args, check_all, cluster::NodeCluster, crowd,
    mover::MovingCandidate, print_problems,
};
use crate::{
    cmd::chaos::candidate::CandidatePhase,
    util::{latency::LatencyPercentiles, output, pace::SendPace, process::to_f64},
};

/// Time between the last sign-in and the first move; candidates answer meanwhile.
const WARM_UP: Duration = Duration::from_secs(3);

/// The report; see the module.
#[derive(Debug, Serialize)]
pub(super) struct HandOverReport {
    movers: u32,
    stayers: u32,
    hand_overs: u64,
    per_second: f64,
    /// Moves that the generator began too late.
    missed: u64,
    from_hello_to_welcome_ms: LatencyPercentiles,
    /// The part of it between asking the other node and owning the attempt.
    node_mean_ms: f64,
    /// Hand-overs counted by the nodes.
    handed_over: f64,
    /// Attempts acquired because the other node did not respond in time.
    taken: f64,
    /// Moves that resumed the session.
    resumed: u64,
    /// Reasons of tries that did not lead to `welcome`.
    turned_away: Vec<String>,
    saved: usize,
    violations: Vec<String>,
}

pub(super) async fn measure_hand_overs(
    args: &Args,
    dir: &Path,
    bin: &Path,
    http: &reqwest::Client,
    tasks: &TaskTracker,
) -> anyhow::Result<HandOverReport> {
    let people = args.movers + args.stayers;
    let mut cluster = NodeCluster::start(&dir.join("hand-over"), bin, people).await?;
    cluster.start_nodes(http, 2).await?;
    let bases: Arc<[String]> = cluster.base_urls().into();
    let movers: Vec<MovingCandidate> = stream::iter(1..=args.movers as usize)
        .map(|number| {
            let bases = &bases;
            super::enter_with_retry(move || {
                MovingCandidate::enter_exam(http.clone(), bases, number)
            })
        })
        .buffer_unordered(ENTER_AT_ONCE)
        .try_collect()
        .await
        .context("sign in those who move")?;
    let numbers = args.movers as usize + 1..=people as usize;
    let stayers = crowd::enter_crowd(http, &bases, numbers, tasks).await?;
    output::print_progress(&format!("{people} candidates are in; hand-overs begin"));

    let phase = Sender::new(CandidatePhase::Answer);
    let stayers = crowd::start_answering(stayers, args.light_rate, &phase, tasks)?;
    let pace = SendPace {
        start: Instant::now() + WARM_UP,
        per_second: args.hand_over_rate,
        length: Duration::try_from_secs_f64(f64::from(args.hand_overs) / args.hand_over_rate)
            .context("invalid `--hand-over-rate`")?,
        connections: args.movers,
    };
    let before = cluster.takeover_totals(http).await?;
    let mut movers = move_all(movers, &bases, pace).await?;
    let after = cluster.takeover_totals(http).await?;
    phase.send_replace(CandidatePhase::SettleBy(Instant::now() + SETTLE_TIMEOUT));
    let stayers = crowd::join_crowd(stayers).await?;

    let stored = cluster.database.read_attempts().await;
    let stored = stored.context("read what is stored")?;
    let mut violations = check_all(&stayers, &stored).await;
    for mover in &mut movers {
        violations.append(&mut mover.moved.violations);
        violations.extend(mover.check_stored(stored.get(mover.attempt_id())));
    }
    let (handed_over, taken) = (
        after.handed_over - before.handed_over,
        after.taken - before.taken,
    );
    let moved = || movers.iter().map(|mover| &mover.moved);
    let latencies =
        LatencyPercentiles::from_latencies(moved().flat_map(|moved| moved.took.iter().copied()));
    let saved = stayers
        .iter()
        .map(|stayer| stayer.history.lock().saved_count());
    Ok(HandOverReport {
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
        saved: saved
            .chain(movers.iter().map(MovingCandidate::saved_count))
            .sum(),
        violations,
    })
}

/// Lets all movers move until the pace ends.
async fn move_all(
    movers: Vec<MovingCandidate>,
    bases: &Arc<[String]>,
    pace: SendPace,
) -> anyhow::Result<Vec<MovingCandidate>> {
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

impl HandOverReport {
    /// True if everything reported as saved is stored, and every mover entered.
    pub(super) const fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    pub(super) fn print_report(&self) -> anyhow::Result<()> {
        let title = format!(
            "hand-over: {} of {} candidates, {}/s, {} others answer",
            self.hand_overs, self.movers, self.per_second, self.stayers
        );
        let mut rows = self.from_hello_to_welcome_ms.table_rows();
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
        output::print_result(false, self, &title, &rows)?;
        print_problems("TURNED AWAY", &self.turned_away);
        print_problems("VIOLATION", &self.violations);
        // The nodes count all hand-overs; a move to the attempt's owner is none.
        if self.handed_over + self.taken < to_f64(self.hand_overs) {
            output::print_progress("not every move was from the attempt's owner to another node");
        }
        Ok(())
    }
}

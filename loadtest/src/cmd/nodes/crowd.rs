//! Candidates with the real SDK who answer in the background.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{sync::watch::Sender, task::JoinSet, time::Instant};
use tokio_util::task::TaskTracker;

use super::ENTER_AT_ONCE;
use crate::cmd::chaos::candidate::{Candidate, Phase};

/// Those who answer, and when everything of each was saved.
pub(super) type Answering = JoinSet<(Candidate, Instant)>;

/// Signs in candidates by their numbers, at all addresses in turn.
pub(super) async fn enter(
    http: &reqwest::Client,
    bases: &[String],
    numbers: impl IntoIterator<Item = usize>,
    tasks: &TaskTracker,
) -> anyhow::Result<Vec<Candidate>> {
    stream::iter(numbers)
        .map(|number| {
            let base = &bases[number % bases.len()];
            let entering =
                super::enter(move || Candidate::enter(http.clone(), base, number, 1, tasks));
            async move {
                entering
                    .await
                    .with_context(|| format!("candidate {number} enters"))
            }
        })
        .buffer_unordered(ENTER_AT_ONCE)
        .try_collect()
        .await
}

/// How often each of so many answers, for so many answers a second of all.
pub(super) fn period(candidates: usize, per_second: f64) -> anyhow::Result<Duration> {
    let each = per_second / f64::from(u32::try_from(candidates.max(1))?);
    Duration::try_from_secs_f64(1.0 / each).context("take the rate")
}

/// Lets them answer until the phase changes.
pub(super) fn answer(
    candidates: Vec<Candidate>,
    per_second: f64,
    phase: &Sender<Phase>,
    tasks: &TaskTracker,
) -> anyhow::Result<Answering> {
    let period = period(candidates.len(), per_second)?;
    let mut answering = JoinSet::new();
    for candidate in candidates {
        answering.spawn(tasks.track_future(candidate.answer(period, phase.subscribe())));
    }
    Ok(answering)
}

/// Waits for all of them.
pub(super) async fn join(mut answering: Answering) -> anyhow::Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    while let Some(done) = answering.join_next().await {
        candidates.push(done.context("a candidate answers")?.0);
    }
    Ok(candidates)
}

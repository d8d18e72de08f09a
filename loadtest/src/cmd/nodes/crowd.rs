//! Candidates with the real SDK who answer in the background.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::{sync::watch::Sender, task::JoinSet, time::Instant};
use tokio_util::task::TaskTracker;

use super::ENTER_AT_ONCE;
use crate::cmd::chaos::candidate::{CandidatePhase, ChaosCandidate};

/// Candidates who answer, each with the time when everything was saved.
pub(super) type AnsweringCrowd = JoinSet<(ChaosCandidate, Instant)>;

/// Signs in candidates by their numbers, at all addresses in turn.
pub(super) async fn enter_crowd(
    http: &reqwest::Client,
    bases: &[String],
    numbers: impl IntoIterator<Item = usize>,
    tasks: &TaskTracker,
) -> anyhow::Result<Vec<ChaosCandidate>> {
    stream::iter(numbers)
        .map(|number| {
            let base = &bases[number % bases.len()];
            let entering = super::enter_with_retry(move || {
                ChaosCandidate::enter_exam(http.clone(), base, number, 1, tasks)
            });
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

/// Period of each candidate's answers, for a rate of all together.
pub(super) fn answer_period(candidates: usize, per_second: f64) -> anyhow::Result<Duration> {
    let each = per_second / f64::from(u32::try_from(candidates.max(1))?);
    Duration::try_from_secs_f64(1.0 / each).context("invalid rate")
}

/// Lets candidates answer until the phase changes.
pub(super) fn start_answering(
    candidates: Vec<ChaosCandidate>,
    per_second: f64,
    phase: &Sender<CandidatePhase>,
    tasks: &TaskTracker,
) -> anyhow::Result<AnsweringCrowd> {
    let period = answer_period(candidates.len(), per_second)?;
    let mut answering = JoinSet::new();
    for candidate in candidates {
        answering.spawn(tasks.track_future(candidate.keep_answering(period, phase.subscribe())));
    }
    Ok(answering)
}

/// Waits for all candidates.
pub(super) async fn join_crowd(
    mut answering: AnsweringCrowd,
) -> anyhow::Result<Vec<ChaosCandidate>> {
    let mut candidates = Vec::new();
    while let Some(done) = answering.join_next().await {
        candidates.push(done.context("a candidate answers")?.0);
    }
    Ok(candidates)
}

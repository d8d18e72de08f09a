//! The comparison at the end: answers, timelines, receipts.

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};

use invigil_client::Client;

use super::{
    candidate::Candidate, servers::Servers, staff::Given, timeline::Reader, watch::Findings,
};

/// Candidates that hand in at once.
const SUBMIT_AT_ONCE: usize = 32;

/// The comparison at the end, before and after everyone hands in. How many events
/// were found.
pub(super) async fn all(
    servers: &Servers,
    staff: &Client,
    given: &[Given],
    candidates: &mut Vec<Candidate>,
    findings: &Findings,
) -> anyhow::Result<u64> {
    let reader = Reader { staff, servers };
    findings.add(reader.learn_refused(candidates).await);
    let stored = servers
        .database
        .attempts()
        .await
        .context("read what is stored")?;
    for candidate in &*candidates {
        findings.add(
            candidate
                .check_settled(stored.get(candidate.attempt()))
                .await,
        );
    }
    let submitting = std::mem::take(candidates);
    *candidates = stream::iter(submitting)
        .map(|mut candidate| async move {
            candidate.submit().await;
            candidate
        })
        .buffer_unordered(SUBMIT_AT_ONCE)
        .collect()
        .await;
    let stored = servers
        .database
        .attempts()
        .await
        .context("read what is stored")?;
    for candidate in &*candidates {
        findings.add(candidate.check_submitted(stored.get(candidate.attempt())));
    }
    let (wrong, events) = reader.check(candidates, given, &stored).await;
    findings.add(wrong);
    Ok(events)
}

//! The comparison at the end: answers, timelines, receipts.

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};

use invigil_client::ApiClient;

use super::{
    candidate::ChaosCandidate, servers::ChaosServers, staff::GivenCommand,
    timeline::TimelineReader, watch::SharedFindings,
};

/// Candidates that hand in at once.
const SUBMIT_AT_ONCE: usize = 32;

/// Compares everything at the end, before and after the hand-ins. Returns the number
/// of events found.
pub(super) async fn compare_all(
    servers: &ChaosServers,
    staff: &ApiClient,
    given: &[GivenCommand],
    candidates: &mut Vec<ChaosCandidate>,
    findings: &SharedFindings,
) -> anyhow::Result<u64> {
    let reader = TimelineReader { staff, servers };
    findings.add_violations(reader.learn_refused(candidates).await);
    let stored = servers
        .database
        .read_attempts()
        .await
        .context("read what is stored")?;
    for candidate in &*candidates {
        findings.add_violations(
            candidate
                .check_settled(stored.get(candidate.attempt_id()))
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
        .read_attempts()
        .await
        .context("read what is stored")?;
    for candidate in &*candidates {
        findings.add_violations(candidate.check_submitted(stored.get(candidate.attempt_id())));
    }
    let (wrong, events) = reader.check_timelines(candidates, given, &stored).await;
    findings.add_violations(wrong);
    Ok(events)
}

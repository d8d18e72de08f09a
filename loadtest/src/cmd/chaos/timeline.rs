//! Timelines at the end, read as staff do: they must have every answer that was committed
//! by itself once, however often its way to MongoDB was interrupted, and also events and
//! effects of staff. An answer that was replaced before the commit may be missing.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, stream};
use invigil_client::ApiClient;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    candidate::ChaosCandidate,
    database::DatabaseAttempt,
    events,
    servers::ChaosServers,
    staff::{self, GivenCommand, StaffEffect},
};

/// Id and access code of the administrator, who reads timelines and acts on candidates.
const STAFF: (&str, &str) = ("chaos-staff", "chaos-code");

/// Entries of a page, the largest allowed number.
const PAGE: usize = 1_000;

/// Number of timelines read at once.
const AT_ONCE: usize = 4;

/// Timeout of reading a timeline.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads in a row that may return nothing new: records may wait on disk before they
/// appear in timelines.
const UNCHANGED_READS_MAX: u32 = 30;

/// Time between two tries.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Content of a timeline.
#[derive(Debug, Default)]
struct TimelineContents {
    /// Number of entries by answer.
    answers: BTreeMap<String, u64>,
    /// Number of entries by event.
    events: BTreeMap<String, u64>,
    /// Effects of staff, in order.
    effects: Vec<StaffEffect>,
    /// Texts of answers that were refused.
    refused: Vec<Value>,
    entries: usize,
}

/// Adds the administrator to a roster.
pub(super) fn add_staff(roster: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(roster).context("read the roster")?;
    let (id, code) = STAFF;
    let text = format!("{text}{id},Staff,,admin,{code},*,,\n");
    std::fs::write(roster, text).context("write the roster")
}

/// Signs the administrator in.
pub(super) async fn sign_in(http: reqwest::Client, base: &str) -> anyhow::Result<ApiClient> {
    let staff = ApiClient::sign_in_with(http, base, STAFF.0, STAFF.1);
    staff.await.context("sign in as staff")
}

/// Reader of timelines.
pub(super) struct TimelineReader<'a> {
    pub(super) staff: &'a ApiClient,
    pub(super) servers: &'a ChaosServers,
}

impl TimelineReader<'_> {
    /// Returns the violations in the timelines of all candidates, and the number of their
    /// events.
    pub(super) async fn check_timelines(
        &self,
        candidates: &[ChaosCandidate],
        given: &[GivenCommand],
        stored: &BTreeMap<String, DatabaseAttempt>,
    ) -> (Vec<String>, u64) {
        let checks = candidates.iter().filter_map(|candidate| {
            let stored = stored.get(candidate.attempt_id())?;
            Some(self.check_one(candidate, given, stored))
        });
        let checked: Vec<_> = stream::iter(checks).buffered(AT_ONCE).collect().await;
        let events = checked.iter().map(|(_, events)| events).sum();
        let wrong = checked.into_iter().flat_map(|(wrong, _)| wrong);
        (wrong.collect(), events)
    }

    /// Gives every candidate's history the refusals in the timeline, where they appear at
    /// once. Returns violations.
    pub(super) async fn learn_refused(&self, candidates: &[ChaosCandidate]) -> Vec<String> {
        let reads = candidates.iter().map(|candidate| async move {
            match self.read_with_retry(candidate).await {
                Ok(timeline) => candidate.history.lock().learn_refused(&timeline.refused),
                Err(wrong) => vec![wrong],
            }
        });
        let wrong: Vec<_> = stream::iter(reads).buffered(AT_ONCE).collect().await;
        wrong.into_iter().flatten().collect()
    }

    async fn check_one(
        &self,
        candidate: &ChaosCandidate,
        given: &[GivenCommand],
        stored: &DatabaseAttempt,
    ) -> (Vec<String>, u64) {
        let given: Vec<&GivenCommand> = given
            .iter()
            .filter(|command| command.attempt == candidate.attempt_id())
            .collect();
        let (mut still, mut most, mut revivals) = (0, 0, 0);
        let (mut wrong, mut events) = (Vec::new(), 0);
        loop {
            let timeline = match self.read_with_retry(candidate).await {
                Ok(timeline) => timeline,
                // Earlier violations stay valid.
                Err(unread) => {
                    wrong.push(unread);
                    return (wrong, events);
                }
            };
            let revived = self.servers.revival_count().await;
            still = if timeline.entries > most || revived > revivals {
                0
            } else {
                still + 1
            };
            (most, revivals) = (most.max(timeline.entries), revived);
            wrong = {
                let history = candidate.history.lock();
                let mut wrong = compare_answers(&history.expected_entries(), &timeline.answers);
                wrong.extend(history.events.check_timeline(&timeline.events));
                let notices = &history.notices;
                wrong.extend(staff::check_commands(
                    &given,
                    &timeline.effects,
                    notices,
                    stored,
                ));
                let number = candidate.number;
                let wrong = wrong.iter().map(|wrong| format!("c{number}: {wrong}"));
                wrong.collect()
            };
            events = timeline.events.len() as u64;
            if wrong.is_empty() || still > UNCHANGED_READS_MAX {
                return (wrong, events);
            }
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// Reads the timeline of a candidate, with retries.
    async fn read_with_retry(
        &self,
        candidate: &ChaosCandidate,
    ) -> Result<TimelineContents, String> {
        let number = candidate.number;
        let mut begun = Instant::now();
        loop {
            let error = match read_timeline(self.staff, candidate.attempt_id()).await {
                Ok(timeline) => return Ok(timeline),
                Err(error) => error,
            };
            if begun.elapsed() > READ_TIMEOUT {
                let attempt = candidate.attempt_id().parse().unwrap_or_default();
                match self.servers.revive_stand_in(attempt, begun).await {
                    Ok(true) => begun = Instant::now(),
                    Ok(false) => return Err(format!("c{number}: {error:#}")),
                    Err(other) => return Err(format!("c{number}: {error:#}; {other:#}")),
                }
            }
            sleep(RETRY_INTERVAL).await;
        }
    }
}

/// Reads the timeline of an attempt.
async fn read_timeline(staff: &ApiClient, attempt: &str) -> anyhow::Result<TimelineContents> {
    let mut timeline = TimelineContents::default();
    let mut after = 0;
    loop {
        let path = format!("/api/v1/attempts/{attempt}/timeline?after={after}&limit={PAGE}");
        let page = staff.get_json(&path).await.context("read the timeline")?;
        for event in page["events"].as_array().into_iter().flatten() {
            let number = event["number"].as_u64().context("read an entry's number")?;
            if number <= after {
                bail!("entry {number} of the timeline comes after {after}");
            }
            after = number;
            timeline.entries += 1;
            let (kind, data) = (event["kind"].as_str().unwrap_or_default(), &event["data"]);
            if kind == "answer" {
                let value = data["value"].as_str().unwrap_or_default();
                *timeline.answers.entry(value.to_owned()).or_default() += 1;
            } else if events::KINDS.contains(&kind) {
                let name = data["data"]["name"].as_str().unwrap_or_default();
                *timeline.events.entry(name.to_owned()).or_default() += 1;
            }
            if kind == "refused" {
                timeline.refused.push(data["value"].clone());
            }
            timeline.effects.extend(StaffEffect::from_entry(kind, data));
        }
        if page["next"] == Value::Null {
            return Ok(timeline);
        }
    }
}

/// Compares answers; `taken` has true for each that must be in the timeline.
fn compare_answers(taken: &BTreeMap<String, bool>, stored: &BTreeMap<String, u64>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (value, must) in taken {
        match stored.get(value) {
            Some(1) => {}
            Some(count) => wrong.push(format!("{value} is {count} times in the timeline")),
            None if *must => wrong.push(format!("{value} is not in the timeline")),
            None => {}
        }
    }
    let strange = stored.keys().filter(|value| !taken.contains_key(*value));
    wrong.extend(strange.map(|value| format!("{value:?} is in the timeline, and was never taken")));
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_must_be_there_once() {
        let taken = [("c1-1", true), ("c1-2", true), ("c1-4", false)];
        let taken = taken.map(|(value, must)| (value.to_owned(), must)).into();
        let stored = |counts: &[(&str, u64)]| {
            let counts = counts.iter();
            let counts = counts.map(|(value, count)| ((*value).to_owned(), *count));
            counts.collect::<BTreeMap<_, _>>()
        };
        assert!(compare_answers(&taken, &stored(&[("c1-1", 1), ("c1-2", 1)])).is_empty());
        let wrong = compare_answers(&taken, &stored(&[("c1-1", 2), ("c1-3", 1)]));
        let expected = [
            "c1-1 is 2 times in the timeline",
            "c1-2 is not in the timeline",
            "\"c1-3\" is in the timeline, and was never taken",
        ];
        assert_eq!(wrong, expected);
    }
}

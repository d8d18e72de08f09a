//! Timelines at the end, as staff read them: every answer that was committed by
//! itself stands there, once, however often its way to MongoDB was interrupted.
//! An answer that another one replaced before the commit need not be there.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use invigil_client::Client;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::candidate::Candidate;

/// The administrator who reads them.
const STAFF: (&str, &str) = ("chaos-staff", "chaos-code");

/// Entries of one answer, the most there are.
const PAGE: usize = 1_000;

/// How long records may wait on disks until they are where timelines are read.
const DRAIN: Duration = Duration::from_secs(30);

/// Between two tries.
const AGAIN: Duration = Duration::from_secs(1);

/// Adds the reader to a roster.
pub(super) fn add_staff(roster: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(roster).context("read the roster")?;
    let (id, code) = STAFF;
    let text = format!("{text}{id},Staff,,admin,{code},*,,\n");
    std::fs::write(roster, text).context("write the roster")
}

/// What is wrong with the timelines of all candidates.
pub(super) async fn check(
    http: reqwest::Client,
    base: &str,
    candidates: &[Candidate],
) -> anyhow::Result<Vec<String>> {
    let staff = Client::login_with(http, base, STAFF.0, STAFF.1);
    let staff = staff.await.context("sign in as staff")?;
    let until = Instant::now() + DRAIN;
    let mut violations = Vec::new();
    for candidate in candidates {
        let taken = candidate.history.lock().taken();
        loop {
            let wrong = match answers(&staff, candidate.attempt()).await {
                Ok(stored) => compare(&taken, &stored),
                Err(error) => vec![format!("{error:#}")],
            };
            if wrong.is_empty() {
                break;
            }
            if Instant::now() > until {
                let number = candidate.number;
                violations.extend(wrong.iter().map(|wrong| format!("c{number}: {wrong}")));
                break;
            }
            sleep(AGAIN).await;
        }
    }
    Ok(violations)
}

/// How often each answer stands in the timeline of an attempt.
async fn answers(staff: &Client, attempt: &str) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    let mut after = 0;
    loop {
        let path = format!("/api/v1/attempts/{attempt}/timeline?after={after}&limit={PAGE}");
        let page = staff.get(&path).await.context("read the timeline")?;
        for event in page["events"].as_array().into_iter().flatten() {
            let number = event["number"].as_u64().context("read an entry's number")?;
            if number <= after {
                bail!("entry {number} of the timeline comes after {after}");
            }
            after = number;
            if event["kind"] == "answer" {
                let value = event["data"]["value"].as_str().unwrap_or_default();
                *counts.entry(value.to_owned()).or_default() += 1;
            }
        }
        if page["next"] == Value::Null {
            return Ok(counts);
        }
    }
}

/// `taken` says of each answer whether it must be there.
fn compare(taken: &BTreeMap<String, bool>, stored: &BTreeMap<String, u64>) -> Vec<String> {
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
        assert!(compare(&taken, &stored(&[("c1-1", 1), ("c1-2", 1)])).is_empty());
        let wrong = compare(&taken, &stored(&[("c1-1", 2), ("c1-3", 1)]));
        let expected = [
            "c1-1 is 2 times in the timeline",
            "c1-2 is not in the timeline",
            "\"c1-3\" is in the timeline, and was never taken",
        ];
        assert_eq!(wrong, expected);
    }
}

//! Timelines at the end, as staff read them: every answer that was committed by
//! itself stands there, once, however often its way to MongoDB was interrupted, and
//! so do events and what staff did. An answer that another one replaced before the
//! commit need not be there.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, stream};
use invigil_client::Client;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{
    candidate::Candidate,
    database::StoredAttempt,
    events,
    servers::Servers,
    staff::{self, Effect, Given},
};

/// The administrator who reads them, and who acts on candidates.
const STAFF: (&str, &str) = ("chaos-staff", "chaos-code");

/// Entries of one answer, the most there are.
const PAGE: usize = 1_000;

/// Timelines that are read at once.
const AT_ONCE: usize = 4;

/// How long a store may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// Records may wait on disks until they are where timelines are read: so often in a
/// row a timeline may be read without anything new in it.
const STILL: u32 = 30;

/// Between two tries.
const AGAIN: Duration = Duration::from_secs(1);

/// What stands in a timeline.
#[derive(Debug, Default)]
struct Timeline {
    /// How often each answer does.
    answers: BTreeMap<String, u64>,
    /// How often each event does.
    events: BTreeMap<String, u64>,
    /// In their order.
    effects: Vec<Effect>,
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
pub(super) async fn sign_in(http: reqwest::Client, base: &str) -> anyhow::Result<Client> {
    let staff = Client::login_with(http, base, STAFF.0, STAFF.1);
    staff.await.context("sign in as staff")
}

/// Who reads timelines.
pub(super) struct Reader<'a> {
    pub(super) staff: &'a Client,
    pub(super) servers: &'a Servers,
}

impl Reader<'_> {
    /// What is wrong with the timelines of all candidates, and how many events are in
    /// them.
    pub(super) async fn check(
        &self,
        candidates: &[Candidate],
        given: &[Given],
        stored: &BTreeMap<String, StoredAttempt>,
    ) -> (Vec<String>, u64) {
        let checks = candidates.iter().filter_map(|candidate| {
            let stored = stored.get(candidate.attempt())?;
            Some(self.check_one(candidate, given, stored))
        });
        let checked: Vec<_> = stream::iter(checks).buffered(AT_ONCE).collect().await;
        let events = checked.iter().map(|(_, events)| events).sum();
        let wrong = checked.into_iter().flat_map(|(wrong, _)| wrong);
        (wrong.collect(), events)
    }

    /// Tells every candidate's history what the engine refused. That stands in
    /// timelines at once, wherever it is kept. What is wrong.
    pub(super) async fn learn_refused(&self, candidates: &[Candidate]) -> Vec<String> {
        let reads = candidates.iter().map(|candidate| async move {
            match self.read(candidate).await {
                Ok(timeline) => candidate.history.lock().learn_refused(&timeline.refused),
                Err(wrong) => vec![wrong],
            }
        });
        let wrong: Vec<_> = stream::iter(reads).buffered(AT_ONCE).collect().await;
        wrong.into_iter().flatten().collect()
    }

    async fn check_one(
        &self,
        candidate: &Candidate,
        given: &[Given],
        stored: &StoredAttempt,
    ) -> (Vec<String>, u64) {
        let given: Vec<&Given> = given
            .iter()
            .filter(|command| command.attempt == candidate.attempt())
            .collect();
        let (mut still, mut most, mut revivals) = (0, 0, 0);
        let (mut wrong, mut events) = (Vec::new(), 0);
        loop {
            let timeline = match self.read(candidate).await {
                Ok(timeline) => timeline,
                // Whatever was found before it was found.
                Err(unread) => {
                    wrong.push(unread);
                    return (wrong, events);
                }
            };
            let revived = self.servers.revivals().await;
            still = if timeline.entries > most || revived > revivals {
                0
            } else {
                still + 1
            };
            (most, revivals) = (most.max(timeline.entries), revived);
            wrong = {
                let history = candidate.history.lock();
                let mut wrong = compare(&history.taken(), &timeline.answers);
                wrong.extend(history.events.check(&timeline.events));
                let notices = &history.notices;
                wrong.extend(staff::check(&given, &timeline.effects, notices, stored));
                let number = candidate.number;
                let wrong = wrong.iter().map(|wrong| format!("c{number}: {wrong}"));
                wrong.collect()
            };
            events = timeline.events.len() as u64;
            if wrong.is_empty() || still > STILL {
                return (wrong, events);
            }
            sleep(AGAIN).await;
        }
    }

    /// The timeline of a candidate, or why there is none however often it is read.
    async fn read(&self, candidate: &Candidate) -> Result<Timeline, String> {
        let number = candidate.number;
        let mut begun = Instant::now();
        loop {
            let error = match read(self.staff, candidate.attempt()).await {
                Ok(timeline) => return Ok(timeline),
                Err(error) => error,
            };
            if begun.elapsed() > PATIENCE {
                let attempt = candidate.attempt().parse().unwrap_or_default();
                match self.servers.revive_stand_in(attempt, begun).await {
                    Ok(true) => begun = Instant::now(),
                    Ok(false) => return Err(format!("c{number}: {error:#}")),
                    Err(other) => return Err(format!("c{number}: {error:#}; {other:#}")),
                }
            }
            sleep(AGAIN).await;
        }
    }
}

/// The timeline of an attempt.
async fn read(staff: &Client, attempt: &str) -> anyhow::Result<Timeline> {
    let mut timeline = Timeline::default();
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
            timeline.effects.extend(Effect::read(kind, data));
        }
        if page["next"] == Value::Null {
            return Ok(timeline);
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

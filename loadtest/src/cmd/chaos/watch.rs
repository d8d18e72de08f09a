//! What looks at the run while it goes on: checks of the nodes for the proxy, and
//! checks of what is stored.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    candidate::Shared,
    history::Saved,
    servers::{NODES, Servers},
};
use crate::util::output;

/// Between two checks of a node.
const CHECK: Duration = Duration::from_millis(500);

/// A node that takes longer to answer hangs.
const ANSWER: Duration = Duration::from_secs(1);

/// Checks in a row that must fail before a node is down.
const FAILURES: u32 = 2;

/// Between two comparisons with the store.
const COMPARE: Duration = Duration::from_secs(2);

/// Attempts that one of them looks at; the next one looks at those that follow. So it
/// costs the same however many there are.
const COMPARED: usize = 100;

/// Takes nodes that do not answer out of the proxy, and their connections with
/// them, as a load balancer does.
pub(super) async fn nodes(servers: Arc<Servers>, http: reqwest::Client, stop: CancellationToken) {
    let mut failures = [0; NODES];
    let mut ticks = interval(CHECK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _tick = ticks.tick() => {}
        }
        let checks = (0..NODES).map(|index| {
            let address = servers.front.address_of(index);
            let request = address.map(|address| {
                let url = format!("http://{address}/healthz");
                http.get(url).timeout(ANSWER).send()
            });
            async move {
                let answer = match request {
                    Some(request) => request.await.ok(),
                    None => None,
                };
                answer.is_some_and(|answer| answer.status().is_success())
            }
        });
        let alive = futures_util::future::join_all(checks).await;
        for (index, alive) in alive.into_iter().enumerate() {
            failures[index] = if alive { 0 } else { failures[index] + 1 };
            if alive {
                servers.front.set_up(index, true);
            } else if failures[index] >= FAILURES {
                servers.front.set_up(index, false);
            }
        }
    }
}

/// What was found wrong, and how often it was looked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings(Arc<Mutex<Found>>);

#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) violations: Vec<String>,
    /// Comparisons with the store during the run.
    pub(super) comparisons: u64,
    /// Answers that were compared in them.
    pub(super) compared: u64,
    /// Comparisons that did not come about, because PostgreSQL was away.
    pub(super) skipped: u64,
}

impl Findings {
    pub(super) fn add(&self, violations: Vec<String>) {
        for violation in &violations {
            output::progress(&format!("VIOLATION  {violation}"));
        }
        self.change(|found| found.violations.extend(violations));
    }

    pub(super) fn get(&self) -> Found {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn change(&self, change: impl FnOnce(&mut Found)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Compares what candidates were told with the store, again and again, some of them
/// each time.
pub(super) async fn store(
    servers: Arc<Servers>,
    histories: BTreeMap<String, Shared>,
    findings: Findings,
    stop: CancellationToken,
) {
    let mut epochs: BTreeMap<String, i64> = BTreeMap::new();
    let mut turns = histories.keys().cycle();
    let mut ticks = interval(COMPARE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _tick = ticks.tick() => {}
        }
        let turn = turns.by_ref().take(COMPARED.min(histories.len()));
        // First what was said, then what is there: never the other way round.
        let saved: BTreeMap<&String, Saved> = turn
            .map(|attempt| (attempt, histories[attempt].lock().newest_saved()))
            .collect();
        let ids: Vec<String> = saved.keys().map(|&attempt| attempt.clone()).collect();
        let Ok(stored) = servers.database.attempts_of(&ids).await else {
            findings.change(|found| found.skipped += 1);
            continue;
        };
        let mut violations = Vec::new();
        for (attempt, saved) in &saved {
            let Some(stored) = stored.get(*attempt) else {
                violations.push(format!("attempt {attempt} is not stored"));
                continue;
            };
            let history = histories[*attempt].lock();
            violations.extend(history.check_running(saved, stored));
            let before = epochs.insert((*attempt).clone(), stored.epoch);
            if before.is_some_and(|before| before > stored.epoch) {
                violations.push(format!("attempt {attempt}: its epoch went down"));
            }
        }
        findings.add(violations);
        let compared: usize = saved.values().map(BTreeMap::len).sum();
        findings.change(|found| {
            found.comparisons += 1;
            found.compared += compared as u64;
        });
    }
}

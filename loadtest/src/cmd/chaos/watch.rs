//! Checks during a run: health checks of the nodes for the proxy, and comparisons
//! with the store.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    candidate::SharedHistory,
    history::NewestSaved,
    servers::{ChaosServers, NODES},
};
use crate::util::output;

/// Time between two checks of a node.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Timeout of a check.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Number of failed checks in a row after which a node is down.
const FAILURES: u32 = 2;

/// Time between two comparisons with the store.
const COMPARE_INTERVAL: Duration = Duration::from_secs(2);

/// Attempts in one comparison; the next one takes those that follow. So its cost does
/// not depend on the number of attempts.
const COMPARED: usize = 100;

/// Marks nodes that do not respond as down in the proxy, which cuts their connections, as
/// a load balancer does.
pub(super) async fn watch_nodes(
    servers: Arc<ChaosServers>,
    http: reqwest::Client,
    stop: CancellationToken,
) {
    let mut failures = [0; NODES];
    let mut ticks = interval(CHECK_INTERVAL);
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
                http.get(url).timeout(ANSWER_TIMEOUT).send()
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

/// Violations and counts of the comparisons, shared by the tasks.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedFindings(Arc<Mutex<RunFindings>>);

#[derive(Debug, Clone, Default)]
pub(super) struct RunFindings {
    pub(super) violations: Vec<String>,
    /// Number of comparisons with the store during the run.
    pub(super) comparisons: u64,
    /// Number of answers compared in them.
    pub(super) compared: u64,
    /// Number of comparisons skipped because PostgreSQL was away.
    pub(super) skipped: u64,
}

impl SharedFindings {
    pub(super) fn add_violations(&self, violations: Vec<String>) {
        for violation in &violations {
            output::print_progress(&format!("VIOLATION  {violation}"));
        }
        self.modify_findings(|found| found.violations.extend(violations));
    }

    pub(super) fn current_findings(&self) -> RunFindings {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn modify_findings(&self, change: impl FnOnce(&mut RunFindings)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Compares the acknowledgements of candidates with the store, repeatedly, some of the
/// attempts each time.
pub(super) async fn watch_store(
    servers: Arc<ChaosServers>,
    histories: BTreeMap<String, SharedHistory>,
    findings: SharedFindings,
    stop: CancellationToken,
) {
    let mut epochs: BTreeMap<String, i64> = BTreeMap::new();
    let mut turns = histories.keys().cycle();
    let mut ticks = interval(COMPARE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _tick = ticks.tick() => {}
        }
        let turn = turns.by_ref().take(COMPARED.min(histories.len()));
        // First the acknowledgements, then the store: never in the other order.
        let saved: BTreeMap<&String, NewestSaved> = turn
            .map(|attempt| (attempt, histories[attempt].lock().newest_saved()))
            .collect();
        let ids: Vec<String> = saved.keys().map(|&attempt| attempt.clone()).collect();
        let Ok(stored) = servers.database.read_attempts_of(&ids).await else {
            findings.modify_findings(|found| found.skipped += 1);
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
        findings.add_violations(violations);
        let compared: usize = saved.values().map(BTreeMap::len).sum();
        findings.modify_findings(|found| {
            found.comparisons += 1;
            found.compared += compared as u64;
        });
    }
}

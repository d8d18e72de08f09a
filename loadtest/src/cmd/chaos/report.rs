//! The report of a run with faults.

mod markdown;

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::Context as _;
use serde::Serialize;
use tokio::time::Instant;

use super::{
    Args,
    candidate::ChaosCandidate,
    fault::{FaultKind, InflictedFault},
    staff::{CommandOutcome, GivenCommand},
    watch::RunFindings,
};
use crate::util::output;

/// Number of violations printed; the file has all of them.
const SHOWN: usize = 20;

/// A later return of a candidate is not attributed to the kill.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// Time around a kill without another fault that ends connections.
const QUIET: Duration = Duration::from_secs(3);

/// The report; see the module.
#[derive(Debug, Serialize)]
pub(super) struct ChaosReport {
    seed: u64,
    seconds: u64,
    candidates: usize,
    with_mongodb: bool,
    /// Number of restarts of MongoDB's stand-in at the end, as it did not respond.
    stand_in_revivals: usize,
    command: String,
    versions: Vec<String>,
    faults_per_minute: f64,
    faults: BTreeMap<&'static str, u64>,
    fault_log: Vec<FaultEntry>,
    given: usize,
    saved: usize,
    /// Refusals by code.
    refused: BTreeMap<String, u64>,
    /// Refused answers whose refusal was lost with a connection.
    refused_unheard: u64,
    /// Answers neither saved nor refused in the end.
    unsaved: usize,
    handed_in: usize,
    events_sent: u64,
    events_acknowledged: u64,
    /// Events dropped for their rate.
    events_dropped: u64,
    events_found: u64,
    /// Commands done, by action.
    staff_done: BTreeMap<&'static str, u64>,
    staff_refused: u64,
    /// Commands without a definite result.
    staff_unknown: u64,
    /// Requests beyond the first of each command.
    staff_repeats: u64,
    /// Number of entries of candidates after their first.
    reconnections: usize,
    /// Longest time of any candidate without a `saved`.
    longest_without_saved_s: f64,
    longest_without_saved_who: String,
    /// Median over candidates of their longest time without a `saved`.
    longest_without_saved_p50_s: f64,
    longest_without_saved_until_s: f64,
    /// Time from the end of the faults until everything was saved.
    recovery_s: f64,
    /// Time from the kill of a node until its candidates entered again, if no other
    /// fault came between.
    away_after_kill: Option<AbsenceTimes>,
    comparisons: u64,
    compared: u64,
    comparisons_skipped: u64,
    violations: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FaultEntry {
    at_s: f64,
    lasted_s: f64,
    kind: FaultKind,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
}

/// Percentiles in seconds.
#[derive(Debug, Serialize)]
struct AbsenceTimes {
    candidates: usize,
    p50_s: f64,
    p95_s: f64,
    max_s: f64,
}

/// Input of a report.
pub(super) struct ChaosRun<'a> {
    pub(super) args: &'a Args,
    pub(super) with_mongodb: bool,
    pub(super) revivals: usize,
    pub(super) versions: Vec<String>,
    pub(super) start: Instant,
    /// Time from the end of the faults until everything was saved.
    pub(super) recovery: Duration,
    pub(super) candidates: &'a [ChaosCandidate],
    pub(super) faults: &'a [InflictedFault],
    pub(super) given: &'a [GivenCommand],
    pub(super) events_found: u64,
    pub(super) found: RunFindings,
}

impl ChaosReport {
    pub(super) fn new(run: ChaosRun<'_>) -> Self {
        let (args, start, faults, candidates) = (run.args, run.start, run.faults, run.candidates);
        let minutes = Duration::from_secs(args.seconds.max(1)).as_secs_f64() / 60.0;
        let count = u32::try_from(faults.len()).unwrap_or(u32::MAX);
        let mut report = Self {
            seed: args.seed,
            seconds: args.seconds,
            candidates: args.candidates,
            with_mongodb: run.with_mongodb,
            stand_in_revivals: run.revivals,
            command: std::env::args().collect::<Vec<_>>().join(" "),
            versions: run.versions,
            faults_per_minute: f64::from(count) / minutes,
            faults: BTreeMap::new(),
            fault_log: Vec::new(),
            given: 0,
            saved: 0,
            refused: BTreeMap::new(),
            refused_unheard: 0,
            unsaved: 0,
            handed_in: 0,
            events_sent: 0,
            events_acknowledged: 0,
            events_dropped: 0,
            events_found: run.events_found,
            staff_done: BTreeMap::new(),
            staff_refused: 0,
            staff_unknown: 0,
            staff_repeats: 0,
            reconnections: 0,
            longest_without_saved_s: 0.0,
            longest_without_saved_who: String::new(),
            longest_without_saved_p50_s: median_wait(candidates),
            longest_without_saved_until_s: 0.0,
            recovery_s: run.recovery.as_secs_f64(),
            away_after_kill: absence_after_kill(candidates, faults),
            comparisons: run.found.comparisons,
            compared: run.found.compared,
            comparisons_skipped: run.found.skipped,
            violations: run.found.violations,
        };
        for fault in faults {
            *report.faults.entry(fault.kind.name()).or_default() += 1;
            report.fault_log.push(FaultEntry {
                at_s: seconds_since(start, fault.at),
                lasted_s: fault.lasted.as_secs_f64(),
                kind: fault.kind,
                note: fault.note.clone(),
            });
        }
        for candidate in candidates {
            report.add_candidate(candidate, start);
        }
        for command in run.given {
            report.staff_repeats += command.tries - 1;
            match command.outcome {
                CommandOutcome::Done => {
                    *report.staff_done.entry(command.action.name()).or_default() += 1;
                }
                CommandOutcome::Refused(_) => report.staff_refused += 1,
                CommandOutcome::Unknown => report.staff_unknown += 1,
            }
        }
        report
    }

    fn add_candidate(&mut self, candidate: &ChaosCandidate, start: Instant) {
        let history = candidate.history.lock();
        self.given += history.given_count();
        self.saved += history.saved_count();
        self.refused_unheard += history.unheard_count();
        self.unsaved += history.waiting_count();
        self.handed_in += usize::from(!history.receipts.is_empty());
        self.reconnections += history.entered_at.len().saturating_sub(1);
        self.events_sent += history.events.sent_count();
        self.events_acknowledged += history.events.acknowledged_up_to();
        self.events_dropped += history.events.dropped_count();
        for (code, count) in &history.refused {
            *self.refused.entry(code.clone()).or_default() += count;
        }
        let (longest, until) = history.longest;
        if longest.as_secs_f64() > self.longest_without_saved_s {
            self.longest_without_saved_s = longest.as_secs_f64();
            self.longest_without_saved_who = format!("c{}", candidate.number);
            self.longest_without_saved_until_s = seconds_since(start, until);
        }
    }

    pub(super) const fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// Writes the whole report as JSON.
    pub(super) fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }

    fn title(&self) -> String {
        format!(
            "chaos: seed {}, {} candidates, {} s of faults, {}",
            self.seed,
            self.candidates,
            self.seconds,
            if self.with_mongodb {
                "with MongoDB"
            } else {
                "WITHOUT MongoDB"
            }
        )
    }

    pub(super) fn print_report(&self) -> anyhow::Result<()> {
        let rows = [self.fault_rows(), self.figure_rows()].concat();
        output::print_result(false, self, &self.title(), &rows)?;
        for violation in self.violations.iter().take(SHOWN) {
            output::print_progress(&format!("VIOLATION  {violation}"));
        }
        Ok(())
    }

    fn fault_rows(&self) -> Vec<(&'static str, String)> {
        let faults = self.faults.iter();
        faults
            .map(|(kind, count)| (*kind, count.to_string()))
            .collect()
    }

    fn figure_rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            ("all faults", self.faults.values().sum::<u64>().to_string()),
            ("faults a minute", format!("{:.1}", self.faults_per_minute)),
            ("answers given", self.given.to_string()),
            ("answers saved", self.saved.to_string()),
        ];
        let refused = self.refused.values().sum::<u64>();
        rows.extend([
            ("answers refused", refused.to_string()),
            ("of them, not heard", self.refused_unheard.to_string()),
            ("answers unsaved", self.unsaved.to_string()),
            ("handed in", self.handed_in.to_string()),
            ("events sent", self.events_sent.to_string()),
            ("events acknowledged", self.events_acknowledged.to_string()),
            ("events dropped", self.events_dropped.to_string()),
            ("events found", self.events_found.to_string()),
            (
                "staff commands done",
                self.staff_done.values().sum::<u64>().to_string(),
            ),
            ("staff commands refused", self.staff_refused.to_string()),
            ("staff commands unknown", self.staff_unknown.to_string()),
            ("repeats of them", self.staff_repeats.to_string()),
            ("reconnections", self.reconnections.to_string()),
            (
                "longest without saved",
                format!("{:.2} s", self.longest_without_saved_s),
            ),
            (
                "the same, p50",
                format!("{:.2} s", self.longest_without_saved_p50_s),
            ),
            ("recovery", format!("{:.2} s", self.recovery_s)),
        ]);
        if let Some(away) = &self.away_after_kill {
            rows.extend([
                ("away after a kill, p50", format!("{:.2} s", away.p50_s)),
                ("away after a kill, p95", format!("{:.2} s", away.p95_s)),
                ("away after a kill, max", format!("{:.2} s", away.max_s)),
                ("of so many", away.candidates.to_string()),
            ]);
        }
        if self.stand_in_revivals > 0 {
            let times = self.stand_in_revivals.to_string();
            rows.push(("stand-in for MongoDB revived", times));
        }
        rows.extend([
            ("comparisons", self.comparisons.to_string()),
            ("answers compared", self.compared.to_string()),
            ("violations", self.violations.len().to_string()),
        ]);
        rows
    }
}

fn seconds_since(start: Instant, at: Instant) -> f64 {
    at.saturating_duration_since(start).as_secs_f64()
}

fn median_wait(candidates: &[ChaosCandidate]) -> f64 {
    let longest = candidates
        .iter()
        .map(|candidate| candidate.history.lock().longest.0);
    let mut longest: Vec<Duration> = longest.collect();
    longest.sort_unstable();
    longest
        .get(longest.len() / 2)
        .map_or(0.0, Duration::as_secs_f64)
}

/// See [`ChaosReport::away_after_kill`].
fn absence_after_kill(
    candidates: &[ChaosCandidate],
    faults: &[InflictedFault],
) -> Option<AbsenceTimes> {
    let mut times = Vec::new();
    for (index, kill) in faults.iter().enumerate() {
        let others = faults
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != index);
        let mut others = others.map(|(_, fault)| fault).filter(|fault| {
            let until = fault.at + fault.lasted;
            fault.kind.ends_connections() && until + QUIET > kill.at && fault.at < kill.at + QUIET
        });
        if kill.kind != FaultKind::KillNode || others.next().is_some() {
            continue;
        }
        let later = faults.iter().filter(|fault| fault.at > kill.at);
        let next = later
            .filter(|fault| fault.kind.ends_connections())
            .map(|fault| fault.at)
            .min();
        let end = next.map_or(kill.at + AWAY_MAX, |next| next.min(kill.at + AWAY_MAX));
        for candidate in candidates {
            let history = candidate.history.lock();
            let mut entered = history.entered_at.iter();
            let back = entered.find(|&&at| at > kill.at && at < end);
            times.extend(back.map(|at| at.duration_since(kill.at)));
        }
    }
    times.sort_unstable();
    let last = times.len().checked_sub(1)?;
    let part = |hundredths: usize| times[last * hundredths / 100].as_secs_f64();
    Some(AbsenceTimes {
        candidates: times.len(),
        p50_s: part(50),
        p95_s: part(95),
        max_s: part(100),
    })
}

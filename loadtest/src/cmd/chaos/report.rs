//! What a run of faults found.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::Context as _;
use serde::Serialize;
use tokio::time::Instant;

use super::{
    Args,
    candidate::Candidate,
    fault::{Fault, Kind},
    watch::Found,
};
use crate::util::output;

/// Violations that are printed; the file has all of them.
const SHOWN: usize = 20;

/// After this long a candidate's coming back is not put down to a kill.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// So long before a kill no other fault may have ended connections.
const QUIET: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    seed: u64,
    seconds: u64,
    candidates: usize,
    with_mongodb: bool,
    faults: BTreeMap<&'static str, u64>,
    fault_log: Vec<Logged>,
    given: usize,
    saved: usize,
    /// Refusals by code.
    refused: BTreeMap<String, u64>,
    /// Answers neither saved nor refused in the end.
    unsaved: usize,
    handed_in: usize,
    /// Times that a candidate was let in after the first.
    reconnections: usize,
    /// The longest that any candidate went without a `saved`.
    longest_without_saved_s: f64,
    longest_without_saved_who: String,
    /// The same of the candidate in the middle.
    longest_without_saved_p50_s: f64,
    longest_without_saved_until_s: f64,
    /// From the end of the faults until everything was saved.
    recovery_s: f64,
    /// From the kill of a node until its candidates were let in again, where no
    /// other fault came between.
    away_after_kill: Option<Away>,
    comparisons: u64,
    compared: u64,
    comparisons_skipped: u64,
    violations: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Logged {
    at_s: f64,
    lasted_s: f64,
    kind: Kind,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
}

/// Times in seconds.
#[derive(Debug, Serialize)]
struct Away {
    candidates: usize,
    p50_s: f64,
    p95_s: f64,
    max_s: f64,
}

impl Report {
    pub(super) fn new(
        args: &Args,
        with_mongodb: bool,
        start: Instant,
        recovery: Duration,
        candidates: &[Candidate],
        faults: &[Fault],
        found: Found,
    ) -> Self {
        let mut report = Self {
            seed: args.seed,
            seconds: args.seconds,
            candidates: args.candidates,
            with_mongodb,
            faults: BTreeMap::new(),
            fault_log: Vec::new(),
            given: 0,
            saved: 0,
            refused: BTreeMap::new(),
            unsaved: 0,
            handed_in: 0,
            reconnections: 0,
            longest_without_saved_s: 0.0,
            longest_without_saved_who: String::new(),
            longest_without_saved_p50_s: median(candidates),
            longest_without_saved_until_s: 0.0,
            recovery_s: recovery.as_secs_f64(),
            away_after_kill: away(candidates, faults),
            comparisons: found.comparisons,
            compared: found.compared,
            comparisons_skipped: found.skipped,
            violations: found.violations,
        };
        for fault in faults {
            *report.faults.entry(fault.kind.name()).or_default() += 1;
            report.fault_log.push(Logged {
                at_s: since(start, fault.at),
                lasted_s: fault.lasted.as_secs_f64(),
                kind: fault.kind,
                note: fault.note.clone(),
            });
        }
        for candidate in candidates {
            report.add(candidate, start);
        }
        report
    }

    fn add(&mut self, candidate: &Candidate, start: Instant) {
        let history = candidate.history.lock();
        self.given += history.given();
        self.saved += history.saved();
        self.unsaved += history.waiting();
        self.handed_in += usize::from(!history.receipts.is_empty());
        self.reconnections += history.entered_at.len().saturating_sub(1);
        for (code, count) in &history.refused {
            *self.refused.entry(code.clone()).or_default() += count;
        }
        let (longest, until) = history.longest;
        if longest.as_secs_f64() > self.longest_without_saved_s {
            self.longest_without_saved_s = longest.as_secs_f64();
            self.longest_without_saved_who = format!("c{}", candidate.number);
            self.longest_without_saved_until_s = since(start, until);
        }
    }

    pub(super) const fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// The whole of it as JSON.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }

    pub(super) fn print(&self) -> anyhow::Result<()> {
        let title = format!(
            "chaos: seed {}, {} candidates, {} s of faults, {}",
            self.seed,
            self.candidates,
            self.seconds,
            if self.with_mongodb {
                "with MongoDB"
            } else {
                "WITHOUT MongoDB"
            }
        );
        let mut rows: Vec<(&str, String)> = self
            .faults
            .iter()
            .map(|(kind, count)| (*kind, count.to_string()))
            .collect();
        rows.extend([
            ("answers given", self.given.to_string()),
            ("answers saved", self.saved.to_string()),
        ]);
        let refused = self.refused.values().sum::<u64>();
        rows.extend([
            ("answers refused", refused.to_string()),
            ("answers unsaved", self.unsaved.to_string()),
            ("handed in", self.handed_in.to_string()),
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
        rows.extend([
            ("comparisons", self.comparisons.to_string()),
            ("answers compared", self.compared.to_string()),
            ("violations", self.violations.len().to_string()),
        ]);
        output::print(false, self, &title, &rows)?;
        for violation in self.violations.iter().take(SHOWN) {
            output::progress(&format!("VIOLATION  {violation}"));
        }
        Ok(())
    }
}

fn since(start: Instant, at: Instant) -> f64 {
    at.saturating_duration_since(start).as_secs_f64()
}

fn median(candidates: &[Candidate]) -> f64 {
    let longest = candidates
        .iter()
        .map(|candidate| candidate.history.lock().longest.0);
    let mut longest: Vec<Duration> = longest.collect();
    longest.sort_unstable();
    longest
        .get(longest.len() / 2)
        .map_or(0.0, Duration::as_secs_f64)
}

/// See [`Report::away_after_kill`].
fn away(candidates: &[Candidate], faults: &[Fault]) -> Option<Away> {
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
        if kill.kind != Kind::KillNode || others.next().is_some() {
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
    Some(Away {
        candidates: times.len(),
        p50_s: part(50),
        p95_s: part(95),
        max_s: part(100),
    })
}

//! The report of a steady run.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{Args, candidate::SteadyCandidate};
use crate::util::{latency::LatencyPercentiles, output, process::ProcessUsage};

/// The report; see the module.
#[derive(Debug, Serialize)]
pub(super) struct SteadyReport {
    exam: String,
    encoding: &'static str,
    candidates: u32,
    rate: f64,
    seconds: u64,
    /// Answers sent.
    sent: u64,
    /// Answers that the engine reported as saved.
    pub(super) saved: u64,
    /// Refusals by code.
    refused: BTreeMap<String, u64>,
    /// Answers neither saved nor refused a minute after the last one.
    unsettled: u64,
    /// Answers that the generator sent too late.
    missed: u64,
    latency_ms: LatencyPercentiles,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) batch_rows_mean: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) commit_ms_mean: Option<f64>,
    #[serde(flatten)]
    pub(super) engine: Option<EngineUsage>,
    /// Answers compared with the stored ones.
    pub(super) checked: u64,
    /// Answers that differ from the stored ones.
    pub(super) differences: u64,
}

/// Memory and processor time of the engine.
#[derive(Debug, Serialize)]
pub(super) struct EngineUsage {
    rss_mb: f64,
    rss_kb_per_candidate: f64,
    cpu_us_per_saved: f64,
}

impl EngineUsage {
    pub(super) fn new(
        candidates: u32,
        saved: u64,
        idle: Option<ProcessUsage>,
        before: Option<ProcessUsage>,
        after: Option<ProcessUsage>,
    ) -> Option<Self> {
        let after = after?;
        Some(Self {
            rss_mb: crate::util::process::to_f64(after.rss_bytes) / 1_048_576.0,
            rss_kb_per_candidate: after.kb_each(idle?, candidates),
            cpu_us_per_saved: after.cpu_us_each(before?, saved),
        })
    }
}

impl SteadyReport {
    /// Creates a report from the candidates' answers.
    pub(super) fn new(args: &Args, candidates: &[SteadyCandidate]) -> Self {
        let latencies: Vec<Duration> = candidates
            .iter()
            .flat_map(SteadyCandidate::latencies)
            .collect();
        let mut refused = BTreeMap::new();
        for (code, count) in candidates.iter().flat_map(|candidate| &candidate.refused) {
            *refused.entry(code.clone()).or_default() += count;
        }
        Self {
            exam: args.exam.clone(),
            encoding: args.encoding.as_str(),
            candidates: args.candidates,
            rate: args.rate,
            seconds: args.seconds,
            sent: candidates.iter().map(SteadyCandidate::sent_count).sum(),
            saved: latencies.len() as u64,
            refused,
            unsettled: candidates
                .iter()
                .map(SteadyCandidate::unsettled_count)
                .sum(),
            missed: candidates.iter().map(|candidate| candidate.missed).sum(),
            latency_ms: LatencyPercentiles::from_latencies(latencies),
            batch_rows_mean: None,
            commit_ms_mean: None,
            engine: None,
            checked: 0,
            differences: 0,
        }
    }

    /// True if every answer was settled, and is stored as reported.
    pub(super) const fn is_good(&self) -> bool {
        self.differences == 0 && self.unsettled == 0
    }

    pub(super) fn print_report(&self, json: bool) -> anyhow::Result<()> {
        let title = format!(
            "steady: {} candidates in {}, {}/s for {} s, {}",
            self.candidates, self.exam, self.rate, self.seconds, self.encoding
        );
        let refused: Vec<String> = self
            .refused
            .iter()
            .map(|(code, count)| format!("{count} {code}"))
            .collect();
        let mut rows = vec![
            ("sent", self.sent.to_string()),
            ("saved", self.saved.to_string()),
            (
                "refused",
                if refused.is_empty() {
                    "0".to_owned()
                } else {
                    refused.join(", ")
                },
            ),
            ("unsettled", self.unsettled.to_string()),
            ("missed", self.missed.to_string()),
        ];
        rows.extend(self.latency_ms.table_rows());
        if let Some((batch, commit)) = self.batch_rows_mean.zip(self.commit_ms_mean) {
            rows.push(("rows a batch", format!("{batch:.1}")));
            rows.push(("a commit", format!("{commit:.2} ms")));
        }
        if let Some(engine) = &self.engine {
            rows.push(("engine memory", format!("{:.1} MB", engine.rss_mb)));
            rows.push((
                "memory a candidate",
                format!("{:.1} KB", engine.rss_kb_per_candidate),
            ));
            rows.push((
                "engine CPU a saved",
                format!("{:.1} \u{b5}s", engine.cpu_us_per_saved),
            ));
        }
        rows.push(("compared", self.checked.to_string()));
        rows.push(("differences", self.differences.to_string()));
        output::print_result(json, self, &title, &rows)
    }
}

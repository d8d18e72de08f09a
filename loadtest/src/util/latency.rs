//! Percentiles of latencies.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Largest recorded latency; longer ones count as this.
const LONGEST_US: u64 = 10 * 60 * 1_000_000;

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LatencyPercentiles {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl LatencyPercentiles {
    /// Computes the percentiles of latencies, each counted as at least a microsecond.
    pub(crate) fn from_latencies(latencies: impl IntoIterator<Item = Duration>) -> Self {
        let mut histogram =
            Histogram::<u64>::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are in order");
        for latency in latencies {
            let us = u64::try_from(latency.as_micros()).unwrap_or(LONGEST_US);
            histogram.saturating_record(us.max(1));
        }
        let ms = |us: u64| Duration::from_micros(us).as_secs_f64() * 1_000.0;
        Self {
            count: histogram.len(),
            p50: ms(histogram.value_at_quantile(0.5)),
            p95: ms(histogram.value_at_quantile(0.95)),
            p99: ms(histogram.value_at_quantile(0.99)),
            p999: ms(histogram.value_at_quantile(0.999)),
            max: ms(histogram.max()),
        }
    }

    /// Returns the rows of a table.
    pub(crate) fn table_rows(&self) -> Vec<(&'static str, String)> {
        let ms = |value: f64| format!("{value:.2} ms");
        vec![
            ("p50", ms(self.p50)),
            ("p95", ms(self.p95)),
            ("p99", ms(self.p99)),
            ("p99.9", ms(self.p999)),
            ("max", ms(self.max)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let percentiles =
            LatencyPercentiles::from_latencies((1..=1_000).map(Duration::from_millis));
        assert_eq!(percentiles.count, 1_000);
        for (value, expected) in [
            (percentiles.p50, 500.0),
            (percentiles.p99, 990.0),
            (percentiles.p999, 999.0),
            (percentiles.max, 1_000.0),
        ] {
            assert!(
                (value - expected).abs() < 2.0,
                "{value} is not about {expected}"
            );
        }
    }
}

//! The engine's own metrics, from `/metrics`.

/// Sums and counts of the writer's histograms at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriterMetrics {
    rows: (f64, f64),
    seconds: (f64, f64),
}

impl WriterMetrics {
    /// Fetches the metrics; none if the engine has no such metrics.
    pub(crate) async fn fetch_from(http: &reqwest::Client, base: &str) -> Option<Self> {
        Self::parse_metrics(&fetch_metrics(http, base).await?)
    }

    fn parse_metrics(text: &str) -> Option<Self> {
        let pair = |name: &str| {
            let sum = sample_value(text, &format!("invigil_{name}_sum"))?;
            Some((sum, sample_value(text, &format!("invigil_{name}_count"))?))
        };
        Some(Self {
            rows: pair("writer_batch_rows")?,
            seconds: pair("writer_batch_seconds")?,
        })
    }

    /// Returns the sums of two engines.
    pub(crate) fn combined_with(self, other: Self) -> Self {
        let plus = |one: (f64, f64), other: (f64, f64)| (one.0 + other.0, one.1 + other.1);
        Self {
            rows: plus(self.rows, other.rows),
            seconds: plus(self.seconds, other.seconds),
        }
    }

    /// Mean rows of a batch and mean milliseconds of a commit since `before`; none if
    /// nothing was committed, or the engine was restarted in between.
    pub(crate) fn means_since(self, before: Self) -> Option<(f64, f64)> {
        let mean = |now: (f64, f64), then: (f64, f64)| {
            let count = now.1 - then.1;
            (count > 0.0).then(|| (now.0 - then.0) / count)
        };
        let rows = mean(self.rows, before.rows)?;
        Some((rows, mean(self.seconds, before.seconds)? * 1_000.0))
    }
}

/// Fetches all metrics of an engine as text.
pub(crate) async fn fetch_metrics(http: &reqwest::Client, base: &str) -> Option<String> {
    let response = http.get(format!("{base}/metrics")).send().await.ok()?;
    response.text().await.ok()
}

/// Returns a sample by its name, with its labels as written.
pub(crate) fn sample_value(text: &str, name: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_those_of_what_was_added() {
        let text = |rows: u32, batches: u32| {
            format!(
                "# TYPE invigil_writer_batch_rows histogram\n\
                 invigil_writer_batch_rows_sum {rows}\ninvigil_writer_batch_rows_count {batches}\n\
                 invigil_writer_batch_seconds_sum 0.5\ninvigil_writer_batch_seconds_count {batches}\n"
            )
        };
        let before = WriterMetrics::parse_metrics(&text(100, 10)).unwrap();
        let after = WriterMetrics::parse_metrics(&text(500, 20)).unwrap();
        let (rows, _) = after.means_since(before).unwrap();
        assert!((rows - 40.0).abs() < 1e-9);
        assert!(
            before.means_since(after).is_none(),
            "counts that fall are another engine's"
        );
        assert!(WriterMetrics::parse_metrics("nothing").is_none());
    }
}

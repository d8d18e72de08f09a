//! The engine's own figures, from `/metrics`.

/// Sums and counts of the writer's histograms at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer {
    rows: (f64, f64),
    seconds: (f64, f64),
}

impl Writer {
    /// None where the engine shows no such figures.
    pub(crate) async fn read(http: &reqwest::Client, base: &str) -> Option<Self> {
        Self::parse(&text(http, base).await?)
    }

    fn parse(text: &str) -> Option<Self> {
        let pair = |name: &str| {
            let sum = value(text, &format!("invigil_{name}_sum"))?;
            Some((sum, value(text, &format!("invigil_{name}_count"))?))
        };
        Some(Self {
            rows: pair("writer_batch_rows")?,
            seconds: pair("writer_batch_seconds")?,
        })
    }

    /// Those of two engines together.
    pub(crate) fn plus(self, other: Self) -> Self {
        let plus = |one: (f64, f64), other: (f64, f64)| (one.0 + other.0, one.1 + other.1);
        Self {
            rows: plus(self.rows, other.rows),
            seconds: plus(self.seconds, other.seconds),
        }
    }

    /// Mean rows of a batch and mean milliseconds of a commit since `before`; none
    /// where nothing was committed, or the engine was started anew in between.
    pub(crate) fn means_since(self, before: Self) -> Option<(f64, f64)> {
        let mean = |now: (f64, f64), then: (f64, f64)| {
            let count = now.1 - then.1;
            (count > 0.0).then(|| (now.0 - then.0) / count)
        };
        let rows = mean(self.rows, before.rows)?;
        Some((rows, mean(self.seconds, before.seconds)? * 1_000.0))
    }
}

/// Everything that an engine shows.
pub(crate) async fn text(http: &reqwest::Client, base: &str) -> Option<String> {
    let response = http.get(format!("{base}/metrics")).send().await.ok()?;
    response.text().await.ok()
}

/// A sample by its name, and its labels as they are written.
pub(crate) fn value(text: &str, name: &str) -> Option<f64> {
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
        let before = Writer::parse(&text(100, 10)).unwrap();
        let after = Writer::parse(&text(500, 20)).unwrap();
        let (rows, _) = after.means_since(before).unwrap();
        assert!((rows - 40.0).abs() < 1e-9);
        assert!(
            before.means_since(after).is_none(),
            "counts that fall are another engine's"
        );
        assert!(Writer::parse("nothing").is_none());
    }
}

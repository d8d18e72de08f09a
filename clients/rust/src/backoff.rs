//! How long to wait before the next try: exponential with full jitter, so that
//! ten thousand clients that lost the same node do not come back as one.

use std::time::Duration;

/// The most that the first try waits.
const FIRST_MS: u64 = 500;

/// The most that any try waits.
const CEILING_MS: u64 = 20_000;

/// Counts tries that failed in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A try failed: how long to wait, at random up to a bound that doubles.
    pub(crate) fn next(&mut self) -> Duration {
        let bound = FIRST_MS
            .saturating_mul(1 << self.failures.min(16))
            .min(CEILING_MS);
        self.failures += 1;
        // Without randomness the bound itself is waited.
        let wait = getrandom::u64().map_or(bound, |random| random % (bound + 1));
        Duration::from_millis(wait)
    }

    /// A try succeeded.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Tries that failed since one succeeded.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_ceiling_and_begin_again() {
        let mut backoff = Backoff::default();
        for bound in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000] {
            assert!(backoff.next() <= Duration::from_millis(bound));
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(500));
    }
}

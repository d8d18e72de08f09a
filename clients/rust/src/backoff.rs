//! Waits between tries: exponential with full jitter, so that ten thousand clients
//! that lost the same node do not come back at once.

use std::time::Duration;

/// Longest wait before the first retry.
const FIRST_MS: u64 = 500;

/// Longest wait before any retry.
const CEILING_MS: u64 = 20_000;

/// Counter of tries that failed in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Counts a failed try and returns the wait: random, up to a bound that doubles.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let bound = FIRST_MS
            .saturating_mul(1 << self.failures.min(16))
            .min(CEILING_MS);
        self.failures += 1;
        // Without randomness the wait is the bound itself.
        let wait = getrandom::u64().map_or(bound, |random| random % (bound + 1));
        Duration::from_millis(wait)
    }

    /// Counts a successful try.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Number of tries that failed since the last success.
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
            assert!(backoff.next_wait() <= Duration::from_millis(bound));
        }
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(500));
    }
}

//! Failures by key, in a window that begins with the first failure.

use std::{collections::HashMap, fmt, hash::Hash, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Most keys in memory, about 10 MB. Failures of further keys within one window do
/// not count; the other limits still hold for them.
const KEYS_MAX: usize = 100_000;

pub(super) struct FailureLimiter<K> {
    max: u32,
    window: Duration,
    keys: Mutex<HashMap<K, FailureCount>>,
}

/// The failures of one key.
struct FailureCount {
    since: Instant,
    failures: u32,
}

impl<K: Hash + Eq> FailureLimiter<K> {
    pub(super) fn new(max: u32, window: Duration) -> Self {
        Self {
            max,
            window,
            keys: Mutex::default(),
        }
    }

    /// Fails for a locked key, with the time until its lock ends.
    pub(super) fn check_key(&self, key: &K) -> Result<(), Duration> {
        match self.keys.lock().get(key) {
            Some(count) if count.failures >= self.max => match self.time_left(count) {
                Duration::ZERO => Ok(()),
                left => Err(left),
            },
            Some(_) | None => Ok(()),
        }
    }

    /// Counts a failure. Fails if the key was locked before.
    pub(super) fn add_failure(&self, key: K) -> Result<(), Duration> {
        let mut keys = self.keys.lock();
        if let Some(count) = keys.get_mut(&key) {
            match self.time_left(count) {
                Duration::ZERO => {
                    *count = FailureCount {
                        since: Instant::now(),
                        failures: 1,
                    }
                }
                left if count.failures >= self.max => return Err(left),
                _ => count.failures += 1,
            }
        } else {
            if keys.len() >= KEYS_MAX {
                keys.retain(|_, count| !self.time_left(count).is_zero());
            }
            if keys.len() < KEYS_MAX {
                keys.insert(
                    key,
                    FailureCount {
                        since: Instant::now(),
                        failures: 1,
                    },
                );
            }
        }
        Ok(())
    }

    /// Removes one counted failure.
    pub(super) fn remove_failure(&self, key: &K) {
        let mut keys = self.keys.lock();
        if let Some(count) = keys.get_mut(key) {
            count.failures = count.failures.saturating_sub(1);
            if count.failures == 0 {
                keys.remove(key);
            }
        }
    }

    /// Removes the keys whose window has ended.
    pub(super) fn forget_expired(&self) {
        let mut keys = self.keys.lock();
        keys.retain(|_, count| !self.time_left(count).is_zero());
        keys.shrink_to_fit();
    }

    fn time_left(&self, count: &FailureCount) -> Duration {
        self.window.saturating_sub(count.since.elapsed())
    }
}

impl<K> fmt::Debug for FailureLimiter<K> {
    /// Omits the keys, which are names and addresses.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FailureLimiter")
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_given_back() {
        let failures = FailureLimiter::new(1, Duration::from_secs(10));
        for key in 0..KEYS_MAX + 10 {
            failures.add_failure(key).unwrap();
        }
        assert_eq!(failures.keys.lock().len(), KEYS_MAX);
        tokio::time::advance(Duration::from_secs(10)).await;
        failures.add_failure(KEYS_MAX + 20).unwrap();
        assert_eq!(failures.keys.lock().len(), 1);
        tokio::time::advance(Duration::from_secs(10)).await;
        failures.forget_expired();
        assert!(failures.keys.lock().is_empty());
    }
}

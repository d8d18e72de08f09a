//! Counts failures by key over a window that begins with the first of them.

use std::{collections::HashMap, fmt, hash::Hash, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Keys that are remembered, about 10 MB. Where more fail within one window,
/// the newest are not counted: the other limits still hold for them.
const KEYS_MAX: usize = 100_000;

pub(super) struct Failures<K> {
    max: u32,
    window: Duration,
    keys: Mutex<HashMap<K, Count>>,
}

/// The failures of one key.
struct Count {
    since: Instant,
    failures: u32,
}

impl<K: Hash + Eq> Failures<K> {
    pub(super) fn new(max: u32, window: Duration) -> Self {
        Self {
            max,
            window,
            keys: Mutex::default(),
        }
    }

    /// The time until the key may try again, where it is locked.
    pub(super) fn check(&self, key: &K) -> Result<(), Duration> {
        match self.keys.lock().get(key) {
            Some(count) if count.failures >= self.max => match self.left(count) {
                Duration::ZERO => Ok(()),
                left => Err(left),
            },
            Some(_) | None => Ok(()),
        }
    }

    /// Counts a failure; refuses where the key is locked without it.
    pub(super) fn add(&self, key: K) -> Result<(), Duration> {
        let mut keys = self.keys.lock();
        if let Some(count) = keys.get_mut(&key) {
            match self.left(count) {
                Duration::ZERO => {
                    *count = Count {
                        since: Instant::now(),
                        failures: 1,
                    }
                }
                left if count.failures >= self.max => return Err(left),
                _ => count.failures += 1,
            }
        } else {
            if keys.len() >= KEYS_MAX {
                keys.retain(|_, count| !self.left(count).is_zero());
            }
            if keys.len() < KEYS_MAX {
                keys.insert(
                    key,
                    Count {
                        since: Instant::now(),
                        failures: 1,
                    },
                );
            }
        }
        Ok(())
    }

    /// Takes one failure back that was counted before.
    pub(super) fn take_back(&self, key: &K) {
        let mut keys = self.keys.lock();
        if let Some(count) = keys.get_mut(key) {
            count.failures = count.failures.saturating_sub(1);
            if count.failures == 0 {
                keys.remove(key);
            }
        }
    }

    /// Forgets the keys whose window is over.
    pub(super) fn sweep(&self) {
        let mut keys = self.keys.lock();
        keys.retain(|_, count| !self.left(count).is_zero());
        keys.shrink_to_fit();
    }

    fn left(&self, count: &Count) -> Duration {
        self.window.saturating_sub(count.since.elapsed())
    }
}

impl<K> fmt::Debug for Failures<K> {
    /// Without the keys, which are names and addresses.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Failures")
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_given_back() {
        let failures = Failures::new(1, Duration::from_secs(10));
        for key in 0..KEYS_MAX + 10 {
            failures.add(key).unwrap();
        }
        assert_eq!(failures.keys.lock().len(), KEYS_MAX);
        tokio::time::advance(Duration::from_secs(10)).await;
        failures.add(KEYS_MAX + 20).unwrap();
        assert_eq!(failures.keys.lock().len(), 1);
        tokio::time::advance(Duration::from_secs(10)).await;
        failures.sweep();
        assert!(failures.keys.lock().is_empty());
    }
}

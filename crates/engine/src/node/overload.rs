//! Load of the machine: scheduling delay and memory use. Under load, telemetry is shed
//! before anything that matters.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use invigil_telemetry::metrics::Metrics;

/// Interval between measurements.
const INTERVAL: Duration = Duration::from_millis(100);

/// Measurements between two readings of the memory.
const MEMORY_EVERY: u32 = 20;

/// Share of the worst delay that is left after each later measurement: it is forgotten in
/// seconds, so that clients do not hear of every hiccup twice.
const FADING: f64 = 0.95;

/// Delays from which on the machine is degraded, and overloaded.
const DELAY_LIMITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// Shares of the memory, in thousandths, from which on it is degraded, and overloaded.
const MEMORY_LIMITS: [u32; 2] = [850, 930];

/// Load of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LoadLevel {
    /// Normal operation.
    Normal,
    /// Delays are noticeable.
    Degraded,
    /// Work must be shed.
    Overloaded,
}

/// The last measurements.
#[derive(Debug, Default)]
pub(crate) struct Overload {
    delay_ms: AtomicU64,
    memory: AtomicU32,
}

impl Overload {
    /// The present load.
    pub(crate) fn level(&self) -> LoadLevel {
        let delay = Duration::from_millis(self.delay_ms.load(Ordering::Relaxed));
        let memory = self.memory.load(Ordering::Relaxed);
        classify_level(delay, DELAY_LIMITS).max(classify_level(memory, MEMORY_LIMITS))
    }

    /// Measures until `stop`.
    pub(crate) async fn measure(&self, metrics: &Metrics, stop: CancellationToken) {
        let only_memory =
            RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        let mut system = System::new_with_specifics(only_memory);
        if let Err(error) = &system {
            tracing::warn!(%error, "cannot read how much memory is in use");
        }
        let mut worst = Duration::ZERO;
        for turn in 0_u32.. {
            let due = Instant::now() + INTERVAL;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep_until(due) => {}
            }
            worst = worst.mul_f64(FADING).max(due.elapsed());
            let delay_ms = u64::try_from(worst.as_millis()).unwrap_or(u64::MAX);
            self.delay_ms.store(delay_ms, Ordering::Relaxed);
            metrics.scheduling_delay.set(worst.as_secs_f64());
            if turn.is_multiple_of(MEMORY_EVERY)
                && let Ok(system) = &mut system
            {
                system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
                let memory = memory_used(system);
                self.memory.store(memory, Ordering::Relaxed);
                metrics.memory_used.set(f64::from(memory) / 1_000.0);
            }
        }
    }
}

fn classify_level<T: PartialOrd + Copy>(measured: T, [degraded, overloaded]: [T; 2]) -> LoadLevel {
    if measured >= overloaded {
        LoadLevel::Overloaded
    } else if measured >= degraded {
        LoadLevel::Degraded
    } else {
        LoadLevel::Normal
    }
}

/// Memory in use that this process may have, in thousandths: of the machine's, or of its
/// control group's if that is nearer to its limit.
fn memory_used(system: &System) -> u32 {
    let total = system.total_memory();
    let machine = permille(total.saturating_sub(system.available_memory()), total);
    let group = system
        .cgroup_limits()
        .map_or(0, |limits| permille(limits.rss, limits.total_memory));
    machine.max(group)
}

fn permille(part: u64, whole: u64) -> u32 {
    let permille = u128::from(part) * 1_000 / u128::from(whole.max(1));
    u32::try_from(permille).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_util::task::TaskTracker;

    use super::*;

    #[tokio::test]
    async fn a_thread_that_is_held_up_is_noticed_and_forgotten() {
        let (overload, metrics) = (Arc::new(Overload::default()), Arc::new(Metrics::default()));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (measured, until) = (Arc::clone(&overload), stop.clone());
        tasks.spawn(async move { measured.measure(&metrics, until).await });
        tokio::time::sleep(INTERVAL / 2).await;
        assert_eq!(overload.level(), LoadLevel::Normal);

        // The only thread of this runtime.
        std::thread::sleep(DELAY_LIMITS[1] + INTERVAL);
        tokio::time::sleep(INTERVAL / 2).await;
        assert_eq!(overload.level(), LoadLevel::Overloaded);
        let calmed = async {
            while overload.level() != LoadLevel::Normal {
                tokio::time::sleep(INTERVAL).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), calmed)
            .await
            .expect("a hiccup is forgotten");
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn memory_is_measured_where_the_system_tells() {
        let mut system = System::new().expect("the system tells");
        system.refresh_memory();
        let used = memory_used(&system);
        assert!((1..=1_000).contains(&used), "{used}");
    }

    #[test]
    fn either_is_enough() {
        let overload = Overload::default();
        for (delay_ms, memory, expected) in [
            (0, 0, LoadLevel::Normal),
            (999, 849, LoadLevel::Normal),
            (1_000, 0, LoadLevel::Degraded),
            (0, 850, LoadLevel::Degraded),
            (3_000, 850, LoadLevel::Overloaded),
            (0, 930, LoadLevel::Overloaded),
            (u64::MAX, u32::MAX, LoadLevel::Overloaded),
        ] {
            overload.delay_ms.store(delay_ms, Ordering::Relaxed);
            overload.memory.store(memory, Ordering::Relaxed);
            assert_eq!(overload.level(), expected, "{delay_ms} ms, {memory}");
        }
    }
}

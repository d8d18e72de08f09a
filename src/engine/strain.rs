//! How hard the machine has it: whether tasks run when they are due, and whether
//! memory runs short. Where either is so, telemetry is shed before anything that
//! matters.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::telemetry::metrics::Metrics;

/// How often it is measured.
const INTERVAL: Duration = Duration::from_millis(100);

/// Measurements between two looks at the memory.
const MEMORY_EVERY: u32 = 20;

/// How much of the worst delay is left after each later measurement: it is
/// forgotten in seconds, so that clients are not told of every hiccup twice.
const FADING: f64 = 0.95;

/// Delays from which on it is hard, and too hard.
const DELAYS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// Shares of the memory, in thousandths, from which on it is hard, and too hard.
const MEMORY: [u32; 2] = [850, 930];

/// How hard it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// As it should be.
    None,
    /// It shows.
    Hard,
    /// Something has to go.
    TooHard,
}

/// The last measurements.
#[derive(Debug, Default)]
pub(super) struct Strain {
    delay_ms: AtomicU64,
    memory: AtomicU32,
}

impl Strain {
    /// How hard it is now.
    pub(super) fn level(&self) -> Level {
        let delay = Duration::from_millis(self.delay_ms.load(Ordering::Relaxed));
        let memory = self.memory.load(Ordering::Relaxed);
        step(delay, DELAYS).max(step(memory, MEMORY))
    }

    /// Measures until `stop`.
    pub(super) async fn measure(&self, metrics: &Metrics, stop: CancellationToken) {
        let only_memory =
            RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        let mut system = System::new_with_specifics(only_memory);
        if let Err(error) = &system {
            tracing::warn!(%error, "the system does not tell how much memory is in use");
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

fn step<T: PartialOrd + Copy>(measured: T, [hard, too_hard]: [T; 2]) -> Level {
    if measured >= too_hard {
        Level::TooHard
    } else if measured >= hard {
        Level::Hard
    } else {
        Level::None
    }
}

/// How much of the memory is in use that this process may have, in thousandths:
/// of the machine's, or of its control group's where that is nearer to its end.
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
        let (strain, metrics) = (Arc::new(Strain::default()), Arc::new(Metrics::default()));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let (measured, until) = (Arc::clone(&strain), stop.clone());
        tasks.spawn(async move { measured.measure(&metrics, until).await });
        tokio::time::sleep(INTERVAL / 2).await;
        assert_eq!(strain.level(), Level::None);

        // The only thread of this runtime.
        std::thread::sleep(DELAYS[1] + INTERVAL);
        tokio::time::sleep(INTERVAL / 2).await;
        assert_eq!(strain.level(), Level::TooHard);
        let calmed = async {
            while strain.level() != Level::None {
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
        let strain = Strain::default();
        for (delay_ms, memory, expected) in [
            (0, 0, Level::None),
            (999, 849, Level::None),
            (1_000, 0, Level::Hard),
            (0, 850, Level::Hard),
            (3_000, 850, Level::TooHard),
            (0, 930, Level::TooHard),
            (u64::MAX, u32::MAX, Level::TooHard),
        ] {
            strain.delay_ms.store(delay_ms, Ordering::Relaxed);
            strain.memory.store(memory, Ordering::Relaxed);
            assert_eq!(strain.level(), expected, "{delay_ms} ms, {memory}");
        }
    }
}

//! The engine's clock, the only one that decides anything.
//!
//! It reads the wall clock once, at the start, and from then on counts with the monotonic
//! clock: a step of the wall clock (an operator, a bad time server) neither takes time
//! from a candidate nor gives any. The kernel disciplines both clocks at the same rate,
//! so they differ only by such steps, which [`EngineClock::report_steps`] logs.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use invigil_domain::time::{Timestamp, duration_ms};

/// Smallest step of the wall clock that is logged.
const STEP_MIN: Duration = Duration::from_secs(2);

/// Interval between comparisons with the wall clock.
const WATCH_INTERVAL: Duration = Duration::from_secs(10);

/// A clock that never steps.
#[derive(Debug, Clone, Copy)]
pub struct EngineClock {
    anchor: Timestamp,
    started: Instant,
}

impl EngineClock {
    /// A clock that agrees with the wall clock.
    pub fn system() -> Self {
        Self::starting_at(wall_clock())
    }

    /// A clock that shows `anchor` and goes on from there.
    pub fn starting_at(anchor: Timestamp) -> Self {
        Self {
            anchor,
            started: Instant::now(),
        }
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.anchor + self.started.elapsed()
    }

    /// Tokio's instant at which this clock shows `at`.
    pub fn instant_at(&self, at: Timestamp) -> Instant {
        self.started + at.since(self.anchor)
    }

    /// Logs every step of the wall clock until `stop`.
    pub async fn report_steps(self, stop: CancellationToken) {
        let mut reported = 0;
        let mut interval = tokio::time::interval(WATCH_INTERVAL);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = interval.tick() => {}
            }
            let ahead_ms = wall_clock().as_ms() - self.now().as_ms();
            if (ahead_ms - reported).abs() >= duration_ms(STEP_MIN) {
                reported = ahead_ms;
                tracing::error!(
                    ahead_ms,
                    "the system clock was set to another time; running exams keep the time that \
                     they had, a restart adopts the new one"
                );
            }
        }
    }
}

/// Time of the wall clock.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the clock that the others are given"
)]
fn wall_clock() -> Timestamp {
    let since_epoch = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::default() + since_epoch
}

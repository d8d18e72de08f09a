//! The engine's clock, the only one that decides anything.
//!
//! It reads the wall clock once, at the start, and from then on counts with the
//! monotonic clock: a step of the wall clock (an operator, a bad time server)
//! neither takes time from anyone nor gives any. Both clocks are disciplined
//! by the kernel at the same rate, so they differ only by such steps, which
//! [`Clock::watch`] reports.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::time::{Timestamp, duration_ms};

/// A step of the wall clock that is worth a sentence in the log.
const STEP_MIN: Duration = Duration::from_secs(2);

/// How often the wall clock is compared.
const WATCH_INTERVAL: Duration = Duration::from_secs(10);

/// A clock that never steps.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    anchor: Timestamp,
    started: Instant,
}

impl Clock {
    /// A clock that agrees with the wall clock.
    pub fn system() -> Self {
        Self::at(wall_clock())
    }

    /// A clock that shows `anchor` and goes on from there.
    pub fn at(anchor: Timestamp) -> Self {
        Self {
            anchor,
            started: Instant::now(),
        }
    }

    /// The instant that it is.
    pub fn now(&self) -> Timestamp {
        self.anchor + self.started.elapsed()
    }

    /// When tokio's clock will show `at`; a past instant is already there.
    pub fn instant(&self, at: Timestamp) -> Instant {
        self.started + at.since(self.anchor)
    }

    /// Reports every step of the wall clock until `stop`.
    pub async fn watch(self, stop: CancellationToken) {
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

/// What the wall clock shows.
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

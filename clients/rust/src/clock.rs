//! The countdown that a person sees: the engine's remaining time, counted down by a
//! monotonic clock. The wall clock of a candidate's device is never used.

use std::time::Duration;

use invigil_protocol::candidate::{AttemptStatus, ServerMessage};
use tokio::time::Instant;

use crate::core::ClientUpdate;

/// The candidate's remaining time.
#[derive(Debug, Default)]
pub(crate) struct Countdown {
    /// Remaining time at `since`; the clock stands still while that is none.
    left: Duration,
    since: Option<Instant>,
}

impl Countdown {
    /// Applies the time of an update.
    pub(crate) fn apply_update(&mut self, update: &ClientUpdate, now: Instant) {
        match update {
            ClientUpdate::Entered(welcome) => {
                self.set_remaining(welcome.attempt.remaining_ms, now);
                self.set_running(welcome.attempt.status == AttemptStatus::InProgress, now);
            }
            ClientUpdate::Timing { remaining_ms, .. } => self.set_remaining(*remaining_ms, now),
            ClientUpdate::Message(message) => {
                if let ServerMessage::Status(status) = &**message {
                    self.set_running(status.status == AttemptStatus::InProgress, now);
                }
            }
            ClientUpdate::Open { .. } => self.set_running(true, now),
            ClientUpdate::Submitted(_) | ClientUpdate::Closed { .. } => {
                self.set_running(false, now);
            }
            ClientUpdate::Saved(_)
            | ClientUpdate::Refused { .. }
            | ClientUpdate::Unheard { .. }
            | ClientUpdate::Conflict { .. } => {}
        }
    }

    /// Remaining time. It stays at zero until the engine ends the attempt.
    pub(crate) fn remaining_at(&self, now: Instant) -> Duration {
        let passed = self
            .since
            .map_or(Duration::ZERO, |since| now.duration_since(since));
        self.left.saturating_sub(passed)
    }

    fn set_remaining(&mut self, remaining_ms: i64, now: Instant) {
        self.left = Duration::from_millis(u64::try_from(remaining_ms).unwrap_or(0));
        self.since = self.since.map(|_| now);
    }

    fn set_running(&mut self, runs: bool, now: Instant) {
        self.left = self.remaining_at(now);
        self.since = runs.then_some(now);
    }
}

#[cfg(test)]
mod tests {
    use invigil_protocol::candidate::StatusChange;

    use super::*;

    fn status_update(status: AttemptStatus) -> ClientUpdate {
        let change = StatusChange {
            status,
            reason: None,
            section: None,
        };
        ClientUpdate::Message(Box::new(ServerMessage::Status(change)))
    }

    #[test]
    fn the_countdown_runs_stands_still_and_goes_on() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut countdown = Countdown::default();
        let timing = |remaining_ms| ClientUpdate::Timing {
            deadline_at: 0,
            remaining_ms,
        };
        countdown.apply_update(&timing(60_000), at(0));
        assert_eq!(
            countdown.remaining_at(at(5)),
            Duration::from_mins(1),
            "in the lobby"
        );
        countdown.apply_update(&ClientUpdate::Open { key: String::new() }, at(10));
        assert_eq!(countdown.remaining_at(at(15)), Duration::from_secs(55));
        countdown.apply_update(&status_update(AttemptStatus::Paused), at(20));
        assert_eq!(countdown.remaining_at(at(90)), Duration::from_secs(50));
        countdown.apply_update(&timing(50_000), at(90));
        countdown.apply_update(&status_update(AttemptStatus::InProgress), at(90));
        assert_eq!(countdown.remaining_at(at(100)), Duration::from_secs(40));
        countdown.apply_update(&timing(100_000), at(100));
        assert_eq!(countdown.remaining_at(at(101)), Duration::from_secs(99));
        assert_eq!(countdown.remaining_at(at(300)), Duration::ZERO);
    }
}

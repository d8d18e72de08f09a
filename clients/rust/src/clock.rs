//! The countdown that a person sees: what the engine said is left, counted down
//! by a monotonic clock. The wall clock of a candidate's device means nothing.

use std::time::Duration;

use invigil_protocol::candidate::{AttemptStatus, ServerMessage};
use tokio::time::Instant;

use crate::core::Update;

/// What is left of the candidate's time.
#[derive(Debug, Default)]
pub(crate) struct Countdown {
    /// At `since`; while that is none, the clock stands still.
    left: Duration,
    since: Option<Instant>,
}

impl Countdown {
    /// Takes note of what the engine says about time.
    pub(crate) fn note(&mut self, update: &Update, now: Instant) {
        match update {
            Update::Entered(welcome) => {
                self.set(welcome.attempt.remaining_ms, now);
                self.run(welcome.attempt.status == AttemptStatus::InProgress, now);
            }
            Update::Timing { remaining_ms, .. } => self.set(*remaining_ms, now),
            Update::Message(message) => {
                if let ServerMessage::Status(status) = &**message {
                    self.run(status.status == AttemptStatus::InProgress, now);
                }
            }
            Update::Open { .. } => self.run(true, now),
            Update::Submitted(_) | Update::Closed { .. } => self.run(false, now),
            Update::Saved(_)
            | Update::Refused { .. }
            | Update::Unheard { .. }
            | Update::Conflict { .. } => {}
        }
    }

    /// What is left. It stays at zero until the engine ends the attempt.
    pub(crate) fn left(&self, now: Instant) -> Duration {
        let passed = self
            .since
            .map_or(Duration::ZERO, |since| now.duration_since(since));
        self.left.saturating_sub(passed)
    }

    fn set(&mut self, remaining_ms: i64, now: Instant) {
        self.left = Duration::from_millis(u64::try_from(remaining_ms).unwrap_or(0));
        self.since = self.since.map(|_| now);
    }

    fn run(&mut self, runs: bool, now: Instant) {
        self.left = self.left(now);
        self.since = runs.then_some(now);
    }
}

#[cfg(test)]
mod tests {
    use invigil_protocol::candidate::StatusChange;

    use super::*;

    fn status(status: AttemptStatus) -> Update {
        let change = StatusChange {
            status,
            reason: None,
            section: None,
        };
        Update::Message(Box::new(ServerMessage::Status(change)))
    }

    #[test]
    fn the_countdown_runs_stands_still_and_goes_on() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut countdown = Countdown::default();
        let timing = |remaining_ms| Update::Timing {
            deadline_at: 0,
            remaining_ms,
        };
        countdown.note(&timing(60_000), at(0));
        assert_eq!(
            countdown.left(at(5)),
            Duration::from_mins(1),
            "in the lobby"
        );
        countdown.note(&Update::Open { key: String::new() }, at(10));
        assert_eq!(countdown.left(at(15)), Duration::from_secs(55));
        countdown.note(&status(AttemptStatus::Paused), at(20));
        assert_eq!(countdown.left(at(90)), Duration::from_secs(50));
        countdown.note(&timing(50_000), at(90));
        countdown.note(&status(AttemptStatus::InProgress), at(90));
        assert_eq!(countdown.left(at(100)), Duration::from_secs(40));
        countdown.note(&timing(100_000), at(100));
        assert_eq!(countdown.left(at(101)), Duration::from_secs(99));
        assert_eq!(countdown.left(at(300)), Duration::ZERO);
    }
}

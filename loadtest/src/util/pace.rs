//! Due times of sends: a constant rate, dealt out to the connections in turn, whether
//! the engine keeps up or not.

use std::time::Duration;

use tokio::time::Instant;

/// A send this long after its due time is missed. The timer alone is up to a
/// millisecond late, and a machine under load adds a few more.
const LATE: Duration = Duration::from_millis(20);

/// Due times of the sends of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendPace {
    pub(crate) start: Instant,
    /// Rate of all connections together.
    pub(crate) per_second: f64,
    pub(crate) length: Duration,
    pub(crate) connections: u32,
}

impl SendPace {
    /// Returns the due time of the `nth` (from 0) send of a connection; none after the end.
    pub(crate) fn due_at(&self, connection: u32, nth: u32) -> Option<Instant> {
        let before = f64::from(nth) * f64::from(self.connections) + f64::from(connection);
        let after = Duration::try_from_secs_f64(before / self.per_second).ok()?;
        (after < self.length).then(|| self.start + after)
    }

    /// True if it is too late for a send with this due time.
    pub(crate) fn is_missed(due: Instant) -> bool {
        Instant::now().duration_since(due) > LATE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_are_dealt_out_evenly_and_end_with_the_run() {
        let start = Instant::now();
        let length = Duration::from_secs(2);
        let pace = SendPace {
            start,
            per_second: 10.0,
            length,
            connections: 4,
        };
        let mut all: Vec<Duration> = (0..4)
            .flat_map(|connection| (0..).map_while(move |nth| pace.due_at(connection, nth)))
            .map(|due| due.duration_since(start))
            .collect();
        all.sort();
        let expected: Vec<Duration> = (0..20).map(|n| Duration::from_millis(n * 100)).collect();
        assert_eq!(all, expected);
    }
}

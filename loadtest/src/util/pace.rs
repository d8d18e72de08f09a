//! When what is to be sent: a constant rate, dealt out round and round to the
//! connections, whether anyone keeps up or not.

use std::time::Duration;

use tokio::time::Instant;

/// A send that goes out this long after its time is missed. The timer alone is
/// up to a millisecond late, and a machine under load a few more.
const LATE: Duration = Duration::from_millis(20);

/// The send times of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) start: Instant,
    /// All connections together.
    pub(crate) per_second: f64,
    pub(crate) length: Duration,
    pub(crate) connections: u32,
}

impl Pace {
    /// When the `nth` (from 0) send of a connection is due; none after the end.
    pub(crate) fn due(&self, connection: u32, nth: u32) -> Option<Instant> {
        let before = f64::from(nth) * f64::from(self.connections) + f64::from(connection);
        let after = Duration::try_from_secs_f64(before / self.per_second).ok()?;
        (after < self.length).then(|| self.start + after)
    }

    /// Whether what was due then went out too late.
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
        let pace = Pace {
            start,
            per_second: 10.0,
            length,
            connections: 4,
        };
        let mut all: Vec<Duration> = (0..4)
            .flat_map(|connection| (0..).map_while(move |nth| pace.due(connection, nth)))
            .map(|due| due.duration_since(start))
            .collect();
        all.sort();
        let expected: Vec<Duration> = (0..20).map(|n| Duration::from_millis(n * 100)).collect();
        assert_eq!(all, expected);
    }
}

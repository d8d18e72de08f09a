//! Bounds of the records that wait for their store, in memory and on local disk.
//!
//! - *Memory*: [`WAITING_MAX`] entries. A class is taken while the queue is shorter than the
//!   class's share of that: half for heartbeats, three quarters for navigation, all of it for
//!   events and history.
//! - *Disk*: `recorder.spool_bytes`. Its used share decides what is still taken: heartbeats
//!   below 80 %, navigation below 90 %, events below 100 %. Entries that are in memory by then
//!   still go to disk, so the spool exceeds its bound by these at most.
//! - *History* is never on disk: the attempts' store keeps it until it is recorded.
//! - *Incidents* pass the bound of the disk by, and are dropped only above
//!   [`INCIDENTS_WAITING_MAX`] entries in memory. They are few, since rules of the exam open
//!   them, and an incident without a copy would be missing in queries over all attempts.
//! - *Damaged segments*, which are set aside, do not count. They wait for a person.
//!
//! An overloaded machine takes neither heartbeats nor navigation.

use crate::node::overload::LoadLevel;
use invigil_store::records::RecordClass;

/// Limit of entries in memory, shared by the classes according to their value. Entries
/// wait there only while one batch is under way, or while the disk takes nothing.
pub(super) const WAITING_MAX: usize = 20_000;

/// Limit of entries in memory for incidents.
pub(super) const INCIDENTS_WAITING_MAX: usize = 2 * WAITING_MAX;

/// Fullness of the spool from which only events are taken.
const SAMPLES_FULL_AT: f64 = 0.9;

/// The room that each class of records has in the queue.
pub(super) struct QueueRoom {
    fullness: f64,
}

impl QueueRoom {
    /// Returns the room where this share of the spool is used, under this load.
    pub(super) fn new(spool_fullness: f64, load: LoadLevel) -> Self {
        let strained = match load {
            LoadLevel::Normal | LoadLevel::Degraded => 0.0,
            LoadLevel::Overloaded => SAMPLES_FULL_AT,
        };
        Self {
            fullness: spool_fullness.max(strained),
        }
    }

    /// Returns the length of the queue up to which a class is taken.
    pub(super) fn limit_for(&self, class: RecordClass) -> usize {
        let (full_at, share) = match class {
            RecordClass::Heartbeat => (0.8, 2),
            RecordClass::Navigation => (SAMPLES_FULL_AT, 3),
            RecordClass::Event | RecordClass::History => (1.0, 4),
        };
        if self.fullness >= full_at {
            0
        } else {
            WAITING_MAX / 4 * share
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [RecordClass; 4] = [
        RecordClass::Heartbeat,
        RecordClass::Navigation,
        RecordClass::Event,
        RecordClass::History,
    ];

    #[test]
    fn classes_are_dropped_in_the_order_of_their_value() {
        for (fullness, load, expected) in [
            (0.0, LoadLevel::Degraded, [10_000, 15_000, 20_000, 20_000]),
            (0.79, LoadLevel::Normal, [10_000, 15_000, 20_000, 20_000]),
            (0.8, LoadLevel::Normal, [0, 15_000, 20_000, 20_000]),
            (0.9, LoadLevel::Normal, [0, 0, 20_000, 20_000]),
            (1.0, LoadLevel::Normal, [0, 0, 0, 0]),
            (0.0, LoadLevel::Overloaded, [0, 0, 20_000, 20_000]),
        ] {
            let room = QueueRoom::new(fullness, load);
            let limits = CLASSES.map(|class| room.limit_for(class));
            assert_eq!(limits, expected, "{fullness}, {load:?}");
        }
    }
}

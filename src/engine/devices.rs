//! Which attempt was last seen on which device.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::domain::{
    id::{AttemptId, ExamCode},
    time::Timestamp,
};

/// A device is a candidate's for this long after it was last seen: computer
/// rooms are used by one group after the other.
const KEPT: Duration = Duration::from_mins(30);

/// Entries before old ones are looked for.
const MANY: usize = 20_000;

/// The devices of a node's candidates.
#[derive(Debug, Default)]
pub(super) struct Devices {
    seen: Mutex<HashMap<(ExamCode, String), (AttemptId, Timestamp)>>,
}

impl Devices {
    /// Notes that an attempt is taken on a device, and names the other attempt
    /// at the same exam that was there a moment ago.
    pub(super) fn note(
        &self,
        exam: &ExamCode,
        device: &str,
        attempt: AttemptId,
        now: Timestamp,
    ) -> Option<AttemptId> {
        // No holder of this lock can panic half-way through a change.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MANY {
            seen.retain(|_, (_, at)| now.since(*at) < KEPT);
        }
        let key = (exam.clone(), device.to_owned());
        let (before, at) = seen.insert(key, (attempt, now))?;
        (before != attempt && now.since(at) < KEPT).then_some(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_shared_where_another_candidate_was_just_there() {
        let devices = Devices::default();
        let note = |exam: &str, device: &str, attempt, minute: i64| {
            let at = Timestamp::from_ms(60_000 * minute);
            devices.note(&exam.into(), device, AttemptId(attempt), at)
        };
        assert_eq!(note("E1", "laptop", 1, 0), None);
        assert_eq!(note("E1", "laptop", 1, 1), None);
        assert_eq!(note("E2", "laptop", 2, 2), None);
        assert_eq!(note("E1", "tablet", 3, 2), None);
        assert_eq!(note("E1", "laptop", 4, 3), Some(AttemptId(1)));
        assert_eq!(note("E1", "laptop", 1, 4), Some(AttemptId(4)));
        assert_eq!(note("E1", "laptop", 5, 40), None);
    }
}

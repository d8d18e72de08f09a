//! Last uses of devices by attempts.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use invigil_domain::{
    id::{AttemptId, ExamCode, PersonId},
    time::Timestamp,
};

/// Time that a device counts as its last candidate's: computer rooms are used by one
/// group after the other.
const KEPT: Duration = Duration::from_mins(30);

/// Number of entries from which on old ones are removed.
const PRUNE_ABOVE: usize = 20_000;

/// The devices of a node's candidates.
#[derive(Debug, Default)]
pub(crate) struct KnownDevices {
    seen: Mutex<HashMap<(ExamCode, String), DeviceUse>>,
}

/// Last use of a device.
#[derive(Debug)]
struct DeviceUse {
    candidate: PersonId,
    attempt: AttemptId,
    at: Timestamp,
}

impl KnownDevices {
    /// Records that an attempt uses a device. Returns the attempt of another candidate at
    /// the same exam that used it a moment ago.
    pub(crate) fn record_use(
        &self,
        exam: &ExamCode,
        device: &str,
        candidate: &PersonId,
        attempt: AttemptId,
        now: Timestamp,
    ) -> Option<AttemptId> {
        // No holder of this lock can panic half-way through a change.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= PRUNE_ABOVE {
            seen.retain(|_, seen| now.since(seen.at) < KEPT);
        }
        let key = (exam.clone(), device.to_owned());
        let here = DeviceUse {
            candidate: candidate.clone(),
            attempt,
            at: now,
        };
        let before = seen.insert(key, here)?;
        let shared = before.candidate != *candidate && now.since(before.at) < KEPT;
        shared.then_some(before.attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_shared_where_another_candidate_was_just_there() {
        let devices = KnownDevices::default();
        let note = |exam: &str, device: &str, attempt, minute: i64| {
            let at = Timestamp::from_ms(60_000 * minute);
            let candidate = format!("c{}", attempt % 100).as_str().into();
            devices.record_use(&exam.into(), device, &candidate, AttemptId(attempt), at)
        };
        assert_eq!(note("E1", "laptop", 1, 0), None);
        assert_eq!(note("E1", "laptop", 1, 1), None);
        assert_eq!(note("E2", "laptop", 2, 2), None);
        assert_eq!(note("E1", "tablet", 3, 2), None);
        assert_eq!(note("E1", "laptop", 4, 3), Some(AttemptId(1)));
        assert_eq!(note("E1", "laptop", 1, 4), Some(AttemptId(4)));
        assert_eq!(note("E1", "laptop", 5, 40), None);
        assert_eq!(
            note("E1", "laptop", 105, 41),
            None,
            "the second attempt of one"
        );
    }
}

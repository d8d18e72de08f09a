//! Replay of an attempt: its timeline applied again, through the same `apply` as the live
//! attempt.
//!
//! A timeline lacks the data that no commit needed: values that were overwritten before
//! they were saved, and the numbers of sessions. Everything else is restored. An entry
//! that cannot be read changes nothing, and the replay goes on and names it.

use std::sync::Arc;

use invigil_domain::{
    attempt::{Attempt, AttemptIdentity, AttemptRecord, DomainEvent, IndexedExam},
    exam::Exam,
    time::Timestamp,
};
use invigil_store::{
    TimelineRow,
    timeline::{DamagedEntry, TimelineEvent},
};

/// A replayed timeline.
#[derive(Debug)]
pub struct ReplayedTimeline {
    /// The attempt after the entries.
    pub attempt: Attempt,
    /// Entries that cannot be read, in order.
    pub damaged: Vec<DamagedEntry>,
    /// Entries of kinds that this release does not know, in order.
    pub unknown: Vec<TimelineRow>,
}

/// Replays an attempt's entries, oldest first, up to an instant.
pub fn replay_timeline(
    identity: AttemptIdentity,
    exam: Arc<Exam>,
    entries: &[TimelineRow],
    until: Option<Timestamp>,
) -> ReplayedTimeline {
    let plan = Arc::new(IndexedExam::new(exam));
    let mut attempt = Attempt::from_record(identity, plan, usize::MAX, 0, AttemptRecord::default());
    let (mut damaged, mut unknown) = (Vec::new(), Vec::new());
    let wanted = entries
        .iter()
        .filter(|entry| until.is_none_or(|until| entry.at <= until));
    for entry in wanted {
        let read = TimelineEvent::from_row(entry);
        if let Ok(TimelineEvent::Unknown { .. }) = &read {
            unknown.push(entry.clone());
        }
        let events = read.and_then(|event| events_of_entry(&attempt, entry, &event));
        let events = events.unwrap_or_else(|unreadable| {
            damaged.push(unreadable);
            Vec::new()
        });
        // The last of them has the entry's number.
        attempt.set_version(entry.number.saturating_sub(events.len() as u64));
        for event in events {
            attempt.apply(&event);
        }
    }
    ReplayedTimeline {
        attempt,
        damaged,
        unknown,
    }
}

fn events_of_entry(
    attempt: &Attempt,
    entry: &TimelineRow,
    event: &TimelineEvent,
) -> Result<Vec<DomainEvent>, DamagedEntry> {
    event
        .to_domain(attempt, entry.at)
        .map_err(|reason| entry.damaged_by(reason))
}

//! The recorder's queue.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use super::{PendingAck, frame::RecorderEntry};
use invigil_domain::id::AttemptId;
use invigil_store::records::{IncidentRow, RecordClass, TimelineRecord};

/// Entries in order of submission, each with a ticket.
#[derive(Debug, Default)]
pub(super) struct RecorderQueue {
    entries: VecDeque<QueuedEntry>,
    acknowledgements: VecDeque<(u64, PendingAck)>,
    ticket: u64,
    /// Submission time of the oldest entry in the batch under way; none without a batch.
    batch_since: Option<Instant>,
}

#[derive(Debug)]
struct QueuedEntry {
    ticket: u64,
    since: Instant,
    entry: RecorderEntry,
    /// True if it must be spooled, as no other store has it.
    must_spool: bool,
}

/// Entries of the queue that are written together.
#[derive(Debug)]
pub(super) struct QueueBatch {
    entries: Vec<QueuedEntry>,
    acknowledgements: Vec<(u64, PendingAck)>,
    ticket: u64,
}

impl RecorderQueue {
    pub(super) fn push_entry(&mut self, entry: RecorderEntry, only_here: bool) {
        self.ticket += 1;
        self.entries.push_back(QueuedEntry {
            ticket: self.ticket,
            since: Instant::now(),
            entry,
            must_spool: only_here,
        });
    }

    /// Queues an acknowledgement until everything submitted so far is in the durable
    /// path. If that is the case already, the next batch sends it, though empty. Above
    /// `most` waiting ones it is left out: the client's next one covers it.
    pub(super) fn push_acknowledgement(&mut self, acknowledgement: PendingAck, most: usize) {
        if self.acknowledgements.len() < most {
            self.acknowledgements
                .push_back((self.ticket, acknowledgement));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.acknowledgements.is_empty()
    }

    pub(super) const fn last_ticket(&self) -> u64 {
        self.ticket
    }

    pub(super) fn oldest_since(&self) -> Option<Instant> {
        let front = self.entries.front().map(|waiting| waiting.since);
        self.batch_since.or(front)
    }

    /// Takes the oldest entries, with the acknowledgements that follow once they are durable.
    pub(super) fn take_batch(&mut self, most: usize) -> QueueBatch {
        let count = self.entries.len().min(most);
        self.batch_since = self.entries.front().map(|waiting| waiting.since);
        let entries: Vec<QueuedEntry> = self.entries.drain(..count).collect();
        let upto = match self.entries.front() {
            Some(next) => next.ticket - 1,
            None => self.ticket,
        };
        let mut acknowledgements = Vec::new();
        while let Some((ticket, _)) = self.acknowledgements.front()
            && *ticket <= upto
        {
            acknowledgements.extend(self.acknowledgements.pop_front());
        }
        QueueBatch {
            entries,
            acknowledgements,
            ticket: upto,
        }
    }

    /// Notes that the batch under way is in the durable path.
    pub(super) const fn end_batch(&mut self) {
        self.batch_since = None;
    }

    /// Puts a batch that could not be written back to the front.
    pub(super) fn put_back(&mut self, taken: QueueBatch) {
        self.batch_since = None;
        for waiting in taken.entries.into_iter().rev() {
            self.entries.push_front(waiting);
        }
        for acknowledgement in taken.acknowledgements.into_iter().rev() {
            self.acknowledgements.push_front(acknowledgement);
        }
    }
}

impl QueueBatch {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.acknowledgements.is_empty()
    }

    /// The ticket up to which all entries are in this batch or an earlier one.
    pub(super) const fn last_ticket(&self) -> u64 {
        self.ticket
    }

    pub(super) fn split_by_kind(&self) -> (Vec<TimelineRecord>, Vec<IncidentRow>) {
        let (mut records, mut incidents) = (Vec::new(), Vec::new());
        for waiting in &self.entries {
            match &waiting.entry {
                RecorderEntry::Record(record) => records.push(record.clone()),
                RecorderEntry::Incident(incident) => incidents.push((**incident).clone()),
            }
        }
        (records, incidents)
    }

    /// Returns the entries that must be spooled if the store does not take them.
    pub(super) fn to_spool(&self) -> impl Iterator<Item = &RecorderEntry> {
        let only_here = self.entries.iter().filter(|waiting| waiting.must_spool);
        only_here.map(|waiting| &waiting.entry)
    }

    /// Returns true if the batch has history that the attempts' store keeps.
    pub(super) fn has_kept_history(&self) -> bool {
        self.kept_history().next().is_some()
    }

    /// Returns the keys of the history that the attempts' store keeps until it is recorded.
    pub(super) fn kept_history(&self) -> impl Iterator<Item = (AttemptId, u64)> {
        self.entries
            .iter()
            .filter_map(|waiting| match &waiting.entry {
                RecorderEntry::Record(record) if !waiting.must_spool => {
                    Some((record.attempt, record.number))
                }
                RecorderEntry::Record(_) | RecorderEntry::Incident(_) => None,
            })
    }

    /// Counts the entries of each class.
    pub(super) fn counts_by_class(&self) -> BTreeMap<RecordClass, u64> {
        let mut counts = BTreeMap::new();
        for waiting in &self.entries {
            let class = match &waiting.entry {
                RecorderEntry::Record(record) => record.class,
                RecorderEntry::Incident(_) => RecordClass::History,
            };
            *counts.entry(class).or_default() += 1;
        }
        counts
    }

    pub(super) fn into_acknowledgements(self) -> impl Iterator<Item = PendingAck> {
        let all = self.acknowledgements.into_iter();
        all.map(|(_, acknowledgement)| acknowledgement)
    }
}

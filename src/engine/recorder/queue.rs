//! What waits for the recorder, in order.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use super::{Acknowledgement, frame::Entry};
use crate::{
    domain::id::AttemptId,
    store::records::{Class, IncidentRow, Record},
};

/// Entries in the order in which they came, each with a ticket.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<Waiting>,
    acknowledgements: VecDeque<(u64, Acknowledgement)>,
    ticket: u64,
    /// Since when the oldest of what is taken waits; none: nothing is under way.
    under_way: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    since: Instant,
    entry: Entry,
    /// Whether it must be spooled: nobody else has it.
    only_here: bool,
}

/// A part of the queue that is written together.
#[derive(Debug)]
pub(super) struct Taken {
    entries: Vec<Waiting>,
    acknowledgements: Vec<(u64, Acknowledgement)>,
    ticket: u64,
}

impl Queue {
    pub(super) fn push(&mut self, entry: Entry, only_here: bool) {
        self.ticket += 1;
        self.entries.push_back(Waiting {
            ticket: self.ticket,
            since: Instant::now(),
            entry,
            only_here,
        });
    }

    /// Says something once everything so far is in the durable path. Where all
    /// of it is, that is with the next batch, which is empty then. Of so many that
    /// wait, another one is left out: the client's next one says it, too.
    pub(super) fn acknowledge(&mut self, acknowledgement: Acknowledgement, most: usize) {
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

    pub(super) fn oldest(&self) -> Option<Instant> {
        let front = self.entries.front().map(|waiting| waiting.since);
        self.under_way.or(front)
    }

    /// Takes the oldest entries, and what follows once they are durable.
    pub(super) fn take(&mut self, most: usize) -> Taken {
        let count = self.entries.len().min(most);
        self.under_way = self.entries.front().map(|waiting| waiting.since);
        let entries: Vec<Waiting> = self.entries.drain(..count).collect();
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
        Taken {
            entries,
            acknowledgements,
            ticket: upto,
        }
    }

    /// What was taken is in the durable path.
    pub(super) const fn settled(&mut self) {
        self.under_way = None;
    }

    /// Puts back what could not be written, in front of everything.
    pub(super) fn put_back(&mut self, taken: Taken) {
        self.under_way = None;
        for waiting in taken.entries.into_iter().rev() {
            self.entries.push_front(waiting);
        }
        for acknowledgement in taken.acknowledgements.into_iter().rev() {
            self.acknowledgements.push_front(acknowledgement);
        }
    }
}

impl Taken {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.acknowledgements.is_empty()
    }

    /// Every ticket up to this one is in it, or was before.
    pub(super) const fn ticket(&self) -> u64 {
        self.ticket
    }

    pub(super) fn parts(&self) -> (Vec<Record>, Vec<IncidentRow>) {
        let (mut records, mut incidents) = (Vec::new(), Vec::new());
        for waiting in &self.entries {
            match &waiting.entry {
                Entry::Record(record) => records.push(record.clone()),
                Entry::Incident(incident) => incidents.push((**incident).clone()),
            }
        }
        (records, incidents)
    }

    /// What must go to the disk where the store does not take it.
    pub(super) fn to_spool(&self) -> impl Iterator<Item = &Entry> {
        let only_here = self.entries.iter().filter(|waiting| waiting.only_here);
        only_here.map(|waiting| &waiting.entry)
    }

    /// Whether some of it is safe in the attempts' store.
    pub(super) fn has_kept(&self) -> bool {
        self.kept_elsewhere().next().is_some()
    }

    /// What is safe in the attempts' store until it is recorded.
    pub(super) fn kept_elsewhere(&self) -> impl Iterator<Item = (AttemptId, u64)> {
        self.entries
            .iter()
            .filter_map(|waiting| match &waiting.entry {
                Entry::Record(record) if !waiting.only_here => {
                    Some((record.attempt, record.number))
                }
                Entry::Record(_) | Entry::Incident(_) => None,
            })
    }

    /// How many there are of each class.
    pub(super) fn counts(&self) -> BTreeMap<Class, u64> {
        let mut counts = BTreeMap::new();
        for waiting in &self.entries {
            let class = match &waiting.entry {
                Entry::Record(record) => record.class,
                Entry::Incident(_) => Class::History,
            };
            *counts.entry(class).or_default() += 1;
        }
        counts
    }

    pub(super) fn into_acknowledgements(self) -> impl Iterator<Item = Acknowledgement> {
        let all = self.acknowledgements.into_iter();
        all.map(|(_, acknowledgement)| acknowledgement)
    }
}

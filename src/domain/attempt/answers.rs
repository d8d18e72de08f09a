//! The answers of one attempt, by question number.

use serde::{Deserialize, Serialize};

use crate::domain::{time::Timestamp, value::Canonical};

/// One question's answer as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Canonical JSON; none: cleared, or only flagged.
    pub value: Option<Canonical>,
    /// Marked for review by the candidate.
    pub flagged: bool,
    /// Accepted answers so far.
    pub rev: u32,
    /// The attempt's version at the last change.
    pub version: u64,
    /// When it was last changed.
    pub answered_at: Timestamp,
    /// Milliseconds on the question, as the client counts, summed up.
    pub spent_ms: u64,
}

impl Answer {
    const fn blank(at: Timestamp) -> Self {
        Self {
            value: None,
            flagged: false,
            rev: 0,
            version: 0,
            answered_at: at,
            spent_ms: 0,
        }
    }
}

/// How many answers more there is room for when the room is used up: an attempt
/// has tens of them, and ten thousand attempts should not hold room for twice
/// as many.
const ROOM: usize = 8;

/// Answers and flags, sorted by question number. Flat, because a live attempt
/// is mostly this: a tree of its few dozen entries takes twice the memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answers(Vec<(u16, Answer)>);

impl Answers {
    /// The answer to a question.
    pub fn get(&self, question: u16) -> Option<&Answer> {
        let index = self.find(question).ok()?;
        Some(&self.0[index].1)
    }

    /// The answer to a question, blank where there was none before `at`.
    pub(super) fn entry(&mut self, question: u16, at: Timestamp) -> &mut Answer {
        let index = self.find(question).unwrap_or_else(|index| {
            if self.0.len() == self.0.capacity() {
                self.0.reserve_exact(ROOM);
            }
            self.0.insert(index, (question, Answer::blank(at)));
            index
        });
        &mut self.0[index].1
    }

    /// All of them with their questions, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Answer)> {
        self.0.iter().map(|(question, answer)| (*question, answer))
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, question: u16) -> Result<usize, usize> {
        self.0
            .binary_search_by_key(&question, |(number, _)| *number)
    }
}

impl FromIterator<(u16, Answer)> for Answers {
    /// Of two answers to one question the last one stays.
    fn from_iter<I: IntoIterator<Item = (u16, Answer)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.reverse();
        entries.sort_by_key(|(question, _)| *question);
        entries.dedup_by_key(|(question, _)| *question);
        entries.shrink_to_fit();
        Self(entries)
    }
}

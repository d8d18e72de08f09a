//! The answers of one attempt, by question number.

use serde::{Deserialize, Serialize};

use crate::{time::Timestamp, value::CanonicalValue};

/// The current answer to one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Canonical JSON; `None` if the answer was cleared, or only flagged.
    pub value: Option<CanonicalValue>,
    /// True if the candidate flagged the question for review.
    pub flagged: bool,
    /// Number of accepted answers so far.
    pub rev: u32,
    /// The attempt's version at the answer's last change.
    pub version: u64,
    /// Time of the last change.
    pub answered_at: Timestamp,
    /// Milliseconds spent on the question, as counted by the client.
    pub spent_ms: u64,
}

impl Answer {
    const fn unanswered(at: Timestamp) -> Self {
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

/// Growth of a full list, in answers: an attempt has tens of them, and ten
/// thousand attempts should not allocate twice as many.
const GROWTH: usize = 8;

/// Answers and flags, sorted by question number. A flat list, because it is most
/// of a live attempt's memory: a tree of a few dozen entries takes twice as much.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnswerMap(Vec<(u16, Answer)>);

impl AnswerMap {
    /// Returns the answer to a question.
    pub fn get(&self, question: u16) -> Option<&Answer> {
        let index = self.find_index(question).ok()?;
        Some(&self.0[index].1)
    }

    /// Returns the answer to a question, an empty one of `at` if there was none.
    pub(super) fn get_or_insert(&mut self, question: u16, at: Timestamp) -> &mut Answer {
        let index = self.find_index(question).unwrap_or_else(|index| {
            if self.0.len() == self.0.capacity() {
                self.0.reserve_exact(GROWTH);
            }
            self.0.insert(index, (question, Answer::unanswered(at)));
            index
        });
        &mut self.0[index].1
    }

    /// Iterates over the question numbers and answers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Answer)> {
        self.0.iter().map(|(question, answer)| (*question, answer))
    }

    /// Returns true if no question has an answer or a flag.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find_index(&self, question: u16) -> Result<usize, usize> {
        self.0
            .binary_search_by_key(&question, |(number, _)| *number)
    }
}

impl FromIterator<(u16, Answer)> for AnswerMap {
    /// Keeps the last of several answers to one question.
    fn from_iter<I: IntoIterator<Item = (u16, Answer)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.reverse();
        entries.sort_by_key(|(question, _)| *question);
        entries.dedup_by_key(|(question, _)| *question);
        entries.shrink_to_fit();
        Self(entries)
    }
}

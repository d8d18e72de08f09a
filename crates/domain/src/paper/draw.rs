//! Orders drawn from seeds, the same on every machine and in every release.
//!
//! An order is part of a candidate's exam: the stored seed must give it again years
//! later. Therefore the algorithm is fixed here, and only `ChaCha20` itself comes
//! from a library (RFC 8439, key stream read as little-endian 32-bit words from
//! block 0, nonce 0):
//!
//! - the key is SHA-256 of a label and the seed, see [`DrawStream::from_label`];
//! - a number under `n` is the next word `x` modulo `n`; an `x` in the last,
//!   incomplete run of `n` values is skipped, so that all numbers are equally likely;
//! - a list is shuffled by Fisher-Yates from its end: for `i` from the last index
//!   down to 1, swap `i` with a number under `i + 1`.
//!
//! A golden test pins the results.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng},
};
use sha2::{Digest, Sha256};

use crate::{
    exam::{Question, QuestionBody, QuestionOption},
    id::{ExamCode, OptionId},
};

/// A stream of random draws from a seed.
pub(super) struct DrawStream(ChaCha20Rng);

impl DrawStream {
    /// Returns the stream whose key is SHA-256 of the parts, each followed by a zero byte.
    pub(super) fn from_label(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
            hash.update([0]);
        }
        Self(ChaCha20Rng::from_seed(hash.finalize().into()))
    }

    /// Draws a number under `bound`, which must be over 0.
    fn draw_below(&mut self, bound: u32) -> u32 {
        // Length of the incomplete run: 2^32 modulo `bound`.
        let incomplete = (u32::MAX % bound + 1) % bound;
        loop {
            let word = self.0.next_u32();
            if word <= u32::MAX - incomplete {
                return word % bound;
            }
        }
    }

    /// Shuffles a list.
    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for index in (1..list.len()).rev() {
            let bound = u32::try_from(index + 1).expect("lists of an exam are short");
            let other = usize::try_from(self.draw_below(bound)).expect("an index fits");
            list.swap(index, other);
        }
    }

    /// Shuffles ids into an order other than the right one, `key`: if the result has
    /// the key's order, the first two ids of the key are swapped.
    pub(super) fn shuffle_off_key(&mut self, ids: &mut [OptionId], key: &[OptionId]) {
        self.shuffle(ids);
        let places: Vec<usize> = key
            .iter()
            .filter_map(|id| ids.iter().position(|other| other == id))
            .collect();
        if places.len() >= 2 && places.is_sorted() {
            ids.swap(places[0], places[1]);
        }
    }
}

/// Returns the order in which the answer key names the items or right sides.
pub(super) fn key_order(body: &QuestionBody) -> Vec<OptionId> {
    match body {
        QuestionBody::Ordering { answer, .. } => answer.clone(),
        QuestionBody::Matching { left, answer, .. } => {
            let mut key: Vec<OptionId> = Vec::new();
            for right in left.iter().filter_map(|side| answer.get(&side.id)) {
                if !key.contains(right) {
                    key.push(right.clone());
                }
            }
            key
        }
        QuestionBody::SingleChoice { .. }
        | QuestionBody::MultipleChoice { .. }
        | QuestionBody::TrueFalse { .. }
        | QuestionBody::FillBlank { .. }
        | QuestionBody::ShortAnswer { .. }
        | QuestionBody::Essay { .. }
        | QuestionBody::Coding { .. }
        | QuestionBody::Hotspot { .. } => Vec::new(),
    }
}

/// Returns the options, items or right sides that the candidate sees in a drawn order.
pub(super) fn arrangeable(body: &QuestionBody) -> &[QuestionOption] {
    match body {
        QuestionBody::SingleChoice { options, .. }
        | QuestionBody::MultipleChoice { options, .. } => options,
        QuestionBody::Matching { right, .. } => right,
        QuestionBody::Ordering { items, .. } => items,
        QuestionBody::TrueFalse { .. }
        | QuestionBody::FillBlank { .. }
        | QuestionBody::ShortAnswer { .. }
        | QuestionBody::Essay { .. }
        | QuestionBody::Coding { .. }
        | QuestionBody::Hotspot { .. } => &[],
    }
}

/// Returns the items or right sides of a question in the document's order, which is
/// drawn from the ids of exam and question and the same for all candidates.
pub(super) fn document_order<'a>(
    exam: &ExamCode,
    question: &'a Question,
) -> Vec<&'a QuestionOption> {
    let choices = arrangeable(&question.body);
    let mut ids: Vec<OptionId> = choices.iter().map(|choice| choice.id.clone()).collect();
    DrawStream::from_label(&[
        b"invigil paper document v1",
        exam.as_str().as_bytes(),
        question.id.as_str().as_bytes(),
    ])
    .shuffle_off_key(&mut ids, &key_order(&question.body));
    ids.iter()
        .filter_map(|id| choices.iter().find(|choice| choice.id == *id))
        .collect()
}

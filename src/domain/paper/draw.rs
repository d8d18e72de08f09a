//! Drawing orders from seeds, the same on every machine and in every version.
//!
//! An order is part of a candidate's exam: it must come out of the stored seed
//! again years later. So nothing here is left to a library's taste but `ChaCha20`
//! itself (RFC 8439, key stream read as little-endian 32-bit words from block 0,
//! nonce 0):
//!
//! - the key is SHA-256 of a label and the seed, see [`Draw::from_label`];
//! - a number under `n` is the next word `x` modulo `n`, where an `x` of the
//!   last, incomplete run of `n` values is thrown away, so that all are equally
//!   likely;
//! - a list is shuffled by Fisher and Yates from its end: for `i` from the last
//!   index down to 1, swap `i` with a number under `i + 1`.
//!
//! A golden test holds all of it.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng},
};
use sha2::{Digest, Sha256};

use crate::domain::{
    exam::{Body, Choice, Question},
    id::{ExamCode, OptionId},
};

/// A stream of draws.
pub(super) struct Draw(ChaCha20Rng);

impl Draw {
    /// The stream whose key is SHA-256 of the parts, each followed by a zero byte.
    pub(super) fn from_label(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
            hash.update([0]);
        }
        Self(ChaCha20Rng::from_seed(hash.finalize().into()))
    }

    /// A number under `bound`, which is over 0.
    fn below(&mut self, bound: u32) -> u32 {
        // 2^32 modulo `bound` is the length of the incomplete run.
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
            let other = usize::try_from(self.below(bound)).expect("an index fits");
            list.swap(index, other);
        }
    }

    /// Shuffles ids that have a right order: `key`, which must not come out.
    /// Where it does, its first two change places.
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

/// The order in which the key of a question names its items or right sides.
pub(super) fn key_order(body: &Body) -> Vec<OptionId> {
    match body {
        Body::Ordering { answer, .. } => answer.clone(),
        Body::Matching { left, answer, .. } => {
            let mut key: Vec<OptionId> = Vec::new();
            for right in left.iter().filter_map(|side| answer.get(&side.id)) {
                if !key.contains(right) {
                    key.push(right.clone());
                }
            }
            key
        }
        Body::SingleChoice { .. }
        | Body::MultipleChoice { .. }
        | Body::TrueFalse { .. }
        | Body::FillBlank { .. }
        | Body::ShortAnswer { .. }
        | Body::Essay { .. }
        | Body::Coding { .. }
        | Body::Hotspot { .. } => Vec::new(),
    }
}

/// What a candidate puts in an order, or chooses from: the options, the items,
/// or the right sides.
pub(super) fn movable(body: &Body) -> &[Choice] {
    match body {
        Body::SingleChoice { options, .. } | Body::MultipleChoice { options, .. } => options,
        Body::Matching { right, .. } => right,
        Body::Ordering { items, .. } => items,
        Body::TrueFalse { .. }
        | Body::FillBlank { .. }
        | Body::ShortAnswer { .. }
        | Body::Essay { .. }
        | Body::Coding { .. }
        | Body::Hotspot { .. } => &[],
    }
}

/// The items or right sides of a question as the document has them: one order
/// for everybody, drawn from the names of exam and question.
pub(super) fn document_order<'a>(exam: &ExamCode, question: &'a Question) -> Vec<&'a Choice> {
    let choices = movable(&question.body);
    let mut ids: Vec<OptionId> = choices.iter().map(|choice| choice.id.clone()).collect();
    Draw::from_label(&[
        b"invigil paper document v1",
        exam.as_str().as_bytes(),
        question.id.as_str().as_bytes(),
    ])
    .shuffle_off_key(&mut ids, &key_order(&question.body));
    ids.iter()
        .filter_map(|id| choices.iter().find(|choice| choice.id == *id))
        .collect()
}

//! What one answer is worth, by question type.

use std::collections::{BTreeMap, BTreeSet};

use num_rational::BigRational;
use num_traits::{One, Signed, Zero};
use serde::de::DeserializeOwned;

use super::{
    Mark,
    exact::{from_decimal, ratio},
    hotspot, text,
};
use crate::domain::{
    exam::{Accepted, Body, Choice, Question, Region},
    id::OptionId,
};

/// Grades one answer: a stored value, JSON, or none where unanswered. An
/// unanswered question is worth 0 at once, also where a person marks.
pub fn grade_question(question: &Question, value: Option<&str>) -> Mark {
    let Some(value) = value else {
        return Mark::Graded(BigRational::zero());
    };
    let share = match &question.body {
        Body::SingleChoice { options, answer } => {
            single_choice(value, options, answer, question.negative_marking)
        }
        Body::MultipleChoice { options, answer } => multiple_choice(value, options, answer),
        Body::TrueFalse { answer } => {
            decode(value).map(|given: bool| all_or_none(given == *answer))
        }
        Body::FillBlank {
            blanks,
            case_sensitive,
        } => fill_blank(value, blanks, *case_sensitive),
        Body::ShortAnswer {
            accepted: Some(accepted),
            case_sensitive,
            rubric: _,
        } => decode(value)
            .map(|given: String| all_or_none(text::is_accepted(&given, accepted, *case_sensitive))),
        Body::Matching {
            left,
            right,
            answer,
        } => matching(value, left, right, answer),
        Body::Ordering { items, answer } => ordering(value, items, answer),
        Body::Hotspot { answer, .. } => hotspot(value, answer),
        Body::ShortAnswer { accepted: None, .. } | Body::Essay { .. } | Body::Coding { .. } => {
            return Mark::Pending;
        }
    };
    let share = share.unwrap_or_else(BigRational::zero);
    let in_part = share.is_positive() && !share.is_one();
    Mark::Graded(if in_part && !question.partial_credit {
        BigRational::zero()
    } else {
        share * from_decimal(question.points)
    })
}

/// The whole for the right option, less than nothing for another one where
/// wrong choices cost points.
fn single_choice(
    value: &str,
    options: &[Choice],
    answer: &OptionId,
    negative_marking: bool,
) -> Option<BigRational> {
    let given: OptionId = decode(value)?;
    if given == *answer {
        return Some(BigRational::one());
    }
    let costs = negative_marking && options.iter().any(|option| option.id == given);
    costs.then(|| -ratio(1, options.len().saturating_sub(1)))
}

/// (Right chosen - wrong chosen) / right, not under 0.
fn multiple_choice(value: &str, options: &[Choice], answer: &[OptionId]) -> Option<BigRational> {
    let given = distinct(value, options)?;
    let right = given.iter().filter(|id| answer.contains(id)).count();
    let wrong = given.len() - right;
    Some(ratio(right.saturating_sub(wrong), answer.len()))
}

/// The share of right blanks.
fn fill_blank(value: &str, blanks: &[Vec<Accepted>], case_sensitive: bool) -> Option<BigRational> {
    let given: Vec<String> = decode(value)?;
    let right = given
        .iter()
        .zip(blanks)
        .filter(|(given, accepted)| text::is_accepted(given, accepted, case_sensitive))
        .count();
    (given.len() <= blanks.len()).then(|| ratio(right, blanks.len()))
}

/// The share of right pairs.
fn matching(
    value: &str,
    left: &[Choice],
    right: &[Choice],
    answer: &BTreeMap<OptionId, OptionId>,
) -> Option<BigRational> {
    let given: BTreeMap<OptionId, OptionId> = decode(value)?;
    let (left, right) = (ids(left), ids(right));
    let known = given
        .iter()
        .all(|(from, to)| left.contains(from) && right.contains(to));
    let matched = answer
        .iter()
        .filter(|(from, to)| given.get(from) == Some(to))
        .count();
    known.then(|| ratio(matched, answer.len()))
}

/// The share of the key's neighboring pairs that stand next to each other, in
/// that order. A single item has no neighbors: it is right or not.
fn ordering(value: &str, items: &[Choice], answer: &[OptionId]) -> Option<BigRational> {
    let given = distinct(value, items)?;
    let neighbors: BTreeMap<&OptionId, &OptionId> =
        given.iter().zip(given.iter().skip(1)).collect();
    let kept = answer
        .iter()
        .zip(answer.iter().skip(1))
        .filter(|(first, second)| neighbors.get(first) == Some(second))
        .count();
    Some(match answer.len() {
        0 | 1 => all_or_none(given == answer),
        count => ratio(kept, count - 1),
    })
}

/// (Regions hit - points that hit none) / regions, not under 0.
fn hotspot(value: &str, regions: &[Region]) -> Option<BigRational> {
    let given: Vec<(f64, f64)> = decode(value)?;
    Some(ratio(hotspot::hits(&given, regions), regions.len()))
}

/// A stored value as what its type's value should be; none where it is not.
fn decode<T: DeserializeOwned>(value: &str) -> Option<T> {
    serde_json::from_str(value).ok()
}

/// A list of ids, none of them twice and all of them `among` these.
fn distinct(value: &str, among: &[Choice]) -> Option<Vec<OptionId>> {
    let given: Vec<OptionId> = decode(value)?;
    let among = ids(among);
    let mut seen = BTreeSet::new();
    given
        .iter()
        .all(|id| among.contains(id) && seen.insert(id))
        .then_some(given.clone())
}

fn ids(choices: &[Choice]) -> BTreeSet<&OptionId> {
    choices.iter().map(|choice| &choice.id).collect()
}

fn all_or_none(right: bool) -> BigRational {
    if right {
        BigRational::one()
    } else {
        BigRational::zero()
    }
}

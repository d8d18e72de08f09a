//! Grading of one answer, by question type.

use std::collections::{BTreeMap, BTreeSet};

use num_rational::BigRational;
use num_traits::{One, Signed, Zero};
use serde::de::DeserializeOwned;

use super::{
    AnswerMark,
    exact::{from_decimal, ratio},
    hotspot, text,
};
use crate::{
    exam::{AcceptedAnswer, HotspotRegion, Question, QuestionBody, QuestionOption},
    id::OptionId,
};

/// Grades one answer: its stored JSON, or `None` for an unanswered question, which is
/// worth 0 at once, even if a person marks the others.
pub fn grade_question(question: &Question, value: Option<&str>) -> AnswerMark {
    let Some(value) = value else {
        return AnswerMark::Graded(BigRational::zero());
    };
    let share = match &question.body {
        QuestionBody::SingleChoice { options, answer } => {
            grade_single_choice(value, options, answer, question.negative_marking)
        }
        QuestionBody::MultipleChoice { options, answer } => {
            grade_multiple_choice(value, options, answer)
        }
        QuestionBody::TrueFalse { answer } => {
            decode_value(value).map(|given: bool| all_or_none(given == *answer))
        }
        QuestionBody::FillBlank {
            blanks,
            case_sensitive,
        } => grade_fill_blank(value, blanks, *case_sensitive),
        QuestionBody::ShortAnswer {
            accepted: Some(accepted),
            case_sensitive,
            rubric: _,
        } => decode_value(value)
            .map(|given: String| all_or_none(text::is_accepted(&given, accepted, *case_sensitive))),
        QuestionBody::Matching {
            left,
            right,
            answer,
        } => grade_matching(value, left, right, answer),
        QuestionBody::Ordering { items, answer } => grade_ordering(value, items, answer),
        QuestionBody::Hotspot { answer, .. } => grade_hotspot(value, answer),
        QuestionBody::ShortAnswer { accepted: None, .. }
        | QuestionBody::Essay { .. }
        | QuestionBody::Coding { .. } => {
            return AnswerMark::Pending;
        }
    };
    let share = share.unwrap_or_else(BigRational::zero);
    let in_part = share.is_positive() && !share.is_one();
    AnswerMark::Graded(if in_part && !question.partial_credit {
        BigRational::zero()
    } else {
        share * from_decimal(question.points)
    })
}

/// Returns 1 for the right option, and a negative share for a wrong one if wrong
/// choices cost points.
fn grade_single_choice(
    value: &str,
    options: &[QuestionOption],
    answer: &OptionId,
    negative_marking: bool,
) -> Option<BigRational> {
    let given: OptionId = decode_value(value)?;
    if given == *answer {
        return Some(BigRational::one());
    }
    let costs = negative_marking && options.iter().any(|option| option.id == given);
    costs.then(|| -ratio(1, options.len().saturating_sub(1)))
}

/// Returns (right chosen - wrong chosen) / right, at least 0.
fn grade_multiple_choice(
    value: &str,
    options: &[QuestionOption],
    answer: &[OptionId],
) -> Option<BigRational> {
    let given = distinct_ids(value, options)?;
    let right = given.iter().filter(|id| answer.contains(id)).count();
    let wrong = given.len() - right;
    Some(ratio(right.saturating_sub(wrong), answer.len()))
}

/// Returns the share of right blanks.
fn grade_fill_blank(
    value: &str,
    blanks: &[Vec<AcceptedAnswer>],
    case_sensitive: bool,
) -> Option<BigRational> {
    let given: Vec<String> = decode_value(value)?;
    let right = given
        .iter()
        .zip(blanks)
        .filter(|(given, accepted)| text::is_accepted(given, accepted, case_sensitive))
        .count();
    (given.len() <= blanks.len()).then(|| ratio(right, blanks.len()))
}

/// Returns the share of right pairs.
fn grade_matching(
    value: &str,
    left: &[QuestionOption],
    right: &[QuestionOption],
    answer: &BTreeMap<OptionId, OptionId>,
) -> Option<BigRational> {
    let given: BTreeMap<OptionId, OptionId> = decode_value(value)?;
    let (left, right) = (option_ids(left), option_ids(right));
    let known = given
        .iter()
        .all(|(from, to)| left.contains(from) && right.contains(to));
    let matched = answer
        .iter()
        .filter(|(from, to)| given.get(from) == Some(to))
        .count();
    known.then(|| ratio(matched, answer.len()))
}

/// Returns the share of the key's neighboring pairs that are neighbors in the same
/// order. A single item has no neighbors: it is right or wrong.
fn grade_ordering(
    value: &str,
    items: &[QuestionOption],
    answer: &[OptionId],
) -> Option<BigRational> {
    let given = distinct_ids(value, items)?;
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

/// Returns (regions hit - points outside) / regions, at least 0.
fn grade_hotspot(value: &str, regions: &[HotspotRegion]) -> Option<BigRational> {
    let given: Vec<(f64, f64)> = decode_value(value)?;
    Some(ratio(hotspot::count_hits(&given, regions), regions.len()))
}

/// Decodes a stored value; `None` if it does not have the question's type.
fn decode_value<T: DeserializeOwned>(value: &str) -> Option<T> {
    serde_json::from_str(value).ok()
}

/// Decodes a list of distinct ids, all of them `among` the options.
fn distinct_ids(value: &str, among: &[QuestionOption]) -> Option<Vec<OptionId>> {
    let given: Vec<OptionId> = decode_value(value)?;
    let among = option_ids(among);
    let mut seen = BTreeSet::new();
    given
        .iter()
        .all(|id| among.contains(id) && seen.insert(id))
        .then_some(given.clone())
}

fn option_ids(choices: &[QuestionOption]) -> BTreeSet<&OptionId> {
    choices.iter().map(|choice| &choice.id).collect()
}

fn all_or_none(right: bool) -> BigRational {
    if right {
        BigRational::one()
    } else {
        BigRational::zero()
    }
}

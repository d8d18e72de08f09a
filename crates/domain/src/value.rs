//! Answer values of clients, and their check against the question.
//!
//! The check covers the form of a value; grading decides if it is right. Missing
//! parts (an unmatched left side, a blank not reached) are allowed, parts that the
//! question does not have are not.

use std::collections::BTreeSet;

use serde_json::Value;
use smol_str::SmolStr;

use crate::exam::{Question, QuestionBody, QuestionOption};

/// Points of one hotspot answer; no person sets more by hand.
pub const POINTS_COUNT_MAX: usize = 1_000;

/// A checked value as compact JSON. Short values such as `"a"` need no allocation;
/// long ones are shared, not copied.
pub type CanonicalValue = SmolStr;

/// The reason for which a value cannot be an answer to its question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(&'static str);

impl BadValue {
    /// A short English sentence.
    pub const fn reason(self) -> &'static str {
        self.0
    }
}

/// Checks a value against its question. Returns `None` for `null`, which clears the
/// answer, and otherwise the compact JSON that is stored.
///
/// # Errors
/// If the value cannot be an answer to this question.
pub fn check_answer(
    question: &Question,
    value: &Value,
) -> Result<Option<CanonicalValue>, BadValue> {
    if value.is_null() {
        return Ok(None);
    }
    check_body(&question.body, value)?;
    Ok(Some(value.to_string().into()))
}

fn check_body(body: &QuestionBody, value: &Value) -> Result<(), BadValue> {
    match body {
        QuestionBody::SingleChoice { options, .. } => {
            let id = expect_text(value, "must be an option id")?;
            expect_known_id(id, options)
        }
        QuestionBody::MultipleChoice { options, .. } => {
            check_ids(value, options, "must be a list of option ids")
        }
        QuestionBody::TrueFalse { .. } => value
            .as_bool()
            .map(drop)
            .ok_or(BadValue("must be true or false")),
        QuestionBody::FillBlank { blanks, .. } => {
            let entries = expect_list(value, "must be a list of texts, one a blank")?;
            if entries.len() > blanks.len() {
                return Err(BadValue("has more entries than there are blanks"));
            }
            entries
                .iter()
                .try_for_each(|entry| expect_text(entry, "must be a list of texts").map(drop))
        }
        QuestionBody::ShortAnswer { .. } | QuestionBody::Essay { .. } => {
            expect_text(value, "must be a text").map(drop)
        }
        QuestionBody::Coding { languages, .. } => check_coding(value, languages),
        QuestionBody::Matching { left, right, .. } => check_matching(value, left, right),
        QuestionBody::Ordering { items, .. } => {
            check_ids(value, items, "must be a list of item ids")
        }
        QuestionBody::Hotspot { .. } => check_points(value),
    }
}

fn check_ids(
    value: &Value,
    options: &[QuestionOption],
    what: &'static str,
) -> Result<(), BadValue> {
    let mut seen = BTreeSet::new();
    for entry in expect_list(value, what)? {
        let id = expect_text(entry, what)?;
        expect_known_id(id, options)?;
        if !seen.insert(id) {
            return Err(BadValue("names an id twice"));
        }
    }
    Ok(())
}

fn check_coding(value: &Value, languages: &[String]) -> Result<(), BadValue> {
    const WHAT: &str = "must be a map of language and source";
    let map = value.as_object().ok_or(BadValue(WHAT))?;
    for (key, entry) in map {
        let entry = expect_text(entry, WHAT)?;
        match key.as_str() {
            "source" => {}
            "language" if languages.is_empty() || languages.iter().any(|one| one == entry) => {}
            "language" => return Err(BadValue("names a language that is not offered")),
            _ => return Err(BadValue(WHAT)),
        }
    }
    // With two keys, and no others allowed, both are present.
    if map.len() == 2 {
        Ok(())
    } else {
        Err(BadValue(WHAT))
    }
}

fn check_matching(
    value: &Value,
    left: &[QuestionOption],
    right: &[QuestionOption],
) -> Result<(), BadValue> {
    const WHAT: &str = "must be a map from left ids to right ids";
    for (key, entry) in value.as_object().ok_or(BadValue(WHAT))? {
        expect_known_id(key, left)?;
        expect_known_id(expect_text(entry, WHAT)?, right)?;
    }
    Ok(())
}

fn check_points(value: &Value) -> Result<(), BadValue> {
    const WHAT: &str = "must be a list of [x, y] points";
    let points = expect_list(value, WHAT)?;
    if points.len() > POINTS_COUNT_MAX {
        return Err(BadValue("has too many points"));
    }
    for point in points {
        let [x, y] = expect_list(point, WHAT)? else {
            return Err(BadValue(WHAT));
        };
        for fraction in [x, y] {
            let fraction = fraction.as_f64().ok_or(BadValue(WHAT))?;
            if !(0.0..=1.0).contains(&fraction) {
                return Err(BadValue("points are fractions from 0 to 1"));
            }
        }
    }
    Ok(())
}

fn expect_list<'a>(value: &'a Value, what: &'static str) -> Result<&'a [Value], BadValue> {
    value.as_array().map(Vec::as_slice).ok_or(BadValue(what))
}

fn expect_text<'a>(value: &'a Value, what: &'static str) -> Result<&'a str, BadValue> {
    match value.as_str() {
        Some(text) if text.contains('\0') => Err(BadValue("holds the NUL character")),
        Some(text) => Ok(text),
        None => Err(BadValue(what)),
    }
}

fn expect_known_id(id: &str, options: &[QuestionOption]) -> Result<(), BadValue> {
    if options.iter().any(|option| option.id.as_str() == id) {
        Ok(())
    } else {
        Err(BadValue("names an id that the question does not have"))
    }
}

#[cfg(test)]
mod tests;

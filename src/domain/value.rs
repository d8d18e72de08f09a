//! Answer values: what a client may send for a question, checked against it.
//!
//! What is checked is whether a value can be an answer at all; whether it is the
//! right one is grading's business. Missing parts (an unmatched left side, a
//! blank not reached) are allowed, parts that the question does not have are not.

use std::collections::BTreeSet;

use serde_json::Value;
use smol_str::SmolStr;

use super::exam::{Body, Choice, Question};

/// Points of one hotspot answer; more than this nobody sets by hand.
pub const POINTS_COUNT_MAX: usize = 1_000;

/// A checked value as compact JSON. Most are as short as `"a"`, which takes no
/// memory of its own; a long one is shared, not copied.
pub type Canonical = SmolStr;

/// Why a value cannot be an answer to its question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(&'static str);

impl BadValue {
    /// A short English sentence.
    pub const fn reason(self) -> &'static str {
        self.0
    }
}

/// Checks a value against its question. `null` clears the answer and gives
/// nothing, all else its compact JSON, as it is stored.
///
/// # Errors
/// Where the value cannot be an answer to this question.
pub fn check(question: &Question, value: &Value) -> Result<Option<Canonical>, BadValue> {
    if value.is_null() {
        return Ok(None);
    }
    check_body(&question.body, value)?;
    Ok(Some(value.to_string().into()))
}

fn check_body(body: &Body, value: &Value) -> Result<(), BadValue> {
    match body {
        Body::SingleChoice { options, .. } => {
            let id = text(value, "must be an option id")?;
            known(id, options)
        }
        Body::MultipleChoice { options, .. } => {
            check_ids(value, options, "must be a list of option ids")
        }
        Body::TrueFalse { .. } => value
            .as_bool()
            .map(drop)
            .ok_or(BadValue("must be true or false")),
        Body::FillBlank { blanks, .. } => {
            let entries = list(value, "must be a list of texts, one a blank")?;
            if entries.len() > blanks.len() {
                return Err(BadValue("has more entries than there are blanks"));
            }
            entries
                .iter()
                .try_for_each(|entry| text(entry, "must be a list of texts").map(drop))
        }
        Body::ShortAnswer { .. } | Body::Essay { .. } => text(value, "must be a text").map(drop),
        Body::Coding { languages, .. } => check_coding(value, languages),
        Body::Matching { left, right, .. } => check_matching(value, left, right),
        Body::Ordering { items, .. } => check_ids(value, items, "must be a list of item ids"),
        Body::Hotspot { .. } => check_points(value),
    }
}

fn check_ids(value: &Value, options: &[Choice], what: &'static str) -> Result<(), BadValue> {
    let mut seen = BTreeSet::new();
    for entry in list(value, what)? {
        let id = text(entry, what)?;
        known(id, options)?;
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
        let entry = text(entry, WHAT)?;
        match key.as_str() {
            "source" => {}
            "language" if languages.is_empty() || languages.iter().any(|one| one == entry) => {}
            "language" => return Err(BadValue("names a language that is not offered")),
            _ => return Err(BadValue(WHAT)),
        }
    }
    // Two keys, and none but these: both are there.
    if map.len() == 2 {
        Ok(())
    } else {
        Err(BadValue(WHAT))
    }
}

fn check_matching(value: &Value, left: &[Choice], right: &[Choice]) -> Result<(), BadValue> {
    const WHAT: &str = "must be a map from left ids to right ids";
    for (key, entry) in value.as_object().ok_or(BadValue(WHAT))? {
        known(key, left)?;
        known(text(entry, WHAT)?, right)?;
    }
    Ok(())
}

fn check_points(value: &Value) -> Result<(), BadValue> {
    const WHAT: &str = "must be a list of [x, y] points";
    let points = list(value, WHAT)?;
    if points.len() > POINTS_COUNT_MAX {
        return Err(BadValue("has too many points"));
    }
    for point in points {
        let [x, y] = list(point, WHAT)? else {
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

fn list<'a>(value: &'a Value, what: &'static str) -> Result<&'a [Value], BadValue> {
    value.as_array().map(Vec::as_slice).ok_or(BadValue(what))
}

fn text<'a>(value: &'a Value, what: &'static str) -> Result<&'a str, BadValue> {
    match value.as_str() {
        Some(text) if text.contains('\0') => Err(BadValue("holds the NUL character")),
        Some(text) => Ok(text),
        None => Err(BadValue(what)),
    }
}

fn known(id: &str, options: &[Choice]) -> Result<(), BadValue> {
    if options.iter().any(|option| option.id.as_str() == id) {
        Ok(())
    } else {
        Err(BadValue("names an id that the question does not have"))
    }
}

#[cfg(test)]
mod tests;

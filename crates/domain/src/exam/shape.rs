//! Shapes of the values in an exam file, and their check.
//!
//! A shape describes the valid values of one place: text of a length, a whole
//! number in a range, a map with certain keys. The exam file is one such shape
//! ([`super::table::EXAM`]). The check walks it to the end and reports every fault;
//! the JSON Schema is generated from the same value, so the two cannot differ.
//! Rules over several values (repeated ids, answers that name options) are in
//! [`super::definition`].

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::{Map, Value};

use super::tree;
use crate::fault::TreeWalk;

/// The valid values of one place in the file.
#[derive(Debug)]
pub(super) enum ValueShape {
    /// `null`.
    Nothing,
    /// `true` or `false`.
    Flag,
    /// Text with `min` to `max` characters.
    Text {
        min: usize,
        max: usize,
        rule: &'static TextRule,
    },
    /// A word of this list.
    Word(&'static [&'static str]),
    /// A whole number.
    Whole { min: i64, max: i64 },
    /// A decimal number with at most `decimals` decimals.
    Decimal {
        min: i64,
        max: i64,
        /// True if `min` itself is excluded.
        over: bool,
        decimals: u32,
    },
    /// A list of `min` to `max` values of one shape.
    List {
        of: &'static Self,
        min: usize,
        max: usize,
    },
    /// A list with exactly these items.
    Tuple(&'static [Self]),
    /// A map with any keys.
    Lookup { of: &'static Self, max: usize },
    /// A map with these keys and no others.
    Record(&'static [ShapeField]),
    /// A map whose `tag` determines the keys that it has besides the common ones.
    Variants {
        tag: &'static str,
        common: &'static [ShapeField],
        own: &'static [(&'static str, &'static [ShapeField])],
    },
    /// Alternatives, of which the first with the value's type applies.
    Either(&'static [Self]),
}

/// A key of a map.
#[derive(Debug)]
pub(super) struct ShapeField {
    pub(super) key: &'static str,
    pub(super) required: bool,
    pub(super) shape: ValueShape,
    /// Meaning of the key, for the schema.
    pub(super) description: &'static str,
}

/// Form of a text, for the check and for the schema.
#[derive(Debug)]
pub(super) struct TextRule {
    /// Message for people; "" if every text is valid.
    pub(super) message: &'static str,
    /// Returns true if a text has the form.
    pub(super) accepts: fn(&str) -> bool,
    /// The form as a regular expression of ECMA-262; "" for none.
    pub(super) pattern: &'static str,
    /// The form as a format of JSON Schema; "" for none.
    pub(super) format: &'static str,
}

impl ValueShape {
    /// Reports every part of `value` that does not have this shape.
    pub(super) fn check_value(&self, value: &Value, walk: &mut TreeWalk) {
        match self {
            Self::Nothing if value.is_null() => {}
            Self::Flag if value.is_boolean() => {}
            Self::Text { min, max, rule } => match value.as_str() {
                Some(text) => check_text(text, *min, *max, rule, walk),
                None => self.report_type(value, walk),
            },
            Self::Word(words) => match value.as_str() {
                Some(text) if words.contains(&text) => {}
                Some(_) => walk.report_fault(format!("must be one of {}", words.join(", "))),
                None => self.report_type(value, walk),
            },
            Self::Whole { min, max } => match whole_number(value) {
                Some(number) if (*min..=*max).contains(&number) => {}
                Some(_) => walk.report_fault(format!("must be from {min} to {max}")),
                None if value.is_number() => {
                    walk.report_fault(format!("must be a whole number from {min} to {max}"));
                }
                None => self.report_type(value, walk),
            },
            Self::Decimal { .. } if value.is_number() => self.check_decimal(value, walk),
            Self::List { of, min, max } => match value.as_array() {
                Some(items) => {
                    check_count(items.len(), *min, *max, walk);
                    for (index, item) in items.iter().take(*max).enumerate() {
                        walk.at_index(index, |walk| of.check_value(item, walk));
                    }
                }
                None => self.report_type(value, walk),
            },
            Self::Tuple(shapes) => match value.as_array() {
                Some(items) if items.len() == shapes.len() => {
                    for (index, (shape, item)) in shapes.iter().zip(items).enumerate() {
                        walk.at_index(index, |walk| shape.check_value(item, walk));
                    }
                }
                Some(_) => walk.report_fault(format!("must be a list of {}", shapes.len())),
                None => self.report_type(value, walk),
            },
            Self::Lookup { of, max } => match value.as_object() {
                Some(map) => {
                    check_count(map.len(), 1, *max, walk);
                    for (key, item) in map.iter().take(*max) {
                        walk.at_key(key, |walk| of.check_value(item, walk));
                    }
                }
                None => self.report_type(value, walk),
            },
            Self::Record(fields) => match value.as_object() {
                Some(map) => check_fields(map, fields, &[], None, walk),
                None => self.report_type(value, walk),
            },
            Self::Variants { tag, common, own } => match value.as_object() {
                Some(map) => check_variants(map, tag, common, own, walk),
                None => self.report_type(value, walk),
            },
            Self::Either(shapes) => match shapes.iter().find(|shape| shape.has_type(value)) {
                Some(shape) => shape.check_value(value, walk),
                None => self.report_type(value, walk),
            },
            Self::Nothing | Self::Flag | Self::Decimal { .. } => self.report_type(value, walk),
        }
    }

    fn check_decimal(&self, value: &Value, walk: &mut TreeWalk) {
        let Self::Decimal {
            min,
            max,
            over,
            decimals,
        } = self
        else {
            return;
        };
        let range = if *over {
            format!("over {min}, up to {max}")
        } else {
            format!("from {min} to {max}")
        };
        // The range is checked first: an `f64` of 300 digits is no `Decimal`.
        let inside = value.as_f64().is_some_and(|number| {
            #[expect(clippy::cast_precision_loss, reason = "bounds are far under 2^53")]
            let (min, max) = (*min as f64, *max as f64);
            number <= max && (number > min || (number >= min && !over))
        });
        if !inside {
            walk.report_fault(format!("must be {range}"));
        } else if tree::exact_decimal(value)
            .is_none_or(|number| number.normalize().scale() > *decimals)
        {
            walk.report_fault(format!("must have at most {decimals} decimals"));
        }
    }

    /// Returns true if the value has this shape's type.
    fn has_type(&self, value: &Value) -> bool {
        match self {
            Self::Nothing => value.is_null(),
            Self::Flag => value.is_boolean(),
            Self::Text { .. } | Self::Word(_) => value.is_string(),
            Self::Whole { .. } | Self::Decimal { .. } => value.is_number(),
            Self::List { .. } | Self::Tuple(_) => value.is_array(),
            Self::Lookup { .. } | Self::Record(_) | Self::Variants { .. } => value.is_object(),
            Self::Either(shapes) => shapes.iter().any(|shape| shape.has_type(value)),
        }
    }

    /// Name of the shape's type, for people.
    fn type_name(&self) -> String {
        match self {
            Self::Nothing => "null".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Text { .. } => "text".to_owned(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Whole { .. } => "a whole number".to_owned(),
            Self::Decimal { .. } => "a number".to_owned(),
            Self::List { .. } | Self::Tuple(_) => "a list".to_owned(),
            Self::Lookup { .. } | Self::Record(_) | Self::Variants { .. } => "a map".to_owned(),
            Self::Either(shapes) => shapes
                .iter()
                .map(Self::type_name)
                .collect::<Vec<_>>()
                .join(" or "),
        }
    }

    fn report_type(&self, value: &Value, walk: &mut TreeWalk) {
        let found = match value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "a map",
        };
        let mut message = format!("must be {}, not {found}", self.type_name());
        let scalar = value.is_number() || value.is_boolean();
        if scalar && self.has_type(&Value::String(String::new())) {
            message.push_str("; put it between quotes");
        }
        walk.report_fault(message);
    }
}

/// Returns the whole number of a value; `60.0` is one, as in JSON Schema.
pub(super) fn whole_number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = tree::exact_decimal(value)?.normalize();
        (number.scale() == 0).then(|| i64::try_from(number).ok())?
    })
}

fn check_text(text: &str, min: usize, max: usize, rule: &TextRule, walk: &mut TreeWalk) {
    let count = text.chars().count();
    if count < min {
        walk.report_fault("must not be empty");
    } else if count > max {
        walk.report_fault(format!("must have at most {max} characters, has {count}"));
    } else if text.contains('\0') {
        walk.report_fault("must not hold the NUL character");
    } else if !(rule.accepts)(text) {
        walk.report_fault(rule.message);
    }
}

fn check_count(count: usize, min: usize, max: usize, walk: &mut TreeWalk) {
    if count < min {
        walk.report_fault(match min {
            1 => "must not be empty".to_owned(),
            _ => format!("must have at least {min} entries"),
        });
    } else if count > max {
        walk.report_fault(format!("must have at most {max} entries, has {count}"));
    }
}

/// Checks a map with two lists of fields; `tag` is a key that was already checked.
fn check_fields(
    map: &Map<String, Value>,
    common: &[ShapeField],
    own: &[ShapeField],
    tag: Option<&str>,
    walk: &mut TreeWalk,
) {
    let mut known: BTreeSet<&str> = tag.into_iter().collect();
    for field in common.iter().chain(own) {
        known.insert(field.key);
        walk.at_key(field.key, |walk| match map.get(field.key) {
            Some(value) => field.shape.check_value(value, walk),
            None if field.required => walk.report_fault("is missing"),
            None => {}
        });
    }
    for key in map.keys().filter(|key| !known.contains(key.as_str())) {
        walk.at_key(key, |walk| {
            walk.report_fault("is not a key that is known here");
        });
    }
}

fn check_variants(
    map: &Map<String, Value>,
    tag: &str,
    common: &[ShapeField],
    own: &[(&str, &[ShapeField])],
    walk: &mut TreeWalk,
) {
    let name = map.get(tag).and_then(Value::as_str);
    if let Some((_, fields)) = own.iter().find(|(known, _)| Some(*known) == name) {
        check_fields(map, common, fields, Some(tag), walk);
        return;
    }
    walk.at_key(tag, |walk| {
        if map.contains_key(tag) {
            let mut message = "must be one of ".to_owned();
            for (index, (known, _)) in own.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(message, "{comma}{known}").expect("writing to a String does not fail");
            }
            walk.report_fault(message);
        } else {
            walk.report_fault("is missing");
        }
    });
    // Without the type, only the common fields can be checked.
    for field in common {
        walk.at_key(field.key, |walk| match map.get(field.key) {
            Some(value) => field.shape.check_value(value, walk),
            None if field.required => walk.report_fault("is missing"),
            None => {}
        });
    }
}

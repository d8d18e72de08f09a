//! The shapes that an exam file is made of, and their check.
//!
//! A shape says what may stand in a place: text of a length, a whole number in
//! a range, a map with these keys. The exam file is one such shape
//! ([`super::table::EXAM`]); the check walks it to the end and reports every
//! fault, and the JSON Schema is written from the same value, so the two cannot
//! drift apart. What needs more than one place to judge (ids that repeat,
//! answers that name options) is in [`super::definition`].

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::{Map, Value};

use super::tree;
use crate::domain::fault::Walk;

/// What may stand in a place of the file.
#[derive(Debug)]
pub(super) enum Shape {
    /// `null`.
    Nothing,
    /// `true` or `false`.
    Flag,
    /// Text of a number of characters.
    Text {
        min: usize,
        max: usize,
        rule: &'static Rule,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number.
    Whole { min: i64, max: i64 },
    /// A decimal number with at most this many decimals.
    Decimal {
        min: i64,
        max: i64,
        /// Whether it must be over `min`.
        over: bool,
        decimals: u32,
    },
    /// A list of so many of the same.
    List {
        of: &'static Self,
        min: usize,
        max: usize,
    },
    /// A list of exactly these.
    Tuple(&'static [Self]),
    /// A map from keys that the file chooses.
    Lookup { of: &'static Self, max: usize },
    /// A map with these keys and no others.
    Record(&'static [Field]),
    /// A map whose `tag` says which keys it has besides the common ones.
    Variants {
        tag: &'static str,
        common: &'static [Field],
        own: &'static [(&'static str, &'static [Field])],
    },
    /// The one of these that has the value's type.
    Either(&'static [Self]),
}

/// A key of a map.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) required: bool,
    pub(super) shape: Shape,
    /// For the schema: what it means.
    pub(super) about: &'static str,
}

/// What text must look like, twice: for the check and for the schema.
#[derive(Debug)]
pub(super) struct Rule {
    /// For people; "" where everything will do.
    pub(super) says: &'static str,
    /// Whether text keeps to it.
    pub(super) holds: fn(&str) -> bool,
    /// The same as a regular expression of ECMA-262; "" where there is none.
    pub(super) pattern: &'static str,
    /// A format that JSON Schema knows; "" where there is none.
    pub(super) format: &'static str,
}

impl Shape {
    /// Reports everything in `value` that is not of this shape.
    pub(super) fn check(&self, value: &Value, walk: &mut Walk) {
        match self {
            Self::Nothing if value.is_null() => {}
            Self::Flag if value.is_boolean() => {}
            Self::Text { min, max, rule } => match value.as_str() {
                Some(text) => check_text(text, *min, *max, rule, walk),
                None => self.wrong(value, walk),
            },
            Self::Word(words) => match value.as_str() {
                Some(text) if words.contains(&text) => {}
                Some(_) => walk.fault(format!("must be one of {}", words.join(", "))),
                None => self.wrong(value, walk),
            },
            Self::Whole { min, max } => match whole(value) {
                Some(number) if (*min..=*max).contains(&number) => {}
                Some(_) => walk.fault(format!("must be from {min} to {max}")),
                None if value.is_number() => {
                    walk.fault(format!("must be a whole number from {min} to {max}"));
                }
                None => self.wrong(value, walk),
            },
            Self::Decimal { .. } if value.is_number() => self.check_decimal(value, walk),
            Self::List { of, min, max } => match value.as_array() {
                Some(items) => {
                    check_count(items.len(), *min, *max, walk);
                    for (index, item) in items.iter().take(*max).enumerate() {
                        walk.item(index, |walk| of.check(item, walk));
                    }
                }
                None => self.wrong(value, walk),
            },
            Self::Tuple(shapes) => match value.as_array() {
                Some(items) if items.len() == shapes.len() => {
                    for (index, (shape, item)) in shapes.iter().zip(items).enumerate() {
                        walk.item(index, |walk| shape.check(item, walk));
                    }
                }
                Some(_) => walk.fault(format!("must be a list of {}", shapes.len())),
                None => self.wrong(value, walk),
            },
            Self::Lookup { of, max } => match value.as_object() {
                Some(map) => {
                    check_count(map.len(), 1, *max, walk);
                    for (key, item) in map.iter().take(*max) {
                        walk.key(key, |walk| of.check(item, walk));
                    }
                }
                None => self.wrong(value, walk),
            },
            Self::Record(fields) => match value.as_object() {
                Some(map) => check_fields(map, fields, &[], None, walk),
                None => self.wrong(value, walk),
            },
            Self::Variants { tag, common, own } => match value.as_object() {
                Some(map) => check_variants(map, tag, common, own, walk),
                None => self.wrong(value, walk),
            },
            Self::Either(shapes) => match shapes.iter().find(|shape| shape.takes(value)) {
                Some(shape) => shape.check(value, walk),
                None => self.wrong(value, walk),
            },
            Self::Nothing | Self::Flag | Self::Decimal { .. } => self.wrong(value, walk),
        }
    }

    fn check_decimal(&self, value: &Value, walk: &mut Walk) {
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
        // The range comes first: an `f64` of 300 digits is no `Decimal`.
        let inside = value.as_f64().is_some_and(|number| {
            #[expect(clippy::cast_precision_loss, reason = "bounds are far under 2^53")]
            let (min, max) = (*min as f64, *max as f64);
            number <= max && (number > min || (number >= min && !over))
        });
        if !inside {
            walk.fault(format!("must be {range}"));
        } else if tree::decimal(value).is_none_or(|number| number.normalize().scale() > *decimals) {
            walk.fault(format!("must have at most {decimals} decimals"));
        }
    }

    /// Whether the value has this shape's type.
    fn takes(&self, value: &Value) -> bool {
        match self {
            Self::Nothing => value.is_null(),
            Self::Flag => value.is_boolean(),
            Self::Text { .. } | Self::Word(_) => value.is_string(),
            Self::Whole { .. } | Self::Decimal { .. } => value.is_number(),
            Self::List { .. } | Self::Tuple(_) => value.is_array(),
            Self::Lookup { .. } | Self::Record(_) | Self::Variants { .. } => value.is_object(),
            Self::Either(shapes) => shapes.iter().any(|shape| shape.takes(value)),
        }
    }

    /// What the shape is, for people.
    fn name(&self) -> String {
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
                .map(Self::name)
                .collect::<Vec<_>>()
                .join(" or "),
        }
    }

    fn wrong(&self, value: &Value, walk: &mut Walk) {
        let found = match value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "a map",
        };
        let mut message = format!("must be {}, not {found}", self.name());
        let scalar = value.is_number() || value.is_boolean();
        if scalar && self.takes(&Value::String(String::new())) {
            message.push_str("; put it between quotes");
        }
        walk.fault(message);
    }
}

/// The whole number of a value; `60.0` is one, as in JSON Schema.
pub(super) fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = tree::decimal(value)?.normalize();
        (number.scale() == 0).then(|| i64::try_from(number).ok())?
    })
}

fn check_text(text: &str, min: usize, max: usize, rule: &Rule, walk: &mut Walk) {
    let count = text.chars().count();
    if count < min {
        walk.fault("must not be empty");
    } else if count > max {
        walk.fault(format!("must have at most {max} characters, has {count}"));
    } else if text.contains('\0') {
        walk.fault("must not hold the NUL character");
    } else if !(rule.holds)(text) {
        walk.fault(rule.says);
    }
}

fn check_count(count: usize, min: usize, max: usize, walk: &mut Walk) {
    if count < min {
        walk.fault(match min {
            1 => "must not be empty".to_owned(),
            _ => format!("must have at least {min} entries"),
        });
    } else if count > max {
        walk.fault(format!("must have at most {max} entries, has {count}"));
    }
}

/// Checks a map with two lists of fields; `tag` is a key that was checked before.
fn check_fields(
    map: &Map<String, Value>,
    common: &[Field],
    own: &[Field],
    tag: Option<&str>,
    walk: &mut Walk,
) {
    let mut known: BTreeSet<&str> = tag.into_iter().collect();
    for field in common.iter().chain(own) {
        known.insert(field.key);
        walk.key(field.key, |walk| match map.get(field.key) {
            Some(value) => field.shape.check(value, walk),
            None if field.required => walk.fault("is missing"),
            None => {}
        });
    }
    for key in map.keys().filter(|key| !known.contains(key.as_str())) {
        walk.key(key, |walk| walk.fault("is not a key that is known here"));
    }
}

fn check_variants(
    map: &Map<String, Value>,
    tag: &str,
    common: &[Field],
    own: &[(&str, &[Field])],
    walk: &mut Walk,
) {
    let name = map.get(tag).and_then(Value::as_str);
    if let Some((_, fields)) = own.iter().find(|(known, _)| Some(*known) == name) {
        check_fields(map, common, fields, Some(tag), walk);
        return;
    }
    walk.key(tag, |walk| {
        if map.contains_key(tag) {
            let mut message = "must be one of ".to_owned();
            for (index, (known, _)) in own.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(message, "{comma}{known}").expect("writing to a String does not fail");
            }
            walk.fault(message);
        } else {
            walk.fault("is missing");
        }
    });
    // Without the type, only what all types share can be judged.
    for field in common {
        walk.key(field.key, |walk| match map.get(field.key) {
            Some(value) => field.shape.check(value, walk),
            None if field.required => walk.fault("is missing"),
            None => {}
        });
    }
}

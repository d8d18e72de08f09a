//! Reading of a file's text into a bounded tree of JSON values.
//!
//! YAML and JSON give the same tree, so that one validator reads both. This module
//! is stricter than the formats: a repeated key of a map is an error (most readers
//! silently keep one of the two), and so is a file with more values, or deeper
//! nesting, than any exam has.
//!
//! Numbers with a fraction pass through an `f64`. Its shortest decimal form, which
//! [`exact_decimal`] and the canonical JSON use, equals the literal of the file if
//! that has at most 15 significant digits. Longer literals are rounded to the
//! nearest `f64` once, here, and never change afterwards.

use std::{cell::Cell, fmt};

use rust_decimal::Decimal;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, UserMessageFormatter};

use super::limits::{FILE_BYTES_MAX, FILE_DEPTH_MAX, FILE_REPEATED_MAX, FILE_VALUES_MAX};
use crate::fault::FileFault;

/// Format of an exam file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// YAML 1.2, one document.
    Yaml,
    /// JSON.
    Json,
}

/// Reads a file's text into a tree.
pub(super) fn read_tree(text: &str, format: FileFormat) -> Result<Value, FileFault> {
    if text.len() > FILE_BYTES_MAX {
        let mebibytes = FILE_BYTES_MAX / (1024 * 1024);
        return Err(file_fault(&format!("is over {mebibytes} MiB"), None));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let left = Cell::new(FILE_VALUES_MAX);
    let seed = TreeSeed {
        left: &left,
        depth: FILE_DEPTH_MAX,
    };
    match format {
        FileFormat::Yaml => read_yaml(text, seed),
        FileFormat::Json => read_json(text, seed),
    }
}

fn read_json(text: &str, seed: TreeSeed<'_>) -> Result<Value, FileFault> {
    let mut reader = serde_json::Deserializer::from_str(text);
    seed.deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| {
            let whole = error.to_string();
            let message = without_place(&whole);
            let line = u32::try_from(error.line()).ok().filter(|line| *line > 0);
            file_fault(&format!("is not valid JSON: {message}"), line)
        })
}

fn read_yaml(text: &str, seed: TreeSeed<'_>) -> Result<Value, FileFault> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 2 * FILE_VALUES_MAX + 16,
            max_nodes: FILE_VALUES_MAX,
            max_depth: FILE_DEPTH_MAX,
            max_documents: 1,
            max_aliases: 10_000,
            max_anchors: 10_000,
            max_total_scalar_bytes: FILE_BYTES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: FILE_REPEATED_MAX,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        // `no`, `0755` and `1_000` are text, as YAML 1.2 has it.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
        emit_comments: false,
    };
    serde_saphyr::with_deserializer_from_str_with_options(text, options, |reader| {
        seed.deserialize(reader)
    })
    .map_err(|error| {
        let line = error
            .location()
            .and_then(|place| u32::try_from(place.line()).ok())
            .filter(|line| *line > 0);
        let whole = error.render_with_formatter(&UserMessageFormatter);
        let message: String = without_place(&whole).chars().take(300).collect();
        file_fault(&format!("is not valid YAML: {message}"), line)
    })
}

/// Returns an error's first line without the position at its end, which the fault
/// holds itself.
fn without_place(message: &str) -> &str {
    let first = message.lines().next().unwrap_or_default();
    first
        .rsplit_once(" at line ")
        .map_or(first, |(message, _)| message)
}

fn file_fault(message: &str, line: Option<u32>) -> FileFault {
    FileFault {
        path: String::new(),
        message: format!("the file {message}"),
        line,
    }
}

/// Returns the exact decimal of a number, as written in the file.
pub(super) fn exact_decimal(value: &Value) -> Option<Decimal> {
    let Value::Number(number) = value else {
        return None;
    };
    // `Number`'s own text may have an exponent.
    let literal = match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(whole), _, _) => whole.to_string(),
        (None, Some(whole), _) => whole.to_string(),
        (None, None, Some(fraction)) => fraction.to_string(),
        (None, None, None) => return None,
    };
    Decimal::from_str_exact(&literal).ok()
}

/// Seed that builds the tree and counts its values and levels.
#[derive(Clone, Copy)]
struct TreeSeed<'a> {
    /// Values that are still allowed.
    left: &'a Cell<usize>,
    /// Levels that are still allowed.
    depth: usize,
}

impl TreeSeed<'_> {
    /// Returns the seed for the values inside this one.
    fn child_seed<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self
            .depth
            .checked_sub(1)
            .ok_or_else(|| E::custom(format!("nested over {FILE_DEPTH_MAX} levels")))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for TreeSeed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1);
        let left =
            left.ok_or_else(|| D::Error::custom(format!("over {FILE_VALUES_MAX} values")))?;
        self.left.set(left);
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for TreeSeed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number must be finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.child_seed()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inside = self.child_seed()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                let key: String = key.chars().take(64).collect();
                return Err(A::Error::custom(format!("key `{key}` stands twice")));
            }
            let value = entries.next_value_seed(inside)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

//! The fields of one message, by name, with values that are not parsed yet.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::{DEPTH_MAX, DecodeError, Encoding, msgpack};
use crate::candidate::WireValue;

/// Initial capacity: enough for nearly every message.
const FIELDS_TYPICAL: usize = 8;

/// The fields of one message, in the order of the frame.
pub(super) struct FrameFields<'a>(Vec<(Cow<'a, str>, RawField<'a>)>);

/// A well-formed value that is not parsed yet.
#[derive(Clone, Copy)]
pub(super) enum RawField<'a> {
    Json(&'a str),
    MessagePack(msgpack::MsgpackValue<'a>),
}

impl<'a> FrameFields<'a> {
    /// Reads a frame that is one map and nothing else.
    pub(super) fn read_frame(encoding: Encoding, frame: &'a [u8]) -> Result<Self, DecodeError> {
        match encoding {
            Encoding::Json => {
                let text = std::str::from_utf8(frame);
                let text = text.map_err(|_not_utf8| DecodeError::bad_message("not UTF-8"))?;
                Self::read_json(text)
            }
            Encoding::MessagePack => msgpack::read_map(frame).map(Self),
        }
    }

    fn read_json(text: &'a str) -> Result<Self, DecodeError> {
        serde_json::from_str(text)
            .map_err(|error| DecodeError::bad_message(format!("not a JSON object: {error}")))
    }

    /// The message's type.
    pub(super) fn tag(&self) -> Result<Cow<'a, str>, DecodeError> {
        self.required_text("t")
    }

    /// Returns a field that is present and not null.
    pub(super) fn get_present(&self, name: &str) -> Option<RawField<'a>> {
        self.get_or_null(name).filter(|raw| !raw.is_null())
    }

    /// Returns a field that is present. Of several with one name the last counts.
    pub(super) fn get_or_null(&self, name: &str) -> Option<RawField<'a>> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, raw)| *raw)
    }

    /// Returns a string that must be present.
    pub(super) fn required_text(&self, name: &str) -> Result<Cow<'a, str>, DecodeError> {
        self.get_present(name)
            .and_then(RawField::as_text)
            .ok_or_else(|| field_error(name, "must be a string"))
    }

    /// Returns a string that may be absent.
    pub(super) fn optional_text(&self, name: &str) -> Result<Option<String>, DecodeError> {
        match self.get_present(name) {
            None => Ok(None),
            Some(_) => self.required_text(name).map(|text| Some(text.into_owned())),
        }
    }

    /// Returns a count that must be present: an integer from 1 on.
    pub(super) fn required_number(&self, name: &str) -> Result<u64, DecodeError> {
        self.get_present(name)
            .and_then(RawField::as_integer)
            .filter(|number| *number >= 1)
            .and_then(|number| u64::try_from(number).ok())
            .ok_or_else(|| field_error(name, "must be an integer from 1 on"))
    }

    /// Returns a count that may be absent.
    pub(super) fn optional_number(&self, name: &str) -> Result<Option<u64>, DecodeError> {
        match self.get_present(name) {
            None => Ok(None),
            Some(_) => self.required_number(name).map(Some),
        }
    }

    /// Returns a boolean that must be present.
    pub(super) fn required_boolean(&self, name: &str) -> Result<bool, DecodeError> {
        self.get_present(name)
            .and_then(RawField::as_boolean)
            .ok_or_else(|| field_error(name, "must be true or false"))
    }
}

fn field_error(name: &str, how: &str) -> DecodeError {
    DecodeError::bad_message(format!("`{name}` {how}"))
}

impl<'a> RawField<'a> {
    fn is_null(self) -> bool {
        match self {
            Self::Json(text) => text == "null",
            Self::MessagePack(item) => item.is_nil(),
        }
    }

    /// Returns a string of Unicode; none for a lone surrogate.
    pub(super) fn as_text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Json(text) => {
                let inner = text.strip_prefix('"')?.strip_suffix('"')?;
                if inner.contains('\\') {
                    serde_json::from_str(text).ok().map(Cow::Owned)
                } else {
                    Some(Cow::Borrowed(inner))
                }
            }
            Self::MessagePack(item) => item.as_text().map(Cow::Borrowed),
        }
    }

    /// Returns an integer that is written as one: `1.0` is not.
    pub(super) fn as_integer(self) -> Option<i64> {
        match self {
            Self::Json(text) => text.parse().ok(),
            Self::MessagePack(item) => item.as_integer(),
        }
    }

    pub(super) fn as_boolean(self) -> Option<bool> {
        match self {
            Self::Json("true") => Some(true),
            Self::Json("false") => Some(false),
            Self::Json(_) => None,
            Self::MessagePack(item) => item.as_boolean(),
        }
    }

    /// Encoded length in bytes.
    pub(super) const fn byte_len(self) -> usize {
        match self {
            Self::Json(text) => text.len(),
            Self::MessagePack(item) => item.byte_len(),
        }
    }

    /// Returns a value that can be stored and written as JSON again.
    pub(super) fn to_wire_value(self) -> WireValue {
        let value = match self {
            Self::Json(text) => serde_json::from_str(text).ok(),
            Self::MessagePack(item) => item.to_json(),
        };
        match value {
            Some(value) if can_be_kept(&value, 0) => WireValue::Json(value),
            Some(_) | None => WireValue::Malformed,
        }
    }

    /// Returns a map that can be stored.
    pub(super) fn as_object(self) -> Option<Map<String, Value>> {
        match self.to_wire_value() {
            WireValue::Json(Value::Object(map)) => Some(map),
            WireValue::Json(_) | WireValue::Malformed => None,
        }
    }

    /// Returns the fields of a map.
    pub(super) fn as_fields(self) -> Option<FrameFields<'a>> {
        match self {
            Self::Json(text) => FrameFields::read_json(text).ok(),
            Self::MessagePack(item) => item.as_field_map().map(FrameFields),
        }
    }

    /// Returns the elements of a JSON array, each a map.
    pub(super) fn as_field_list(self) -> Option<Vec<FrameFields<'a>>> {
        match self {
            Self::Json(text) => serde_json::from_str(text).ok(),
            Self::MessagePack(_) => None,
        }
    }
}

/// True if a value has no NUL, which PostgreSQL stores in neither text nor JSON, and is
/// not nested too deep. `serde_json` alone does not bound the depth: it reads a map
/// with a certain private key as JSON in a string, and counts from 0 again.
fn can_be_kept(value: &Value, depth: usize) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => !text.contains('\0'),
        Value::Array(items) => {
            depth < DEPTH_MAX && items.iter().all(|item| can_be_kept(item, depth + 1))
        }
        Value::Object(map) => {
            depth < DEPTH_MAX
                && map
                    .iter()
                    .all(|(key, item)| !key.contains('\0') && can_be_kept(item, depth + 1))
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for FrameFields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = FrameFields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(FIELDS_TYPICAL);
                while let Some((FieldName(key), raw)) = map.next_entry::<_, &'de RawValue>()? {
                    fields.push((key, RawField::Json(raw.get())));
                }
                Ok(FrameFields(fields))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

/// A field name, copied only if it has escapes.
#[derive(Deserialize)]
struct FieldName<'a>(#[serde(borrow)] Cow<'a, str>);

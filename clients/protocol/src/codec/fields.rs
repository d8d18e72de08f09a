//! The fields of one message, by name, with values nobody has looked into yet.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::{DEPTH_MAX, DecodeError, Encoding, msgpack};
use crate::candidate::WireValue;

/// Room for the fields of nearly every message.
const FIELDS_TYPICAL: usize = 8;

/// The fields of one message, in the order in which they came.
pub(super) struct Fields<'a>(Vec<(Cow<'a, str>, Raw<'a>)>);

/// One value, known to be well-formed.
#[derive(Clone, Copy)]
pub(super) enum Raw<'a> {
    Json(&'a str),
    MessagePack(msgpack::Item<'a>),
}

impl<'a> Fields<'a> {
    /// Reads a frame that is one map and nothing else.
    pub(super) fn read(encoding: Encoding, frame: &'a [u8]) -> Result<Self, DecodeError> {
        match encoding {
            Encoding::Json => {
                let text = std::str::from_utf8(frame);
                let text = text.map_err(|_not_utf8| DecodeError::bad("not UTF-8"))?;
                Self::read_json(text)
            }
            Encoding::MessagePack => msgpack::read_map(frame).map(Self),
        }
    }

    fn read_json(text: &'a str) -> Result<Self, DecodeError> {
        serde_json::from_str(text)
            .map_err(|error| DecodeError::bad(format!("not a JSON object: {error}")))
    }

    /// The message's type.
    pub(super) fn tag(&self) -> Result<Cow<'a, str>, DecodeError> {
        self.text("t")
    }

    /// A field, present and not null.
    pub(super) fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.get_or_null(name).filter(|raw| !raw.is_null())
    }

    /// A field, present. Of several with one name the last counts.
    pub(super) fn get_or_null(&self, name: &str) -> Option<Raw<'a>> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, raw)| *raw)
    }

    /// A string that must be there.
    pub(super) fn text(&self, name: &str) -> Result<Cow<'a, str>, DecodeError> {
        self.get(name)
            .and_then(Raw::text)
            .ok_or_else(|| wrong(name, "must be a string"))
    }

    /// A string that may be absent.
    pub(super) fn optional_text(&self, name: &str) -> Result<Option<String>, DecodeError> {
        match self.get(name) {
            None => Ok(None),
            Some(_) => self.text(name).map(|text| Some(text.into_owned())),
        }
    }

    /// A count that must be there: an integer from 1 on.
    pub(super) fn number(&self, name: &str) -> Result<u64, DecodeError> {
        self.get(name)
            .and_then(Raw::integer)
            .filter(|number| *number >= 1)
            .and_then(|number| u64::try_from(number).ok())
            .ok_or_else(|| wrong(name, "must be an integer from 1 on"))
    }

    /// A count that may be absent.
    pub(super) fn optional_number(&self, name: &str) -> Result<Option<u64>, DecodeError> {
        match self.get(name) {
            None => Ok(None),
            Some(_) => self.number(name).map(Some),
        }
    }

    /// A boolean that must be there.
    pub(super) fn boolean(&self, name: &str) -> Result<bool, DecodeError> {
        self.get(name)
            .and_then(Raw::boolean)
            .ok_or_else(|| wrong(name, "must be true or false"))
    }
}

fn wrong(name: &str, how: &str) -> DecodeError {
    DecodeError::bad(format!("`{name}` {how}"))
}

impl<'a> Raw<'a> {
    fn is_null(self) -> bool {
        match self {
            Self::Json(text) => text == "null",
            Self::MessagePack(item) => item.is_nil(),
        }
    }

    /// A string of Unicode; none also for a lone surrogate.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Json(text) => {
                let inner = text.strip_prefix('"')?.strip_suffix('"')?;
                if inner.contains('\\') {
                    serde_json::from_str(text).ok().map(Cow::Owned)
                } else {
                    Some(Cow::Borrowed(inner))
                }
            }
            Self::MessagePack(item) => item.text().map(Cow::Borrowed),
        }
    }

    /// An integer written as one: `1.0` is none.
    pub(super) fn integer(self) -> Option<i64> {
        match self {
            Self::Json(text) => text.parse().ok(),
            Self::MessagePack(item) => item.integer(),
        }
    }

    pub(super) fn boolean(self) -> Option<bool> {
        match self {
            Self::Json("true") => Some(true),
            Self::Json("false") => Some(false),
            Self::Json(_) => None,
            Self::MessagePack(item) => item.boolean(),
        }
    }

    /// How long it is as it came.
    pub(super) const fn size(self) -> usize {
        match self {
            Self::Json(text) => text.len(),
            Self::MessagePack(item) => item.size(),
        }
    }

    /// A value that can be kept and written as JSON again.
    pub(super) fn value(self) -> WireValue {
        let value = match self {
            Self::Json(text) => serde_json::from_str(text).ok(),
            Self::MessagePack(item) => item.value(),
        };
        match value {
            Some(value) if can_be_kept(&value, 0) => WireValue::Json(value),
            Some(_) | None => WireValue::Malformed,
        }
    }

    /// A map that can be kept.
    pub(super) fn object(self) -> Option<Map<String, Value>> {
        match self.value() {
            WireValue::Json(Value::Object(map)) => Some(map),
            WireValue::Json(_) | WireValue::Malformed => None,
        }
    }

    /// A map, to be looked into field by field.
    pub(super) fn fields(self) -> Option<Fields<'a>> {
        match self {
            Self::Json(text) => Fields::read_json(text).ok(),
            Self::MessagePack(item) => item.map().map(Fields),
        }
    }

    /// The elements of a JSON array, each a map.
    pub(super) fn list_of_fields(self) -> Option<Vec<Fields<'a>>> {
        match self {
            Self::Json(text) => serde_json::from_str(text).ok(),
            Self::MessagePack(_) => None,
        }
    }
}

/// No NUL, which PostgreSQL keeps in neither text nor JSON. The depth is looked
/// at too, because `serde_json` takes a map with a certain private key for JSON
/// in a string, and begins to count anew.
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

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(FIELDS_TYPICAL);
                while let Some((Key(key), raw)) = map.next_entry::<_, &'de RawValue>()? {
                    fields.push((key, Raw::Json(raw.get())));
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

/// A name that is copied only where it has escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

//! The two columns of a row, kind and detail, as serde sees an enum: the kind is the
//! name of the variant, the detail its fields.

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Serialize,
    de::{
        DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer as _, VariantAccess, Visitor,
        value::StrDeserializer,
    },
    forward_to_deserialize_any,
};
use serde_json::{Map, Value};

use super::{DamagedEntry, TimelineEvent, TimelineRow};
use invigil_domain::{exam::is_client_event, integrity::Detection, time::Timestamp};

impl TimelineEvent {
    /// Writes the row of an entry.
    pub fn into_row(self, number: u64, at: Timestamp) -> TimelineRow {
        let (kind, data) = if let Self::Reported { kind, report } = self {
            (kind, to_json(&report).into())
        } else if let Self::Detected { what, detected } = self {
            (what.as_str().to_owned(), to_json(&detected).into())
        } else if let Self::Unknown { kind, data } = self {
            (kind, data)
        } else {
            self.to_columns()
        };
        TimelineRow {
            number,
            at,
            kind,
            data,
        }
    }

    /// Returns kind and detail of an entry whose kind is the variant's name.
    fn to_columns(&self) -> (String, Arc<str>) {
        // `{"kind":detail}`; a variant's name needs no escapes.
        let text = to_json(self);
        let inside = text
            .strip_prefix("{\"")
            .and_then(|text| text.strip_suffix('}'));
        let columns = inside.and_then(|inside| inside.split_once("\":"));
        let (kind, detail) = columns.expect("an entry is a map of its kind");
        (kind.to_owned(), detail.into())
    }

    /// Reads a row.
    ///
    /// # Errors
    /// If the kind is known and the detail is not what this kind has, or the detail of
    /// any kind is not a JSON object.
    pub fn from_row(row: &TimelineRow) -> Result<Self, DamagedEntry> {
        let columns = RowColumns {
            kind: &row.kind,
            detail: &row.data,
        };
        match Self::deserialize(columns) {
            Ok(event) => Ok(event),
            Err(ColumnsError::UnknownKind) => Self::from_open_kind(row),
            Err(ColumnsError::Detail(reason)) => Err(row.damaged(reason)),
        }
    }

    /// Reads a row whose kind is no variant's name.
    fn from_open_kind(row: &TimelineRow) -> Result<Self, DamagedEntry> {
        let damaged = |error: serde_json::Error| row.damaged(error.to_string());
        let fields: Map<String, Value> = serde_json::from_str(&row.data).map_err(damaged)?;
        let is_report = fields.contains_key("n");
        let kind = row.kind.clone();
        if let Some(what) = Detection::from_name(&kind).filter(|_| !is_report) {
            let detected = serde_json::from_value(fields.into()).map_err(damaged)?;
            return Ok(Self::Detected { what, detected });
        }
        if is_report || is_client_event(&kind) {
            let report = serde_json::from_value(fields.into()).map_err(damaged)?;
            return Ok(Self::Reported { kind, report });
        }
        let data = Arc::clone(&row.data);
        Ok(Self::Unknown { kind, data })
    }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("an entry is plain JSON")
}

/// The columns of a row.
struct RowColumns<'de> {
    kind: &'de str,
    detail: &'de str,
}

/// The reason for which the columns are no [`TimelineEvent`].
#[derive(Debug)]
enum ColumnsError {
    /// No variant has this name.
    UnknownKind,
    /// The detail does not have the variant's fields.
    Detail(String),
}

impl fmt::Display for ColumnsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind => formatter.write_str("unknown kind"),
            Self::Detail(reason) => formatter.write_str(reason),
        }
    }
}

impl std::error::Error for ColumnsError {}

impl serde::de::Error for ColumnsError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Detail(message.to_string())
    }

    fn unknown_variant(_name: &str, _expected: &'static [&'static str]) -> Self {
        Self::UnknownKind
    }
}

impl From<serde_json::Error> for ColumnsError {
    fn from(error: serde_json::Error) -> Self {
        Self::Detail(error.to_string())
    }
}

impl<'de> Deserializer<'de> for RowColumns<'de> {
    type Error = ColumnsError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ColumnsError> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for RowColumns<'de> {
    type Error = ColumnsError;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self), ColumnsError> {
        let kind: StrDeserializer<'_, ColumnsError> = self.kind.into_deserializer();
        Ok((seed.deserialize(kind)?, self))
    }
}

impl<'de> VariantAccess<'de> for RowColumns<'de> {
    type Error = ColumnsError;

    fn unit_variant(self) -> Result<(), ColumnsError> {
        Err(no_fields())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        self,
        _seed: S,
    ) -> Result<S::Value, ColumnsError> {
        Err(no_fields())
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _len: usize,
        _visitor: V,
    ) -> Result<V::Value, ColumnsError> {
        Err(no_fields())
    }

    /// Only a JSON object is read; serde would also take a list of the fields.
    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ColumnsError> {
        let mut detail = serde_json::Deserializer::from_str(self.detail);
        let value = detail.deserialize_map(visitor)?;
        detail.end()?;
        Ok(value)
    }
}

/// Error for a variant without named fields, which a detail cannot have.
fn no_fields() -> ColumnsError {
    ColumnsError::Detail("the kind has no named fields".to_owned())
}

/// An answer's value within a detail: JSON already, written and read without a tree.
pub(super) mod json_value {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use serde_json::value::RawValue;

    use invigil_domain::value::CanonicalValue;

    /// Writes the value; `None` is null, and so is text that is not JSON, which no check
    /// of answers lets in.
    #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
    pub(crate) fn serialize<S: Serializer>(
        value: &Option<CanonicalValue>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let json: Option<&RawValue> = value
            .as_deref()
            .and_then(|text| serde_json::from_str(text).ok());
        json.serialize(serializer)
    }

    /// Reads the value, which must be there.
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<CanonicalValue>, D::Error> {
        let json = Option::<Box<RawValue>>::deserialize(deserializer)?;
        Ok(json.map(|json| json.get().into()))
    }
}

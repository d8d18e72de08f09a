//! MessagePack, where `rmp_serde` alone is not enough.
//!
//! A frame is scanned once before it is decoded. The scan finds the end of each
//! value (and so bytes after the frame's end), strings that are not UTF-8 (which
//! serde cannot tell from binary), and values that JSON cannot represent. It needs
//! no recursion and no allocation.

use std::borrow::Cow;

use rmp::{Marker, decode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{DEPTH_MAX, DecodeError, fields::RawField};

/// A well-formed MessagePack value.
#[derive(Clone, Copy)]
pub(super) struct MsgpackValue<'a> {
    bytes: &'a [u8],
    /// True if there is neither binary, nor an extension, nor NaN or infinity.
    is_json: bool,
}

impl<'a> MsgpackValue<'a> {
    pub(super) const fn byte_len(self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_nil(self) -> bool {
        self.bytes == [Marker::Null.to_u8()]
    }

    pub(super) fn as_text(self) -> Option<&'a str> {
        let mut rest = self.bytes;
        decode::read_str_len(&mut rest).ok()?;
        std::str::from_utf8(rest).ok()
    }

    pub(super) fn as_integer(self) -> Option<i64> {
        decode::read_int(&mut &*self.bytes).ok()
    }

    pub(super) fn as_boolean(self) -> Option<bool> {
        decode::read_bool(&mut &*self.bytes).ok()
    }

    pub(super) fn to_json(self) -> Option<Value> {
        if self.is_json {
            from_slice(self.bytes).ok()
        } else {
            None
        }
    }

    pub(super) fn as_field_map(self) -> Option<Vec<(Cow<'a, str>, RawField<'a>)>> {
        read_map(self.bytes).ok()
    }
}

/// Decodes a value with a bound on nesting.
pub(super) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    // The deserializer stops one level earlier than the number says.
    deserializer.set_max_depth(DEPTH_MAX + 1);
    T::deserialize(&mut deserializer)
}

/// Reads bytes that are one map with string keys and nothing else.
pub(super) fn read_map(bytes: &[u8]) -> Result<Vec<(Cow<'_, str>, RawField<'_>)>, DecodeError> {
    let mut rest = bytes;
    let Ok(count) = decode::read_map_len(&mut rest) else {
        return Err(DecodeError::bad_message("not a MessagePack map"));
    };
    // Each field takes at least two bytes: a false count allocates nothing.
    let mut fields = Vec::with_capacity((count as usize).min(rest.len() / 2));
    for _ in 0..count {
        let key = take_item(&mut rest)?;
        let Some(key) = key.as_text() else {
            return Err(DecodeError::bad_message("a key is not a string"));
        };
        fields.push((
            Cow::Borrowed(key),
            RawField::MessagePack(take_item(&mut rest)?),
        ));
    }
    if rest.is_empty() {
        Ok(fields)
    } else {
        Err(DecodeError::bad_message("bytes follow the message"))
    }
}

/// Takes one value off the front of `rest`.
fn take_item<'a>(rest: &mut &'a [u8]) -> Result<MsgpackValue<'a>, DecodeError> {
    let start = *rest;
    let mut is_json = true;
    let mut open: u64 = 1;
    while open > 0 {
        let step = take_step(rest)?;
        is_json &= step.is_json;
        open = open - 1 + step.children;
    }
    let bytes = &start[..start.len() - rest.len()];
    Ok(MsgpackValue { bytes, is_json })
}

/// Content of one marker with the bytes that belong to it alone.
struct MarkerScan {
    /// Number of values inside, which follow.
    children: u64,
    is_json: bool,
}

impl MarkerScan {
    const PLAIN: Self = Self {
        children: 0,
        is_json: true,
    };
    const FOREIGN: Self = Self {
        children: 0,
        is_json: false,
    };

    const fn container_of(children: u64) -> Self {
        Self {
            children,
            is_json: true,
        }
    }
}

fn take_step(rest: &mut &[u8]) -> Result<MarkerScan, DecodeError> {
    let (marker, tail) = rest.split_first().ok_or_else(truncated_error)?;
    *rest = tail;
    let step = match Marker::from_u8(*marker) {
        Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => {
            MarkerScan::PLAIN
        }
        Marker::U8 | Marker::I8 => take_bytes(rest, 1).map(|_| MarkerScan::PLAIN)?,
        Marker::U16 | Marker::I16 => take_bytes(rest, 2).map(|_| MarkerScan::PLAIN)?,
        Marker::U32 | Marker::I32 => take_bytes(rest, 4).map(|_| MarkerScan::PLAIN)?,
        Marker::U64 | Marker::I64 => take_bytes(rest, 8).map(|_| MarkerScan::PLAIN)?,
        // All exponent bits set: NaN or infinity.
        Marker::F32 => float_scan(take_length(rest, 4)? & 0x7f80_0000 != 0x7f80_0000),
        Marker::F64 => float_scan(take_length(rest, 8)? & 0x7ff0 << 48 != 0x7ff0 << 48),
        Marker::FixStr(length) => take_text(rest, length.into())?,
        Marker::Str8 => take_length(rest, 1).and_then(|length| take_text(rest, length))?,
        Marker::Str16 => take_length(rest, 2).and_then(|length| take_text(rest, length))?,
        Marker::Str32 => take_length(rest, 4).and_then(|length| take_text(rest, length))?,
        Marker::FixArray(count) => MarkerScan::container_of(count.into()),
        Marker::Array16 => MarkerScan::container_of(take_length(rest, 2)?),
        Marker::Array32 => MarkerScan::container_of(take_length(rest, 4)?),
        Marker::FixMap(count) => MarkerScan::container_of(u64::from(count) * 2),
        Marker::Map16 => MarkerScan::container_of(take_length(rest, 2)? * 2),
        Marker::Map32 => MarkerScan::container_of(take_length(rest, 4)? * 2),
        Marker::Bin8 => take_foreign(rest, 1, 0)?,
        Marker::Bin16 => take_foreign(rest, 2, 0)?,
        Marker::Bin32 => take_foreign(rest, 4, 0)?,
        Marker::FixExt1 => take_bytes(rest, 2).map(|_| MarkerScan::FOREIGN)?,
        Marker::FixExt2 => take_bytes(rest, 3).map(|_| MarkerScan::FOREIGN)?,
        Marker::FixExt4 => take_bytes(rest, 5).map(|_| MarkerScan::FOREIGN)?,
        Marker::FixExt8 => take_bytes(rest, 9).map(|_| MarkerScan::FOREIGN)?,
        Marker::FixExt16 => take_bytes(rest, 17).map(|_| MarkerScan::FOREIGN)?,
        Marker::Ext8 => take_foreign(rest, 1, 1)?,
        Marker::Ext16 => take_foreign(rest, 2, 1)?,
        Marker::Ext32 => take_foreign(rest, 4, 1)?,
        Marker::Reserved => return Err(DecodeError::bad_message("an invalid MessagePack marker")),
    };
    Ok(step)
}

const fn float_scan(is_finite: bool) -> MarkerScan {
    if is_finite {
        MarkerScan::PLAIN
    } else {
        MarkerScan::FOREIGN
    }
}

/// Takes binary or an extension: a length, `more` bytes of type, the bytes.
fn take_foreign(rest: &mut &[u8], length_size: u64, more: u64) -> Result<MarkerScan, DecodeError> {
    let length = take_length(rest, length_size)?;
    take_bytes(rest, length + more).map(|_| MarkerScan::FOREIGN)
}

fn take_text(rest: &mut &[u8], length: u64) -> Result<MarkerScan, DecodeError> {
    match std::str::from_utf8(take_bytes(rest, length)?) {
        Ok(_) => Ok(MarkerScan::PLAIN),
        Err(_) => Err(DecodeError::bad_message("a string is not UTF-8")),
    }
}

/// Takes a big-endian number of at most eight bytes.
fn take_length(rest: &mut &[u8], size: u64) -> Result<u64, DecodeError> {
    let bytes = take_bytes(rest, size)?;
    Ok(bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn take_bytes<'a>(rest: &mut &'a [u8], size: u64) -> Result<&'a [u8], DecodeError> {
    let size = usize::try_from(size).map_err(|_too_big| truncated_error())?;
    let (taken, tail) = rest.split_at_checked(size).ok_or_else(truncated_error)?;
    *rest = tail;
    Ok(taken)
}

fn truncated_error() -> DecodeError {
    DecodeError::bad_message("the message ends too early")
}

//! MessagePack, as far as `rmp_serde` alone is not enough.
//!
//! A frame is walked once before anything is made of it: that finds where each
//! value ends (so that nothing behind a frame's end goes unnoticed), strings
//! that are not UTF-8 (which serde cannot tell from binary), and whatever JSON
//! has no word for. The walk needs no recursion and no memory.

use std::borrow::Cow;

use rmp::{Marker, decode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{DEPTH_MAX, DecodeError, fields::Raw};

/// One well-formed value.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    bytes: &'a [u8],
    /// Whether there is neither binary, nor an extension, nor NaN or infinity.
    is_json: bool,
}

impl<'a> Item<'a> {
    pub(super) const fn size(self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_nil(self) -> bool {
        self.bytes == [Marker::Null.to_u8()]
    }

    pub(super) fn text(self) -> Option<&'a str> {
        let mut rest = self.bytes;
        decode::read_str_len(&mut rest).ok()?;
        std::str::from_utf8(rest).ok()
    }

    pub(super) fn integer(self) -> Option<i64> {
        decode::read_int(&mut &*self.bytes).ok()
    }

    pub(super) fn boolean(self) -> Option<bool> {
        decode::read_bool(&mut &*self.bytes).ok()
    }

    pub(super) fn value(self) -> Option<Value> {
        if self.is_json {
            from_slice(self.bytes).ok()
        } else {
            None
        }
    }

    pub(super) fn map(self) -> Option<Vec<(Cow<'a, str>, Raw<'a>)>> {
        read_map(self.bytes).ok()
    }
}

/// Decodes with a bound on nesting.
pub(super) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    // The deserializer stops one level earlier than the number says.
    deserializer.set_max_depth(DEPTH_MAX + 1);
    T::deserialize(&mut deserializer)
}

/// Reads bytes that are one map with string keys and nothing else.
pub(super) fn read_map(bytes: &[u8]) -> Result<Vec<(Cow<'_, str>, Raw<'_>)>, DecodeError> {
    let mut rest = bytes;
    let Ok(count) = decode::read_map_len(&mut rest) else {
        return Err(DecodeError::bad("not a MessagePack map"));
    };
    // Each field takes two bytes or more, so a lie about the count costs nothing.
    let mut fields = Vec::with_capacity((count as usize).min(rest.len() / 2));
    for _ in 0..count {
        let key = take_item(&mut rest)?;
        let Some(key) = key.text() else {
            return Err(DecodeError::bad("a key is not a string"));
        };
        fields.push((Cow::Borrowed(key), Raw::MessagePack(take_item(&mut rest)?)));
    }
    if rest.is_empty() {
        Ok(fields)
    } else {
        Err(DecodeError::bad("bytes follow the message"))
    }
}

/// Takes one value off the front.
fn take_item<'a>(rest: &mut &'a [u8]) -> Result<Item<'a>, DecodeError> {
    let start = *rest;
    let mut is_json = true;
    let mut open: u64 = 1;
    while open > 0 {
        let step = take_step(rest)?;
        is_json &= step.is_json;
        open = open - 1 + step.inside;
    }
    let bytes = &start[..start.len() - rest.len()];
    Ok(Item { bytes, is_json })
}

/// What one marker, with the bytes that belong to it alone, says.
struct Step {
    /// Values that stand inside and follow.
    inside: u64,
    is_json: bool,
}

impl Step {
    const PLAIN: Self = Self {
        inside: 0,
        is_json: true,
    };
    const FOREIGN: Self = Self {
        inside: 0,
        is_json: false,
    };

    const fn container(inside: u64) -> Self {
        Self {
            inside,
            is_json: true,
        }
    }
}

fn take_step(rest: &mut &[u8]) -> Result<Step, DecodeError> {
    let (marker, tail) = rest.split_first().ok_or_else(truncated)?;
    *rest = tail;
    let step = match Marker::from_u8(*marker) {
        Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => {
            Step::PLAIN
        }
        Marker::U8 | Marker::I8 => take(rest, 1).map(|_| Step::PLAIN)?,
        Marker::U16 | Marker::I16 => take(rest, 2).map(|_| Step::PLAIN)?,
        Marker::U32 | Marker::I32 => take(rest, 4).map(|_| Step::PLAIN)?,
        Marker::U64 | Marker::I64 => take(rest, 8).map(|_| Step::PLAIN)?,
        // All bits of the exponent set: NaN or infinity.
        Marker::F32 => number(take_length(rest, 4)? & 0x7f80_0000 != 0x7f80_0000),
        Marker::F64 => number(take_length(rest, 8)? & 0x7ff0 << 48 != 0x7ff0 << 48),
        Marker::FixStr(length) => take_text(rest, length.into())?,
        Marker::Str8 => take_length(rest, 1).and_then(|length| take_text(rest, length))?,
        Marker::Str16 => take_length(rest, 2).and_then(|length| take_text(rest, length))?,
        Marker::Str32 => take_length(rest, 4).and_then(|length| take_text(rest, length))?,
        Marker::FixArray(count) => Step::container(count.into()),
        Marker::Array16 => Step::container(take_length(rest, 2)?),
        Marker::Array32 => Step::container(take_length(rest, 4)?),
        Marker::FixMap(count) => Step::container(u64::from(count) * 2),
        Marker::Map16 => Step::container(take_length(rest, 2)? * 2),
        Marker::Map32 => Step::container(take_length(rest, 4)? * 2),
        Marker::Bin8 => take_foreign(rest, 1, 0)?,
        Marker::Bin16 => take_foreign(rest, 2, 0)?,
        Marker::Bin32 => take_foreign(rest, 4, 0)?,
        Marker::FixExt1 => take(rest, 2).map(|_| Step::FOREIGN)?,
        Marker::FixExt2 => take(rest, 3).map(|_| Step::FOREIGN)?,
        Marker::FixExt4 => take(rest, 5).map(|_| Step::FOREIGN)?,
        Marker::FixExt8 => take(rest, 9).map(|_| Step::FOREIGN)?,
        Marker::FixExt16 => take(rest, 17).map(|_| Step::FOREIGN)?,
        Marker::Ext8 => take_foreign(rest, 1, 1)?,
        Marker::Ext16 => take_foreign(rest, 2, 1)?,
        Marker::Ext32 => take_foreign(rest, 4, 1)?,
        Marker::Reserved => return Err(DecodeError::bad("a byte that MessagePack does not have")),
    };
    Ok(step)
}

const fn number(is_finite: bool) -> Step {
    if is_finite {
        Step::PLAIN
    } else {
        Step::FOREIGN
    }
}

/// Binary or an extension: a length, `more` bytes of type, the bytes.
fn take_foreign(rest: &mut &[u8], length_size: u64, more: u64) -> Result<Step, DecodeError> {
    let length = take_length(rest, length_size)?;
    take(rest, length + more).map(|_| Step::FOREIGN)
}

fn take_text(rest: &mut &[u8], length: u64) -> Result<Step, DecodeError> {
    match std::str::from_utf8(take(rest, length)?) {
        Ok(_) => Ok(Step::PLAIN),
        Err(_) => Err(DecodeError::bad("a string is not UTF-8")),
    }
}

/// A big-endian number of at most eight bytes.
fn take_length(rest: &mut &[u8], size: u64) -> Result<u64, DecodeError> {
    let bytes = take(rest, size)?;
    Ok(bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn take<'a>(rest: &mut &'a [u8], size: u64) -> Result<&'a [u8], DecodeError> {
    let size = usize::try_from(size).map_err(|_too_big| truncated())?;
    let (taken, tail) = rest.split_at_checked(size).ok_or_else(truncated)?;
    *rest = tail;
    Ok(taken)
}

fn truncated() -> DecodeError {
    DecodeError::bad("the message ends too early")
}

//! Building blocks of the tables: kinds of text, and short constructors.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    exam::{
        limits::{CODE_CHARS_MAX, ID_CHARS_MAX, IMAGE_CHARS_MAX, WORD_CHARS_MAX},
        shape::{ShapeField, TextRule, ValueShape},
    },
    integrity::DETECTIONS,
    time::Timestamp,
};

/// An exam's code.
pub(super) const CODE: ValueShape = ValueShape::Text {
    min: 1,
    max: CODE_CHARS_MAX,
    rule: &CODE_RULE,
};

/// Form of an exam's code, which rosters use too.
pub(in crate::exam) const CODE_RULE: TextRule = TextRule {
    message: "must be letters A-Z and a-z, digits, _ and -",
    accepts: |text| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    },
    pattern: "^[A-Za-z0-9_-]*$",
    format: "",
};

/// An id within the exam.
pub(super) const ID: ValueShape = ValueShape::Text {
    min: 1,
    max: ID_CHARS_MAX,
    rule: &TextRule {
        message: "must not hold blanks or control characters",
        accepts: |text| !text.contains(|one: char| one.is_whitespace() || one.is_control()),
        pattern: r"^[^\s\u0000-\u001f\u007f-\u009f]*$",
        format: "",
    },
};

/// A picture's address.
pub(super) const IMAGE: ValueShape = ValueShape::Text {
    min: 1,
    max: IMAGE_CHARS_MAX,
    rule: &TextRule {
        message: "must be an http, https or data:image address, or a path",
        accepts: |text| {
            ["http://", "https://", "data:image/"]
                .iter()
                .any(|start| text.len() > start.len() && text.starts_with(start))
                || !text.contains(':')
        },
        pattern: r"^(https?://[\s\S]+|data:image/[\s\S]+|[^:]*)$",
        format: "",
    },
};

/// An instant.
pub(super) const INSTANT: ValueShape = ValueShape::Text {
    min: 1,
    max: WORD_CHARS_MAX,
    rule: &TextRule {
        message: "must be an instant of RFC 3339, such as 2026-11-23T08:00:00Z",
        accepts: |text| parse_instant(text).is_some(),
        pattern: "",
        format: "date-time",
    },
};

/// A network.
pub(super) const NETWORK: ValueShape = ValueShape::Text {
    min: 1,
    max: WORD_CHARS_MAX,
    rule: &TextRule {
        message: "must be a network such as 10.0.0.0/8, or an address",
        accepts: |text| parse_network(text).is_some(),
        pattern: "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$",
        format: "",
    },
};

/// A kind of event.
pub(super) const EVENT_KIND: ValueShape = ValueShape::Text {
    min: 1,
    max: WORD_CHARS_MAX,
    rule: &TextRule {
        message: "must be an event kind of the protocol, or begin with x-",
        accepts: |text| {
            EVENT_KINDS.contains(&text)
                || DETECTIONS.iter().any(|(_, name, _)| *name == text)
                || text.starts_with("x-")
        },
        pattern: "^(x-[\\s\\S]*|focus_lost|focus_gained|page_hidden|page_visible|fullscreen_exit\
                  |copy|cut|paste|context_menu|print|screenshot|devtools|second_screen|offline\
                  |face_absent|face_multiple|face_mismatch|voice|phone|virtual_machine\
                  |screen_share_stopped|heartbeat_lost|session_taken_over|address_changed\
                  |clock_skewed|answer_too_fast|device_shared)$",
        format: "",
    },
};

/// Kinds of client events in the protocol.
pub(in crate::exam) const EVENT_KINDS: [&str; 21] = [
    "focus_lost",
    "focus_gained",
    "page_hidden",
    "page_visible",
    "fullscreen_exit",
    "copy",
    "cut",
    "paste",
    "context_menu",
    "print",
    "screenshot",
    "devtools",
    "second_screen",
    "offline",
    "face_absent",
    "face_multiple",
    "face_mismatch",
    "voice",
    "phone",
    "virtual_machine",
    "screen_share_stopped",
];

/// Parses an instant of RFC 3339, in whole milliseconds.
pub(in crate::exam) fn parse_instant(text: &str) -> Option<Timestamp> {
    let instant = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(Timestamp::from_ms(instant.timestamp_millis()))
}

/// Parses a network; a single address is a network of one.
pub(in crate::exam) fn parse_network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .ok()
        .map(|network| network.trunc())
}

/// A required key.
pub(super) const fn required(
    key: &'static str,
    shape: ValueShape,
    about: &'static str,
) -> ShapeField {
    ShapeField {
        key,
        required: true,
        shape,
        description: about,
    }
}

/// An optional key.
pub(super) const fn optional(
    key: &'static str,
    shape: ValueShape,
    about: &'static str,
) -> ShapeField {
    ShapeField {
        key,
        required: false,
        shape,
        description: about,
    }
}

/// Text of any kind.
pub(super) const fn text(min: usize, max: usize) -> ValueShape {
    const ANY: TextRule = TextRule {
        message: "",
        accepts: |_| true,
        pattern: "",
        format: "",
    };
    ValueShape::Text {
        min,
        max,
        rule: &ANY,
    }
}

/// A whole number in a range.
pub(super) const fn whole(min: i64, max: i64) -> ValueShape {
    ValueShape::Whole { min, max }
}

/// A decimal number in a range.
pub(super) const fn decimal(min: i64, max: i64, decimals: u32) -> ValueShape {
    ValueShape::Decimal {
        min,
        max,
        over: false,
        decimals,
    }
}

/// A list of `min` to `max` values of one shape.
pub(super) const fn list(of: &'static ValueShape, min: usize, max: usize) -> ValueShape {
    ValueShape::List { of, min, max }
}

/// A shape or `null`. A macro, because a function's argument cannot become static.
macro_rules! or_null {
    ($shape:expr) => {
        ValueShape::Either(&[$shape, ValueShape::Nothing])
    };
}

pub(super) use or_null;

//! What the tables are put together from: kinds of text, and short forms.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::domain::{
    exam::{
        limits::{CODE_CHARS_MAX, ID_CHARS_MAX, IMAGE_CHARS_MAX, WORD_CHARS_MAX},
        shape::{Field, Rule, Shape},
    },
    integrity::DETECTIONS,
    time::Timestamp,
};

/// An exam's code.
pub(super) const CODE: Shape = Shape::Text {
    min: 1,
    max: CODE_CHARS_MAX,
    rule: &CODE_RULE,
};

/// What an exam's code looks like; rosters name exams by it too.
pub(in crate::domain::exam) const CODE_RULE: Rule = Rule {
    says: "must be letters A-Z and a-z, digits, _ and -",
    holds: |text| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    },
    pattern: "^[A-Za-z0-9_-]*$",
    format: "",
};

/// An id within the exam.
pub(super) const ID: Shape = Shape::Text {
    min: 1,
    max: ID_CHARS_MAX,
    rule: &Rule {
        says: "must not hold blanks or control characters",
        holds: |text| !text.contains(|one: char| one.is_whitespace() || one.is_control()),
        pattern: r"^[^\s\u0000-\u001f\u007f-\u009f]*$",
        format: "",
    },
};

/// A picture's address.
pub(super) const IMAGE: Shape = Shape::Text {
    min: 1,
    max: IMAGE_CHARS_MAX,
    rule: &Rule {
        says: "must be an http, https or data:image address, or a path",
        holds: |text| {
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
pub(super) const INSTANT: Shape = Shape::Text {
    min: 1,
    max: WORD_CHARS_MAX,
    rule: &Rule {
        says: "must be an instant of RFC 3339, such as 2026-11-23T08:00:00Z",
        holds: |text| instant(text).is_some(),
        pattern: "",
        format: "date-time",
    },
};

/// A network.
pub(super) const NETWORK: Shape = Shape::Text {
    min: 1,
    max: WORD_CHARS_MAX,
    rule: &Rule {
        says: "must be a network such as 10.0.0.0/8, or an address",
        holds: |text| network(text).is_some(),
        pattern: "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$",
        format: "",
    },
};

/// A kind of event.
pub(super) const EVENT_KIND: Shape = Shape::Text {
    min: 1,
    max: WORD_CHARS_MAX,
    rule: &Rule {
        says: "must be an event kind of the protocol, or begin with x-",
        holds: |text| {
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

/// The kinds of event that the protocol names.
pub(in crate::domain::exam) const EVENT_KINDS: [&str; 21] = [
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

/// Reads an instant of RFC 3339, whole milliseconds.
pub(in crate::domain::exam) fn instant(text: &str) -> Option<Timestamp> {
    let instant = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(Timestamp::from_ms(instant.timestamp_millis()))
}

/// Reads a network; an address alone is a network of one.
pub(in crate::domain::exam) fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .ok()
        .map(|network| network.trunc())
}

/// A key that must be there.
pub(super) const fn required(key: &'static str, shape: Shape, about: &'static str) -> Field {
    Field {
        key,
        required: true,
        shape,
        about,
    }
}

/// A key that may be left out.
pub(super) const fn optional(key: &'static str, shape: Shape, about: &'static str) -> Field {
    Field {
        key,
        required: false,
        shape,
        about,
    }
}

/// Text of any kind.
pub(super) const fn text(min: usize, max: usize) -> Shape {
    const ANY: Rule = Rule {
        says: "",
        holds: |_| true,
        pattern: "",
        format: "",
    };
    Shape::Text {
        min,
        max,
        rule: &ANY,
    }
}

/// A whole number of a range.
pub(super) const fn whole(min: i64, max: i64) -> Shape {
    Shape::Whole { min, max }
}

/// A decimal number of a range.
pub(super) const fn decimal(min: i64, max: i64, decimals: u32) -> Shape {
    Shape::Decimal {
        min,
        max,
        over: false,
        decimals,
    }
}

/// A list of so many of the same.
pub(super) const fn list(of: &'static Shape, min: usize, max: usize) -> Shape {
    Shape::List { of, min, max }
}

/// A shape or `null`. A macro, since a function's argument cannot become static.
macro_rules! or_null {
    ($shape:expr) => {
        Shape::Either(&[$shape, Shape::Nothing])
    };
}

pub(super) use or_null;

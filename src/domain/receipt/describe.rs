//! A verified receipt in words.

use chrono::{DateTime, SecondsFormat};

use super::{Engine, STANDARD, Verified};
use crate::domain::{attempt::HandedInBy, time::Timestamp};

/// Says what a genuine receipt vouches for, and how far.
pub fn describe(verified: &Verified) -> String {
    let content = &verified.content;
    let by = match content.handed_in {
        HandedInBy::Candidate => "by the candidate",
        HandedInBy::Time => "by the engine when time was over",
        HandedInBy::Staff => "by staff",
    };
    let late = if content.late { "late" } else { "in time" };
    let count = content
        .answers
        .iter()
        .filter(|answer| answer.is_given())
        .count();
    let answers = if count == 1 { "answer" } else { "answers" };
    let trust = if verified.key_expected {
        "the expected key"
    } else {
        "a key that proves nothing until it is compared with the engine's"
    };
    format!(
        "Genuine. Attempt {} of {} at {} was handed in {by} at {}, {late}, with {count} {answers}. \
         Signed with {trust}: {}",
        content.attempt.escape_debug(),
        content.candidate.as_str().escape_debug(),
        content.exam.as_str().escape_debug(),
        instant(content.submitted_at),
        STANDARD.encode(verified.key.as_bytes()),
    )
}

/// RFC 3339; the bare number where no calendar reaches.
fn instant(at: Timestamp) -> String {
    DateTime::from_timestamp_millis(at.as_ms()).map_or_else(
        || format!("{} ms", at.as_ms()),
        |at| at.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}

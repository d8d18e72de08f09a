//! Description of a verified receipt for people.

use chrono::{DateTime, SecondsFormat};

use super::{Engine, STANDARD, VerifiedReceipt};
use crate::{attempt::HandedInBy, time::Timestamp};

/// Describes the content of a genuine receipt, and how far its key can be trusted.
pub fn describe_receipt(verified: &VerifiedReceipt) -> String {
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
        format_instant(content.submitted_at),
        STANDARD.encode(verified.key.as_bytes()),
    )
}

/// Formats an instant by RFC 3339, or in milliseconds if it is outside the calendar.
fn format_instant(at: Timestamp) -> String {
    DateTime::from_timestamp_millis(at.as_ms()).map_or_else(
        || format!("{} ms", at.as_ms()),
        |at| at.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}

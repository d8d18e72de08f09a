//! Thresholds of the engine's own detections: which clock jumped, which answers came too
//! fast, which absence is long.
//!
//! Each detector keeps the few readings that it compares and returns what it found. The
//! consequences are the rules' (see [`super::IntegrityState::judge_event`]).

use std::time::Duration;

use crate::{
    exam::Question,
    time::{Timestamp, duration_ms},
};

/// Heartbeat intervals without a connection after which it counts as lost.
const LOST_AFTER: u32 = 3;

/// Largest step of a client's clock that is no detection.
const CLOCK_STEP_MAX_MS: i64 = 60_000;

/// The same while events may have waited in the client, for as long as it was away.
const LATE_CLOCK_STEP_MAX_MS: i64 = 3_600_000;

/// Time after connecting in which events that waited may arrive.
const LATE_EVENTS_FOR: Duration = Duration::from_secs(10);

/// First answers in a row, each faster than its question can be read, that are no
/// accident.
const FAST_ANSWERS_MIN: u32 = 5;

/// Letters a second that a person reads at most; a Chinese character counts for two.
const LETTERS_PER_SECOND: u64 = 50;

/// Returns the absence from which on a heartbeat is [`super::Detection::HeartbeatLost`].
pub fn absence_limit(heartbeat: Duration) -> Duration {
    heartbeat * LOST_AFTER
}

/// The client's clock, compared with the engine's.
#[derive(Debug, Default)]
pub struct ClientClock {
    known: Option<ClockReadings>,
    /// Events until then may have waited in the client, and say little of its clock.
    late_until: Timestamp,
}

/// Readings of a client's clock, milliseconds.
#[derive(Debug, Clone, Copy)]
struct ClockReadings {
    newest_at: i64,
    /// Most that it was ahead of the engine's clock.
    ahead_max: i64,
    /// True if `ahead_max` comes from an event that did not wait.
    is_prompt: bool,
}

impl ClientClock {
    /// Expects events that waited in the client.
    pub fn expect_late_events(&mut self, now: Timestamp) {
        self.late_until = now + LATE_EVENTS_FOR;
    }

    /// Forgets the readings: another session may be another device.
    pub const fn reset(&mut self) {
        self.known = None;
    }

    /// Reads the clock by an event. Returns the step, in milliseconds, if the clock was
    /// set. Events may come late, so only a clock further ahead than ever was set forward,
    /// and only a clock that goes back from one event to the next was set back.
    pub fn read_event(&mut self, now: Timestamp, client_at: i64) -> Option<i64> {
        let ahead = client_at.saturating_sub(now.as_ms());
        let late = now < self.late_until;
        let first = ClockReadings {
            newest_at: client_at,
            ahead_max: ahead,
            is_prompt: !late,
        };
        let known = self.known.replace(first)?;
        let forward = ahead.saturating_sub(known.ahead_max);
        let back = known.newest_at.saturating_sub(client_at);
        let step_max = if late || !known.is_prompt {
            LATE_CLOCK_STEP_MAX_MS
        } else {
            CLOCK_STEP_MAX_MS
        };
        if forward > step_max || back > CLOCK_STEP_MAX_MS {
            return Some(if forward > step_max { forward } else { -back });
        }
        let ahead_max = if known.is_prompt {
            ahead.max(known.ahead_max)
        } else {
            ahead
        };
        self.known = Some(ClockReadings {
            newest_at: client_at.max(known.newest_at),
            ahead_max,
            is_prompt: known.is_prompt || !late,
        });
        None
    }
}

/// The pace at which a candidate gives first answers.
#[derive(Debug, Default)]
pub struct AnswerPace {
    last_answered_at: Option<Timestamp>,
    fast_answers: u32,
}

impl AnswerPace {
    /// Notes the first answer to a question. Returns the number of answers in a row that
    /// came faster than their questions can be read, once it is no accident.
    pub fn note_first_answer(
        &mut self,
        question: &Question,
        at: Timestamp,
        spent: Duration,
    ) -> Option<u32> {
        let before = self.last_answered_at.replace(at);
        // An answer that waited for the network comes with the time it took.
        let took = before.map_or(spent, |before| at.since(before).max(spent));
        if duration_ms(took).unsigned_abs() >= reading_min_ms(question) {
            self.fast_answers = 0;
            return None;
        }
        self.fast_answers += 1;
        (self.fast_answers >= FAST_ANSWERS_MIN).then(|| std::mem::take(&mut self.fast_answers))
    }
}

/// Shortest time in which a question can be read, milliseconds.
fn reading_min_ms(question: &Question) -> u64 {
    let letters = question.content.chars().fold(0, |sum, letter| {
        // From the CJK radicals on, a character is about half a word.
        sum + if letter >= '\u{2e80}' { 2 } else { 1 }
    });
    letters * 1_000 / LETTERS_PER_SECOND
}

#[cfg(test)]
mod tests;

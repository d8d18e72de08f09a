//! How fast one connection is read.
//!
//! Nothing is refused or lost for its rate: over it, the socket is read more
//! slowly, and TCP tells the client. Only what no honest client does ends a
//! connection: more than a hundred frames a second after a warning, or more
//! commands under way than `limits.unsaved` allows for ten seconds.

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::Limits;

/// Frames in one second that no honest client sends.
const FRAMES_PER_SECOND_MAX: u32 = 100;

/// Frames in one second after which a warning is no use any more.
const FRAMES_PER_SECOND_END: u32 = 2 * FRAMES_PER_SECOND_MAX;

/// How long a client may keep too many commands under way.
pub(super) const HELD_MAX: Duration = Duration::from_secs(10);

/// What to do about a frame that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// Tell the client that it is too fast, once.
    Warn,
    /// Close: it was told.
    Close,
}

/// The limits of a connection and how far they are used.
#[derive(Debug)]
pub(super) struct Pace {
    limits: Limits,
    /// Commands that may be read at once, fewer than none after a burst.
    tokens: f64,
    refilled_at: Instant,
    second: Instant,
    frames: u32,
    warned: bool,
    /// The last command in sequence that was read.
    read_seq: u64,
    saved_seq: u64,
}

impl Pace {
    /// A connection whose session stands at these numbers.
    pub(super) fn new(limits: Limits, applied_seq: u64, saved_seq: u64, now: Instant) -> Self {
        Self {
            limits,
            tokens: f64::from(limits.burst),
            refilled_at: now,
            second: now,
            frames: 0,
            warned: false,
            read_seq: applied_seq,
            saved_seq,
        }
    }

    /// Counts a frame.
    pub(super) fn frame(&mut self, now: Instant) -> Verdict {
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            // One quiet second forgives.
            self.warned &= self.frames > FRAMES_PER_SECOND_MAX;
            self.second = now;
            self.frames = 0;
        }
        self.frames += 1;
        if self.frames <= FRAMES_PER_SECOND_MAX {
            return Verdict::Fine;
        }
        let first = self.frames == FRAMES_PER_SECOND_MAX + 1;
        if self.frames > FRAMES_PER_SECOND_END || (first && self.warned) {
            return Verdict::Close;
        }
        if std::mem::replace(&mut self.warned, true) {
            Verdict::Fine
        } else {
            Verdict::Warn
        }
    }

    /// Whether a command must wait because too many are unsaved.
    pub(super) fn must_wait(&self, seq: u64) -> bool {
        let unsaved = self.read_seq.saturating_sub(self.saved_seq);
        seq == self.read_seq + 1 && unsaved >= u64::from(self.limits.unsaved)
    }

    /// Counts a command that goes to the actor. When to read on, if later.
    pub(super) fn command(&mut self, seq: u64, now: Instant) -> Option<Instant> {
        if seq == self.read_seq + 1 {
            self.read_seq = seq;
        }
        let rate = f64::from(self.limits.commands_per_second);
        let gained = now.duration_since(self.refilled_at).as_secs_f64() * rate;
        self.tokens = (self.tokens + gained).min(f64::from(self.limits.burst)) - 1.0;
        self.refilled_at = now;
        (self.tokens < 0.0).then(|| now + Duration::from_secs_f64(-self.tokens / rate))
    }

    /// Everything up to `seq` is saved.
    pub(super) fn saved(&mut self, seq: u64) {
        self.saved_seq = self.saved_seq.max(seq);
        // Commands may have come by another way: the exchange.
        self.read_seq = self.read_seq.max(seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(now: Instant) -> Pace {
        let limits = Limits {
            frame_bytes: 16_384,
            answer_bytes: 1_048_576,
            commands_per_second: 20,
            burst: 40,
            unsaved: 4,
        };
        Pace::new(limits, 0, 0, now)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_then_reading_slows_to_the_rate() {
        let now = Instant::now();
        let mut pace = pace(now);
        for seq in 1..=40 {
            assert_eq!(pace.command(seq, now), None, "command {seq}");
        }
        assert_eq!(pace.command(41, now), Some(now + Duration::from_millis(50)));
        assert_eq!(pace.command(42, now + Duration::from_secs(10)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn commands_wait_at_the_bound_until_something_is_saved() {
        let now = Instant::now();
        let mut pace = pace(now);
        for seq in 1..=4 {
            assert!(!pace.must_wait(seq));
            pace.command(seq, now);
        }
        assert!(pace.must_wait(5));
        assert!(!pace.must_wait(4), "a repeat is answered");
        assert!(!pace.must_wait(9), "a gap is refused at once");
        pace.saved(1);
        assert!(!pace.must_wait(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_warned_once_and_then_closed() {
        let mut now = Instant::now();
        let mut pace = pace(now);
        let second: Vec<Verdict> = (0..201).map(|_| pace.frame(now)).collect();
        assert!(
            second[..100]
                .iter()
                .all(|verdict| *verdict == Verdict::Fine)
        );
        assert_eq!(second[100], Verdict::Warn);
        assert!(
            second[101..200]
                .iter()
                .all(|verdict| *verdict == Verdict::Fine)
        );
        assert_eq!(second[200], Verdict::Close);

        let mut pace = self::pace(now);
        let warned = (0..150)
            .filter(|_| pace.frame(now) == Verdict::Warn)
            .count();
        assert_eq!(warned, 1);
        now += Duration::from_secs(1);
        let next: Vec<Verdict> = (0..101).map(|_| pace.frame(now)).collect();
        assert_eq!(
            next[100],
            Verdict::Close,
            "the warning counts in the next second"
        );
    }
}

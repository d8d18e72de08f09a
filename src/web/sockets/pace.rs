//! Reading rate of a connection.
//!
//! No message is refused or lost for its rate: above the rate the socket is read
//! more slowly, and TCP slows the client. Only abuse ends a connection: more than
//! a hundred frames per second after a warning, or more unsaved commands than
//! `limits.unsaved` for ten seconds.

use std::time::Duration;

use tokio::time::Instant;

use invigil_engine::ConnectionLimits;

/// Frames per second above which a client is warned; honest ones send fewer.
const FRAMES_PER_SECOND_MAX: u32 = 100;

/// Frames per second above which the connection is closed without waiting.
const FRAMES_PER_SECOND_END: u32 = 2 * FRAMES_PER_SECOND_MAX;

/// Time for which a command may be held back before the connection is closed.
pub(super) const HELD_MAX: Duration = Duration::from_secs(10);

/// Decision about a received frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameVerdict {
    /// Handle the frame.
    Accept,
    /// Warn the client, once, that it is too fast.
    Warn,
    /// Close: the client was warned.
    Close,
}

/// Limits of a connection, with their use.
#[derive(Debug)]
pub(super) struct ConnectionPace {
    limits: ConnectionLimits,
    /// Commands that may be read at once; negative after a burst.
    tokens: f64,
    refilled_at: Instant,
    second: Instant,
    frames: u32,
    warned: bool,
    /// Number of the last command read in sequence.
    read_seq: u64,
    saved_seq: u64,
}

impl ConnectionPace {
    /// Starts with the numbers of the connection's session.
    pub(super) fn new(
        limits: ConnectionLimits,
        applied_seq: u64,
        saved_seq: u64,
        now: Instant,
    ) -> Self {
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
    pub(super) fn count_frame(&mut self, now: Instant) -> FrameVerdict {
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            // A quiet second clears the warning.
            self.warned &= self.frames > FRAMES_PER_SECOND_MAX;
            self.second = now;
            self.frames = 0;
        }
        self.frames += 1;
        if self.frames <= FRAMES_PER_SECOND_MAX {
            return FrameVerdict::Accept;
        }
        let first = self.frames == FRAMES_PER_SECOND_MAX + 1;
        if self.frames > FRAMES_PER_SECOND_END || (first && self.warned) {
            return FrameVerdict::Close;
        }
        if std::mem::replace(&mut self.warned, true) {
            FrameVerdict::Accept
        } else {
            FrameVerdict::Warn
        }
    }

    /// Returns true if a command must wait because too many are unsaved.
    pub(super) fn must_wait(&self, seq: u64) -> bool {
        let unsaved = self.read_seq.saturating_sub(self.saved_seq);
        seq == self.read_seq + 1 && unsaved >= u64::from(self.limits.unsaved)
    }

    /// Counts a command for the actor. Returns the instant to read on, if later.
    pub(super) fn count_command(&mut self, seq: u64, now: Instant) -> Option<Instant> {
        if seq == self.read_seq + 1 {
            self.read_seq = seq;
        }
        let rate = f64::from(self.limits.commands_per_second);
        let gained = now.duration_since(self.refilled_at).as_secs_f64() * rate;
        self.tokens = (self.tokens + gained).min(f64::from(self.limits.burst)) - 1.0;
        self.refilled_at = now;
        (self.tokens < 0.0).then(|| now + Duration::from_secs_f64(-self.tokens / rate))
    }

    /// Notes that all commands up to `seq` are saved.
    pub(super) fn note_saved(&mut self, seq: u64) {
        self.saved_seq = self.saved_seq.max(seq);
        // Commands may also come through the exchange.
        self.read_seq = self.read_seq.max(seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample_pace(now: Instant) -> ConnectionPace {
        let limits = ConnectionLimits {
            frame_bytes: 16_384,
            answer_bytes: 1_048_576,
            commands_per_second: 20,
            burst: 40,
            unsaved: 4,
        };
        ConnectionPace::new(limits, 0, 0, now)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_then_reading_slows_to_the_rate() {
        let now = Instant::now();
        let mut pace = sample_pace(now);
        for seq in 1..=40 {
            assert_eq!(pace.count_command(seq, now), None, "command {seq}");
        }
        assert_eq!(
            pace.count_command(41, now),
            Some(now + Duration::from_millis(50))
        );
        assert_eq!(pace.count_command(42, now + Duration::from_secs(10)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn commands_wait_at_the_bound_until_something_is_saved() {
        let now = Instant::now();
        let mut pace = sample_pace(now);
        for seq in 1..=4 {
            assert!(!pace.must_wait(seq));
            pace.count_command(seq, now);
        }
        assert!(pace.must_wait(5));
        assert!(!pace.must_wait(4), "a repeat is answered");
        assert!(!pace.must_wait(9), "a gap is refused at once");
        pace.note_saved(1);
        assert!(!pace.must_wait(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_warned_once_and_then_closed() {
        let mut now = Instant::now();
        let mut pace = sample_pace(now);
        let second: Vec<FrameVerdict> = (0..201).map(|_| pace.count_frame(now)).collect();
        assert!(
            second[..100]
                .iter()
                .all(|verdict| *verdict == FrameVerdict::Accept)
        );
        assert_eq!(second[100], FrameVerdict::Warn);
        assert!(
            second[101..200]
                .iter()
                .all(|verdict| *verdict == FrameVerdict::Accept)
        );
        assert_eq!(second[200], FrameVerdict::Close);

        let mut pace = sample_pace(now);
        let warned = (0..150)
            .filter(|_| pace.count_frame(now) == FrameVerdict::Warn)
            .count();
        assert_eq!(warned, 1);
        now += Duration::from_secs(1);
        let next: Vec<FrameVerdict> = (0..101).map(|_| pace.count_frame(now)).collect();
        assert_eq!(
            next[100],
            FrameVerdict::Close,
            "the warning counts in the next second"
        );
    }
}

//! The attempt, by transcripts, by every short life and by random long ones.

#![expect(clippy::needless_raw_string_hashes, reason = "expect_test writes them")]

mod answers;
mod clock;
mod every_short_life;
mod properties;
mod sections;
mod sessions;
mod staff;
mod transcript;
mod watch;

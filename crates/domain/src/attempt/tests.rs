//! Tests of the attempt: transcripts, all short lives and random long lives.

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

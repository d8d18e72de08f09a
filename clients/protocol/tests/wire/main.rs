//! The wire format from outside: golden messages, round trips, and invalid bytes.

#![expect(clippy::unwrap_used, reason = "in a test a panic is how a check fails")]
#![expect(clippy::panic, reason = "in a test a panic is how a check fails")]

mod fuzz;
mod golden;
mod goldens;
mod round_trip;

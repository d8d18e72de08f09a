//! The management side of the real program, on PostgreSQL: what teachers and
//! administrators do over HTTP, and what they must not be able to do.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests panic and say what they saw"
)]

mod bank;
mod harness;
#[path = "../support/postgres.rs"]
mod postgres_server;
mod refusals;
mod story;

//! The management side of the real program, on PostgreSQL: the work of teachers and
//! administrators over HTTP, and its limits.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::too_many_lines,
    reason = "tests panic, say what they saw, and tell a story in one piece"
)]

mod access;
mod bank;
mod files;
mod harness;
mod lists;
#[path = "../support/postgres.rs"]
mod postgres_server;
mod refusals;
#[path = "../support/servers.rs"]
mod servers;
mod story;
mod term;
mod world;

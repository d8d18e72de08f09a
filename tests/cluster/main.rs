//! Several nodes on one PostgreSQL: attempts move between nodes, and messages to the wrong
//! node find their way.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests panic and say what they saw, and pick what they wait for"
)]

mod alone;
mod boards;
mod harness;
mod moving;
#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "not every test looks past the store")]
mod postgres_server;
#[path = "../support/servers.rs"]
mod servers;

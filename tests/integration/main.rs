//! The real program under faults: killed, cut off from its store, started on files that it
//! cannot use, and sent nonsense.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests panic and say what they saw"
)]

mod commands;
#[path = "../support/dice.rs"]
mod dice;
mod fuzz;
mod harness;
mod integrity;
mod kill;
#[path = "../support/mongodb.rs"]
mod mongodb_server;
mod outage;
#[path = "../support/own_postgres.rs"]
mod own_postgres;
#[path = "../support/postgres.rs"]
mod postgres_server;
mod records;
mod refusals;
mod replay;
#[path = "../support/servers.rs"]
mod servers;
mod sessions;
mod socket;
mod watch;

//! The data model on PostgreSQL: visible rows, refused changes, consequences by trigger,
//! and the use of the indexes.
//!
//! Every test has a database of its own. Tests of roles begin with the world of
//! `data_model/world.sql`, whose numbers tell the owner of a row.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests panic and say what they skip"
)]
#![expect(
    clippy::needless_raw_string_hashes,
    reason = "expect-test writes what is expected so"
)]

#[path = "data_model/attacks.rs"]
mod attacks;
#[path = "data_model/audit.rs"]
mod audit;
#[path = "data_model/detection.rs"]
mod detection;
#[path = "data_model/encrypted.rs"]
mod encrypted;
#[path = "data_model/indexes.rs"]
mod indexes;
#[path = "support/own_postgres.rs"]
mod own_postgres;
#[path = "data_model/partitions.rs"]
mod partitions;
#[path = "support/postgres.rs"]
mod postgres_server;
#[path = "data_model/rows.rs"]
mod rows;
#[path = "data_model/rules.rs"]
mod rules;
#[path = "data_model/schedule.rs"]
mod schedule;
#[path = "support/servers.rs"]
mod servers;
#[path = "data_model/session.rs"]
mod session;
#[path = "data_model/tries.rs"]
mod tries;

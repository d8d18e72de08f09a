//! The Rust SDK: a client of Invigil that keeps every promise that the protocol
//! asks of one.
//!
//! [`Client`] signs in and starts attempts over HTTP. [`Attempt`] then takes one
//! over a socket: commands go in without waiting, [`Update`]s come out. Inside,
//! [`core::Core`] is the protocol without IO (numbers, outbox, resume, conflicts,
//! time); the rest carries out what it says.

mod attempt;
mod backoff;
mod clock;
mod connection;
mod console;
pub mod core;
mod rest;
pub mod sample;
mod task;

pub use self::{
    attempt::{Attempt, Options},
    console::{Console, Heard},
    core::{Command, Ticket, Update},
    rest::{Client, Error, Paper},
};
pub use invigil_protocol as protocol;

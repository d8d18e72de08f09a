//! The Rust SDK: a client of Invigil that fulfils every duty of the protocol.
//!
//! [`ApiClient`] signs in and starts attempts over HTTP. [`ClientAttempt`] then connects
//! over a socket: commands go in without waiting, [`ClientUpdate`]s come out. Inside,
//! [`core::ClientCore`] is the protocol without IO (numbers, outbox, resume, conflicts,
//! time); the rest carries out its decisions.

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
    attempt::{ClientAttempt, ClientOptions},
    console::{ConsoleClient, ConsoleUpdate},
    core::{ClientCommand, ClientUpdate, Ticket},
    rest::{ApiClient, AttemptPaper, Error},
};
pub use invigil_protocol as protocol;

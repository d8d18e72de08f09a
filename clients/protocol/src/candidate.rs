//! Messages between a candidate's client and the engine.
//!
//! [`client`] holds the client's half, [`server`] the engine's; both are
//! reachable from here.

pub mod client;
pub mod server;

pub use self::{client::*, server::*};

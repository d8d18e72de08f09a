//! Messages between a proctor's console and the engine.
//!
//! [`client`] holds the console's half, [`server`] the engine's; both are
//! reachable from here.

pub mod client;
pub mod server;

pub use self::{client::*, server::*};

//! The requests that callers of the engine make: connect, exchange, start, command, watch,
//! read, replay.

pub(crate) mod command;
mod connect;
mod exchange;
pub(crate) mod read;
pub(crate) mod replay;
pub(crate) mod start;
pub(crate) mod watch;

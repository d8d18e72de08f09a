//! The requests that callers of the engine make: start, command, watch, read, replay.

pub(crate) mod command;
pub(crate) mod read;
pub(crate) mod replay;
pub(crate) mod start;
pub(crate) mod watch;

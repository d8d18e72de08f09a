//! This node: its clock, entropy, keys, load, the context that every actor shares, and its
//! life from start up to drain.

pub(crate) mod clock;
pub(crate) mod context;
pub(crate) mod devices;
pub(crate) mod entropy;
pub(crate) mod keys;
mod lifecycle;
pub(crate) mod limits;
pub(crate) mod overload;

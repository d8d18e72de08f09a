//! This node: its clock, entropy, keys, load and the context that every actor shares.

pub(crate) mod clock;
pub(crate) mod context;
pub(crate) mod devices;
pub(crate) mod entropy;
pub(crate) mod overload;

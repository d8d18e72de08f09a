//! Invigil, a real-time exam engine. The map of the house, in reading order.

pub mod domain;
pub mod store;

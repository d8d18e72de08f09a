//! The exam's rules, pure: no IO, no clock, no randomness of their own.
//!
//! Time and seeds come in as arguments, so everything here is tested by
//! examples and by properties, and replays the same on every machine.
//! Start reading at [`attempt`]: it is the state machine that the rest serves.

pub mod admission;
pub mod attempt;
pub mod evidence;
pub mod exam;
pub mod fault;
pub mod grading;
pub mod id;
pub mod integrity;
mod named;
pub mod paper;
pub mod person;
pub mod receipt;
pub mod release;
pub mod roster;
pub mod time;
pub mod timing;
pub mod value;

//! The exam's rules as pure code: no I/O, no clock, no randomness.
//!
//! Time and seeds are arguments, so examples and properties test everything
//! here, and it replays the same on every machine. Start reading at
//! [`attempt`]: it is the state machine that the rest serves.

pub mod admission;
pub mod attempt;
pub mod evidence;
pub mod exam;
pub mod fault;
pub mod grading;
pub mod id;
pub mod integrity;
pub mod marking;
mod named;
pub mod paper;
pub mod person;
pub mod receipt;
pub mod release;
pub mod roster;
pub mod time;
pub mod timing;
pub mod value;

//! The wire, from outside: golden messages, round trips, and bytes that are no
//! messages.

mod fuzz;
mod golden;
mod goldens;
mod round_trip;

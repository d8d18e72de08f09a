//! Tests of the codec: stored forms, the way there and back, and damage.

mod damage;
mod forms;
mod round_trip;

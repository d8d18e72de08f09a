//! The live protocol of Invigil, version 1: every message between a client and the
//! engine, as types, with their encodings and schemas.
//!
//! Reading order: [`candidate`] (the exam itself), [`exchange`] (the same
//! without a socket), [`proctor`], then [`code`] for every number and name that
//! stands for a reason. [`paper`] and [`rest`] hold the documents fetched over HTTP.
//! [`codec`] turns frames into messages and back, [`schema`] describes them to
//! other languages.
//!
//! Frames from clients are decoded leniently where the protocol says so. An
//! invalid answer value is kept as [`candidate::WireValue::Malformed`], so that the
//! engine can refuse that one command; only an envelope of the wrong form is a
//! [`codec::DecodeError`].
//!
//! The crate does no IO and knows no clock. Times are milliseconds since the
//! Unix epoch (`_at`), durations milliseconds (`_ms`).

pub mod candidate;
pub mod code;
pub mod codec;
pub mod exchange;
pub mod paper;
pub mod proctor;
pub mod rest;
pub mod schema;

pub use codec::{DecodeError, Encoding};

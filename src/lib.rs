//! Invigil, a real-time exam engine. The map of the house, in reading order.

pub mod cluster;
pub mod config;
pub mod domain;
pub mod engine;
pub mod evidence;
pub mod management;
pub mod media;
pub mod secrets;
pub mod store;
pub mod telemetry;
pub mod web;

//! Invigil, a real-time exam engine: the map of its modules.

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

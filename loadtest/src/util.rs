//! Helpers shared by the scenarios.

pub(crate) mod latency;
pub(crate) mod metrics;
pub(crate) mod output;
pub(crate) mod pace;
pub(crate) mod process;

//! What the scenarios share.

pub(crate) mod latency;
pub(crate) mod metrics;
pub(crate) mod output;
pub(crate) mod pace;
pub(crate) mod process;

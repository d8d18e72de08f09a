//! The periodic jobs. Each returns its report, a sentence for people.

pub(super) mod media;
pub(super) mod partitions;
pub(super) mod regrading;
pub(super) mod seals;
pub(super) mod security;
pub(super) mod sessions;
pub(super) mod statistics;

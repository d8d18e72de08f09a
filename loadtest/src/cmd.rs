//! The scenarios, one a file.

pub(crate) mod chaos;
pub(crate) mod echo;
pub(crate) mod echo_load;
pub(crate) mod nodes;
pub(crate) mod roster;
pub(crate) mod steady;

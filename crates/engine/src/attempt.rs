//! One live attempt: its actor, the mailbox and the registry that finds it, and the sweeper
//! that loads overdue attempts.

pub(crate) mod actor;
pub(crate) mod load;
pub(super) mod mailbox;
pub(crate) mod registry;
pub(crate) mod sweeper;

#[cfg(test)]
mod tests;

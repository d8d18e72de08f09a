//! One live attempt: its actor with the components around the attempt, the mailbox and the
//! registry that finds it, and the sweeper that loads overdue attempts.

pub(crate) mod actor;
mod cells;
mod connection;
mod entry;
#[cfg(test)]
pub(crate) mod fixture;
mod handover;
mod journal;
pub(crate) mod load;
pub(super) mod mailbox;
mod monitor;
pub(crate) mod registry;
pub(crate) mod sweeper;

#[cfg(test)]
mod tests;

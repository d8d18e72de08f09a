//! The other nodes: messages, owners of attempts, routing and reconciliation.

pub(crate) mod messages;
pub(crate) mod reconcile;
pub(crate) mod routing;

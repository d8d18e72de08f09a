//! The other nodes: the messages between them, the owners of attempts that they report, the
//! service that answers them, the routing of work to an owner, and checks of ownership.

pub(crate) mod messages;
pub(crate) mod owners;
pub(crate) mod reconcile;
pub(crate) mod routing;
pub(crate) mod service;

//! Messages between nodes.
//!
//! A [`Bus`] carries bytes between nodes, at most once each: [`redis`] between machines,
//! [`local`] within a process. A [`PeerLink`] on top of it knows which nodes are alive,
//! and sends them requests and events. The content of the messages is the engine's.
//!
//! No message may be relied on: it can be lost, come late, or come to a node that has
//! stood still for a minute. PostgreSQL decides; the bus is only quick.

pub mod local;
mod peer_link;
pub mod redis;

use async_trait::async_trait;
use bytes::Bytes;

pub use crate::peer_link::{
    LinkProtocol, PeerChange, PeerError, PeerHandler, PeerLink, PeerTimeouts,
};
use invigil_domain::id::NodeId;

/// The recipient of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusRecipient {
    /// Every node, the sender too.
    All,
    /// A single node.
    Node(NodeId),
}

/// An event on a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusEvent {
    /// A message.
    Message(Bytes),
    /// Messages may have been missed.
    Gap,
}

/// A carrier of messages between nodes.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Sends a message, without waiting. It may get lost.
    fn send(&self, to: BusRecipient, message: Bytes);

    /// Returns the next event, to the only task that listens.
    ///
    /// # Cancel safety
    /// An event that is not returned is there for the next call.
    async fn next_event(&self) -> BusEvent;
}

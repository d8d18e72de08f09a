//! What nodes say to each other.
//!
//! A [`Bus`] carries bytes between nodes, at most once each: [`redis`] between
//! machines, [`local`] within a process. A [`Link`] on top of it knows which nodes
//! live, and asks them things. What is said is the engine's matter.
//!
//! Nothing here may be relied on: every message can be lost, come late, or come to
//! a node that has stood still for a minute. PostgreSQL decides; this is only quick.

mod link;
pub mod local;
pub mod redis;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::link::{Change, Language, Link, Patience, Service, Unanswered};
use crate::domain::id::NodeId;

/// Whom a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Every node, the sender too.
    All,
    /// One node.
    Node(NodeId),
}

/// What comes from a bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message.
    Message(Bytes),
    /// Messages may have been missed.
    Gap,
}

/// Carries messages between nodes.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Puts a message on its way, without waiting. It may get lost.
    fn send(&self, to: To, message: Bytes);

    /// The next thing that comes in, for the one task that listens.
    ///
    /// # Cancel safety
    /// What is not given back is there for the next call.
    async fn hear(&self) -> Heard;
}

//! A bus within one process: the embedded store has one node, tests have several.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Mutex as Turn, mpsc};

use crate::{Bus, BusEvent, BusRecipient};
use invigil_domain::id::NodeId;

/// Messages that may wait for a node.
const WAITING_MAX: usize = 4_096;

/// The connection between the nodes of a process.
#[derive(Debug, Default)]
pub struct LocalHub {
    nodes: Mutex<Vec<Arc<NodeInbox>>>,
}

/// The end of one node.
#[derive(Debug)]
pub struct LocalBus {
    hub: Arc<LocalHub>,
    inbox: Arc<NodeInbox>,
    incoming: Turn<mpsc::Receiver<Bytes>>,
}

#[derive(Debug)]
struct NodeInbox {
    node: NodeId,
    sender: mpsc::Sender<Bytes>,
    missed: AtomicBool,
}

impl LocalBus {
    /// Returns the bus of a node that has no others.
    pub fn single_node(node: NodeId) -> Arc<Self> {
        Arc::new(LocalHub::default()).connect_node(node)
    }
}

impl LocalHub {
    /// Connects a node.
    pub fn connect_node(self: &Arc<Self>, node: NodeId) -> Arc<LocalBus> {
        let (sender, coming) = mpsc::channel(WAITING_MAX);
        let inbox = Arc::new(NodeInbox {
            node,
            sender,
            missed: AtomicBool::new(false),
        });
        // No holder of this lock can panic half-way through a change.
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.push(Arc::clone(&inbox));
        drop(nodes);
        Arc::new(LocalBus {
            hub: Arc::clone(self),
            inbox,
            incoming: Turn::new(coming),
        })
    }
}

impl NodeInbox {
    fn try_deliver(&self, message: Bytes) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.sender.try_send(message) {
            self.missed.store(true, Ordering::Release);
        }
    }
}

#[async_trait]
impl Bus for LocalBus {
    fn send(&self, to: BusRecipient, message: Bytes) {
        let nodes = self.hub.nodes.lock();
        let nodes = nodes.unwrap_or_else(PoisonError::into_inner);
        for inbox in nodes.iter() {
            let wanted = match &to {
                BusRecipient::All => true,
                BusRecipient::Node(node) => inbox.node == *node,
            };
            if wanted {
                inbox.try_deliver(message.clone());
            }
        }
    }

    async fn next_event(&self) -> BusEvent {
        if self.inbox.missed.swap(false, Ordering::AcqRel) {
            return BusEvent::Gap;
        }
        let mut coming = self.incoming.lock().await;
        match coming.recv().await {
            Some(message) => BusEvent::Message(message),
            // Not reached: this bus holds a sender of the channel itself.
            None => std::future::pending().await,
        }
    }
}

impl Drop for LocalBus {
    fn drop(&mut self) {
        let nodes = self.hub.nodes.lock();
        let mut nodes = nodes.unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|inbox| !Arc::ptr_eq(inbox, &self.inbox));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_is_for_one_or_for_all_and_a_flood_is_told() {
        let hub = Arc::new(LocalHub::default());
        let (one, two) = (
            hub.connect_node("one".into()),
            hub.connect_node("two".into()),
        );
        let said = Bytes::from_static(b"said");
        one.send(BusRecipient::Node("two".into()), said.clone());
        one.send(BusRecipient::All, said.clone());
        assert_eq!(two.next_event().await, BusEvent::Message(said.clone()));
        assert_eq!(two.next_event().await, BusEvent::Message(said.clone()));
        assert_eq!(one.next_event().await, BusEvent::Message(said.clone()));
        drop(one);
        for _ in 0..=WAITING_MAX {
            two.send(BusRecipient::All, said.clone());
        }
        assert_eq!(two.next_event().await, BusEvent::Gap);
        assert_eq!(two.next_event().await, BusEvent::Message(said));
    }
}

//! Nodes within one process: the embedded store has one, tests have several.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Mutex as Turn, mpsc};

use super::{Bus, Heard, To};
use crate::domain::id::NodeId;

/// Messages that may wait for a node.
const WAITING_MAX: usize = 4_096;

/// What nodes of a process are connected by.
#[derive(Debug, Default)]
pub struct Hub {
    nodes: Mutex<Vec<Arc<Inbox>>>,
}

/// One node's end.
#[derive(Debug)]
pub struct Local {
    hub: Arc<Hub>,
    inbox: Arc<Inbox>,
    coming: Turn<mpsc::Receiver<Bytes>>,
}

#[derive(Debug)]
struct Inbox {
    node: NodeId,
    sender: mpsc::Sender<Bytes>,
    missed: AtomicBool,
}

impl Local {
    /// The bus of a node that has no others.
    pub fn alone(node: NodeId) -> Arc<Self> {
        Arc::new(Hub::default()).connect(node)
    }
}

impl Hub {
    /// Connects a node.
    pub fn connect(self: &Arc<Self>, node: NodeId) -> Arc<Local> {
        let (sender, coming) = mpsc::channel(WAITING_MAX);
        let inbox = Arc::new(Inbox {
            node,
            sender,
            missed: AtomicBool::new(false),
        });
        // No holder of this lock can panic half-way through a change.
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.push(Arc::clone(&inbox));
        drop(nodes);
        Arc::new(Local {
            hub: Arc::clone(self),
            inbox,
            coming: Turn::new(coming),
        })
    }
}

impl Inbox {
    fn put(&self, message: Bytes) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.sender.try_send(message) {
            self.missed.store(true, Ordering::Release);
        }
    }
}

#[async_trait]
impl Bus for Local {
    fn send(&self, to: To, message: Bytes) {
        let nodes = self.hub.nodes.lock();
        let nodes = nodes.unwrap_or_else(PoisonError::into_inner);
        for inbox in nodes.iter() {
            let wanted = match &to {
                To::All => true,
                To::Node(node) => inbox.node == *node,
            };
            if wanted {
                inbox.put(message.clone());
            }
        }
    }

    async fn hear(&self) -> Heard {
        if self.inbox.missed.swap(false, Ordering::AcqRel) {
            return Heard::Gap;
        }
        let mut coming = self.coming.lock().await;
        match coming.recv().await {
            Some(message) => Heard::Message(message),
            // The sending end is this bus's own.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Local {
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
        let hub = Arc::new(Hub::default());
        let (one, two) = (hub.connect("one".into()), hub.connect("two".into()));
        let said = Bytes::from_static(b"said");
        one.send(To::Node("two".into()), said.clone());
        one.send(To::All, said.clone());
        assert_eq!(two.hear().await, Heard::Message(said.clone()));
        assert_eq!(two.hear().await, Heard::Message(said.clone()));
        assert_eq!(one.hear().await, Heard::Message(said.clone()));
        drop(one);
        for _ in 0..=WAITING_MAX {
            two.send(To::All, said.clone());
        }
        assert_eq!(two.hear().await, Heard::Gap);
        assert_eq!(two.hear().await, Heard::Message(said));
    }
}

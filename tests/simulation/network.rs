//! The network between nodes, their store and their clients: its delays and faults, and a
//! bus that loses, repeats, delays and reorders.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use invigil_cluster::{self, BusEvent, BusRecipient};
use invigil_domain::id::{AttemptId, NodeId};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Mutex as Turn, Notify, mpsc};

use crate::{dice::Dice, node::Switch, shared::lock, world::World};

const WAITING_MAX: usize = 4_096;

/// The state of all connections.
pub(crate) struct Network {
    /// The store does not respond.
    store_away: AtomicBool,
    /// Number of the store's crashes: the outcome of calls under way then is unknown.
    store_crashes: AtomicU64,
    /// The longest time of a call of the store, ms.
    store_slow_ms: AtomicU64,
    /// The bus carries nothing.
    bus_away: AtomicBool,
    /// Of a hundred messages of the bus so many are lost, unnoticed.
    bus_loss: AtomicU64,
    /// No fault is left.
    calm: AtomicBool,
    nodes: Mutex<Vec<Arc<Inbox>>>,
    dice: Mutex<Dice>,
}

/// A node's end of the bus.
pub(crate) struct Bus {
    world: Arc<World>,
    network: Arc<Network>,
    inbox: Arc<Inbox>,
    coming: Turn<mpsc::Receiver<Bytes>>,
}

struct Inbox {
    node: NodeId,
    switch: Switch,
    sender: mpsc::Sender<Bytes>,
    missed: AtomicBool,
    told: Notify,
}

impl Network {
    pub(crate) fn new(dice: Dice) -> Arc<Self> {
        Arc::new(Self {
            store_away: AtomicBool::new(false),
            store_crashes: AtomicU64::new(0),
            store_slow_ms: AtomicU64::new(5),
            bus_away: AtomicBool::new(false),
            bus_loss: AtomicU64::new(0),
            calm: AtomicBool::new(false),
            nodes: Mutex::default(),
            dice: Mutex::new(dice),
        })
    }

    pub(crate) fn set_store(&self, away: bool) {
        self.store_away.store(away, Ordering::Relaxed);
    }

    pub(crate) fn is_store_away(&self) -> bool {
        self.store_away.load(Ordering::Relaxed)
    }

    pub(crate) fn crash_store(&self) {
        self.store_crashes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn store_crashes(&self) -> u64 {
        self.store_crashes.load(Ordering::Relaxed)
    }

    pub(crate) fn set_store_slow(&self, most_ms: u64) {
        self.store_slow_ms.store(most_ms, Ordering::Relaxed);
    }

    pub(crate) fn store_slow_ms(&self) -> u64 {
        self.store_slow_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn set_bus_loss(&self, percent: u64) {
        self.bus_loss.store(percent, Ordering::Relaxed);
    }

    /// The bus goes away, or comes back: either way nodes notice that they miss messages.
    pub(crate) fn set_bus(&self, away: bool) {
        self.bus_away.store(away, Ordering::Relaxed);
        for inbox in &*lock(&self.nodes) {
            inbox.miss();
        }
    }

    /// From now on everything works.
    pub(crate) fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
        self.set_store(false);
        self.set_store_slow(5);
        self.set_bus_loss(0);
        self.set_bus(false);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// Returns the time of a message on its way.
    pub(crate) fn latency(&self) -> Duration {
        let mut dice = lock(&self.dice);
        let most_ms = if dice.below(20) == 0 { 300 } else { 6 };
        Duration::from_millis(dice.next() % most_ms)
    }

    fn carry(&self, inbox: &Arc<Inbox>, message: &Bytes) {
        let copies = {
            let mut dice = lock(&self.dice);
            let lost = dice.next() % 100 < self.bus_loss.load(Ordering::Relaxed);
            let repeated = !self.is_calm() && dice.below(50) == 0;
            usize::from(!lost) + usize::from(repeated)
        };
        for _ in 0..copies {
            let (inbox, message, late) = (Arc::clone(inbox), message.clone(), self.latency());
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                if inbox.sender.try_send(message).is_err() {
                    inbox.miss();
                }
            });
        }
    }
}

impl Inbox {
    fn miss(&self) {
        self.missed.store(true, Ordering::Relaxed);
        self.told.notify_one();
    }
}

impl Bus {
    pub(crate) fn connect(
        world: &Arc<World>,
        network: &Arc<Network>,
        node: NodeId,
        switch: Switch,
    ) -> Arc<Self> {
        let (sender, coming) = mpsc::channel(WAITING_MAX);
        let inbox = Arc::new(Inbox {
            node,
            switch,
            sender,
            missed: AtomicBool::new(false),
            told: Notify::new(),
        });
        let mut nodes = lock(&network.nodes);
        nodes.retain(|known| known.node != inbox.node && known.switch.lives());
        nodes.push(Arc::clone(&inbox));
        drop(nodes);
        Arc::new(Self {
            world: Arc::clone(world),
            network: Arc::clone(network),
            inbox,
            coming: Turn::new(coming),
        })
    }

    /// Tells the oracle the release requests between nodes, and the releases that nodes
    /// report.
    fn overhear(&self, to: &BusRecipient, message: &[u8]) {
        let BusRecipient::Node(to) = to else {
            return;
        };
        let body = rmp_serde::from_slice::<Said>(message).map(|said| said.body);
        let Ok(body) = body else {
            return;
        };
        let from = &self.inbox.node;
        let (asks, says) = (&body["question"], &body["answer"]);
        let attempt = asks["question"]["release"]["attempt"].as_i64();
        if let (Some(id), Some(attempt)) = (asks["id"].as_u64(), attempt) {
            let way = (from.clone(), to.clone(), id);
            self.world
                .oracle(|oracle, _| oracle.asked_to_let_go(way, AttemptId(attempt)));
        }
        if let (Some(id), Some("released")) = (says["id"].as_u64(), says["answer"].as_str()) {
            let way = (to.clone(), from.clone(), id);
            self.world
                .oracle(|oracle, tables| oracle.let_go(&way, tables));
        }
    }
}

/// A message between nodes, as far as it matters here.
#[derive(Deserialize)]
struct Said {
    body: Value,
}

#[async_trait]
impl invigil_cluster::Bus for Bus {
    fn send(&self, to: BusRecipient, message: Bytes) {
        self.overhear(&to, &message);
        let (network, switch) = (Arc::clone(&self.network), self.inbox.switch.clone());
        let nodes: Vec<Arc<Inbox>> = lock(&network.nodes).iter().map(Arc::clone).collect();
        tokio::spawn(async move {
            switch.is_on().await;
            if network.bus_away.load(Ordering::Relaxed) {
                return;
            }
            for inbox in &nodes {
                let wanted = match &to {
                    BusRecipient::All => true,
                    BusRecipient::Node(node) => inbox.node == *node,
                };
                if wanted {
                    network.carry(inbox, &message);
                }
            }
        });
    }

    async fn next_event(&self) -> BusEvent {
        self.inbox.switch.is_on().await;
        let mut coming = self.coming.lock().await;
        loop {
            if self.inbox.missed.swap(false, Ordering::Relaxed) {
                return BusEvent::Gap;
            }
            tokio::select! {
                biased;
                () = self.inbox.told.notified() => {}
                message = coming.recv() => if let Some(message) = message {
                    return BusEvent::Message(message);
                },
            }
        }
    }
}

//! A node: the engine itself, on the model's store and bus, with a switch for its power.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use invigil_domain::id::NodeId;
use invigil_engine::{
    ConnectionLimits, Engine, EngineClock, EngineSettings, EntropySource, WriterSettings,
};
use invigil_telemetry::metrics::Metrics;
use tokio::sync::Notify;

use crate::{
    dice::Dice,
    mutation::Mutation,
    network::{Bus, Network},
    shared::lock,
    store::Store,
    world::World,
};

/// Time that an attempt without a connection stays in memory: short, so that the race
/// between a visitor and an idle stop happens.
const IDLE_STOP: Duration = Duration::from_secs(3);

/// State of a node's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    /// The node is frozen: nothing goes in or out, and it does not know.
    Frozen,
    /// The node is dead: no pending step of it ever happens.
    Dead,
}

/// A node's power, which all that goes in and out asks for.
///
/// Not a `watch` channel: that one wakes those who wait for it in a random order.
#[derive(Debug, Clone)]
pub(crate) struct Switch(Arc<(Mutex<Power>, Notify)>);

impl Switch {
    fn on() -> Self {
        Self(Arc::new((Mutex::new(Power::On), Notify::new())))
    }

    /// Waits until the node runs; for ever, where it is dead.
    pub(crate) async fn is_on(&self) {
        self.is(Power::On).await;
    }

    /// Waits until the node is dead.
    pub(crate) async fn is_dead(&self) {
        self.is(Power::Dead).await;
    }

    pub(crate) fn freeze(&self) {
        self.turn(Power::Frozen);
    }

    pub(crate) fn thaw(&self) {
        self.turn(Power::On);
    }

    pub(crate) fn kill(&self) {
        self.turn(Power::Dead);
    }

    pub(crate) fn lives(&self) -> bool {
        *lock(&self.0.0) != Power::Dead
    }

    async fn is(&self, wanted: Power) {
        let (power, turned) = &*self.0;
        loop {
            let mut turned = std::pin::pin!(turned.notified());
            turned.as_mut().enable();
            if *lock(power) == wanted {
                return;
            }
            turned.await;
        }
    }

    fn turn(&self, wanted: Power) {
        let (power, turned) = &*self.0;
        let mut power = lock(power);
        if *power != Power::Dead {
            *power = wanted;
        }
        drop(power);
        turned.notify_waiters();
    }
}

/// A single start of a node.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) switch: Switch,
    pub(crate) metrics: Arc<Metrics>,
}

/// Reproducible random numbers.
struct Seeded(Mutex<Dice>);

impl EntropySource for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        let mut dice = lock(&self.0);
        for chunk in bytes.chunks_mut(8) {
            let number = dice.next().to_le_bytes();
            chunk.copy_from_slice(&number[..chunk.len()]);
        }
        Ok(())
    }
}

impl Node {
    /// Starts a node, with repeated calls of the store where they fail.
    pub(crate) async fn start(
        name: &str,
        world: &Arc<World>,
        network: &Arc<Network>,
        mut dice: Dice,
    ) -> Self {
        let node: NodeId = name.into();
        let switch = Switch::on();
        let store = Arc::new(Store::new(
            Arc::clone(world),
            Arc::clone(network),
            switch.clone(),
            dice.fork(),
        ));
        // Clocks differ, within what a time service leaves.
        let skew = Duration::from_millis(dice.next() % 400);
        let ahead = if world.is(Mutation::ClockAhead) {
            Duration::from_mins(1)
        } else {
            Duration::ZERO
        };
        let anchor = world.now() + skew + ahead - Duration::from_millis(200);
        let entropy = Arc::new(Seeded(Mutex::new(dice.fork())));
        loop {
            let settings = EngineSettings {
                node: node.clone(),
                bus: Bus::connect(world, network, node.clone(), switch.clone()),
                clock: EngineClock::starting_at(anchor),
                entropy: Arc::clone(&entropy) as Arc<dyn EntropySource>,
                limits: ConnectionLimits {
                    frame_bytes: 16_384,
                    answer_bytes: 1_048_576,
                    commands_per_second: 20,
                    burst: 40,
                    unsaved: 256,
                },
                flush: WriterSettings {
                    max_delay: Duration::from_millis(5),
                    attempts_max: 1 + dice.below(8),
                },
                outage_min: Duration::from_secs(2),
                idle_stop: IDLE_STOP,
                records: None,
            };
            let metrics = Arc::new(Metrics::default());
            let started = Engine::start_up(
                Arc::clone(&store) as Arc<_>,
                Arc::clone(&store) as Arc<_>,
                settings,
                Arc::clone(&metrics),
            );
            match started.await {
                Ok(engine) => {
                    return Self {
                        engine,
                        switch,
                        metrics,
                    };
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
            }
        }
    }
}

//! State that all parts of a simulation share, and the schedule of faults.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex},
    time::Duration,
};

use invigil_domain::id::AttemptId;
use invigil_telemetry::metrics::Metrics;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    candidate, dice::Dice, mutation::Mutation, network::Network, node::Node, oracle::Count,
    shared::lock, staff, variant::Variant, world::World,
};

pub(crate) const EXAM: &str = "SIMULATED";

const NODES: usize = 3;
const CANDIDATES: usize = 5;

/// Time after the last fault within which everything is saved and every client knows it.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

/// Time after that within which everything is handed in: the exam takes a minute, and staff
/// give some more.
const OVER_WITHIN: Duration = Duration::from_mins(5);

/// State that all parts share.
pub(crate) struct Stage {
    pub(crate) world: Arc<World>,
    pub(crate) network: Arc<Network>,
    nodes: Mutex<Vec<Option<Node>>>,
    /// Metrics of all nodes, dead ones included.
    metrics: Mutex<Vec<Arc<Metrics>>>,
    cuts: Vec<watch::Sender<()>>,
    /// True if candidates go on without a connection.
    pub(crate) goes_on_offline: bool,
    settled: Mutex<BTreeSet<usize>>,
    finished: Mutex<BTreeSet<usize>>,
    /// Attempts whose candidates ask staff to let their device in.
    locked_out: Mutex<BTreeSet<AttemptId>>,
}

/// The result of a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// Broken promises, in the order of their discovery.
    pub(crate) violations: Vec<String>,
    /// Number of each kind of event.
    pub(crate) counts: Vec<(&'static str, Count)>,
    /// Hash of all stored rows at the end: the same seed gives the same hash.
    pub(crate) digest: u64,
}

/// Runs one seed from the beginning to the end.
pub(crate) fn run(seed: u64, mutation: Option<Mutation>) -> Report {
    run_paused(play(seed, mutation))
}

/// Runs a future on a clock that goes on only while nothing else does.
pub(crate) fn run_paused<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(what)
}

async fn play(seed: u64, mutation: Option<Mutation>) -> Report {
    let mut dice = Dice::new(seed);
    let variant = Variant::of(&mut dice);
    let stage = Arc::new(Stage {
        world: Arc::new(World::new(variant, mutation)),
        network: Network::new(dice.fork()),
        nodes: Mutex::new(vec![None; NODES]),
        metrics: Mutex::default(),
        cuts: (0..CANDIDATES).map(|_| watch::Sender::new(())).collect(),
        // The choice is not by the dice: the other seeds keep the findings that they once
        // had.
        goes_on_offline: seed.is_multiple_of(2),
        settled: Mutex::default(),
        finished: Mutex::default(),
        locked_out: Mutex::default(),
    });
    stage.count(variant.name());
    for slot in 0..NODES {
        stage.start_node(slot, 0, dice.fork()).await;
    }
    for number in 0..CANDIDATES {
        tokio::spawn(candidate::take(Arc::clone(&stage), number, dice.fork()));
    }
    tokio::spawn(staff::act(Arc::clone(&stage), dice.fork()));
    let faults = Duration::from_secs(*dice.pick(&[40, 110]));
    stage.trouble(faults, &mut dice).await;
    stage.come_to_rest(&mut dice).await;
    stage.report()
}

impl Stage {
    pub(crate) fn count(&self, what: &'static str) {
        self.world.oracle(|oracle, _| oracle.count(what));
    }

    /// Returns a living node, as a proxy would choose it.
    pub(crate) fn pick(&self, dice: &mut Dice) -> Option<Node> {
        let nodes = lock(&self.nodes);
        let living: Vec<&Node> = nodes.iter().flatten().collect();
        (!living.is_empty()).then(|| (*dice.pick(&living)).clone())
    }

    /// Resolves when a candidate's connection breaks.
    pub(crate) async fn cut(&self, candidate: usize) {
        self.cuts[candidate].subscribe().changed().await.unwrap();
    }

    /// Notes that everything a candidate did is saved, after the faults.
    pub(crate) fn settle(&self, candidate: usize) {
        lock(&self.settled).insert(candidate);
    }

    /// A candidate is through.
    pub(crate) fn finish(&self, candidate: usize) {
        lock(&self.finished).insert(candidate);
    }

    /// A candidate is refused for a second device, and calls for help.
    pub(crate) fn lock_out(&self, attempt: AttemptId) {
        self.count("candidates locked out");
        lock(&self.locked_out).insert(attempt);
    }

    /// Notes that a candidate needs no help, or no more.
    pub(crate) fn let_in(&self, attempt: AttemptId) {
        lock(&self.locked_out).remove(&attempt);
    }

    /// Returns the attempts whose candidates staff should let in.
    pub(crate) fn locked_out(&self) -> Vec<AttemptId> {
        lock(&self.locked_out).iter().copied().collect()
    }

    async fn start_node(&self, slot: usize, start: usize, dice: Dice) {
        let name = format!("n{slot}.{start}");
        let node = Node::start(&name, &self.world, &self.network, dice).await;
        lock(&self.metrics).push(Arc::clone(&node.metrics));
        lock(&self.nodes)[slot] = Some(node);
    }

    fn start_node_later(self: &Arc<Self>, slot: usize, after: Duration, mut dice: Dice) {
        let stage = Arc::clone(self);
        tokio::spawn(async move {
            sleep(after).await;
            // No name comes twice.
            let start = 1 + dice.below(1 << 30);
            stage.start_node(slot, start, dice).await;
        });
    }

    /// Faults, one after the other, each for a while.
    async fn trouble(self: &Arc<Self>, time: Duration, dice: &mut Dice) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            sleep(Duration::from_millis(300 + dice.next() % 5_000)).await;
            let slot = dice.below(NODES);
            let node = lock(&self.nodes)[slot].clone();
            let a_while = Duration::from_millis(500 + dice.next() % 8_000);
            match (dice.below(10), node) {
                (0, Some(node)) => {
                    self.count("nodes killed");
                    node.switch.kill();
                    self.replace(slot, a_while, dice);
                }
                (1 | 2, Some(node)) => {
                    self.count("nodes frozen");
                    node.switch.freeze();
                    let long = a_while + Duration::from_millis(dice.next() % 15_000);
                    tokio::spawn(async move {
                        sleep(long).await;
                        node.switch.thaw();
                    });
                }
                (3, Some(node)) => {
                    self.count("nodes drained");
                    self.replace(slot, a_while, dice);
                    tokio::spawn(async move {
                        node.engine.drain(Duration::from_secs(5)).await;
                        node.switch.kill();
                    });
                }
                (4, _) => {
                    self.count("store away");
                    self.network.set_store(true);
                    sleep(a_while).await;
                    self.network.set_store(false);
                }
                (5, _) => {
                    self.count("store crashed");
                    self.network.crash_store();
                    self.world.crash();
                    self.network.set_store(true);
                    sleep(Duration::from_millis(dice.next() % 2_000)).await;
                    self.network.set_store(false);
                }
                (6, _) => {
                    self.count("store slow");
                    self.network.set_store_slow(1_500);
                    sleep(a_while).await;
                    self.network.set_store_slow(5);
                }
                (7, _) => {
                    self.count("bus away");
                    self.network.set_bus(true);
                    sleep(a_while).await;
                    self.network.set_bus(false);
                }
                (8, _) => {
                    self.count("bus lossy");
                    self.network.set_bus_loss(40);
                    sleep(a_while).await;
                    self.network.set_bus_loss(0);
                }
                _ => {
                    self.count("connections cut");
                    self.cuts[dice.below(CANDIDATES)].send_replace(());
                }
            }
        }
    }

    /// Starts another node in a place.
    fn replace(self: &Arc<Self>, slot: usize, after: Duration, dice: &mut Dice) {
        lock(&self.nodes)[slot] = None;
        self.start_node_later(slot, after, dice.fork());
    }

    /// Ends the faults: everything is saved, then handed in.
    async fn come_to_rest(self: &Arc<Self>, dice: &mut Dice) {
        self.network.calm_down();
        for node in lock(&self.nodes).iter().flatten() {
            node.switch.thaw();
        }
        // Some clients come back; the others notice by themselves that their connection
        // hangs.
        for cut in &self.cuts {
            if dice.below(2) == 0 {
                cut.send_replace(());
            }
        }
        let all_settled = self.until(SETTLED_WITHIN, |stage| lock(&stage.settled).len());
        let settled = all_settled.await;
        let all_over = self.until(OVER_WITHIN, |stage| {
            let handed_in = stage
                .world
                .oracle(|_, tables| tables.attempts.values().filter(|row| row.is_over()).count());
            handed_in.min(lock(&stage.finished).len())
        });
        let over = all_over.await;
        sleep(Duration::from_secs(5 + dice.next() % 5)).await;
        let panics: u64 = lock(&self.metrics)
            .iter()
            .map(|metrics| metrics.actor_panics.get())
            .sum();
        self.world.oracle(|oracle, tables| {
            oracle.check(settled, || {
                "not everything was saved in time after the last fault".to_owned()
            });
            oracle.check(over, || "not everybody came to an end".to_owned());
            oracle.check(panics == 0, || format!("{panics} actors panicked"));
            oracle.at_the_end(tables);
        });
    }

    /// Waits until all candidates are so far. Returns false if they were not in time.
    async fn until(&self, time: Duration, how_many: impl Fn(&Self) -> usize) -> bool {
        let end = Instant::now() + time;
        while how_many(self) < CANDIDATES {
            if Instant::now() >= end {
                return false;
            }
            sleep(Duration::from_millis(100)).await;
        }
        true
    }

    fn report(&self) -> Report {
        self.world.oracle(|oracle, tables| {
            let mut hasher = DefaultHasher::new();
            format!("{:?}", tables.attempts).hash(&mut hasher);
            Report {
                violations: oracle.violations.clone(),
                counts: oracle
                    .counts
                    .iter()
                    .map(|(what, times)| (*what, *times))
                    .collect(),
                digest: hasher.finish(),
            }
        })
    }
}

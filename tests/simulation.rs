//! The engine itself, on several nodes in one process, with a seeded clock, network and
//! store, under every fault that can come between two steps.
//!
//! `SIM_SEEDS=5000 make simulate` runs any number of seeds, `SIM_SEED=17` repeats a single
//! seed and prints its steps.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "helpers of tests panic and say what they saw; tasks here end with their runtime"
)]

#[path = "simulation/candidate.rs"]
mod candidate;
#[path = "support/dice.rs"]
mod dice;
#[path = "simulation/mutation.rs"]
mod mutation;
#[path = "simulation/network.rs"]
mod network;
#[path = "simulation/node.rs"]
mod node;
#[path = "simulation/oracle.rs"]
mod oracle;
#[path = "simulation/shared.rs"]
mod shared;
#[path = "simulation/staff.rs"]
mod staff;
#[path = "simulation/stage.rs"]
mod stage;
#[path = "simulation/store.rs"]
mod store;
#[path = "simulation/variant.rs"]
mod variant;
#[path = "simulation/waiting.rs"]
mod waiting;
#[path = "simulation/world.rs"]
mod world;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use mutation::Mutation;
use shared::lock;
use stage::{Report, run, run_paused};

/// Seeds of a usual run.
const SEEDS: u64 = 150;

/// Number of seeds within which every mutation is found.
const SEEDS_FOR_A_MUTATION: u64 = 60;

/// Seeds that once found a fault.
const REGRESSIONS: [u64; 2] = [209, 801];

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn show(seed: u64, report: &Report) {
    println!("SIM_SEED={seed}: {:?}", report.counts);
    for violation in &report.violations {
        println!("  {violation}");
    }
}

#[test]
fn no_promise_is_broken_whatever_happens() {
    if let Some(seed) = setting("SIM_SEED") {
        let report = run(seed, None);
        show(seed, &report);
        assert!(report.violations.is_empty());
        return;
    }
    let seeds: Vec<u64> = REGRESSIONS
        .into_iter()
        .chain(0..setting("SIM_SEEDS").unwrap_or(SEEDS))
        .collect();
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let sums = Mutex::new(BTreeMap::<&str, u64>::new());
    let work = || {
        while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed))
            && !failed.load(Ordering::Relaxed)
        {
            let report = run(seed, None);
            if !report.violations.is_empty() {
                failed.store(true, Ordering::Relaxed);
                show(seed, &report);
            }
            let mut sums = lock(&sums);
            for (what, times) in report.counts {
                *sums.entry(what).or_default() += times;
            }
        }
    };
    std::thread::scope(|scope| {
        let others = std::thread::available_parallelism().map_or(0, |cores| cores.get() - 1);
        for _ in 0..others {
            scope.spawn(work);
        }
        work();
    });
    assert!(!failed.into_inner(), "again with the SIM_SEED above");
    println!("{} seeds: {:#?}", seeds.len(), lock(&sums));
}

#[test]
fn a_seed_gives_the_same_every_time() {
    for seed in 0..3 {
        assert_eq!(run(seed, None), run(seed, None), "seed {seed}");
    }
}

#[test]
fn an_actor_that_waits_for_the_store_does_not_run_in_circles() {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let asked_again = (0..20).filter(|seed| run_paused(waiting::idle_and_asked_again(*seed)));
        sender.send(asked_again.count())
    });
    // The run takes seconds; an actor in a busy loop never ends.
    let asked_again = receiver.recv_timeout(Duration::from_secs(100));
    assert!(asked_again.unwrap() > 2);
}

#[test]
fn every_mutation_is_found() {
    let found = |mutation| {
        (0..SEEDS_FOR_A_MUTATION).find_map(|seed| {
            let violations = run(seed, Some(mutation)).violations;
            Some((seed, violations.into_iter().next()?))
        })
    };
    let mut missed = Vec::new();
    for mutation in Mutation::ALL {
        match found(mutation) {
            Some((seed, violation)) => println!("{mutation:?}: seed {seed}: {violation}"),
            None => missed.push(mutation),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

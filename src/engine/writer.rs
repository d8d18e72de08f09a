//! The group commit: the one task that writes attempts.
//!
//! While one batch is being committed the next one fills. When load is low a
//! change is written at once; when it is high the writer waits a moment
//! (`flush.max_delay_ms`) for a fuller batch, because a commit costs the same
//! for one row as for twenty. Nothing waits behind a poisoned change: a batch
//! that the store refuses is split until the culprit stands alone, and only
//! that attempt is given up. While the store is away the batch is tried again
//! and again; the sequence guard of the store makes a blind repeat safe.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::slot::{Fate, Settlement, Slot};
use crate::{
    store::{self, AttemptStore, AttemptWrite, Written},
    telemetry::{chain, metrics::Metrics},
};

/// First pause after the store was not available; doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(50);

/// Last pause: how late, at most, the engine notices that the store is back.
const RETRY_LAST: Duration = Duration::from_secs(1);

/// Waiting for a fuller batch pays from about this many more attempts on.
const LINGER_GAIN_MIN: f64 = 8.0;

/// How fast the estimate of the arrival rate follows: a new batch counts a fifth.
const RATE_WEIGHT: f64 = 0.2;

/// Settings of the writer.
#[derive(Debug, Clone, Copy)]
pub struct Flush {
    /// The most that a busy writer waits for a fuller batch.
    pub max_delay: Duration,
    /// The most attempts in one batch; bounds the length of a transaction.
    pub attempts_max: usize,
}

/// The writer's end for actors.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Mutex<VecDeque<Arc<Slot>>>,
    filled: Notify,
    stopping: AtomicBool,
    available: watch::Sender<bool>,
}

impl Writer {
    /// A writer whose task is [`Writer::run`].
    pub(super) fn new() -> Self {
        Self {
            queue: Mutex::default(),
            filled: Notify::new(),
            stopping: AtomicBool::new(false),
            available: watch::Sender::new(true),
        }
    }

    /// Queues a slot. [`Slot::put`] says when; so a slot is in the queue at most
    /// once, and the queue is bounded by the number of live attempts.
    pub(super) fn enqueue(&self, slot: Arc<Slot>) {
        self.lock().push_back(slot);
        self.filled.notify_one();
    }

    /// Whether the store took the last batch.
    pub(super) fn available(&self) -> watch::Receiver<bool> {
        self.available.subscribe()
    }

    /// Attempts that wait.
    pub(super) fn depth(&self) -> usize {
        self.lock().len()
    }

    /// Lets the task end once the queue is empty.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.filled.notify_one();
    }

    /// Writes until [`Writer::stop`] and an empty queue.
    pub(super) async fn run(
        &self,
        store: Arc<dyn AttemptStore>,
        flush: Flush,
        metrics: Arc<Metrics>,
    ) {
        let mut pace = Pace::new();
        loop {
            let filled = self.filled.notified();
            if self.lock().is_empty() {
                if self.stopping.load(Ordering::Acquire) {
                    return;
                }
                filled.await;
                continue;
            }
            if pace.waiting_pays(flush.max_delay) && !self.stopping.load(Ordering::Acquire) {
                tokio::time::sleep(flush.max_delay).await;
            }
            let (batch, left) = self.collect(flush.attempts_max);
            metrics
                .writer_queue_depth
                .set(i64::try_from(left).unwrap_or(i64::MAX));
            pace.observe(batch.writes.len());
            self.commit(batch, &*store, &metrics).await;
        }
    }

    fn collect(&self, attempts_max: usize) -> (Batch, usize) {
        let mut queue = self.lock();
        let count = queue.len().min(attempts_max);
        let slots: Vec<Arc<Slot>> = queue.drain(..count).collect();
        let left = queue.len();
        drop(queue);
        (slots.iter().filter_map(Slot::take).collect(), left)
    }

    /// Commits a batch, or parts of it, whatever it takes.
    async fn commit(&self, batch: Batch, store: &dyn AttemptStore, metrics: &Metrics) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            if part.writes.is_empty() {
                continue;
            }
            match self.save(&part.writes, store, metrics).await {
                Ok(written) => part.settle(&written, metrics),
                Err(error) if part.writes.len() == 1 => part.give_up(&error),
                Err(_) => {
                    let rest = part.split_off(part.writes.len() / 2);
                    parts.push(rest);
                    parts.push(part);
                }
            }
        }
    }

    /// Saves, waiting for the store where it is away. An error is for good.
    async fn save(
        &self,
        writes: &[AttemptWrite],
        store: &dyn AttemptStore,
        metrics: &Metrics,
    ) -> Result<Vec<Written>, store::Error> {
        let mut pause = RETRY_FIRST;
        loop {
            let begun = Instant::now();
            match store.save(writes).await {
                Ok(written) => {
                    metrics.writer_batch_rows.observe(row_count(writes));
                    metrics
                        .writer_batch_seconds
                        .observe(begun.elapsed().as_secs_f64());
                    if self.set_available(true) {
                        tracing::info!("the store is back");
                    }
                    return Ok(written);
                }
                Err(error @ store::Error::Unavailable { .. }) => {
                    metrics.store_failed("save batch");
                    if self.set_available(false) {
                        tracing::error!(
                            error = chain(&error),
                            "the store is not available, answers wait in memory"
                        );
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_LAST);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells actors whether the store takes batches. True: that changed.
    fn set_available(&self, available: bool) -> bool {
        self.available
            .send_if_modified(|known| std::mem::replace(known, available) != available)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Slot>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is written together, and what follows for each.
#[derive(Debug, Default)]
struct Batch {
    writes: Vec<AttemptWrite>,
    settlements: Vec<Settlement>,
}

impl FromIterator<(AttemptWrite, Settlement)> for Batch {
    fn from_iter<I: IntoIterator<Item = (AttemptWrite, Settlement)>>(entries: I) -> Self {
        let (writes, settlements) = entries.into_iter().unzip();
        Self {
            writes,
            settlements,
        }
    }
}

impl Batch {
    fn settle(self, written: &[Written], metrics: &Metrics) {
        let parts = self.settlements.into_iter().zip(self.writes);
        for ((settlement, write), written) in parts.zip(written) {
            match written {
                Written::Saved => {
                    metrics
                        .save_seconds
                        .observe(settlement.since().elapsed().as_secs_f64());
                    settlement.settle(write.timeline);
                }
                Written::Fenced => settlement.slot().seal(Fate::Fenced),
            }
        }
    }

    fn give_up(self, error: &store::Error) {
        for settlement in self.settlements {
            let attempt = settlement.slot().attempt();
            tracing::error!(attempt.id = %attempt, error = chain(error),
                "the store refuses this attempt's changes, they are given up");
            settlement.slot().seal(Fate::Rejected);
        }
    }

    fn split_off(&mut self, at: usize) -> Self {
        Self {
            writes: self.writes.split_off(at),
            settlements: self.settlements.split_off(at),
        }
    }
}

/// Rows of a batch; an attempt's progress is one where no answer changed.
fn row_count(writes: &[AttemptWrite]) -> f64 {
    let rows: usize = writes.iter().map(|write| write.answers.len().max(1)).sum();
    f64::from(u32::try_from(rows).unwrap_or(u32::MAX))
}

/// How fast work arrives, to tell whether waiting makes a fuller batch.
#[derive(Debug)]
struct Pace {
    last: Instant,
    per_second: f64,
}

impl Pace {
    fn new() -> Self {
        Self {
            last: Instant::now(),
            per_second: 0.0,
        }
    }

    fn observe(&mut self, attempts: usize) {
        let now = Instant::now();
        let elapsed = now.duration_since(self.last).as_secs_f64().max(1e-4);
        self.last = now;
        let attempts = f64::from(u32::try_from(attempts).unwrap_or(u32::MAX));
        self.per_second += RATE_WEIGHT * (attempts / elapsed - self.per_second);
    }

    fn waiting_pays(&self, delay: Duration) -> bool {
        self.per_second * delay.as_secs_f64() >= LINGER_GAIN_MIN
    }
}

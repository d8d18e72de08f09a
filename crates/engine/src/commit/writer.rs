//! The group commit: the only task that writes attempts.
//!
//! While one batch is being committed the next one fills. Under low load a change is
//! written at once; under high load the writer waits a moment (`flush.max_delay_ms`) for
//! a fuller batch, because a commit costs the same for one row as for twenty. No change
//! waits behind a poisoned one: a batch that the store rejects is split until the culprit
//! is alone, and only that attempt is given up. While the store is away the batch is
//! retried; the store's sequence guard makes a blind repeat safe.
//!
//! # Bounds of a batch
//!
//! - [`WriterSettings::attempts_max`] attempts (`flush.max_attempts`); the rest is next.
//! - Of each attempt, everything that is pending in its [`WriteBuffer`]: at most one row a
//!   question, and timeline entries, those of events up to [`TIMELINE_PENDING_MAX`].
//! - [`WriterSettings::max_delay`] of waiting for more (`flush.max_delay_ms`), and only where
//!   changes come fast enough ([`ArrivalRate`]).

#[cfg(test)]
mod tests;

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

#[cfg(doc)]
use super::write_buffer::TIMELINE_PENDING_MAX;
use super::write_buffer::{BufferState, CommitAck, WriteBuffer};
use invigil_store::{self, AttemptStore, AttemptWrite, WriteOutcome};
use invigil_telemetry::{error_chain, metrics::Metrics};

/// First pause after the store was not available; doubles up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(50);

/// Longest pause: the engine notices at most this late that the store is back.
const RETRY_LAST: Duration = Duration::from_secs(1);

/// Further attempts from which on a fuller batch is worth the wait.
const LINGER_GAIN_MIN: f64 = 8.0;

/// Weight of a new batch in the estimated arrival rate.
const RATE_WEIGHT: f64 = 0.2;

/// Settings of the writer.
#[derive(Debug, Clone, Copy)]
pub struct WriterSettings {
    /// Longest wait of a busy writer for a fuller batch.
    pub max_delay: Duration,
    /// Most attempts in one batch; bounds the length of a transaction.
    pub attempts_max: usize,
}

/// Queue of the writer, shared with the actors.
#[derive(Debug)]
pub(crate) struct BatchWriter {
    queue: Mutex<VecDeque<Arc<WriteBuffer>>>,
    filled: Notify,
    stopping: AtomicBool,
    available: watch::Sender<bool>,
}

impl BatchWriter {
    /// A writer whose task is [`BatchWriter::run`].
    pub(crate) fn new() -> Self {
        Self {
            queue: Mutex::default(),
            filled: Notify::new(),
            stopping: AtomicBool::new(false),
            available: watch::Sender::new(true),
        }
    }

    /// Queues a buffer. [`WriteBuffer::add_changes`] says when; so a buffer is in the
    /// queue at most once, and the number of live attempts bounds the queue.
    pub(crate) fn enqueue(&self, buffer: Arc<WriteBuffer>) {
        self.lock().push_back(buffer);
        self.filled.notify_one();
    }

    /// Watches the store's availability: true if it took the last batch.
    pub(crate) fn subscribe_available(&self) -> watch::Receiver<bool> {
        self.available.subscribe()
    }

    /// Number of attempts that wait.
    pub(crate) fn queue_depth(&self) -> usize {
        self.lock().len()
    }

    /// Lets the task end once the queue is empty.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.filled.notify_one();
    }

    /// Writes until [`BatchWriter::stop`] and an empty queue.
    pub(crate) async fn run(
        &self,
        store: Arc<dyn AttemptStore>,
        flush: WriterSettings,
        metrics: Arc<Metrics>,
    ) {
        let mut pace = ArrivalRate::new();
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
            let (batch, left) = self.collect_batch(flush.attempts_max);
            metrics
                .writer_queue_depth
                .set(i64::try_from(left).unwrap_or(i64::MAX));
            pace.observe_batch(batch.writes.len());
            self.commit_batch(batch, &*store, &metrics).await;
        }
    }

    fn collect_batch(&self, attempts_max: usize) -> (WriteBatch, usize) {
        let mut queue = self.lock();
        let count = queue.len().min(attempts_max);
        let buffers: Vec<Arc<WriteBuffer>> = queue.drain(..count).collect();
        let left = queue.len();
        drop(queue);
        (
            buffers
                .iter()
                .filter_map(WriteBuffer::take_pending)
                .collect(),
            left,
        )
    }

    /// Commits a batch, split as often as the store rejects it.
    async fn commit_batch(&self, batch: WriteBatch, store: &dyn AttemptStore, metrics: &Metrics) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            if part.writes.is_empty() {
                continue;
            }
            match self.save_writes(&part.writes, store, metrics).await {
                Ok(written) => part.settle_written(&written, metrics),
                Err(error) if part.writes.len() == 1 => part.reject_all(&error),
                Err(_) => {
                    let rest = part.split_off(part.writes.len() / 2);
                    parts.push(rest);
                    parts.push(part);
                }
            }
        }
    }

    /// Saves writes, retrying while the store is away. An error is permanent.
    async fn save_writes(
        &self,
        writes: &[AttemptWrite],
        store: &dyn AttemptStore,
        metrics: &Metrics,
    ) -> Result<Vec<WriteOutcome>, invigil_store::Error> {
        let mut pause = RETRY_FIRST;
        loop {
            let begun = Instant::now();
            match store.save_batch(writes).await {
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
                Err(error @ invigil_store::Error::Unavailable { .. }) => {
                    metrics.count_store_failure("save batch");
                    if self.set_available(false) {
                        tracing::error!(
                            error = error_chain(&error),
                            "the store is not available; answers wait in memory"
                        );
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_LAST);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reports the store's availability to the actors. Returns true if it changed.
    fn set_available(&self, available: bool) -> bool {
        self.available
            .send_if_modified(|known| std::mem::replace(known, available) != available)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<WriteBuffer>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes of one transaction, and what follows for each.
#[derive(Debug, Default)]
struct WriteBatch {
    writes: Vec<AttemptWrite>,
    acks: Vec<CommitAck>,
}

impl FromIterator<(AttemptWrite, CommitAck)> for WriteBatch {
    fn from_iter<I: IntoIterator<Item = (AttemptWrite, CommitAck)>>(entries: I) -> Self {
        let (writes, acks) = entries.into_iter().unzip();
        Self { writes, acks }
    }
}

impl WriteBatch {
    fn settle_written(self, written: &[WriteOutcome], metrics: &Metrics) {
        let parts = self.acks.into_iter().zip(self.writes);
        for ((ack, write), written) in parts.zip(written) {
            match written {
                WriteOutcome::Saved => {
                    metrics
                        .save_seconds
                        .observe(ack.since().elapsed().as_secs_f64());
                    ack.settle(write.timeline);
                }
                WriteOutcome::Fenced => ack.buffer().seal(BufferState::Fenced),
            }
        }
    }

    fn reject_all(self, error: &invigil_store::Error) {
        for ack in self.acks {
            let attempt = ack.buffer().attempt();
            tracing::error!(attempt.id = %attempt, error = error_chain(error),
                "the store rejects this attempt's changes; they are dropped");
            ack.buffer().seal(BufferState::Rejected);
        }
    }

    fn split_off(&mut self, at: usize) -> Self {
        Self {
            writes: self.writes.split_off(at),
            acks: self.acks.split_off(at),
        }
    }
}

/// Rows of a batch; the progress of an attempt without a changed answer counts as one.
fn row_count(writes: &[AttemptWrite]) -> f64 {
    let rows: usize = writes.iter().map(|write| write.answers.len().max(1)).sum();
    f64::from(u32::try_from(rows).unwrap_or(u32::MAX))
}

/// Estimated arrival rate, to tell if waiting makes a fuller batch.
#[derive(Debug)]
struct ArrivalRate {
    last_batch_at: Instant,
    per_second: f64,
}

impl ArrivalRate {
    fn new() -> Self {
        Self {
            last_batch_at: Instant::now(),
            per_second: 0.0,
        }
    }

    fn observe_batch(&mut self, attempts: usize) {
        let now = Instant::now();
        let elapsed = now
            .duration_since(self.last_batch_at)
            .as_secs_f64()
            .max(1e-4);
        self.last_batch_at = now;
        let attempts = f64::from(u32::try_from(attempts).unwrap_or(u32::MAX));
        self.per_second += RATE_WEIGHT * (attempts / elapsed - self.per_second);
    }

    fn waiting_pays(&self, delay: Duration) -> bool {
        self.per_second * delay.as_secs_f64() >= LINGER_GAIN_MIN
    }
}

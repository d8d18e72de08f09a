//! The recorder, which moves records to their store.
//!
//! Actors submit records without ever waiting. One task writes them in batches, while
//! the next batch fills. When the store fails or is too slow, waiting records go to the
//! [`spool`] on local disk, and all later ones go behind them, which keeps their order;
//! once the store is back, the spool drains by itself. A record is in the *durable
//! path* once the store has acknowledged it or the disk has it: then, and not before, a
//! client gets `event_ack`.
//!
//! History, which the attempts' store keeps until it is recorded (see docs/decisions),
//! is not spooled: it is fetched from there once the store of records is back.
//!
//! [`bounds`] says what is bounded, in memory and on disk, what is dropped first, and what
//! passes the bounds by.

mod bounds;
mod frame;
mod queue;
mod relay;
mod spool;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    bounds::{INCIDENTS_WAITING_MAX, QueueRoom, WAITING_MAX},
    frame::RecorderEntry,
    queue::{QueueBatch, RecorderQueue},
    spool::Spool,
};
use crate::{commit::outbox::Outbox, node::overload::Overload};
use invigil_domain::id::AttemptId;
use invigil_store::{
    self, AttemptStore,
    records::{IncidentRow, RecordClass, RecordStore, TimelineRecord},
};
use invigil_telemetry::{
    error_chain,
    metrics::{ClassLabels, Metrics},
};

/// Records in one batch.
const BATCH_RECORDS: usize = 500;

/// Records in one write to local disk.
const SPOOL_BATCH: usize = 5_000;

/// Waiting records at which the store counts as too slow: they go to local disk, which
/// is quick, and from there to the store as fast as it takes them.
const BEHIND_RECORDS: usize = 2 * BATCH_RECORDS;

/// Bytes of frames that are read from the spool at once.
const DRAIN_BYTES: usize = 4 * 1024 * 1024;

/// Pause before a store that failed is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Limit for preparing the store: an index on a full collection takes minutes.
const PREPARE_TIMEOUT: Duration = Duration::from_mins(10);

/// Pause before preparing is tried again.
const PREPARE_RETRY: Duration = Duration::from_secs(5);

/// Limit for which the reply of an exchange waits for its events.
const DURABLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Incidents in one call of the store.
const INCIDENTS_PER_CALL: usize = 100;

/// Interval at which dropped records are logged.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Settings of the recorder.
#[derive(Debug, Clone)]
pub struct RecorderSettings {
    /// Folder of the spool, for records while their store is away.
    pub spool_dir: PathBuf,
    /// Bound of the spool, bytes. Incidents pass it by.
    pub spool_bytes: u64,
    /// Time after which a write to the store counts as failed.
    pub write_timeout: Duration,
    /// Retention of events, navigation and heartbeats where the exam does not set it.
    pub events_kept: Duration,
    /// Retention of the history of attempts.
    pub history_kept: Duration,
}

/// The recorder, as actors use it.
pub(super) struct Recorder {
    queue: Mutex<RecorderQueue>,
    filled: Notify,
    /// Every ticket up to this one is in the durable path.
    durable: watch::Sender<u64>,
    stopping: AtomicBool,
    spooled: AtomicU64,
    /// True if history waits in the attempts' store.
    backlog: AtomicBool,
    /// True once the store is prepared. Nothing is written before: a first record would
    /// create collections with wrong options.
    prepared: AtomicBool,
    store: Arc<dyn RecordStore>,
    attempts: Arc<dyn AttemptStore>,
    metrics: Arc<Metrics>,
    overload: Arc<Overload>,
    settings: RecorderSettings,
    waiters: TaskTracker,
}

/// An `event_ack` that waits until its events are in the durable path.
#[derive(Debug)]
pub(super) struct PendingAck {
    /// The client's connection.
    pub outbox: Arc<Outbox>,
    /// Number of the last event that it acknowledges.
    pub n: u64,
    /// Events up to that number that were dropped.
    pub dropped: u64,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    pub(super) fn new(
        store: Arc<dyn RecordStore>,
        attempts: Arc<dyn AttemptStore>,
        metrics: Arc<Metrics>,
        overload: Arc<Overload>,
        settings: RecorderSettings,
    ) -> Self {
        Self {
            queue: Mutex::default(),
            filled: Notify::new(),
            durable: watch::Sender::new(0),
            stopping: AtomicBool::new(false),
            spooled: AtomicU64::new(0),
            // A node that died may have left history behind.
            backlog: AtomicBool::new(true),
            prepared: AtomicBool::new(false),
            store,
            attempts,
            metrics,
            overload,
            settings,
            waiters: TaskTracker::new(),
        }
    }

    /// The settings.
    pub(super) const fn settings(&self) -> &RecorderSettings {
        &self.settings
    }

    /// The store of records.
    pub(super) fn store(&self) -> &dyn RecordStore {
        &*self.store
    }

    /// Submits records, and an acknowledgement to send once they are in the durable
    /// path. Never waits. Returns how many events were dropped for lack of room; the
    /// acknowledgement counts them, too.
    pub(super) fn submit_records(
        &self,
        records: Vec<TimelineRecord>,
        incidents: Vec<IncidentRow>,
        acknowledgement: Option<PendingAck>,
    ) -> u64 {
        let room = self.queue_room();
        let mut queue = self.lock_queue();
        let mut dropped = 0;
        for record in records {
            let class = record.class;
            if queue.len() < room.limit_for(class) {
                queue.push_entry(RecorderEntry::Record(record), true);
            } else {
                dropped += u64::from(class == RecordClass::Event);
                self.count_records(class, "dropped", 1);
            }
        }
        for incident in incidents {
            // The attempt keeps the incident, and its next version is submitted, too.
            if queue.len() < INCIDENTS_WAITING_MAX {
                queue.push_entry(RecorderEntry::Incident(Box::new(incident)), true);
            } else {
                self.count_records(RecordClass::History, "dropped", 1);
            }
        }
        if let Some(mut acknowledgement) = acknowledgement {
            acknowledgement.dropped += dropped;
            queue.push_acknowledgement(acknowledgement, WAITING_MAX);
        }
        drop(queue);
        self.filled.notify_one();
        dropped
    }

    /// Submits history, which the attempts' store keeps until it is recorded.
    pub(super) fn submit_history(&self, records: Vec<TimelineRecord>) {
        let room = self.queue_room().limit_for(RecordClass::History);
        let mut queue = self.lock_queue();
        if queue.len() + records.len() > room {
            self.backlog.store(true, Ordering::Release);
            return;
        }
        for record in records {
            queue.push_entry(RecorderEntry::Record(record), false);
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// Calls `then` with true once everything submitted so far is in the durable path,
    /// or with false if that takes too long.
    pub(super) fn when_durable(&self, then: impl FnOnce(bool) + Send + 'static) {
        let last = self.lock_queue().last_ticket();
        let mut durable = self.durable.subscribe();
        self.waiters.spawn(async move {
            let all = durable.wait_for(|ticket| *ticket >= last);
            let waited = tokio::time::timeout(DURABLE_TIMEOUT, all).await;
            then(waited.is_ok_and(|ticket| ticket.is_ok()));
        });
    }

    /// Returns the age of the oldest record in memory.
    pub(super) fn lag(&self) -> Duration {
        let oldest = self.lock_queue().oldest_since();
        oldest.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Returns the used share of the spool, 0 to 1 and above.
    pub(super) fn spool_fullness(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share =
            self.spooled.load(Ordering::Relaxed) as f64 / self.settings.spool_bytes.max(1) as f64;
        share
    }

    fn queue_room(&self) -> QueueRoom {
        QueueRoom::new(self.spool_fullness(), self.overload.level())
    }

    /// Asks the task to end once nothing waits in memory.
    pub(super) fn request_stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.filled.notify_one();
    }

    /// Opens the spool.
    ///
    /// # Errors
    /// Fails if the folder cannot be used.
    pub(super) fn open_spool(&self) -> io::Result<Spool> {
        let opened = Spool::open(&self.settings.spool_dir, SEGMENT_BYTES)?;
        if opened.damaged > 0 {
            self.metrics.spool_damaged.inc_by(opened.damaged);
        }
        self.note_spool_size(&opened.spool);
        Ok(opened.spool)
    }

    /// Writes until [`Recorder::request_stop`] and an empty queue.
    pub(super) async fn run(&self, mut spool: Spool) {
        let mut state = StoreHealth::new();
        loop {
            let filled = self.filled.notified();
            if self.lock_queue().is_empty() {
                if self.stopping.load(Ordering::Acquire) {
                    return;
                }
                if spool.is_empty() {
                    tokio::select! {
                        biased;
                        () = filled => {}
                        // Dropped records are logged now and then.
                        () = tokio::time::sleep(LOG_INTERVAL) => {}
                    }
                } else {
                    tokio::select! {
                        biased;
                        () = filled => {}
                        () = tokio::time::sleep_until(state.retry_at) => {}
                    }
                }
            }
            let behind = !spool.is_empty() || self.lock_queue().len() >= BEHIND_RECORDS;
            let taken =
                self.lock_queue()
                    .take_batch(if behind { SPOOL_BATCH } else { BATCH_RECORDS });
            spool = self.write_batch(taken, behind, spool, &mut state).await;
            spool = self.drain_spool(spool, &mut state).await;
            self.log_drops(&mut state);
        }
    }

    /// Prepares the store as soon as it is available.
    pub(super) async fn prepare_store(&self, stop: CancellationToken) {
        loop {
            let prepared = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                prepared = with_timeout(
                    PREPARE_TIMEOUT,
                    "prepare",
                    self.store.ensure_schema(),
                ) => prepared,
            };
            match prepared {
                Ok(()) => break,
                Err(error) => tracing::warn!(
                    error = error_chain(&error),
                    "the store of records is not ready yet"
                ),
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PREPARE_RETRY) => {}
            }
        }
        self.prepared.store(true, Ordering::Release);
        self.filled.notify_one();
    }

    /// Returns true if the store is worth a try.
    fn may_try(&self, state: &mut StoreHealth) -> bool {
        if !self.prepared.load(Ordering::Acquire) {
            state.delay_retry();
            return false;
        }
        state.may_try()
    }

    /// Brings a batch into the durable path, or puts it back.
    async fn write_batch(
        &self,
        taken: QueueBatch,
        behind: bool,
        spool: Spool,
        state: &mut StoreHealth,
    ) -> Spool {
        if taken.is_empty() {
            return spool;
        }
        let direct = spool.is_empty() && self.may_try(state);
        if direct
            && !behind
            && let Some(refused) = self.store_batch(&taken, state).await
        {
            self.settle_stored(taken, &refused).await;
            return spool;
        }
        let (spool, kept) = self.spool_batch(&taken, spool).await;
        if kept {
            self.settle_batch(taken, "spooled", &[]);
        } else if direct
            && behind
            && let Some(refused) = self.store_batch(&taken, state).await
        {
            self.settle_stored(taken, &refused).await;
        } else {
            // Neither the store nor the disk has it: nothing is acknowledged, and
            // [`QueueRoom`] bounds what waits in memory.
            self.lock_queue().put_back(taken);
            tokio::time::sleep(RETRY_DELAY).await;
        }
        spool
    }

    async fn settle_stored(&self, taken: QueueBatch, refused: &[RefusedRecord]) {
        let safe: Vec<(AttemptId, u64)> = taken
            .kept_history()
            .filter(|kept| !refused.iter().any(|refused| refused.kept == Some(*kept)))
            .collect();
        self.settle_batch(taken, "stored", refused);
        self.mark_recorded(&safe).await;
    }

    /// Writes a batch to the store. Returns what the store refuses for good; none if it failed.
    async fn store_batch(
        &self,
        taken: &QueueBatch,
        state: &mut StoreHealth,
    ) -> Option<Vec<RefusedRecord>> {
        let (records, incidents) = taken.split_by_kind();
        let written = self.append_to_store(&records, &incidents).await;
        match written {
            Ok(refused) => {
                state.note_success();
                Some(refused)
            }
            Err(error) => {
                state.note_failure(&error);
                None
            }
        }
    }

    /// Writes to the store, with a time limit for each call. Entries that the store refuses
    /// for good are logged, counted, left out and returned. Incidents go first and heartbeats
    /// last: only these may be stored twice where a part fails and all is written again.
    async fn append_to_store(
        &self,
        records: &[TimelineRecord],
        incidents: &[IncidentRow],
    ) -> Result<Vec<RefusedRecord>, invigil_store::Error> {
        let patience = self.settings.write_timeout;
        let mut refused = Vec::new();
        let incidents = newest_versions(incidents);
        let mut parts: Vec<&[IncidentRow]> = incidents.chunks(INCIDENTS_PER_CALL).collect();
        while let Some(part) = parts.pop() {
            let written =
                with_timeout(patience, "put incidents", self.store.upsert_incidents(part)).await;
            match (written, part) {
                (Err(error @ invigil_store::Error::Rejected { .. }), [incident]) => {
                    tracing::error!(
                        incident.id,
                        error = error_chain(&error),
                        "the store of records refuses an incident"
                    );
                    self.count_records(RecordClass::History, "refused", 1);
                    refused.push(RefusedRecord::INCIDENT);
                }
                (Err(invigil_store::Error::Rejected { .. }), _) => parts.extend(split_halves(part)),
                (other, _) => other?,
            }
        }
        let mut parts = vec![records];
        while let Some(part) = parts.pop() {
            let written = with_timeout(patience, "record", self.store.append_records(part)).await;
            match (written, part) {
                (Err(error @ invigil_store::Error::Rejected { .. }), [record]) => {
                    tracing::error!(
                        record.id,
                        error = error_chain(&error),
                        "the store of records refuses a record"
                    );
                    self.count_records(record.class, "refused", 1);
                    refused.push(RefusedRecord::from(record));
                }
                // Halving isolates a poisoned record soon, so
                // that the others need not wait behind it.
                (Err(invigil_store::Error::Rejected { .. }), _) => parts.extend(split_halves(part)),
                (other, _) => other?,
            }
        }
        Ok(refused)
    }

    /// Tells the attempts' store which history is recorded. If that fails, it is
    /// recorded again later, which changes nothing.
    async fn mark_recorded(&self, safe: &[(AttemptId, u64)]) {
        if safe.is_empty() {
            return;
        }
        let forgotten = self.attempts.delete_recorded(safe);
        if let Err(error) =
            with_timeout(self.settings.write_timeout, "forget history", forgotten).await
        {
            tracing::debug!(
                error = error_chain(&error),
                "recorded history is kept for now"
            );
            self.backlog.store(true, Ordering::Release);
        }
    }

    /// Writes to the disk. Returns true if it has all entries that must not be lost.
    async fn spool_batch(&self, taken: &QueueBatch, spool: Spool) -> (Spool, bool) {
        let frames: Vec<Vec<u8>> = taken.to_spool().map(RecorderEntry::to_frame).collect();
        if taken.has_kept_history() {
            self.backlog.store(true, Ordering::Release);
        }
        if frames.is_empty() {
            return (spool, true);
        }
        let (spool, written) = on_disk(spool, move |spool| spool.append_frames(&frames)).await;
        self.note_spool_size(&spool);
        match written {
            Ok(()) => (spool, true),
            Err(error) => {
                tracing::error!(%error, "records cannot be written to the local disk");
                (spool, false)
            }
        }
    }

    /// Moves spooled records to the store, as far as it takes them.
    async fn drain_spool(&self, mut spool: Spool, state: &mut StoreHealth) -> Spool {
        while !spool.is_empty() && self.may_try(state) {
            let (back, peeked) =
                on_disk(spool, |spool| spool.peek_batch(BATCH_RECORDS, DRAIN_BYTES)).await;
            spool = back;
            let batch = match peeked {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "the spool cannot be read");
                    state.delay_retry();
                    break;
                }
            };
            let (records, incidents) = self.read_frames(&batch.frames);
            let strange = records.len() + incidents.len() < batch.frames.len();
            let refused = match self.append_to_store(&records, &incidents).await {
                Ok(refused) => refused,
                Err(error) => {
                    state.note_failure(&error);
                    break;
                }
            };
            state.note_success();
            let mut drained = BTreeMap::new();
            for record in &records {
                *drained.entry(record.class).or_default() += 1;
            }
            self.count_classes(drained, "drained", &refused);
            let forget = move |spool: &mut Spool| {
                if strange {
                    spool.set_aside(&batch);
                }
                spool.forget_batch(&batch)
            };
            let (back, forgotten) = on_disk(spool, forget).await;
            spool = back;
            if let Err(error) = forgotten {
                tracing::error!(%error, "a segment of the spool cannot be removed");
                state.delay_retry();
            }
            self.note_spool_size(&spool);
            if !self.lock_queue().is_empty() {
                // New records are spooled behind the backlog before it grows.
                break;
            }
        }
        spool
    }

    fn read_frames(&self, frames: &[Vec<u8>]) -> (Vec<TimelineRecord>, Vec<IncidentRow>) {
        let (mut records, mut incidents) = (Vec::new(), Vec::new());
        for frame in frames {
            match RecorderEntry::from_frame(frame) {
                Some(RecorderEntry::Record(record)) => records.push(record),
                Some(RecorderEntry::Incident(incident)) => incidents.push(*incident),
                None => {
                    // Its checksum is right: a newer release wrote it.
                    tracing::error!(
                        bytes = frame.len(),
                        "a spooled record has an unknown format"
                    );
                    self.metrics.spool_damaged.inc();
                }
            }
        }
        (records, incidents)
    }

    /// Ends a batch that is in the durable path, and sends its acknowledgements.
    fn settle_batch(&self, taken: QueueBatch, outcome: &'static str, refused: &[RefusedRecord]) {
        self.count_classes(taken.counts_by_class(), outcome, refused);
        self.lock_queue().end_batch();
        self.durable.send_replace(taken.last_ticket());
        for done in taken.into_acknowledgements() {
            done.outbox.report_events_stored(done.n, done.dropped);
        }
    }

    /// Counts all entries but the refused ones, which are counted already.
    fn count_classes(
        &self,
        counts: BTreeMap<RecordClass, u64>,
        outcome: &'static str,
        refused: &[RefusedRecord],
    ) {
        for (class, count) in counts {
            let refused = refused.iter().filter(|refused| refused.class == class);
            let refused = u64::try_from(refused.count()).unwrap_or(u64::MAX);
            self.count_records(class, outcome, count.saturating_sub(refused));
        }
    }

    fn count_records(&self, class: RecordClass, outcome: &'static str, count: u64) {
        let labels = ClassLabels {
            class: class.as_str(),
            outcome,
        };
        self.metrics.records.get_or_create(&labels).inc_by(count);
    }

    fn note_spool_size(&self, spool: &Spool) {
        let bytes = spool.disk_bytes();
        self.spooled.store(bytes, Ordering::Relaxed);
        self.metrics
            .spool_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn log_drops(&self, state: &mut StoreHealth) {
        let lag = self.lag();
        self.metrics.recorder_lag.set(lag.as_secs_f64());
        if state.logged_at.elapsed() < LOG_INTERVAL {
            return;
        }
        state.logged_at = Instant::now();
        let all = [
            RecordClass::Heartbeat,
            RecordClass::Navigation,
            RecordClass::Event,
        ];
        let dropped: u64 = all
            .iter()
            .map(|class| {
                let labels = ClassLabels {
                    class: class.as_str(),
                    outcome: "dropped",
                };
                self.metrics.records.get_or_create(&labels).get()
            })
            .sum();
        if dropped > state.dropped_logged {
            let count = dropped - state.dropped_logged;
            tracing::warn!(count, "some records are dropped for lack of room");
            state.dropped_logged = dropped;
        }
    }

    fn lock_queue(&self) -> MutexGuard<'_, RecorderQueue> {
        // No holder of this lock can panic half-way through a change.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An entry that the store of records refuses for good.
#[derive(Debug)]
struct RefusedRecord {
    class: RecordClass,
    /// Key of a history entry, which stays in the attempts' store.
    kept: Option<(AttemptId, u64)>,
}

impl RefusedRecord {
    const INCIDENT: Self = Self {
        class: RecordClass::History,
        kept: None,
    };
}

impl From<&TimelineRecord> for RefusedRecord {
    fn from(record: &TimelineRecord) -> Self {
        let history = record.class == RecordClass::History;
        Self {
            class: record.class,
            kept: history.then_some((record.attempt, record.number)),
        }
    }
}

/// Returns the newest version of each incident: an incident of many events comes often.
fn newest_versions(rows: &[IncidentRow]) -> Vec<IncidentRow> {
    let mut newest: BTreeMap<&str, &IncidentRow> = BTreeMap::new();
    for row in rows {
        let known = newest.entry(&row.id).or_insert(row);
        if known.version < row.version {
            *known = row;
        }
    }
    newest.into_values().cloned().collect()
}

/// Splits a slice into halves, the first one last, as it is written next.
fn split_halves<T>(whole: &[T]) -> [&[T]; 2] {
    let (left, right) = whole.split_at(whole.len() / 2);
    [right, left]
}

/// Limits the time of a store call: one that takes too long has failed.
async fn with_timeout<T>(
    patience: Duration,
    operation: &'static str,
    call: impl Future<Output = Result<T, invigil_store::Error>>,
) -> Result<T, invigil_store::Error> {
    let late = |elapsed| invigil_store::Error::Unavailable {
        operation,
        source: Box::new(elapsed),
    };
    let done = tokio::time::timeout(patience, call).await;
    done.map_err(late).flatten()
}

/// Runs work on the spool on a thread that may block.
async fn on_disk<T: Send + 'static>(
    mut spool: Spool,
    work: impl FnOnce(&mut Spool) -> T + Send + 'static,
) -> (Spool, T) {
    let done = tokio::task::spawn_blocking(move || {
        let result = work(&mut spool);
        (spool, result)
    })
    .await;
    match done {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Bytes after which a segment of the spool ends.
const SEGMENT_BYTES: u64 = 8 * 1024 * 1024;

/// The availability of the store, as far as it is known and logged.
struct StoreHealth {
    is_up: bool,
    retry_at: Instant,
    logged_at: Instant,
    dropped_logged: u64,
}

impl StoreHealth {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            is_up: true,
            retry_at: now,
            logged_at: now,
            dropped_logged: 0,
        }
    }

    fn may_try(&self) -> bool {
        self.is_up || self.retry_at <= Instant::now()
    }

    fn note_success(&mut self) {
        if !std::mem::replace(&mut self.is_up, true) {
            tracing::info!("the store of records is back");
        }
    }

    fn note_failure(&mut self, error: &invigil_store::Error) {
        self.delay_retry();
        if std::mem::replace(&mut self.is_up, false) {
            tracing::error!(
                error = error_chain(error),
                "the store of records is unavailable, records wait on local disk"
            );
        }
    }

    fn delay_retry(&mut self) {
        self.retry_at = Instant::now() + RETRY_DELAY;
    }
}

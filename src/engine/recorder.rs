//! The recorder: the way of records to their store.
//!
//! Actors hand records over without ever waiting. One task writes them, batch
//! after batch; the next one fills meanwhile. When the store fails or is too slow,
//! what waits goes to the [`spool`] on local disk, and everything after it goes
//! behind it, so that order holds; when the store is back, the spool drains by
//! itself. A record is in the *durable path* once the store has acknowledged it
//! or the disk has it: then, and not before, a client hears `event_ack`.
//!
//! What the attempt's own store keeps until it is recorded (the history, see
//! docs/decisions) is not spooled: it is safe where it is, and is fetched from
//! there once the store of records is back.

mod frame;
mod queue;
mod relay;
mod spool;

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
    frame::Entry,
    queue::{Queue, Taken},
    spool::Spool,
};
use super::{
    outbox::Outbox,
    strain::{Level, Strain},
};
use crate::{
    domain::id::AttemptId,
    store::{
        self, AttemptStore,
        records::{Class, IncidentRow, Record, RecordStore},
    },
    telemetry::{
        chain,
        metrics::{ClassOutcome, Metrics},
    },
};

/// Records in one batch.
const BATCH: usize = 500;

/// Records that go to local disk together.
const SPOOL_BATCH: usize = 5_000;

/// When so many records wait, the store is too slow for them: they go to local disk,
/// which is quick, and from there to the store as fast as it takes them.
const BEHIND: usize = 2 * BATCH;

/// Bytes of frames that are read from the spool at once.
const DRAIN_BYTES: usize = 4 * 1024 * 1024;

/// Pause before a store that failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How long preparing may take: an index of a full collection is not made soon.
const PREPARE_PATIENCE: Duration = Duration::from_mins(10);

/// Pause before the store is prepared once more.
const PREPARE_RETRY: Duration = Duration::from_secs(5);

/// How long the reply of an exchange may wait for its events.
const DURABLE_PATIENCE: Duration = Duration::from_secs(5);

/// Incidents that are written together.
const INCIDENTS: usize = 100;

/// How often drops are told in the log.
const TELL_INTERVAL: Duration = Duration::from_mins(1);

/// Settings of the recorder.
#[derive(Debug, Clone)]
pub struct RecorderSettings {
    /// Where records wait while their store is away.
    pub spool_dir: PathBuf,
    /// The most that may wait there, bytes.
    pub spool_bytes: u64,
    /// After which a write to the store counts as failed.
    pub patience: Duration,
    /// How long events, navigation and heartbeats are kept where the exam does
    /// not say it.
    pub events_kept: Duration,
    /// How long the history of attempts is kept.
    pub history_kept: Duration,
}

/// The recorder's end for actors.
pub(super) struct Recorder {
    queue: Mutex<Queue>,
    filled: Notify,
    /// Every ticket up to this one is in the durable path.
    durable: watch::Sender<u64>,
    stopping: AtomicBool,
    spooled: AtomicU64,
    /// Whether history waits in the attempts' store.
    backlog: AtomicBool,
    /// Whether the store has what it needs. Nothing is written before: a first
    /// record would make collections that are not as they should be.
    prepared: AtomicBool,
    store: Arc<dyn RecordStore>,
    attempts: Arc<dyn AttemptStore>,
    metrics: Arc<Metrics>,
    strain: Arc<Strain>,
    settings: RecorderSettings,
    waiters: TaskTracker,
}

/// What a client is told once its events are in the durable path.
#[derive(Debug)]
pub(super) struct Acknowledgement {
    /// The client's connection.
    pub outbox: Arc<Outbox>,
    /// Every event up to this number.
    pub n: u64,
    /// Besides these many.
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
        strain: Arc<Strain>,
        settings: RecorderSettings,
    ) -> Self {
        Self {
            queue: Mutex::default(),
            filled: Notify::new(),
            durable: watch::Sender::new(0),
            stopping: AtomicBool::new(false),
            spooled: AtomicU64::new(0),
            // Whatever a node left behind that died.
            backlog: AtomicBool::new(true),
            prepared: AtomicBool::new(false),
            store,
            attempts,
            metrics,
            strain,
            settings,
            waiters: TaskTracker::new(),
        }
    }

    /// The settings.
    pub(super) const fn settings(&self) -> &RecorderSettings {
        &self.settings
    }

    /// Where records last.
    pub(super) fn store(&self) -> &dyn RecordStore {
        &*self.store
    }

    /// Takes records, and what is to be said once they are in the durable path.
    /// Never waits. Events that there is no room for are counted in the
    /// acknowledgement, and returned.
    pub(super) fn submit(
        &self,
        records: Vec<Record>,
        incidents: Vec<IncidentRow>,
        acknowledgement: Option<Acknowledgement>,
    ) -> u64 {
        let room = self.room();
        let mut queue = self.lock();
        let mut dropped = 0;
        for record in records {
            let class = record.class;
            if queue.len() < room.of(class) {
                queue.push(Entry::Record(record), true);
            } else {
                dropped += u64::from(class == Class::Event);
                self.count(class, "dropped", 1);
            }
        }
        for incident in incidents {
            // The attempt has it anyway, and its next version comes here, too.
            if queue.len() < 2 * WAITING_MAX {
                queue.push(Entry::Incident(Box::new(incident)), true);
            } else {
                self.count(Class::History, "dropped", 1);
            }
        }
        if let Some(mut acknowledgement) = acknowledgement {
            acknowledgement.dropped += dropped;
            queue.acknowledge(acknowledgement, WAITING_MAX);
        }
        drop(queue);
        self.filled.notify_one();
        dropped
    }

    /// Takes history that the attempts' store has, too, until it is recorded.
    pub(super) fn submit_history(&self, records: Vec<Record>) {
        let room = self.room().of(Class::History);
        let mut queue = self.lock();
        if queue.len() + records.len() > room {
            self.backlog.store(true, Ordering::Release);
            return;
        }
        for record in records {
            queue.push(Entry::Record(record), false);
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// Does something once everything that was submitted so far is in the durable
    /// path, or, with a no, where that takes too long.
    pub(super) fn when_durable(&self, then: impl FnOnce(bool) + Send + 'static) {
        let last = self.lock().last_ticket();
        let mut durable = self.durable.subscribe();
        self.waiters.spawn(async move {
            let all = durable.wait_for(|ticket| *ticket >= last);
            let waited = tokio::time::timeout(DURABLE_PATIENCE, all).await;
            then(waited.is_ok_and(|ticket| ticket.is_ok()));
        });
    }

    /// How long the oldest record has been waiting in memory.
    pub(super) fn lag(&self) -> Duration {
        let oldest = self.lock().oldest();
        oldest.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// How full the spool is, 0 to 1 and over.
    pub(super) fn fullness(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share =
            self.spooled.load(Ordering::Relaxed) as f64 / self.settings.spool_bytes.max(1) as f64;
        share
    }

    fn room(&self) -> Room {
        // A machine that has it too hard takes samples no more.
        let strained = match self.strain.level() {
            Level::None | Level::Hard => 0.0,
            Level::TooHard => SAMPLES_FULL_AT,
        };
        Room {
            fullness: self.fullness().max(strained),
        }
    }

    /// Lets the task end once nothing waits in memory.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.filled.notify_one();
    }

    /// Opens what waits on disk.
    ///
    /// # Errors
    /// Where the folder cannot be used.
    pub(super) fn open_spool(&self) -> io::Result<Spool> {
        let opened = Spool::open(&self.settings.spool_dir, SEGMENT_BYTES)?;
        if opened.damaged > 0 {
            self.metrics.spool_damaged.inc_by(opened.damaged);
        }
        self.note_spool(&opened.spool);
        Ok(opened.spool)
    }

    /// Writes until [`Recorder::stop`] and an empty queue.
    pub(super) async fn run(&self, mut spool: Spool) {
        let mut state = Health::new();
        loop {
            let filled = self.filled.notified();
            if self.lock().is_empty() {
                if self.stopping.load(Ordering::Acquire) {
                    return;
                }
                if spool.is_empty() {
                    tokio::select! {
                        biased;
                        () = filled => {}
                        // The store is asked now and then, and drops are told.
                        () = tokio::time::sleep(TELL_INTERVAL) => {}
                    }
                } else {
                    tokio::select! {
                        biased;
                        () = filled => {}
                        () = tokio::time::sleep_until(state.retry_at) => {}
                    }
                }
            }
            let behind = !spool.is_empty() || self.lock().len() >= BEHIND;
            let taken = self.lock().take(if behind { SPOOL_BATCH } else { BATCH });
            spool = self.write(taken, behind, spool, &mut state).await;
            spool = self.drain(spool, &mut state).await;
            self.tell_drops(&mut state);
        }
    }

    /// Makes what the store needs, as soon as it is there.
    pub(super) async fn prepare(&self, stop: CancellationToken) {
        loop {
            let prepared = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                prepared = within(PREPARE_PATIENCE, "prepare", self.store.prepare()) => prepared,
            };
            match prepared {
                Ok(()) => break,
                Err(error) => tracing::warn!(
                    error = chain(&error),
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

    /// Whether the store is worth a try.
    fn may_try(&self, state: &mut Health) -> bool {
        if !self.prepared.load(Ordering::Acquire) {
            state.wait();
            return false;
        }
        state.may_try()
    }

    /// Brings a batch into the durable path, or puts it back.
    async fn write(&self, taken: Taken, behind: bool, spool: Spool, state: &mut Health) -> Spool {
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
            self.settle(taken, "spooled", &[]);
        } else if direct
            && behind
            && let Some(refused) = self.store_batch(&taken, state).await
        {
            self.settle_stored(taken, &refused).await;
        } else {
            // Neither the store nor the disk has it: nothing is acknowledged, and
            // memory is bounded by what is taken from clients.
            self.lock().put_back(taken);
            tokio::time::sleep(RETRY).await;
        }
        spool
    }

    async fn settle_stored(&self, taken: Taken, refused: &[Refused]) {
        let safe: Vec<(AttemptId, u64)> = taken
            .kept_elsewhere()
            .filter(|kept| !refused.iter().any(|refused| refused.kept == Some(*kept)))
            .collect();
        self.settle(taken, "stored", refused);
        self.forget_kept(&safe).await;
    }

    /// The store has all of it that it will ever take. None: it failed.
    async fn store_batch(&self, taken: &Taken, state: &mut Health) -> Option<Vec<Refused>> {
        let (records, incidents) = taken.parts();
        let written = self.append(&records, &incidents).await;
        match written {
            Ok(refused) => {
                state.worked();
                Some(refused)
            }
            Err(error) => {
                state.failed(&error);
                None
            }
        }
    }

    /// Writes to the store, with patience for each call. What the store refuses for
    /// good is logged, counted, left out and returned. Incidents go first, and heartbeats last:
    /// only those may be there twice where a part fails and all is written again.
    async fn append(
        &self,
        records: &[Record],
        incidents: &[IncidentRow],
    ) -> Result<Vec<Refused>, store::Error> {
        let patience = self.settings.patience;
        let mut refused = Vec::new();
        let incidents = newest(incidents);
        let mut parts: Vec<&[IncidentRow]> = incidents.chunks(INCIDENTS).collect();
        while let Some(part) = parts.pop() {
            let written = within(patience, "put incidents", self.store.put_incidents(part)).await;
            match (written, part) {
                (Err(error @ store::Error::Rejected { .. }), [incident]) => {
                    tracing::error!(incident.id, error = chain(&error), "an incident is refused");
                    self.count(Class::History, "refused", 1);
                    refused.push(Refused::INCIDENT);
                }
                (Err(store::Error::Rejected { .. }), _) => parts.extend(halves(part)),
                (other, _) => other?,
            }
        }
        let mut parts = vec![records];
        while let Some(part) = parts.pop() {
            let written = within(patience, "record", self.store.append(part)).await;
            match (written, part) {
                (Err(error @ store::Error::Rejected { .. }), [record]) => {
                    tracing::error!(record.id, error = chain(&error), "a record is refused");
                    self.count(record.class, "refused", 1);
                    refused.push(Refused::from(record));
                }
                // Nobody waits behind a poisoned record: halves find it soon.
                (Err(store::Error::Rejected { .. }), _) => parts.extend(halves(part)),
                (other, _) => other?,
            }
        }
        Ok(refused)
    }

    /// The attempts' store need not keep these any longer. If that fails, they
    /// are recorded again later, which changes nothing.
    async fn forget_kept(&self, safe: &[(AttemptId, u64)]) {
        if safe.is_empty() {
            return;
        }
        let forgotten = self.attempts.recorded(safe);
        if let Err(error) = within(self.settings.patience, "forget history", forgotten).await {
            tracing::debug!(error = chain(&error), "recorded history is kept for now");
            self.backlog.store(true, Ordering::Release);
        }
    }

    /// Writes to the disk. True: the disk has all that must not be lost.
    async fn spool_batch(&self, taken: &Taken, spool: Spool) -> (Spool, bool) {
        let frames: Vec<Vec<u8>> = taken.to_spool().map(Entry::to_frame).collect();
        if taken.has_kept() {
            self.backlog.store(true, Ordering::Release);
        }
        if frames.is_empty() {
            return (spool, true);
        }
        let (spool, written) = on_disk(spool, move |spool| spool.append(&frames)).await;
        self.note_spool(&spool);
        match written {
            Ok(()) => (spool, true),
            Err(error) => {
                tracing::error!(%error, "records cannot be written to the local disk");
                (spool, false)
            }
        }
    }

    /// Copies what is spooled to the store, as far as it takes it.
    async fn drain(&self, mut spool: Spool, state: &mut Health) -> Spool {
        while !spool.is_empty() && self.may_try(state) {
            let (back, peeked) = on_disk(spool, |spool| spool.peek(BATCH, DRAIN_BYTES)).await;
            spool = back;
            let batch = match peeked {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "what was spooled cannot be read");
                    state.wait();
                    break;
                }
            };
            let (records, incidents) = self.read_frames(&batch.frames);
            let strange = records.len() + incidents.len() < batch.frames.len();
            let refused = match self.append(&records, &incidents).await {
                Ok(refused) => refused,
                Err(error) => {
                    state.failed(&error);
                    break;
                }
            };
            state.worked();
            let mut drained = BTreeMap::new();
            for record in &records {
                *drained.entry(record.class).or_default() += 1;
            }
            self.count_all(drained, "drained", &refused);
            let forget = move |spool: &mut Spool| {
                if strange {
                    spool.set_aside(&batch);
                }
                spool.forget(&batch)
            };
            let (back, forgotten) = on_disk(spool, forget).await;
            spool = back;
            if let Err(error) = forgotten {
                tracing::error!(%error, "what was spooled cannot be removed");
                state.wait();
            }
            self.note_spool(&spool);
            if !self.lock().is_empty() {
                // New records get behind the backlog before it grows old.
                break;
            }
        }
        spool
    }

    fn read_frames(&self, frames: &[Vec<u8>]) -> (Vec<Record>, Vec<IncidentRow>) {
        let (mut records, mut incidents) = (Vec::new(), Vec::new());
        for frame in frames {
            match Entry::from_frame(frame) {
                Some(Entry::Record(record)) => records.push(record),
                Some(Entry::Incident(incident)) => incidents.push(*incident),
                None => {
                    // Its checksum is right: a newer program wrote it.
                    tracing::error!(bytes = frame.len(), "a spooled record is not understood");
                    self.metrics.spool_damaged.inc();
                }
            }
        }
        (records, incidents)
    }

    /// A batch is in the durable path.
    fn settle(&self, taken: Taken, outcome: &'static str, refused: &[Refused]) {
        self.count_all(taken.counts(), outcome, refused);
        self.lock().settled();
        self.durable.send_replace(taken.ticket());
        for done in taken.into_acknowledgements() {
            done.outbox.events_stored(done.n, done.dropped);
        }
    }

    /// Counts all that was not refused: that is counted already.
    fn count_all(&self, counts: BTreeMap<Class, u64>, outcome: &'static str, refused: &[Refused]) {
        for (class, count) in counts {
            let refused = refused.iter().filter(|refused| refused.class == class);
            let refused = u64::try_from(refused.count()).unwrap_or(u64::MAX);
            self.count(class, outcome, count.saturating_sub(refused));
        }
    }

    fn count(&self, class: Class, outcome: &'static str, count: u64) {
        let labels = ClassOutcome {
            class: class.as_str(),
            outcome,
        };
        self.metrics.records.get_or_create(&labels).inc_by(count);
    }

    fn note_spool(&self, spool: &Spool) {
        let bytes = spool.bytes();
        self.spooled.store(bytes, Ordering::Relaxed);
        self.metrics
            .spool_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    fn tell_drops(&self, state: &mut Health) {
        let lag = self.lag();
        self.metrics.recorder_lag.set(lag.as_secs_f64());
        if state.told.elapsed() < TELL_INTERVAL {
            return;
        }
        state.told = Instant::now();
        let all = [Class::Heartbeat, Class::Navigation, Class::Event];
        let dropped: u64 = all
            .iter()
            .map(|class| {
                let labels = ClassOutcome {
                    class: class.as_str(),
                    outcome: "dropped",
                };
                self.metrics.records.get_or_create(&labels).get()
            })
            .sum();
        if dropped > state.dropped_told {
            let count = dropped - state.dropped_told;
            tracing::warn!(count, "there is no room for records, some are dropped");
            state.dropped_told = dropped;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No holder of this lock can panic half-way through a change.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the store of records will never take.
#[derive(Debug)]
struct Refused {
    class: Class,
    /// History, which stays where it is: in the attempts' store.
    kept: Option<(AttemptId, u64)>,
}

impl Refused {
    const INCIDENT: Self = Self {
        class: Class::History,
        kept: None,
    };
}

impl From<&Record> for Refused {
    fn from(record: &Record) -> Self {
        let history = record.class == Class::History;
        Self {
            class: record.class,
            kept: history.then_some((record.attempt, record.number)),
        }
    }
}

/// Of each incident the newest version: one that many events belong to comes often.
fn newest(rows: &[IncidentRow]) -> Vec<IncidentRow> {
    let mut newest: BTreeMap<&str, &IncidentRow> = BTreeMap::new();
    for row in rows {
        let known = newest.entry(&row.id).or_insert(row);
        if known.version < row.version {
            *known = row;
        }
    }
    newest.into_values().cloned().collect()
}

/// Both, the first one last.
fn halves<T>(whole: &[T]) -> [&[T]; 2] {
    let (left, right) = whole.split_at(whole.len() / 2);
    [right, left]
}

/// A call of a store that takes too long has failed.
async fn within<T>(
    patience: Duration,
    operation: &'static str,
    call: impl Future<Output = Result<T, store::Error>>,
) -> Result<T, store::Error> {
    let late = |elapsed| store::Error::Unavailable {
        operation,
        source: Box::new(elapsed),
    };
    let done = tokio::time::timeout(patience, call).await;
    done.map_err(late).flatten()
}

/// Uses the spool on a thread that may block.
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

/// Entries that may wait in memory, by how dear they are. They wait there only
/// while one batch is under way, or while the disk takes nothing.
const WAITING_MAX: usize = 20_000;

/// How full the spool is where only events and history are still taken.
const SAMPLES_FULL_AT: f64 = 0.9;

/// For whom there is room.
struct Room {
    fullness: f64,
}

impl Room {
    /// How long the queue may be for one more of a class.
    fn of(&self, class: Class) -> usize {
        let (full_at, share) = match class {
            Class::Heartbeat => (0.8, 2),
            Class::Navigation => (SAMPLES_FULL_AT, 3),
            Class::Event | Class::History => (1.0, 4),
        };
        if self.fullness >= full_at {
            0
        } else {
            WAITING_MAX / 4 * share
        }
    }
}

/// How the store is doing.
struct Health {
    well: bool,
    retry_at: Instant,
    told: Instant,
    dropped_told: u64,
}

impl Health {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            well: true,
            retry_at: now,
            told: now,
            dropped_told: 0,
        }
    }

    fn may_try(&self) -> bool {
        self.well || self.retry_at <= Instant::now()
    }

    fn worked(&mut self) {
        if !std::mem::replace(&mut self.well, true) {
            tracing::info!("the store of records is back");
        }
    }

    fn failed(&mut self, error: &store::Error) {
        self.wait();
        if std::mem::replace(&mut self.well, false) {
            tracing::error!(
                error = chain(error),
                "the store of records is not available, they wait on local disk"
            );
        }
    }

    fn wait(&mut self) {
        self.retry_at = Instant::now() + RETRY;
    }
}

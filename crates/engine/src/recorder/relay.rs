//! The relay of history: entries that could not be recorded at once, also of a node
//! that is gone, are fetched from the attempts' store, which keeps them until then.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{RETRY_DELAY, Recorder};
use crate::node::clock::EngineClock;
use invigil_domain::{id::AttemptId, time::Timestamp};
use invigil_store::{
    self,
    records::{RecordClass, TimelineRecord},
};
use invigil_telemetry::error_chain;

use std::sync::atomic::Ordering;

/// Entries in one step.
const MOVED_AT_ONCE: u32 = 500;

/// Interval at which history of other nodes is looked for.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Age from which an entry is moved: a younger one is probably on its way through memory.
const AGE_MIN: Duration = Duration::from_secs(10);

impl Recorder {
    /// Moves waiting history to the store of records, until `stop`.
    pub(crate) async fn relay_history(&self, clock: EngineClock, stop: CancellationToken) {
        let mut retry = RETRY_DELAY;
        loop {
            let pause = if self.backlog.swap(false, Ordering::AcqRel) {
                retry
            } else {
                CHECK_INTERVAL
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if !self.prepared.load(Ordering::Acquire) {
                self.backlog.store(true, Ordering::Release);
                continue;
            }
            match self.move_all(clock.now() - AGE_MIN, &stop).await {
                Ok(()) => retry = RETRY_DELAY,
                Err(error) => {
                    tracing::debug!(
                        error = error_chain(&error),
                        "history cannot be recorded yet"
                    );
                    self.backlog.store(true, Ordering::Release);
                    retry = CHECK_INTERVAL.min(retry * 2);
                }
            }
        }
    }

    /// Moves all waiting history once: each step begins where the last one ended, so
    /// that it costs the same however much there is.
    async fn move_all(
        &self,
        before: Timestamp,
        stop: &CancellationToken,
    ) -> Result<(), invigil_store::Error> {
        let mut after = Some((AttemptId(0), 0));
        while let Some(last) = after
            && !stop.is_cancelled()
        {
            after = self.move_some(last, before).await?;
        }
        Ok(())
    }

    /// Returns the key of the last entry that was moved; none if there are no more.
    async fn move_some(
        &self,
        after: (AttemptId, u64),
        before: Timestamp,
    ) -> Result<Option<(AttemptId, u64)>, invigil_store::Error> {
        let kept = self.settings().history_kept;
        let entries = self.attempts.list_unrecorded(after, before, MOVED_AT_ONCE);
        let records: Vec<_> = entries
            .await?
            .into_iter()
            .map(|(attempt, exam, row)| row.into_history_record(attempt, exam, kept))
            .collect();
        if records.is_empty() {
            return Ok(None);
        }
        let refused = self.append_to_store(&records, &[]).await?;
        let place = |record: &TimelineRecord| (record.attempt, record.number);
        let moved: Vec<&TimelineRecord> = records
            .iter()
            .filter(|record| {
                let place = Some(place(record));
                !refused.iter().any(|refused| refused.kept == place)
            })
            .collect();
        let places: Vec<(AttemptId, u64)> = moved.iter().copied().map(place).collect();
        self.attempts.delete_recorded(&places).await?;
        self.count_records(RecordClass::History, "moved", moved.len() as u64);
        let more = records.len() >= MOVED_AT_ONCE as usize;
        Ok(records.last().map(place).filter(|_| more))
    }
}

//! History that the attempts' store keeps until it is recorded: what could not
//! be recorded at once, also by a node that is no more, is fetched from there.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{RETRY, Recorder};
use crate::{
    domain::{id::AttemptId, time::Timestamp},
    engine::clock::Clock,
    store::{
        self,
        records::{Class, Record},
    },
    telemetry::chain,
};

use std::sync::atomic::Ordering;

/// Entries that are moved at once.
const MOVED_AT_ONCE: u32 = 500;

/// How often it is looked for what others left behind.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// What is younger is probably on its way through memory.
const AGE: Duration = Duration::from_secs(10);

impl Recorder {
    /// Moves what waits, until `stop`.
    pub(in crate::engine) async fn relay(&self, clock: Clock, stop: CancellationToken) {
        let mut retry = RETRY;
        loop {
            let pause = if self.backlog.swap(false, Ordering::AcqRel) {
                retry
            } else {
                LOOK_INTERVAL
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
            match self.move_all(clock.now() - AGE, &stop).await {
                Ok(()) => retry = RETRY,
                Err(error) => {
                    tracing::debug!(error = chain(&error), "history cannot be recorded yet");
                    self.backlog.store(true, Ordering::Release);
                    retry = LOOK_INTERVAL.min(retry * 2);
                }
            }
        }
    }

    /// Goes once through what waits: each step begins where the last one ended, so
    /// that it costs the same however much there is.
    async fn move_all(
        &self,
        before: Timestamp,
        stop: &CancellationToken,
    ) -> Result<(), store::Error> {
        let mut after = Some((AttemptId(0), 0));
        while let Some(last) = after
            && !stop.is_cancelled()
        {
            after = self.move_some(last, before).await?;
        }
        Ok(())
    }

    /// Returns the last one that was moved; none where there is no more.
    async fn move_some(
        &self,
        after: (AttemptId, u64),
        before: Timestamp,
    ) -> Result<Option<(AttemptId, u64)>, store::Error> {
        let kept = self.settings().history_kept;
        let entries = self.attempts.unrecorded(after, before, MOVED_AT_ONCE);
        let records: Vec<_> = entries
            .await?
            .into_iter()
            .map(|(attempt, exam, row)| row.into_history(attempt, exam, kept))
            .collect();
        if records.is_empty() {
            return Ok(None);
        }
        let refused = self.append(&records, &[]).await?;
        let place = |record: &Record| (record.attempt, record.number);
        let moved: Vec<&Record> = records
            .iter()
            .filter(|record| {
                let place = Some(place(record));
                !refused.iter().any(|refused| refused.kept == place)
            })
            .collect();
        let places: Vec<(AttemptId, u64)> = moved.iter().copied().map(place).collect();
        self.attempts.recorded(&places).await?;
        self.count(Class::History, "moved", moved.len() as u64);
        let more = records.len() >= MOVED_AT_ONCE as usize;
        Ok(records.last().map(place).filter(|_| more))
    }
}

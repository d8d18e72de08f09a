//! History that the attempts' store keeps until it is recorded: what could not
//! be recorded at once, also by a node that is no more, is fetched from there.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{RETRY, Recorder};
use crate::{
    domain::{id::AttemptId, time::Timestamp},
    engine::clock::Clock,
    store,
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
        loop {
            let pause = if self.backlog.swap(false, Ordering::AcqRel) {
                RETRY
            } else {
                LOOK_INTERVAL
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if !self.prepared.load(Ordering::Acquire) {
                self.backlog.store(true, Ordering::Release);
                continue;
            }
            loop {
                match self.move_some(clock.now() - AGE).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::debug!(error = chain(&error), "history cannot be recorded yet");
                        self.backlog.store(true, Ordering::Release);
                        break;
                    }
                }
                if stop.is_cancelled() {
                    return;
                }
            }
        }
    }

    /// True: there is more.
    async fn move_some(&self, before: Timestamp) -> Result<bool, store::Error> {
        let kept = self.settings().history_kept;
        let entries = self.attempts.unrecorded(before, MOVED_AT_ONCE).await?;
        let records: Vec<_> = entries
            .into_iter()
            .map(|(attempt, exam, row)| row.into_history(attempt, exam, kept))
            .collect();
        if records.is_empty() {
            return Ok(false);
        }
        self.append(&records, &[]).await?;
        let moved: Vec<(AttemptId, u64)> = records
            .iter()
            .map(|record| (record.attempt, record.number))
            .collect();
        self.attempts.recorded(&moved).await?;
        for record in &records {
            self.count(record.class, "moved", 1);
        }
        Ok(records.len() >= MOVED_AT_ONCE as usize)
    }
}

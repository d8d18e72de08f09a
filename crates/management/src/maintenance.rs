//! Periodic jobs: partitions for the months ahead, archiving of old months,
//! statistics, attack detection, seals of the audit trail, and regrading of
//! attempts after a corrected key.
//!
//! Every node tries each job; an advisory lock admits one. A failed job is retried
//! after its interval, and does not delay the others.

mod jobs;
pub mod model;
pub mod operator;
mod repository;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgPool, Postgres, Transaction};

use self::{
    model::{JobResult, MaintenanceJob, MaintenanceStatus, RetentionSettings},
    repository::FinishedRun,
};
use crate::ManagementError;
use invigil_objects::media::MediaStore;
use invigil_secrets::sealed::SealingKeys;
use invigil_store_sql::postgres::PostgresStore;

/// Runs periodic jobs on a database.
#[derive(Debug, Clone)]
pub struct Maintenance {
    pool: PgPool,
    keys: SealingKeys,
    retention: RetentionSettings,
    media: MediaStore,
}

impl Maintenance {
    /// Creates the maintenance of a database, with the rights of the engine or an operator.
    pub fn new(
        store: &PostgresStore,
        keys: SealingKeys,
        retention: RetentionSettings,
        media: MediaStore,
    ) -> Self {
        Self {
            pool: store.pool().clone(),
            keys,
            retention,
            media,
        }
    }

    /// Runs one job, unless another node is running it.
    ///
    /// # Errors
    /// Database errors, and those of media files and keys.
    pub async fn run_job(
        &self,
        job: MaintenanceJob,
        now: DateTime<Utc>,
    ) -> Result<JobResult, ManagementError> {
        self.run_when(job, now, false).await
    }

    /// Runs one job if it is due.
    ///
    /// # Errors
    /// As [`Maintenance::run_job`].
    pub async fn run_if_due(
        &self,
        job: MaintenanceJob,
        now: DateTime<Utc>,
    ) -> Result<JobResult, ManagementError> {
        self.run_when(job, now, true).await
    }

    async fn run_when(
        &self,
        job: MaintenanceJob,
        now: DateTime<Utc>,
        if_due: bool,
    ) -> Result<JobResult, ManagementError> {
        let begun = tokio::time::Instant::now();
        let mut tx = self.pool.begin().await?;
        sqlx::query("SET LOCAL statement_timeout = '10min'")
            .execute(&mut *tx)
            .await?;
        let mine = repository::lock_job(&mut tx, job).await?;
        let changes = repository::count_changes(&mut tx).await?;
        let due = repository::is_due(&mut tx, job, now, changes).await?;
        if !mine || if_due && !due {
            // Explicit, because a drop would release the lock some time later.
            tx.rollback().await?;
            return Ok(if mine {
                JobResult::NotDue
            } else {
                JobResult::RunningElsewhere
            });
        }
        let (mut tx, said) = self.carry_out(job, tx, now).await?;
        let run = FinishedRun {
            job,
            began: now,
            took: begun.elapsed(),
            said,
            changes,
        };
        repository::record_run(&mut tx, &run).await?;
        tx.commit().await?;
        Ok(JobResult::Completed(run.said))
    }

    async fn carry_out(
        &self,
        job: MaintenanceJob,
        mut tx: Transaction<'static, Postgres>,
        now: DateTime<Utc>,
    ) -> Result<(Transaction<'static, Postgres>, String), ManagementError> {
        let said = match job {
            MaintenanceJob::Partitions => jobs::partitions::run(&mut tx, &self.retention).await?,
            MaintenanceJob::Statistics => jobs::statistics::run(&mut tx).await?,
            MaintenanceJob::Security => jobs::security::run(&mut tx, now).await?,
            MaintenanceJob::Seals => jobs::seals::run(&mut tx, &self.keys).await?,
            MaintenanceJob::Regrading => return jobs::regrading::run(tx).await,
            MaintenanceJob::Sessions => jobs::sessions::run(&mut tx, now).await?,
            MaintenanceJob::Media => jobs::media::run(&mut tx, &self.media, now).await?,
        };
        Ok((tx, said))
    }

    /// Reads the last run of every job and the last month of every table.
    ///
    /// # Errors
    /// Database errors.
    pub async fn read_status(&self) -> Result<MaintenanceStatus, ManagementError> {
        repository::read_status(&self.pool).await
    }

    /// Runs all due jobs once a minute, forever, and calls `report` with each outcome.
    pub async fn run_forever(
        &self,
        now: impl Fn() -> DateTime<Utc>,
        report: impl Fn(MaintenanceJob, Result<JobResult, ManagementError>),
    ) {
        let mut timer = tokio::time::interval(Duration::from_mins(1));
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failed: Vec<Option<tokio::time::Instant>> = vec![None; MaintenanceJob::ALL.len()];
        loop {
            timer.tick().await;
            for (job, failed) in MaintenanceJob::ALL.into_iter().zip(&mut failed) {
                if failed.is_some_and(|failed| failed.elapsed() < job.interval()) {
                    continue;
                }
                let outcome = self.run_if_due(job, now()).await;
                *failed = outcome.is_err().then(tokio::time::Instant::now);
                report(job, outcome);
            }
        }
    }
}

//! Jobs, their intervals and outcomes, and the state of the maintenance.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx_macros::FromRow;

/// A periodic job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaintenanceJob {
    /// Creation of partitions for months ahead and organisations; archiving of old months.
    Partitions,
    /// Statistics of exams and questions.
    Statistics,
    /// Attack detection.
    Security,
    /// Seals of the audit trail.
    Seals,
    /// Regrading of attempts after a corrected key.
    Regrading,
    /// Removal of expired log-ins.
    Sessions,
    /// Removal of media files without a question.
    Media,
}

impl MaintenanceJob {
    /// All jobs, in the order of a round.
    pub const ALL: [Self; 7] = [
        Self::Partitions,
        Self::Sessions,
        Self::Media,
        Self::Regrading,
        Self::Statistics,
        Self::Security,
        Self::Seals,
    ];

    /// Returns the job's name in metrics and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Partitions => "partitions",
            Self::Statistics => "statistics",
            Self::Security => "security",
            Self::Seals => "seals",
            Self::Regrading => "regrading",
            Self::Sessions => "sessions",
            Self::Media => "media",
        }
    }

    /// Returns the time between two runs.
    pub const fn interval(self) -> Duration {
        match self {
            Self::Partitions | Self::Sessions | Self::Media => Duration::from_hours(6),
            Self::Statistics | Self::Security => Duration::from_mins(5),
            Self::Seals | Self::Regrading => Duration::from_mins(1),
        }
    }
}

/// Months after which old data is archived; 0 keeps it in its tables.
#[derive(Debug, Clone)]
pub struct RetentionSettings {
    /// Attempts.
    pub attempts: u32,
    /// Log-ins, actions of proctors, security events.
    pub logs: u32,
    /// The audit trail.
    pub audit: u32,
}

/// Outcome of a job that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobResult {
    /// The job ran; its report is a sentence for people.
    Completed(String),
    /// Another node is running the job.
    RunningElsewhere,
    /// The job ran less than an interval ago, on any node.
    NotDue,
}

/// State of the maintenance.
#[derive(Debug)]
pub struct MaintenanceStatus {
    /// Last run of each job that ever ran.
    pub runs: Vec<JobRun>,
    /// Last month with a partition, by table.
    pub runway: Vec<(String, Option<NaiveDate>)>,
    /// Count of audit entries without a seal.
    pub unsealed: i64,
}

/// The last run of a job.
#[derive(Debug, FromRow)]
pub struct JobRun {
    /// Name of the job.
    pub job: String,
    /// End of the run.
    pub ended_at: DateTime<Utc>,
    /// Report of the run, for people.
    pub said: String,
}

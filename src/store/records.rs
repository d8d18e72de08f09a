//! Records: what happened in exams, for people to look at later.
//!
//! The attempt's own state never depends on them. Their ids are deterministic,
//! so a record that is written twice, by whichever node, is there once.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Error, TimelineRow};
use crate::domain::{
    exam::Severity,
    id::{AttemptId, ExamCode},
    time::Timestamp,
};

/// What a record is, by how dear it is: where there is no room, the first ones
/// go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A sample of how a client is.
    Heartbeat,
    /// Where in the paper the candidate is.
    Navigation,
    /// Something that the client noticed.
    Event,
    /// What changed the attempt: answers, commands, statuses, incidents.
    History,
}

impl Class {
    /// The name in stores and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Navigation => "navigation",
            Self::Event => "event",
            Self::History => "history",
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [
            Self::Heartbeat,
            Self::Navigation,
            Self::Event,
            Self::History,
        ];
        all.into_iter().find(|class| class.as_str() == name)
    }
}

/// Something that happened in an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Deterministic, unique.
    pub id: String,
    /// What it is.
    pub class: Class,
    /// In which attempt.
    pub attempt: AttemptId,
    /// At which exam.
    pub exam: ExamCode,
    /// Rising within the attempt; the cursor.
    pub number: u64,
    /// When, by the engine's clock.
    pub at: Timestamp,
    /// Stable name, as in [`super::TimelineRow`].
    pub kind: String,
    /// How bad an event is; none: it means nothing by itself.
    pub severity: Option<Severity>,
    /// A JSON object.
    pub data: Arc<str>,
    /// When it may be forgotten.
    pub keep_until: Timestamp,
}

impl From<Record> for TimelineRow {
    fn from(record: Record) -> Self {
        Self {
            number: record.number,
            at: record.at,
            kind: record.kind,
            data: record.data,
        }
    }
}

/// Which events of an exam are asked for; the newest come first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFilter {
    /// The exam.
    pub exam: ExamCode,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only as bad as this, or worse.
    pub least: Option<Severity>,
    /// Only of these attempts.
    pub attempts: Option<Vec<AttemptId>>,
    /// Only older than the one with this time and id.
    pub before: Option<(Timestamp, String)>,
    /// At most so many.
    pub limit: u32,
}

/// An incident as it stands, for queries over all attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRow {
    /// Attempt and incident, `7:i42`.
    pub id: String,
    /// In which attempt.
    pub attempt: AttemptId,
    /// At which exam.
    pub exam: ExamCode,
    /// The attempt's version: a lower one never overwrites.
    pub version: u64,
    /// The kind of event that led to it.
    pub kind: String,
    /// The worst so far.
    pub severity: Severity,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Its newest event.
    pub last_at: Timestamp,
    /// How many events it stands for.
    pub events: u32,
    /// Whether it waits for a person.
    pub open: bool,
    /// All of it as JSON.
    pub data: Arc<str>,
    /// When it may be forgotten.
    pub keep_until: Timestamp,
}

/// Where records last.
#[async_trait]
pub trait RecordStore: Send + Sync {
    /// Adds records, durably. One whose id is there already is left as it is.
    async fn append(&self, records: &[Record]) -> Result<(), Error>;

    /// Keeps incidents as they stand. A lower version never overwrites.
    async fn put_incidents(&self, rows: &[IncidentRow]) -> Result<(), Error>;

    /// Records of an attempt, without heartbeats, with a number over `after`,
    /// oldest first.
    async fn timeline(
        &self,
        attempt: AttemptId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Record>, Error>;

    /// Clients' events of an exam, newest first.
    async fn events(&self, filter: &EventFilter) -> Result<Vec<Record>, Error>;

    /// Makes what the records need, such as indexes; again and again, by several
    /// nodes at once, without harm.
    async fn prepare(&self) -> Result<(), Error>;

    /// Whether it answers.
    async fn ping(&self) -> Result<(), Error>;
}

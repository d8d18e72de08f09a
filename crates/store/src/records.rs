//! Records: the history of exams, for later reading by people.
//!
//! The attempt's own state never depends on them. Their ids are deterministic,
//! so a record that is written twice, even by two nodes, is stored once.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Error, TimelineRow};
use invigil_domain::{
    exam::EventSeverity,
    id::{AttemptId, ExamCode},
    time::Timestamp,
};

/// The class of a record, least valuable first: when room runs out, lower
/// classes are dropped first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordClass {
    /// A sample of a client's condition.
    Heartbeat,
    /// The candidate's position in the paper.
    Navigation,
    /// An event that the client noticed.
    Event,
    /// A change of the attempt: answers, commands, statuses, incidents.
    History,
}

impl RecordClass {
    /// Returns the name used in stores and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::Navigation => "navigation",
            Self::Event => "event",
            Self::History => "history",
        }
    }

    /// Returns the class of this name.
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

/// An entry of an attempt's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineRecord {
    /// Deterministic and unique id.
    pub id: String,
    /// The record's class.
    pub class: RecordClass,
    /// The attempt.
    pub attempt: AttemptId,
    /// The exam.
    pub exam: ExamCode,
    /// Cursor: increasing within the attempt.
    pub number: u64,
    /// Instant by the engine's clock.
    pub at: Timestamp,
    /// Stable name, as in [`crate::TimelineRow`].
    pub kind: String,
    /// Severity of an event; `None` if it means nothing by itself.
    pub severity: Option<EventSeverity>,
    /// A JSON object.
    pub data: Arc<str>,
    /// Instant after which it may be deleted.
    pub keep_until: Timestamp,
}

impl From<TimelineRecord> for TimelineRow {
    fn from(record: TimelineRecord) -> Self {
        Self {
            number: record.number,
            at: record.at,
            kind: record.kind,
            data: record.data,
        }
    }
}

/// A selection of an exam's events, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFilter {
    /// The exam.
    pub exam: ExamCode,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only of this severity or higher.
    pub min_severity: Option<EventSeverity>,
    /// Only of these attempts.
    pub attempts: Option<Vec<AttemptId>>,
    /// Only older than the event with this time and id.
    pub before: Option<(Timestamp, String)>,
    /// Maximum number of events.
    pub limit: u32,
}

/// The current state of an incident, for queries over all attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRow {
    /// Attempt and incident, such as `7:i42`.
    pub id: String,
    /// The attempt.
    pub attempt: AttemptId,
    /// The exam.
    pub exam: ExamCode,
    /// The attempt's version; a lower version never overwrites.
    pub version: u64,
    /// The kind of event that led to it.
    pub kind: String,
    /// The highest severity so far.
    pub severity: EventSeverity,
    /// Instant at which it was opened.
    pub opened_at: Timestamp,
    /// Instant of its newest event.
    pub last_at: Timestamp,
    /// Number of its events.
    pub events: u32,
    /// True if it waits for a person's decision.
    pub open: bool,
    /// The whole incident as JSON.
    pub data: Arc<str>,
    /// Instant after which it may be deleted.
    pub keep_until: Timestamp,
}

/// The store of records.
#[async_trait]
pub trait RecordStore: Send + Sync {
    /// Adds records durably. An existing id is left unchanged.
    async fn append_records(&self, records: &[TimelineRecord]) -> Result<(), Error>;

    /// Stores the current state of incidents. A lower version never overwrites.
    async fn upsert_incidents(&self, rows: &[IncidentRow]) -> Result<(), Error>;

    /// Returns the records of an attempt, without heartbeats, with a number over
    /// `after`, oldest first.
    async fn read_records(
        &self,
        attempt: AttemptId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<TimelineRecord>, Error>;

    /// Returns the events that clients reported in an exam, newest first.
    async fn list_events(&self, filter: &EventFilter) -> Result<Vec<TimelineRecord>, Error>;

    /// Creates the collections and indexes where they are missing. Repeated and
    /// concurrent calls are safe.
    async fn ensure_schema(&self) -> Result<(), Error>;

    /// Checks that the store responds.
    async fn ping(&self) -> Result<(), Error>;
}

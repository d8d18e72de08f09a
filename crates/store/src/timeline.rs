//! The timeline of an attempt, and the one codec of its rows.
//!
//! A [`TimelineEvent`] is written and read by the same types, so that a kind and its
//! fields are named once: [`TimelineEvent::from_domain`] and [`TimelineEvent::into_row`]
//! write, [`TimelineEvent::from_row`] and [`TimelineEvent::to_domain`] read. The stored
//! form never changes, since timelines outlive releases: fields stand in the order in
//! which they are stored, and a table of tests pins every kind.
//!
//! A row whose kind is not known, written by a newer or an older release, is kept
//! verbatim. A row of a known kind whose detail cannot be read is a [`DamagedEntry`].

mod columns;
mod domain;
#[cfg(test)]
mod fixture;
mod replay;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::records::{RecordClass, TimelineRecord};
use invigil_domain::{
    attempt::{CommandRefusal, HandedInBy, LifecycleStatus, command::NoticeUrgency},
    exam::{EventSeverity, RuleConsequence},
    id::{AttemptId, ExamCode, QuestionId, SectionId, SessionId},
    integrity::Detection,
    time::Timestamp,
    timing::CompensationCause,
    value::CanonicalValue,
};

/// An entry of the attempt's timeline, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineRow {
    /// Cursor: unique within the attempt and increasing.
    pub number: u64,
    /// Instant by the engine's clock.
    pub at: Timestamp,
    /// Stable name, such as `answer`, `connected_from`, `refused`, `focus_lost`.
    pub kind: String,
    /// A JSON object.
    pub data: Arc<str>,
}

/// A row of a known kind that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the detail of this entry cannot be read")]
pub struct DamagedEntry {
    /// Number of the entry.
    pub number: u64,
    /// Instant of the entry.
    pub at: Timestamp,
    /// Kind of the entry.
    pub kind: String,
    /// Reason, which may quote the detail: not for readers who may not see answers.
    #[source]
    pub reason: DamageReason,
}

/// The reason for which a row cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DamageReason {
    /// The detail is not JSON, or lacks a field, or a field has another type.
    #[error("{0}")]
    Detail(String),
    /// The detail names a question that the exam does not have.
    #[error("the exam has no question `{0}`")]
    Question(QuestionId),
    /// The detail names a section that the exam does not have.
    #[error("the exam has no section `{0}`")]
    Section(SectionId),
}

/// Content of an entry: what happened to the attempt. The variants in snake case are the
/// stored kinds, with the exception of the last three, whose kinds are not fixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimelineEvent {
    /// A question was answered. The entry is complete: of the entries of a question that
    /// wait for a commit, only the newest is kept.
    Answer {
        /// Number of the command.
        seq: u64,
        /// The question.
        q: QuestionId,
        /// Revision of the answer.
        rev: u32,
        /// The answer; `None` if it was cleared.
        #[serde(with = "columns::json_value")]
        value: Option<CanonicalValue>,
        /// True if the question is flagged for review.
        flagged: bool,
        /// True if the answer came after the deadline.
        late: bool,
    },
    /// A question was flagged for review, or its flag removed; complete like an answer.
    QuestionFlagged {
        /// Number of the command.
        seq: u64,
        /// The question.
        q: QuestionId,
        /// Revision of the answer.
        rev: u32,
        /// The answer.
        #[serde(with = "columns::json_value")]
        value: Option<CanonicalValue>,
        /// True if the question is flagged for review.
        flagged: bool,
        /// False: only answers are late.
        late: bool,
        /// True if the flag was set, false if it was removed.
        on: bool,
    },
    /// A numbered command was refused for good.
    Refused {
        /// Reason of the refusal.
        code: CommandRefusal,
        /// Question that the command named, known or not.
        q: Option<QuestionId>,
        /// Number of the command.
        seq: u64,
        /// Refused answer that is kept for staff.
        #[serde(with = "columns::json_value")]
        value: Option<CanonicalValue>,
    },
    /// The clock started.
    ClockStarted {
        /// Begin of the candidate's time.
        entered_at: Timestamp,
    },
    /// A new session owns the attempt.
    SessionOpened {
        /// The session.
        session: SessionId,
    },
    /// The session that owns the attempt connected again.
    SessionResumed {},
    /// The last connection ended.
    Disconnected {},
    /// The candidate connected from another origin than before.
    ConnectedFrom {
        /// The network address.
        address: String,
        /// Name that the client gives its device, if any.
        device: Option<String>,
    },
    /// An incident was opened, or the open one of its kind became more severe.
    Incident {
        /// The person who opened it by hand.
        by: Option<String>,
        /// Number of events that caused it.
        events: u32,
        /// Id of the incident.
        incident: Option<String>,
        /// Kind of the event.
        kind: String,
        /// Note of the person who opened it.
        note: Option<String>,
        /// Severity of the event.
        severity: EventSeverity,
        /// Consequence for the candidate.
        then: RuleConsequence,
    },
    /// Staff closed an incident.
    IncidentClosed {
        /// Id of the person who closed it.
        by: String,
        /// Id of the incident.
        incident: String,
        /// Remarks.
        note: Option<String>,
        /// Finding, such as `confirmed` or `dismissed`.
        verdict: String,
    },
    /// Staff assigned an incident.
    IncidentAssigned {
        /// Id of the incident.
        incident: String,
        /// The assignee; `None` if the assignment was removed.
        to: Option<String>,
    },
    /// A notice was sent to the candidate.
    Notice {
        /// True if the candidate must acknowledge it.
        ack: bool,
        /// The sender's name.
        from: String,
        /// Controls how the client displays it.
        level: NoticeUrgency,
        /// Shown to the candidate.
        text: String,
    },
    /// The candidate acknowledged a notice.
    NoticeAcknowledged {
        /// The notice's id.
        id: String,
    },
    /// The clock was paused.
    Paused {
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// The clock runs again.
    Resumed {
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// Staff moved the deadline.
    Extended {
        /// Extra time in milliseconds.
        ms: u64,
        /// Kept for staff.
        reason: Option<String>,
    },
    /// The time of an interruption was given back.
    Compensated {
        /// Cause of the interruption.
        cause: CompensationCause,
        /// Begin of the interruption.
        from: Timestamp,
        /// Time given back, in milliseconds.
        ms: u64,
    },
    /// Another time-limited section runs, or no section any more.
    Section {
        /// The section.
        section: Option<SectionId>,
    },
    /// The attempt was marked for review.
    Flagged {
        /// Kept for staff.
        reason: Option<String>,
    },
    /// The mark for review was removed.
    Unflagged {
        /// Kept for staff.
        reason: Option<String>,
    },
    /// The candidate may enter from another device.
    Released {
        /// Kept for staff.
        reason: Option<String>,
    },
    /// A staff command is done.
    Command {
        /// The id that its sender gave it.
        id: String,
        /// Id of the sender.
        person: String,
    },
    /// The attempt is void.
    Cancelled {
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// The attempt is handed in.
    HandedIn {
        /// Origin of the hand-in.
        handed_in: HandedInBy,
        /// True if an answer or the hand-in came after the deadline.
        late: bool,
        /// Shown to the candidate.
        reason: Option<String>,
        /// Status after the hand-in.
        status: LifecycleStatus,
        /// Time of the hand-in.
        submitted_at: Timestamp,
    },
    /// Another question is on screen.
    QuestionShown {
        /// The question.
        q: String,
    },
    /// A sample of the client's state.
    Heartbeat {
        /// True while the page has the focus.
        focused: Option<bool>,
        /// True while the page fills the screen.
        fullscreen: Option<bool>,
        /// Time from a heartbeat to its answer, in milliseconds.
        rtt_ms: Option<i64>,
        /// True while the page is visible.
        visible: Option<bool>,
    },
    /// The client reported an integrity event. The event's kind is the entry's kind.
    #[serde(skip)]
    Reported {
        /// Kind of the event.
        kind: String,
        /// The report.
        report: ClientReport,
    },
    /// The engine detected an integrity event. The detection's name is the entry's kind.
    #[serde(skip)]
    Detected {
        /// Kind of the detection.
        what: Detection,
        /// Its details.
        detected: DetectionDetail,
    },
    /// An entry of a kind that this release does not know.
    #[serde(skip)]
    Unknown {
        /// Kind of the entry.
        kind: String,
        /// The stored detail, unchanged.
        data: Arc<str>,
    },
}

/// Detail of a client's event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientReport {
    /// Time by the client's clock.
    pub client_at: Timestamp,
    /// Details: a JSON object, or null.
    pub data: Value,
    /// Number of the client's event.
    pub n: u64,
    /// Severity; `None` for a harmless event.
    pub severity: Option<EventSeverity>,
}

/// Detail of an event that the engine detected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DetectionDetail {
    /// Details: a JSON object, or null.
    pub data: Value,
    /// Severity; `None` for a harmless event.
    pub severity: Option<EventSeverity>,
}

impl TimelineEvent {
    /// Returns true if the detail may have the text of an answer, as its `value`.
    pub const fn may_hold_answer(&self) -> bool {
        match self {
            Self::Answer { .. }
            | Self::QuestionFlagged { .. }
            | Self::Refused { .. }
            | Self::Unknown { .. } => true,
            Self::ClockStarted { .. }
            | Self::SessionOpened { .. }
            | Self::SessionResumed {}
            | Self::Disconnected {}
            | Self::ConnectedFrom { .. }
            | Self::Incident { .. }
            | Self::IncidentClosed { .. }
            | Self::IncidentAssigned { .. }
            | Self::Notice { .. }
            | Self::NoticeAcknowledged { .. }
            | Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::Extended { .. }
            | Self::Compensated { .. }
            | Self::Section { .. }
            | Self::Flagged { .. }
            | Self::Unflagged { .. }
            | Self::Released { .. }
            | Self::Command { .. }
            | Self::Cancelled { .. }
            | Self::HandedIn { .. }
            | Self::QuestionShown { .. }
            | Self::Heartbeat { .. }
            | Self::Reported { .. }
            | Self::Detected { .. } => false,
        }
    }

    /// Reason that staff gave for an intervention.
    pub fn reason(&self) -> Option<&str> {
        if let Self::Paused { reason }
        | Self::Resumed { reason }
        | Self::Extended { reason, .. }
        | Self::Flagged { reason }
        | Self::Unflagged { reason }
        | Self::Released { reason }
        | Self::Cancelled { reason }
        | Self::HandedIn { reason, .. } = self
        {
            reason.as_deref()
        } else {
            None
        }
    }
}

impl TimelineRow {
    /// Returns the entry without the answer's value, for readers who may see that
    /// and when a question was answered, but not the answer.
    ///
    /// # Errors
    /// If the entry cannot be read: its detail may have an answer anywhere.
    pub fn without_answer(&self) -> Result<Cow<'_, Self>, DamagedEntry> {
        if !TimelineEvent::from_row(self)?.may_hold_answer() {
            return Ok(Cow::Borrowed(self));
        }
        let mut fields: Map<String, Value> =
            serde_json::from_str(&self.data).map_err(|error| self.damaged(error.to_string()))?;
        fields.remove("value");
        Ok(Cow::Owned(Self {
            data: Value::from(fields).to_string().into(),
            ..self.clone()
        }))
    }

    fn damaged(&self, detail: String) -> DamagedEntry {
        self.damaged_by(DamageReason::Detail(detail))
    }

    /// Returns the entry as damaged for a reason.
    pub fn damaged_by(&self, reason: DamageReason) -> DamagedEntry {
        DamagedEntry {
            number: self.number,
            at: self.at,
            kind: self.kind.clone(),
            reason,
        }
    }

    /// Converts the entry for a [`RecordStore`](crate::records::RecordStore).
    pub fn into_history_record(
        self,
        attempt: AttemptId,
        exam: ExamCode,
        kept: std::time::Duration,
    ) -> TimelineRecord {
        TimelineRecord {
            id: format!("{attempt}:v{}", self.number),
            class: RecordClass::History,
            attempt,
            exam,
            number: self.number,
            at: self.at,
            kind: self.kind,
            severity: None,
            data: self.data,
            keep_until: self.at + kept,
        }
    }
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

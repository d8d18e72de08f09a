//! Events of an attempt. Applied in order, the events of its life rebuild it.

use std::time::Duration;

use super::{
    LifecycleStatus,
    command::{CommandKey, CommandRefusal, NoticeUrgency},
};
use crate::{
    id::{QuestionId, SessionId},
    integrity::{ConnectionOrigin, Detection, EventJudgement, IncidentClosure, IncidentTrigger},
    time::Timestamp,
    timing::CompensationCause,
    value::CanonicalValue,
};

/// A change of an attempt. Each event raises the version by one.
#[derive(Debug, Clone, PartialEq)]
pub enum DomainEvent {
    /// The clock started: on entering, or at the opening for a candidate in the lobby.
    ClockStarted {
        /// Begin of the candidate's time.
        at: Timestamp,
    },
    /// A new session owns the attempt; its numbers begin at 1.
    SessionOpened {
        /// The session.
        session: SessionId,
    },
    /// The session that owns the attempt connected again.
    SessionResumed,
    /// The last connection ended.
    Left {
        /// Time of the disconnection.
        at: Timestamp,
    },
    /// An answer was accepted.
    Answered {
        /// Number of the command.
        seq: u64,
        /// Index of the question in the exam.
        question: u16,
        /// Canonical JSON; `None` clears the answer.
        value: Option<CanonicalValue>,
        /// Revision that the answer has from now on.
        rev: u32,
        /// Time of the answer.
        at: Timestamp,
        /// Time spent on the question since the last answer to it.
        spent: Duration,
        /// True if it came after the deadline.
        late: bool,
    },
    /// A question was flagged for review, or its flag removed.
    QuestionFlagged {
        /// Number of the command.
        seq: u64,
        /// Index of the question in the exam.
        question: u16,
        /// True if the flag was set, false if it was removed.
        on: bool,
        /// Time of the change.
        at: Timestamp,
    },
    /// A command was refused for good.
    Refused {
        /// Number of the command.
        seq: u64,
        /// Reason of the refusal.
        code: CommandRefusal,
        /// A short sentence for people.
        detail: &'static str,
        /// Question that the command named, known or not.
        question: Option<QuestionId>,
        /// Refused answer that is kept for staff.
        kept: Option<CanonicalValue>,
        /// With a conflict: the stored answer, as (revision, value).
        stored: Option<(u32, Option<CanonicalValue>)>,
    },
    /// The client reported an integrity event.
    Observed {
        /// Number of the client's event.
        n: u64,
        /// Event kind of the protocol.
        kind: String,
        /// Time by the client's clock.
        client_at: Timestamp,
        /// Details: a JSON object, or null.
        data: serde_json::Value,
        /// Time of arrival, by the engine's clock.
        at: Timestamp,
        /// Judgement by the exam's rules.
        judgement: EventJudgement,
    },
    /// The engine detected an integrity event.
    Detected {
        /// Kind of the detection.
        what: Detection,
        /// Time of the detection.
        at: Timestamp,
        /// Details: a JSON object, or null.
        data: serde_json::Value,
        /// Judgement by the exam's rules.
        judgement: EventJudgement,
    },
    /// The candidate connected from another origin than before.
    Arrived {
        /// Address and device.
        origin: ConnectionOrigin,
    },
    /// An incident was opened, or the open one of its kind became more severe.
    IncidentRaised {
        /// Cause of the incident.
        raised: IncidentTrigger,
    },
    /// Staff closed an incident.
    IncidentClosed {
        /// Id of the incident.
        incident: String,
        /// Verdict and its author.
        closed: IncidentClosure,
    },
    /// Staff assigned an incident.
    IncidentAssigned {
        /// Id of the incident.
        incident: String,
        /// The assignee; `None` if the assignment was removed.
        to: Option<String>,
    },
    /// An entry of the timeline that changes nothing but has a version of its own.
    Noted,
    /// A notice was sent to the candidate.
    Noticed {
        /// Shown to the candidate.
        text: String,
        /// Controls how the client displays it.
        level: NoticeUrgency,
        /// True if the candidate must acknowledge it.
        ack: bool,
        /// The sender's name.
        from: String,
        /// The staff command that sent it; `None` if a rule did.
        command: Option<CommandKey>,
    },
    /// All waiting notices were sent to a connected client.
    NoticesSent,
    /// The candidate acknowledged a notice.
    NoticeAcknowledged {
        /// The notice's id.
        id: String,
    },
    /// Staff or a rule paused the clock.
    Paused {
        /// Begin of the pause.
        at: Timestamp,
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// The clock runs again.
    Resumed {
        /// End of the pause.
        at: Timestamp,
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// Staff moved the deadline.
    Extended {
        /// Time of the extension.
        at: Timestamp,
        /// Extra time.
        by: Duration,
        /// Kept in the timeline.
        reason: Option<String>,
    },
    /// The time of an interruption was given back.
    Compensated {
        /// Begin of the interruption.
        from: Timestamp,
        /// Time given back.
        by: Duration,
        /// Cause of the interruption.
        cause: CompensationCause,
    },
    /// Another time-limited section runs, or no section any more.
    SectionChanged {
        /// Index of the section in the exam.
        section: Option<u16>,
    },
    /// Staff or a rule marked the attempt for review.
    Flagged {
        /// Kept in the timeline.
        reason: Option<String>,
    },
    /// Staff removed the mark for review.
    Unflagged {
        /// Kept in the timeline.
        reason: Option<String>,
    },
    /// The candidate may enter from another device.
    Released {
        /// Kept in the timeline.
        reason: Option<String>,
    },
    /// The attempt is void.
    Cancelled {
        /// Time of the cancellation.
        at: Timestamp,
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// The attempt is handed in; its answers are final.
    HandedIn {
        /// Time of the hand-in.
        at: Timestamp,
        /// Origin of the hand-in.
        by: HandedInBy,
        /// Number of the command, if the candidate handed in.
        seq: Option<u64>,
        /// Status after the hand-in.
        status: LifecycleStatus,
        /// True if an answer or the hand-in came after the deadline.
        late: bool,
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// A staff command is done and will not be repeated.
    CommandDone {
        /// Identity of the command.
        key: CommandKey,
    },
}

/// Origin of a hand-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub enum HandedInBy {
    Candidate,
    Time,
    Staff,
}

impl HandedInBy {
    /// The name on the wire and in the stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Time => "time",
            Self::Staff => "staff",
        }
    }
}

//! What happened to an attempt. Applying the events of its life in order
//! rebuilds it.

use std::time::Duration;

use crate::domain::{
    attempt::{
        Status,
        command::{CommandKey, NoticeLevel, Void},
    },
    id::{QuestionId, SessionId},
    integrity::{Closed, Detection, Judgement, Origin, Raised},
    time::Timestamp,
    timing::Cause,
    value::Canonical,
};

/// Something that happened. Each raises the attempt's version by one.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The clock began: on entering, or at the opening for who waited.
    ClockStarted {
        /// The begin of the candidate's time.
        at: Timestamp,
    },
    /// A new session owns the attempt; its numbers begin at 1.
    SessionOpened {
        /// The session.
        session: SessionId,
    },
    /// The session that owns the attempt is connected again.
    SessionResumed,
    /// Nobody is connected.
    Left {
        /// Since when.
        at: Timestamp,
    },
    /// An answer was accepted.
    Answered {
        /// The command's number.
        seq: u64,
        /// Index of the question in the exam.
        question: u16,
        /// Canonical JSON; none: cleared.
        value: Option<Canonical>,
        /// The answer's revision with it.
        rev: u32,
        /// When.
        at: Timestamp,
        /// Time on the question since the last answer to it.
        spent: Duration,
        /// Whether it came after the deadline.
        late: bool,
    },
    /// A question was marked for review, or the mark taken off.
    QuestionFlagged {
        /// The command's number.
        seq: u64,
        /// Index of the question in the exam.
        question: u16,
        /// Set or taken off.
        on: bool,
        /// When.
        at: Timestamp,
    },
    /// A command is void for good.
    Refused {
        /// The command's number.
        seq: u64,
        /// Why.
        code: Void,
        /// One short sentence.
        detail: &'static str,
        /// What the command named as its question.
        question: Option<QuestionId>,
        /// The text of an answer that staff should find.
        kept: Option<Canonical>,
        /// With a conflict: what is stored, as (revision, value).
        stored: Option<(u32, Option<Canonical>)>,
    },
    /// The client noticed something.
    Observed {
        /// The event's number.
        n: u64,
        /// Event kind of the protocol.
        kind: String,
        /// By the client's clock.
        client_at: Timestamp,
        /// A JSON object, or null.
        data: serde_json::Value,
        /// When it came, by the engine's clock.
        at: Timestamp,
        /// What the exam's rules make of it.
        judgement: Judgement,
    },
    /// The engine noticed something.
    Detected {
        /// What.
        what: Detection,
        /// When.
        at: Timestamp,
        /// More about it: a JSON object, or null.
        data: serde_json::Value,
        /// What the exam's rules make of it.
        judgement: Judgement,
    },
    /// The candidate is connected from somewhere else than before.
    Arrived {
        /// From where.
        origin: Origin,
    },
    /// An incident was opened, or the open one of its kind became graver.
    IncidentRaised {
        /// What led to it.
        raised: Raised,
    },
    /// Staff closed an incident.
    IncidentClosed {
        /// Its id.
        incident: String,
        /// How it ended.
        closed: Closed,
    },
    /// Staff gave an incident to somebody.
    IncidentAssigned {
        /// Its id.
        incident: String,
        /// The person; none: nobody.
        to: Option<String>,
    },
    /// Something was recorded that changes nothing, and has a number of its own.
    Noted,
    /// A notice was sent to the candidate.
    Noticed {
        /// Shown to the candidate.
        text: String,
        /// How it is shown.
        level: NoticeLevel,
        /// Whether the person must acknowledge it.
        ack: bool,
        /// The sender's name.
        from: String,
        /// The staff command that sent it; none: a rule did.
        command: Option<CommandKey>,
    },
    /// Every notice that waited is on its way to a connected client.
    NoticesSent,
    /// The person has seen a notice.
    NoticeAcknowledged {
        /// The notice's id.
        id: String,
    },
    /// Staff stopped the clock.
    Paused {
        /// When.
        at: Timestamp,
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// The clock goes on.
    Resumed {
        /// When.
        at: Timestamp,
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// Staff moved the deadline.
    Extended {
        /// When.
        at: Timestamp,
        /// By how much.
        by: Duration,
        /// Kept in the timeline.
        reason: Option<String>,
    },
    /// An interruption was given back.
    Compensated {
        /// When it began.
        from: Timestamp,
        /// By how much.
        by: Duration,
        /// Why.
        cause: Cause,
    },
    /// Another time-limited section runs, or none.
    SectionChanged {
        /// Index of the section in the exam.
        section: Option<u16>,
    },
    /// Staff marked the attempt for review.
    Flagged {
        /// Kept in the timeline.
        reason: Option<String>,
    },
    /// Staff took the mark off.
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
        /// When.
        at: Timestamp,
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// The attempt is handed in; nothing changes its answers any more.
    HandedIn {
        /// When.
        at: Timestamp,
        /// Who did it.
        by: HandedInBy,
        /// The command's number, where the candidate did it.
        seq: Option<u64>,
        /// The final status.
        status: Status,
        /// Whether an answer or the hand-in came after the deadline.
        late: bool,
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// A staff command of this key is done and will not be done again.
    CommandDone {
        /// Whose and which.
        key: CommandKey,
    },
}

/// How an attempt came to be handed in.
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

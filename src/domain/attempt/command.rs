//! What can be asked of an attempt, and the ways in which it says no.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{
    id::{QuestionId, SessionId},
    integrity::{Detection, Origin},
    time::Timestamp,
};

/// Something that someone, or time, wants of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A candidate connects: `resume` names the session to go on with, `fresh`
    /// is the new session's id where that one does not own the attempt.
    Enter {
        /// The session that the client knows.
        resume: Option<SessionId>,
        /// Unique; becomes the session's id if a new one begins.
        fresh: SessionId,
    },
    /// The candidate's last connection is gone.
    Leave,
    /// A numbered command of the candidate, who is connected: whoever comes
    /// without a socket enters, commands, leaves.
    Numbered {
        /// 1, 2, 3 ... within the session.
        seq: u64,
        /// What it asks.
        what: Numbered,
    },
    /// A numbered integrity event of the candidate's client.
    Observe(Observation),
    /// Something that the engine itself noticed.
    Detect {
        /// What.
        what: Detection,
        /// More about it: a JSON object, or null.
        data: serde_json::Value,
    },
    /// The candidate is connected from here.
    Arrive {
        /// From where.
        origin: Origin,
    },
    /// The person has seen a notice.
    AcknowledgeNotice {
        /// The notice's id.
        id: String,
    },
    /// Time has passed: at or after [`super::Attempt::next_deadline`].
    Tick,
    /// No node of the engine was alive in this interval.
    Outage {
        /// Its begin.
        from: Timestamp,
        /// Its end.
        until: Timestamp,
    },
    /// A member of staff acts.
    Staff {
        /// Who and which: an action of the same key is done once.
        key: CommandKey,
        /// What.
        action: Action,
    },
}

/// A candidate's command that changes the record.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbered {
    /// Answers a question.
    Answer {
        /// Which.
        question: QuestionId,
        /// JSON `null` clears; none: what came is no JSON value that can be kept.
        value: Option<serde_json::Value>,
        /// The revision that was edited; none: no check.
        base_rev: Option<u32>,
        /// Time on the question since the last answer to it.
        spent: Duration,
        /// An optional field of the wrong form: the answer is refused.
        bad_field: Option<&'static str>,
    },
    /// Marks a question for the candidate's own review.
    Flag {
        /// Which.
        question: QuestionId,
        /// Set or taken off.
        on: bool,
    },
    /// Hands in.
    Submit,
}

impl Numbered {
    /// The command's name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Answer { .. } => "answer",
            Self::Flag { .. } => "flag",
            Self::Submit => "submit",
        }
    }
}

/// What a client noticed.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// 1, 2, 3 ... within the session, a count of its own.
    pub n: u64,
    /// Event kind of the protocol.
    pub kind: String,
    /// By the client's clock, not to be trusted.
    pub client_at: Timestamp,
    /// A JSON object, or null.
    pub data: serde_json::Value,
    /// Over the limits, or of the wrong form: counted, and not judged.
    pub dropped: bool,
}

/// Identity of a staff command: whose, and the id that they gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommandKey {
    /// The person.
    pub person: String,
    /// Unique among the person's commands.
    pub command: String,
}

/// What staff may do to an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Sends a notice.
    Message {
        /// Shown to the candidate.
        text: String,
        /// How it is shown.
        level: NoticeLevel,
        /// Whether the person must acknowledge it.
        ack: bool,
        /// The sender's name.
        from: String,
    },
    /// Stops the clock.
    Pause {
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// Lets the clock go on; the time paused is given back.
    Resume {
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// Moves the deadline.
    Extend {
        /// By how much; not zero.
        by: Duration,
        /// Kept in the timeline.
        reason: Option<String>,
    },
    /// Hands the attempt in as it stands.
    Submit {
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// Voids the attempt.
    Cancel {
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// Marks the attempt for an integrity review after the exam.
    Flag {
        /// Kept in the timeline.
        reason: Option<String>,
    },
    /// Takes that mark off.
    Unflag {
        /// Kept in the timeline.
        reason: Option<String>,
    },
    /// Lets the candidate enter again from another device.
    Release {
        /// Kept in the timeline.
        reason: Option<String>,
    },
    /// Closes an incident.
    Resolve {
        /// Its id.
        incident: String,
        /// What the person found.
        verdict: String,
        /// More about it.
        note: Option<String>,
    },
    /// Gives an incident to somebody.
    Assign {
        /// Its id.
        incident: String,
        /// The person; none: nobody.
        to: Option<String>,
    },
}

/// How a notice is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub enum NoticeLevel {
    Info,
    Warning,
    Urgent,
}

/// A domain answer: the command changes nothing, not even a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A number beyond the one that is due; it is not used up.
    Gap {
        /// The one that is due.
        expected: u64,
    },
    /// The attempt is over, or no session owns it yet.
    Closed,
    /// `session_policy: reject`, and another device has the attempt.
    AnotherDevice,
    /// Staff: the attempt is over.
    AfterHandIn,
    /// Staff: `resume` of what is not paused.
    NotPaused,
    /// Staff: `pause` of what is paused.
    AlreadyPaused,
    /// Staff: the clock has not begun.
    NotStarted,
    /// Staff: the attempt has no such incident.
    UnknownIncident,
}

/// Why a numbered command is void for good. The number counts as used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub enum Void {
    NotOpen,
    Conflict,
    UnknownQuestion,
    BadValue,
    TooLarge,
    Paused,
    TimeOver,
    Closed,
    Locked,
}

impl Void {
    /// The refusal code on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotOpen => "not_open",
            Self::Conflict => "conflict",
            Self::UnknownQuestion => "unknown_question",
            Self::BadValue => "bad_value",
            Self::TooLarge => "too_large",
            Self::Paused => "paused",
            Self::TimeOver => "time_over",
            Self::Closed => "closed",
            Self::Locked => "locked",
        }
    }

    /// Whether the refused text is kept in the timeline, where staff find it.
    pub const fn keeps_text(self) -> bool {
        match self {
            Self::Conflict | Self::TimeOver | Self::Closed | Self::Paused => true,
            Self::NotOpen
            | Self::UnknownQuestion
            | Self::BadValue
            | Self::TooLarge
            | Self::Locked => false,
        }
    }
}

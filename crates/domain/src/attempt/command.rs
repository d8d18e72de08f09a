//! Commands to an attempt, and the reasons for which it refuses them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    id::{QuestionId, SessionId},
    integrity::{ConnectionOrigin, Detection},
    time::Timestamp,
};

/// A command of the candidate, of staff, of the engine or of time.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptCommand {
    /// A candidate connects: `resume` names the session to continue. If that session
    /// does not own the attempt, a new one with the id `fresh` begins.
    Enter {
        /// Session that the client knows.
        resume: Option<SessionId>,
        /// Unique; the id of the session if a new one begins.
        fresh: SessionId,
    },
    /// The candidate's last connection has ended.
    Leave,
    /// A numbered command of a connected candidate. A client without a socket
    /// enters, sends its commands, and leaves.
    Numbered {
        /// 1, 2, 3 ... within the session.
        seq: u64,
        /// The command itself.
        what: CandidateCommand,
    },
    /// A numbered integrity event of the candidate's client.
    Observe(ClientEvent),
    /// The engine detected an integrity event.
    Detect {
        /// Kind of the detection.
        what: Detection,
        /// Details: a JSON object, or null.
        data: serde_json::Value,
    },
    /// The candidate connected from this origin.
    Arrive {
        /// Address and device.
        origin: ConnectionOrigin,
    },
    /// The candidate acknowledged a notice.
    AcknowledgeNotice {
        /// The notice's id.
        id: String,
    },
    /// Time has passed: at or after [`super::Attempt::next_tick_at`].
    Tick,
    /// No node of the engine was alive in this interval.
    Outage {
        /// Begin of the outage.
        from: Timestamp,
        /// End of the outage.
        until: Timestamp,
    },
    /// A member of staff acts.
    Staff {
        /// Identity of the command: an action of the same key is done once.
        key: CommandKey,
        /// The action to take.
        action: StaffAction,
    },
}

/// A command of the candidate that changes the record.
#[derive(Debug, Clone, PartialEq)]
pub enum CandidateCommand {
    /// Answers a question.
    Answer {
        /// Id of the question.
        question: QuestionId,
        /// JSON `null` clears the answer; `None` if the client sent a value that cannot
        /// be stored.
        value: Option<serde_json::Value>,
        /// Revision that the candidate edited; `None` skips the check for conflicts.
        base_rev: Option<u32>,
        /// Time spent on the question since the last answer to it.
        spent: Duration,
        /// Problem with a malformed optional field, for which the answer is refused.
        bad_field: Option<&'static str>,
    },
    /// Flags a question for the candidate's own review, or removes the flag.
    Flag {
        /// Id of the question.
        question: QuestionId,
        /// True sets the flag, false removes it.
        on: bool,
    },
    /// Hands in the attempt.
    Submit,
}

impl CandidateCommand {
    /// Name of the command on the wire.
    pub const fn wire_name(&self) -> &'static str {
        match self {
            Self::Answer { .. } => "answer",
            Self::Flag { .. } => "flag",
            Self::Submit => "submit",
        }
    }
}

/// An integrity event that the client reports.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientEvent {
    /// 1, 2, 3 ... within the session, apart from the commands' numbers.
    pub n: u64,
    /// Event kind of the protocol.
    pub kind: String,
    /// Time by the client's clock, which is not trusted.
    pub client_at: Timestamp,
    /// Details: a JSON object, or null.
    pub data: serde_json::Value,
    /// True if it was over the limits or malformed: counted, but not judged.
    pub dropped: bool,
}

/// Identity of a staff command: its sender, and the id that the sender gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommandKey {
    /// Id of the sender.
    pub person: String,
    /// Unique among the sender's commands.
    pub command: String,
}

/// An action of staff on an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StaffAction {
    /// Sends a notice.
    Message {
        /// Shown to the candidate.
        text: String,
        /// Controls how the client displays it.
        level: NoticeUrgency,
        /// True if the candidate must acknowledge it.
        ack: bool,
        /// The sender's name.
        from: String,
    },
    /// Pauses the clock.
    Pause {
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// Starts the clock again; the paused time is given back.
    Resume {
        /// Shown to the candidate.
        reason: Option<String>,
    },
    /// Moves the deadline.
    Extend {
        /// Extra time; not zero.
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
    /// Removes the mark for an integrity review.
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
        /// Id of the incident.
        incident: String,
        /// Finding, such as `confirmed` or `dismissed`.
        verdict: String,
        /// Remarks.
        note: Option<String>,
    },
    /// Assigns an incident to a person.
    Assign {
        /// Id of the incident.
        incident: String,
        /// The assignee; `None` removes the assignment.
        to: Option<String>,
    },
}

/// Urgency of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub enum NoticeUrgency {
    Info,
    Warning,
    Urgent,
}

/// A command without effect: it changes nothing and uses up no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecideError {
    /// The command's number is beyond the next one.
    Gap {
        /// The next number.
        expected: u64,
    },
    /// The attempt is over, or has no session yet.
    Closed,
    /// The exam has `session_policy: reject`, and another device has the attempt.
    AnotherDevice,
    /// Staff: the attempt is over.
    AfterHandIn,
    /// Staff: `resume` while the clock is not paused.
    NotPaused,
    /// Staff: `pause` while the clock is paused.
    AlreadyPaused,
    /// Staff: the clock has not started.
    NotStarted,
    /// Staff: the attempt has no such incident.
    UnknownIncident,
}

/// The reason for which a numbered command is refused for good. Its number is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub enum CommandRefusal {
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

impl CommandRefusal {
    /// Name of the code on the wire.
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

    /// Returns true if the timeline keeps the refused text for staff.
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

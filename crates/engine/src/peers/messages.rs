//! Messages between nodes: requests, responses and events, with everything that travels in
//! them.
//!
//! A leaf: attempts, boards and routing use the messages, and the messages use none of them.
//! Variants and fields are on the bus under the names that they have here. Nodes of an earlier
//! release read and send them during a deploy, so a new field is optional.

mod boards;

use std::{net::IpAddr, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub(crate) use self::boards::{
    BoardUpdate, CommandDelivery, ConsoleNotice, PeerRow, RowState, WatchedExam, WatchingConsole,
};
use invigil_cluster::{LinkProtocol, PeerTimeouts};
use invigil_domain::{
    admission,
    attempt::{
        Answer, AttemptControl, AttemptIdentity,
        command::{CommandKey, StaffAction},
    },
    id::{AttemptId, ExamCode, QuestionId, SessionId},
    person::CandidateScope,
    time::Timestamp,
};
use invigil_protocol::{code::CloseCode, exchange};

/// Time that a caller without a socket waits for a commit before it must try again.
pub(crate) const COMMIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Limit for an attempt's owner to save pending changes and release it. After that the
/// attempt is acquired anyway, which epochs make safe.
pub(crate) const HAND_OVER_MAX: Duration = Duration::from_millis(250);

/// Timeouts of a request that changes an attempt, and of one that only reads.
pub(crate) const ACTION_TIMEOUTS: PeerTimeouts = PeerTimeouts {
    first_reply: HAND_OVER_MAX,
    // Longer than the owner waits for its commit, so that its response still arrives.
    total: COMMIT_TIMEOUT.saturating_add(Duration::from_secs(2)),
};
pub(crate) const QUERY_TIMEOUTS: PeerTimeouts = PeerTimeouts::uniform(HAND_OVER_MAX);

/// The messages between nodes of the engine.
pub(crate) struct PeerProtocol;

impl LinkProtocol for PeerProtocol {
    type Request = PeerRequest;
    type Response = PeerResponse;
    type Event = PeerEvent;
}

/// A candidate's request to connect, as far as the attempt's
/// owner must know it to release the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The session to resume, and the number of its next command.
    pub resume: Option<(SessionId, u64)>,
    /// The client's address.
    pub address: IpAddr,
    /// Time of the request, by the clock of the node that received it.
    // Optional, as nodes of an earlier release do not send it.
    #[serde(default)]
    pub asked_at: Option<Timestamp>,
}

/// A request to another node.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PeerRequest {
    /// Save pending changes and release the attempt, held under this epoch, to the node
    /// that its candidate is connected to.
    Release {
        attempt: AttemptId,
        // Optional, as nodes of an earlier release do not send it.
        #[serde(default)]
        epoch: Option<u64>,
        entry: JoinRequest,
    },
    /// Run an exchange that a candidate sent without a socket: the request as JSON, and
    /// the session that begins if it names none.
    Exchange {
        attempt: AttemptId,
        request: String,
        // Likewise.
        #[serde(default)]
        fresh: Option<SessionId>,
        address: IpAddr,
        /// True if another node may have run it already, and its response was lost.
        #[serde(default)]
        again: bool,
    },
    /// Run a staff command.
    Staff {
        attempt: AttemptId,
        key: CommandKey,
        action: StaffAction,
    },
    /// Return a snapshot of the attempt.
    Look { attempt: AttemptId },
    /// Return the rows of an exam's attempts in memory.
    Board { exam: ExamCode },
    /// Count the attempts of exams in memory that are within a scope.
    Live {
        exams: Vec<ExamCode>,
        candidates: CandidateScope,
    },
}

/// The response to a [`PeerRequest`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PeerResponse {
    /// Everything is saved, and this node writes no more.
    Released,
    /// The candidate may not connect.
    Refused {
        code: CloseCode,
        detail: Option<String>,
    },
    /// The result of an exchange.
    Exchanged(Result<Box<exchange::ExchangeResponse>, ExchangeRefusal>),
    /// The result of a staff command.
    Staffed(Result<(), StaffRefusal>),
    /// A snapshot of the attempt in memory.
    Look(Box<AttemptSnapshot>),
    /// The node's rows of an exam.
    Board(BoardUpdate),
    /// Counts, in the order of the exams.
    Live(Vec<u32>),
}

/// An event that a node announces to others.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PeerEvent {
    /// The sender has acquired an attempt.
    Taken { attempt: AttemptId, epoch: u64 },
    /// Exams watched at the sender: all of them, or those that changed.
    Watching {
        watched: Vec<WatchedExam>,
        all: bool,
    },
    /// Changed rows of the sender's board of an exam.
    Rows(ExamCode, BoardUpdate),
    /// People, their rights or exams were changed.
    Changed,
    /// A notice for the consoles of an exam.
    Told(ExamCode, Box<ConsoleNotice>),
}

/// Reason why an exchange had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExchangeRefusal {
    /// Another session owns the attempt.
    Superseded,
    /// The attempt is over.
    Closed,
    /// The exam refuses a second device.
    AnotherDevice,
    /// The access rules refuse the candidate.
    Forbidden(admission::AdmissionError),
    /// The store is away, or the engine too busy; retry later.
    Unavailable,
}

/// Reason why a staff command had no effect on an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StaffRefusal {
    /// The attempt is over.
    Closed,
    /// The attempt is not paused.
    NotPaused,
    /// The attempt is paused already.
    AlreadyPaused,
    /// The attempt's clock has not started.
    NotStarted,
    /// The attempt has no such incident.
    UnknownIncident,
    /// The store is away, or another node has the attempt; retry later.
    Unavailable,
}

impl StaffRefusal {
    /// The code in `result.failed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::NotPaused => "not_paused",
            Self::AlreadyPaused => "already_paused",
            Self::NotStarted => "not_started",
            Self::UnknownIncident => "unknown_incident",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Snapshot of an attempt in memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttemptSnapshot {
    /// Identity of the attempt.
    pub identity: Arc<AttemptIdentity>,
    /// State that staff and time control.
    pub control: AttemptControl,
    /// The attempt's version.
    pub version: u64,
    /// Session that owns the attempt, by its durable state.
    // Optional: nodes of an earlier release do not send it.
    #[serde(default)]
    pub session: Option<SessionId>,
    /// Highest durable command number of that session.
    pub saved_seq: u64,
    /// Answers and flags, by question.
    pub answers: Vec<(QuestionId, Answer)>,
}

//! Parts of the messages about boards: rows of attempts, watching consoles, notices.

use std::collections::BTreeSet;

use invigil_protocol::proctor::{
    IncidentAlert, IncidentCounts, ProctorAction, ProctorServerMessage,
};
use serde::{Deserialize, Serialize};

use invigil_domain::{
    attempt::{LifecycleStatus, command::CommandKey},
    id::{AttemptId, ExamCode, NodeId, PersonId, QuestionId},
    person::{CandidateScope, GroupSet},
    time::Timestamp,
};

/// The part of a row that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowState {
    /// Status of the attempt.
    pub status: LifecycleStatus,
    /// True while the candidate is connected.
    pub online: bool,
    /// End of the candidate's time.
    pub deadline_at: Option<Timestamp>,
    /// Number of questions that have an answer.
    pub answered: u32,
    /// The question on screen.
    pub q: Option<QuestionId>,
    /// Risk, 0 to 100.
    pub risk: u8,
    /// Incidents by severity.
    pub incidents: IncidentCounts,
    /// Time of the candidate's last sign of life.
    pub last_seen_at: Option<Timestamp>,
    /// Round trip in ms, as the client measured it.
    pub rtt_ms: Option<i64>,
    /// True if marked for review after the exam.
    pub flagged: bool,
    /// The node that has the attempt in memory.
    pub node: Option<NodeId>,
}

/// A whole row, as nodes send it to each other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PeerRow {
    pub(crate) attempt: AttemptId,
    pub(crate) candidate: PersonId,
    pub(crate) name: Box<str>,
    pub(crate) groups: GroupSet,
    pub(crate) questions: u32,
    /// The epoch of the attempt's lease; 0 if no node has acquired it yet.
    pub(crate) epoch: u64,
    /// Rises with every change within an epoch.
    pub(crate) change: u64,
    pub(crate) shown: RowState,
}

/// A command's arrival on a candidate's device, or the candidate's acknowledgement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CommandDelivery {
    pub(crate) key: CommandKey,
    pub(crate) attempt: AttemptId,
    pub(crate) acknowledged: bool,
}

/// The rows that a node has of an exam: the changed ones, or all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct BoardUpdate {
    /// Rises by one with every message of the node about the exam.
    pub(crate) rev: u64,
    pub(crate) seats: Vec<PeerRow>,
    pub(crate) reached: Vec<CommandDelivery>,
}

/// An exam, and the consoles of one node that watch it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WatchedExam {
    pub(crate) exam: ExamCode,
    pub(crate) consoles: Vec<WatchingConsole>,
}

/// A notice that the consoles of other nodes get at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConsoleNotice {
    /// An incident of a candidate of these groups.
    Incident {
        groups: GroupSet,
        incident: IncidentAlert,
    },
    /// An action of staff on these candidates.
    Action {
        own: CandidateScope,
        action: ProctorAction,
    },
    /// A timeline entry of an inspected attempt.
    Entry {
        attempt: AttemptId,
        message: ProctorServerMessage,
    },
}

/// A console, with the attempts that it inspects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WatchingConsole {
    pub(crate) person: PersonId,
    pub(crate) name: String,
    pub(crate) scope: CandidateScope,
    pub(crate) inspects: BTreeSet<AttemptId>,
}

impl WatchingConsole {
    /// The inspected attempts.
    pub(crate) const fn inspected_attempts(&self) -> &BTreeSet<AttemptId> {
        &self.inspects
    }

    /// Returns true if the console inspects the attempt.
    pub(crate) fn inspects_attempt(&self, attempt: AttemptId) -> bool {
        self.inspects.contains(&attempt)
    }
}

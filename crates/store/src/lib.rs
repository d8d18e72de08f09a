//! Durable state: the traits that the engine and the web layer need, no wider.
//!
//! Two adapters implement them, `sqlite` for one machine and `postgres`
//! for servers, and one conformance suite (`tests/store_conformance.rs`) runs
//! on both. Adapters hold no rules: `domain` decides what a row means.
//!
//! An attempt has a single writer. Each node that
//! [acquires](AttemptStore::acquire_attempt) it gets a higher epoch, and every
//! [`AttemptWrite`] names the epoch of its writer. The store commits the write
//! only while that epoch is still the attempt's, checked under a row lock that
//! acquiring conflicts with.

mod evidence;
pub mod records;

use std::{borrow::Cow, sync::Arc};

use async_trait::async_trait;
use serde_json::Value;

pub use crate::evidence::{AnnounceOutcome, EvidenceQuota, EvidenceRow, EvidenceStore};
pub use invigil_domain::{
    attempt::AttemptIdentity,
    exam::definition::CorrectedKey,
    grading::{GradeRow, ScoreTotals},
    person::{CandidateScope, ExamScope, GroupSet, PersonRole, RosterPerson},
};
use invigil_domain::{
    attempt::LifecycleStatus,
    id::{AttemptId, ExamCode, ExamVersion, NodeId, PersonId, QuestionId, SessionId},
    time::Timestamp,
    value::CanonicalValue,
};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be reached, is full, or asks for a retry: the same
    /// call may succeed later, and its outcome is unknown.
    #[error("{operation}: the store is not available")]
    Unavailable {
        /// The operation as a verb phrase: "save batch".
        operation: &'static str,
        /// The driver's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store refuses this data permanently: a retry does not help.
    #[error("{operation}: the store refuses the data")]
    Rejected {
        /// The operation as a verb phrase.
        operation: &'static str,
        /// The driver's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store cannot be used: it has the schema of another version of the
    /// program, or its directory is in use or not writable. The message is
    /// meant for the operator.
    #[error("{0}")]
    Schema(String),
}

/// An attempt to create. See [`AttemptStore::start_attempt`].
#[derive(Debug, Clone)]
pub struct NewAttempt {
    /// Identity; the store assigns `id` and `number` and ignores them here.
    pub identity: AttemptIdentity,
    /// Maximum number of attempts of the person at the exam.
    pub max_attempts: u16,
    /// Client address of the start request; kept for reference only.
    pub address: std::net::IpAddr,
    /// State of the attempt before the candidate enters it.
    pub control: ControlRow,
}

/// The outcome of [`AttemptStore::start_attempt`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartOutcome {
    /// A new attempt.
    Created(AttemptIdentity),
    /// The person's open attempt at this exam.
    Open(AttemptIdentity),
    /// The person has used all attempts.
    NoneLeft,
    /// The exam or the person has changed since it was read: read it again and
    /// repeat the decision.
    Changed,
}

/// The attempt's state besides its answers: everything that staff or time change.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlRow {
    /// `domain::attempt::Control` as JSON. It is authoritative; the other fields
    /// mirror it for queries.
    pub state: Arc<str>,
    /// The attempt's status.
    pub status: LifecycleStatus,
    /// Instant of the candidate's first entry, which starts the clock.
    pub entered_at: Option<Timestamp>,
    /// End of the candidate's time; `None` before the first entry.
    pub deadline_at: Option<Timestamp>,
    /// Instant at which the engine must load the attempt even without a
    /// connection; `None` while it is paused or over.
    pub close_at: Option<Timestamp>,
    /// Instant after which no answers are accepted and the person may start
    /// another attempt.
    pub closed_at: Option<Timestamp>,
    /// Findings of proctoring.
    pub integrity: IntegritySums,
}

/// Findings of proctoring in an attempt, for queries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IntegritySums {
    /// Number of times that a rule of the exam acted.
    pub violations: u32,
    /// The distinct kinds of the attempt's incidents.
    pub flags: Vec<String>,
    /// The highest risk so far, 0 to 100; `None` without proctoring.
    pub peak_risk: Option<u8>,
    /// True if the attempt is handed in and no incident is open or was confirmed.
    pub verified: bool,
}

/// The durable part of the candidate's session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProgressRow {
    /// Number of the newest change to the record; it orders all writes of an
    /// attempt, across sessions and owners.
    pub version: u64,
    /// The session that owns the attempt.
    pub session: Option<SessionId>,
    /// The highest handled command number of that session.
    pub last_seq: u64,
    /// The highest handled event number of that session.
    pub last_event: u64,
    /// Instant of the candidate's last message.
    pub last_activity_at: Timestamp,
}

/// The current answer (or flag) of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerRow {
    /// The question's id.
    pub question: QuestionId,
    /// JSON in the protocol's form; `None` if cleared or only flagged.
    pub value: Option<CanonicalValue>,
    /// True if the candidate marked the question for review.
    pub flagged: bool,
    /// Number of accepted answers so far.
    pub rev: u32,
    /// [`ProgressRow::version`] of this change; a lower version never overwrites.
    pub version: u64,
    /// Instant of acceptance.
    pub answered_at: Timestamp,
    /// Total time on the question, as counted by the client.
    pub spent_ms: u64,
}

/// An entry of the attempt's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineRow {
    /// Cursor: unique within the attempt and increasing.
    pub number: u64,
    /// Instant by the engine's clock.
    pub at: Timestamp,
    /// Stable name, such as `answer`, `connected`, `refused`, `focus_lost`.
    pub kind: String,
    /// A JSON object.
    pub data: Arc<str>,
}

impl TimelineRow {
    /// Returns the entry without the answer's value, for readers who may see that
    /// and when a question was answered, but not the answer.
    pub fn without_answer(&self) -> Cow<'_, Self> {
        let mut data: Value = match self.kind.as_str() {
            "answer" | "question_flagged" | "refused" => {
                serde_json::from_str(&self.data).unwrap_or_default()
            }
            _ => return Cow::Borrowed(self),
        };
        if let Some(fields) = data.as_object_mut() {
            fields.remove("value");
        }
        Cow::Owned(Self {
            data: data.to_string().into(),
            ..self.clone()
        })
    }

    /// Converts the entry for a [`RecordStore`](records::RecordStore).
    pub fn into_history_record(
        self,
        attempt: AttemptId,
        exam: ExamCode,
        kept: std::time::Duration,
    ) -> records::TimelineRecord {
        records::TimelineRecord {
            id: format!("{attempt}:v{}", self.number),
            class: records::RecordClass::History,
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

/// The durable result of a hand-in, besides the last answers.
#[derive(Debug, Clone, PartialEq)]
pub struct HandInRow {
    /// Instant of the hand-in.
    pub submitted_at: Timestamp,
    /// `candidate`, `time` or `staff`.
    pub handed_in_by: &'static str,
    /// True if an answer or the hand-in came after the deadline.
    pub late: bool,
    /// Points and grade of the whole attempt.
    pub totals: ScoreTotals,
    /// A mark for each question that has an answer.
    pub grades: Vec<GradeRow>,
    /// The signed receipt as JSON.
    pub receipt: Arc<str>,
}

/// Changes of one attempt that must become durable together.
#[derive(Debug, Clone)]
pub struct AttemptWrite {
    /// The attempt's id.
    pub attempt: AttemptId,
    /// The writer's epoch.
    pub epoch: u64,
    /// The attempt's exam version, by which an adapter finds its question keys.
    pub exam_version: ExamVersion,
    /// Progress of the session; always written.
    pub progress: ProgressRow,
    /// The control state, if it changed.
    pub control: Option<Box<ControlRow>>,
    /// The newest answer of each changed question.
    pub answers: Vec<AnswerRow>,
    /// Entries to append; one with an existing number changes nothing.
    pub timeline: Vec<TimelineRow>,
    /// The hand-in, if there is one.
    pub hand_in: Option<Box<HandInRow>>,
}

/// The outcome of one [`AttemptWrite`] of a committed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The write is durable.
    Saved,
    /// Nothing was written: the attempt has a newer epoch.
    Fenced,
}

/// An attempt with everything that its new owner needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Acquired {
    /// The owner's epoch, higher than any before.
    pub epoch: u64,
    /// The attempt's identity.
    pub identity: AttemptIdentity,
    /// The candidate's name, shown to proctors.
    pub candidate_name: String,
    /// `domain::attempt::Control` as JSON.
    pub control: Arc<str>,
    /// The durable progress of the session.
    pub progress: ProgressRow,
    /// All stored answers, by question.
    pub answers: Vec<AnswerRow>,
    /// Last sign of life of an owner that died; kept until a later owner's first
    /// [save](AttemptStore::save_batch).
    pub lost_at: Option<Timestamp>,
}

/// The outcome of [`AttemptStore::acquire_attempt`].
#[derive(Debug, Clone, PartialEq)]
pub enum AcquireOutcome {
    /// The caller owns the attempt.
    Acquired(Box<Acquired>),
    /// Another node owns the attempt.
    Held {
        /// The owner.
        node: NodeId,
        /// The epoch of its lease.
        epoch: u64,
    },
}

/// The owners whose overdue attempts are wanted; attempts that never had an owner are
/// always included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverdueScope<'a> {
    /// The asking node.
    Own,
    /// The asking node, nodes silent for a minute, and nodes that are not in this list
    /// and were silent for a few seconds.
    OwnAndLost(&'a [NodeId]),
}

/// The owner of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptOwner {
    /// The attempt's id.
    pub attempt: AttemptId,
    /// The node that acquired it last; `None` if no node ever did.
    pub node: Option<NodeId>,
    /// The epoch of that lease.
    pub epoch: u64,
}

/// The stored state of an attempt, read without acquiring it.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptSummary {
    /// The attempt's identity.
    pub identity: AttemptIdentity,
    /// The control state, as last written.
    pub control: ControlRow,
    /// The durable progress of the session.
    pub progress: ProgressRow,
    /// Number of answers that are not null.
    pub answered: u32,
    /// Instant of the hand-in.
    pub submitted_at: Option<Timestamp>,
    /// True if the hand-in was late; false before it.
    pub late: bool,
    /// Points and grade; `None` before the hand-in.
    pub totals: Option<ScoreTotals>,
    /// True if staff released the result to the candidate.
    pub released: bool,
}

/// A line of an exam's results.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultLine {
    /// The attempt.
    pub summary: AttemptSummary,
    /// The candidate's name.
    pub candidate_name: String,
}

/// The state of a staff command, by its id. See [`AttemptStore::begin_command`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandState {
    /// New, or begun and not ended: carry it out (attempts skip what they have done).
    /// Lists, in order, the attempts of the exam that were open when the command began;
    /// empty if it is not for a whole exam.
    Begun(Vec<AttemptId>),
    /// Done, with its result as JSON.
    Done(Arc<str>),
    /// The id belongs to another command.
    Conflict,
}

/// Attempts and the engine's own rows.
#[async_trait]
pub trait AttemptStore: Send + Sync {
    /// Creates an attempt, or finds the person's open one. Two calls at once
    /// create one attempt, and never more than `max_attempts`.
    async fn start_attempt(&self, new: NewAttempt) -> Result<StartOutcome, Error>;

    /// Acquires an attempt: raises its epoch, sets the owner, then reads it. An attempt
    /// of one of `living` (other nodes known to be alive, whatever the store has heard)
    /// stays [`Held`](AcquireOutcome::Held) unless its lease has `expected_epoch`.
    /// Returns `None` if the attempt does not exist.
    async fn acquire_attempt(
        &self,
        attempt: AttemptId,
        node: &NodeId,
        living: &[NodeId],
        expected_epoch: Option<u64>,
    ) -> Result<Option<AcquireOutcome>, Error>;

    /// Returns the owners of these attempts, in any order, without unknown attempts.
    async fn read_owners(&self, attempts: &[AttemptId]) -> Result<Vec<AttemptOwner>, Error>;

    /// Writes a batch in one durable transaction: all of it or, on an error,
    /// nothing. A fenced write does not affect the others. A batch has at most one
    /// write per attempt. Writing the same batch twice changes nothing.
    async fn save_batch(&self, batch: &[AttemptWrite]) -> Result<Vec<WriteOutcome>, Error>;

    /// Returns the attempts with a `close_at` at or before `now` that this node should
    /// hand in, earliest first, each with the epoch of its lease: the `expected_epoch`
    /// with which the node acquires it.
    async fn find_overdue(
        &self,
        now: Timestamp,
        node: &NodeId,
        whose: OverdueScope<'_>,
        limit: u32,
    ) -> Result<Vec<(AttemptId, u64)>, Error>;

    /// Reads an attempt without acquiring it.
    async fn read_summary(&self, attempt: AttemptId) -> Result<Option<AttemptSummary>, Error>;

    /// Returns all attempts of a person, oldest first.
    async fn list_attempts_of(&self, person: &PersonId) -> Result<Vec<AttemptSummary>, Error>;

    /// Returns all attempts of an exam, by candidate and number.
    async fn list_results(&self, exam: &ExamCode) -> Result<Vec<ResultLine>, Error>;

    /// Reads the stored answers with their marks (`None` before the hand-in).
    async fn read_graded_answers(
        &self,
        attempt: AttemptId,
    ) -> Result<Vec<(AnswerRow, Option<GradeRow>)>, Error>;

    /// Reads the signed receipt, as JSON.
    async fn read_receipt(&self, attempt: AttemptId) -> Result<Option<Arc<str>>, Error>;

    /// Returns timeline entries with a number over `after`, oldest first.
    async fn read_timeline(
        &self,
        attempt: AttemptId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<TimelineRow>, Error>;

    /// Returns timeline entries older than `before`, by attempt and number, beginning
    /// `after` one, for the recorder that moves them to a store of records.
    async fn list_unrecorded(
        &self,
        after: (AttemptId, u64),
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<(AttemptId, ExamCode, TimelineRow)>, Error>;

    /// Deletes timeline entries, by attempt and number, once a store of records has them.
    async fn delete_recorded(&self, entries: &[(AttemptId, u64)]) -> Result<(), Error>;

    /// Registers a staff command's id for a person, or returns its state. `body` is a
    /// hash of the command. A command for a whole `exam` names it with the candidates
    /// in scope; the first call fixes its attempts, and a repeat returns the same ones.
    async fn begin_command(
        &self,
        person: &PersonId,
        command: &str,
        body: &[u8; 32],
        exam: Option<(&ExamCode, &CandidateScope)>,
    ) -> Result<CommandState, Error>;

    /// Stores the result of a command that was begun.
    async fn end_command(
        &self,
        person: &PersonId,
        command: &str,
        result: &str,
    ) -> Result<(), Error>;

    /// Records that the node is alive, and returns the latest earlier instant at which
    /// any node was.
    async fn mark_node_alive(
        &self,
        node: &NodeId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error>;

    /// Records that the node shut down in order and owns no attempt any more.
    async fn mark_node_left(&self, node: &NodeId) -> Result<(), Error>;

    /// Stores an interval in which no node was alive. A repeat changes nothing.
    async fn record_outage(&self, from: Timestamp, until: Timestamp) -> Result<(), Error>;

    /// Returns all recorded outages, oldest first, as (from, until).
    async fn list_outages(&self) -> Result<Vec<(Timestamp, Timestamp)>, Error>;

    /// Checks that the store responds; for readiness.
    async fn ping(&self) -> Result<(), Error>;
}

/// A stored version of an exam.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredExam {
    /// Unique code of the exam.
    pub code: ExamCode,
    /// Hash of `definition`.
    pub version: ExamVersion,
    /// Title, for listings.
    pub title: String,
    /// The exam file's content as canonical JSON.
    pub definition: Arc<str>,
    /// Later corrections of the answer key, oldest first; ignored when storing.
    pub corrections: Vec<CorrectedKey>,
}

/// A person with the credentials that authenticate them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonCredentials {
    /// The person.
    pub person: RosterPerson,
    /// Keyed hash of the access code, if there is one.
    pub access_code: Option<[u8; 32]>,
    /// Argon2id hash of the password in PHC format, if there is one.
    pub password: Option<String>,
    /// Instant before which sign-ins as this person are refused.
    pub locked_until: Option<Timestamp>,
}

/// A log-in to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRow {
    /// Hash of its token.
    pub token: [u8; 32],
    /// The person logged in.
    pub person: PersonId,
    /// End of its validity.
    pub expires_at: Timestamp,
    /// Origin of the request.
    pub origin: RequestOrigin,
}

/// The origin of a request, kept for reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestOrigin {
    /// The client's address.
    pub address: std::net::IpAddr,
    /// The client's `User-Agent`, possibly truncated.
    pub user_agent: Option<String>,
}

/// Time for which a replaced log-in token stays valid, for requests under way.
pub const TOKEN_OVERLAP: std::time::Duration = std::time::Duration::from_secs(30);

/// A sign-in and its outcome.
#[derive(Debug, Clone, Copy)]
pub struct SignInOutcome<'a> {
    /// The name as typed.
    pub name: &'a str,
    /// Origin of the request.
    pub origin: &'a RequestOrigin,
    /// True if the person is signed in.
    pub success: bool,
    /// Instant of the request.
    pub at: Timestamp,
    /// Number of failures in a row that lock the person.
    pub lock_after: u32,
    /// Duration of the lock.
    pub lock_for: std::time::Duration,
}

/// People, exams, log-ins and secrets.
#[async_trait]
pub trait CatalogStore: Send + Sync {
    /// Adds or replaces exams by code, all or none, and numbers the questions of each
    /// definition. Older versions stay readable for their attempts.
    async fn upsert_exams(&self, exams: &[StoredExam]) -> Result<(), Error>;

    /// Returns the newest version of every exam, by code.
    async fn list_exams(&self) -> Result<Vec<StoredExam>, Error>;

    /// Reads a frozen version.
    async fn read_exam_version(&self, version: &ExamVersion) -> Result<Option<StoredExam>, Error>;

    /// Adds or replaces people by id, all or none, with the keyed hash of the
    /// access code of each.
    async fn upsert_people(&self, people: &[(RosterPerson, [u8; 32])]) -> Result<(), Error>;

    /// Reads a person with their credentials. Returns `None` also for a person who
    /// may not sign in.
    async fn read_credentials(&self, id: &PersonId) -> Result<Option<PersonCredentials>, Error>;

    /// Records the outcome of a sign-in. Enough failures in a row lock the person,
    /// if the store supports locks.
    async fn record_sign_in(&self, tried: &SignInOutcome<'_>) -> Result<(), Error>;

    /// Stores a log-in by the hash of its token.
    async fn insert_login(&self, login: &LoginRow) -> Result<(), Error>;

    /// Replaces the token of a log-in and returns the log-in's unchanged end; `None` if
    /// `token` is not valid. The old token stays valid for [`TOKEN_OVERLAP`], also for
    /// another replacement, since the response may be lost.
    async fn rotate_login_token(
        &self,
        token: &[u8; 32],
        fresh: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error>;

    /// Returns the person of a valid token. A replaced token that is used after its
    /// [`TOKEN_OVERLAP`] counts as stolen: the log-in ends.
    async fn verify_login(
        &self,
        token: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<RosterPerson>, Error>;

    /// Ends a log-in.
    async fn end_login(&self, token: &[u8; 32]) -> Result<(), Error>;

    /// Returns the secret of this name; the first caller's `fresh` becomes it.
    async fn ensure_secret(&self, name: &str, fresh: &[u8; 32]) -> Result<[u8; 32], Error>;
}

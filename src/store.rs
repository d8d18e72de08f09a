//! What must last: the traits that the engine and the web layer need, no wider.
//!
//! Two adapters stand behind them, [`sqlite`] for one machine and [`postgres`]
//! for servers, and one conformance suite (`tests/store_conformance.rs`) runs
//! on both. Adapters hold no rules: what a row means is decided in `domain`.
//!
//! The one thing that may surprise: an attempt has a single writer. Whoever
//! [takes](AttemptStore::take) it gets a higher epoch, and every
//! [`AttemptWrite`] names the epoch of its writer; the store commits it only
//! while that is still the attempt's, checked under a row lock that taking
//! conflicts with.

mod convert;
mod evidence;
pub mod mongo;
mod outline;
pub mod postgres;
pub mod records;
pub mod sqlite;

use std::{borrow::Cow, sync::Arc};

use async_trait::async_trait;
use serde_json::Value;

pub use self::evidence::{Allowed, Announced, EvidenceRow, EvidenceStore};
pub use crate::domain::{
    attempt::Identity,
    exam::definition::Correction,
    grading::{GradeRow, Totals},
    person::{CandidateScope, ExamScope, Groups, Person, Role},
};
use crate::domain::{
    attempt::Status,
    id::{AttemptId, ExamCode, ExamVersion, NodeId, PersonId, QuestionId, SessionId},
    time::Timestamp,
    value::Canonical,
};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be reached, is full, or asks to try again: the same
    /// call may succeed later, and its outcome is unknown.
    #[error("{operation}: the store is not available")]
    Unavailable {
        /// What was tried, as a verb phrase: "save batch".
        operation: &'static str,
        /// The driver's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store refuses this data for good: trying again does not help.
    #[error("{operation}: the store refuses the data")]
    Rejected {
        /// What was tried.
        operation: &'static str,
        /// The driver's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store cannot be used as it stands: it has the schema of another
    /// version of the program, or its directory is in use or not writable.
    /// The sentence is meant for the operator.
    #[error("{0}")]
    Schema(String),
}

/// An attempt to be made. See [`AttemptStore::start`].
#[derive(Debug, Clone)]
pub struct NewAttempt {
    /// `id` and `number` are given by the store and ignored here.
    pub identity: Identity,
    /// The most attempts that the person may have at the exam.
    pub max_attempts: u16,
    /// Where the start came from; for the record only.
    pub address: std::net::IpAddr,
    /// State of an attempt nobody has entered.
    pub control: ControlRow,
}

/// What became of [`AttemptStore::start`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// A new attempt.
    Created(Identity),
    /// The person's open attempt at this exam.
    Open(Identity),
    /// All attempts are used.
    NoneLeft,
    /// The exam or the person is no longer what was read before: read again,
    /// and decide again.
    Changed,
}

/// The attempt's state besides answers: everything that staff or time change.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlRow {
    /// `domain::attempt::Control` as JSON; the truth. The other fields mirror
    /// it for queries.
    pub state: Arc<str>,
    /// Where the attempt stands.
    pub status: Status,
    /// When it is first entered, the clock's beginning.
    pub entered_at: Option<Timestamp>,
    /// End of the candidate's time; none while nobody has entered.
    pub deadline_at: Option<Timestamp>,
    /// When the engine must look at it even if nobody is connected; none while
    /// paused or once it is over.
    pub close_at: Option<Timestamp>,
    /// When no more answers are taken; from then on the person may start another.
    pub closed_at: Option<Timestamp>,
    /// What proctoring found.
    pub integrity: IntegritySums,
}

/// What proctoring found in an attempt, for queries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IntegritySums {
    /// How often a rule of the exam acted.
    pub violations: u32,
    /// The kinds of its incidents, each once.
    pub flags: Vec<String>,
    /// The highest risk that there was, 0 to 100; none: it is not watched.
    pub peak: Option<u8>,
    /// Handed in, and no incident is open or was confirmed.
    pub verified: bool,
}

/// How far the candidate's session is durable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Number of the newest change to the record; orders all writes of an attempt,
    /// over sessions and owners.
    pub version: u64,
    /// The session that owns the attempt.
    pub session: Option<SessionId>,
    /// The highest command number of that session that is dealt with.
    pub last_seq: u64,
    /// The highest event number of that session that is dealt with.
    pub last_event: u64,
    /// When the candidate was last heard.
    pub last_activity_at: Timestamp,
}

/// One answer (or flag) as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerRow {
    /// Which question.
    pub question: QuestionId,
    /// JSON as the protocol has it; none: cleared, or only flagged.
    pub value: Option<Canonical>,
    /// Marked for review by the candidate.
    pub flagged: bool,
    /// Accepted answers so far.
    pub rev: u32,
    /// [`Progress::version`] of this change: a lower one never overwrites.
    pub version: u64,
    /// When it was accepted.
    pub answered_at: Timestamp,
    /// Time on the question, as the client counts, summed up.
    pub spent_ms: u64,
}

/// One entry of the attempt's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineRow {
    /// Unique within the attempt and rising; the cursor.
    pub number: u64,
    /// When it happened, by the engine's clock.
    pub at: Timestamp,
    /// Stable name, such as `answer`, `connected`, `refused`, `focus_lost`.
    pub kind: String,
    /// A JSON object.
    pub data: Arc<str>,
}

impl TimelineRow {
    /// The same without what was answered, for those who may see that and when, and
    /// not what.
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

    /// The same for a store of records.
    pub fn into_history(
        self,
        attempt: AttemptId,
        exam: ExamCode,
        kept: std::time::Duration,
    ) -> records::Record {
        records::Record {
            id: format!("{attempt}:v{}", self.number),
            class: records::Class::History,
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

/// What a hand-in makes durable besides the last answers.
#[derive(Debug, Clone, PartialEq)]
pub struct HandInRow {
    /// When it was handed in.
    pub submitted_at: Timestamp,
    /// `candidate`, `time` or `staff`.
    pub handed_in_by: &'static str,
    /// Whether an answer or the hand-in came after the deadline.
    pub late: bool,
    /// The attempt's sums.
    pub totals: Totals,
    /// One for each question that has an answer.
    pub grades: Vec<GradeRow>,
    /// The signed receipt, JSON.
    pub receipt: Arc<str>,
}

/// Everything about one attempt that must become durable together.
#[derive(Debug, Clone)]
pub struct AttemptWrite {
    /// Which attempt.
    pub attempt: AttemptId,
    /// The writer's epoch.
    pub epoch: u64,
    /// The attempt's exam, so that an adapter can find its question keys.
    pub exam_version: ExamVersion,
    /// Always written.
    pub progress: Progress,
    /// Where it changed.
    pub control: Option<Box<ControlRow>>,
    /// At most one for each question, the newest.
    pub answers: Vec<AnswerRow>,
    /// Appended; a number that is already there is left as it is.
    pub timeline: Vec<TimelineRow>,
    /// Where the attempt is handed in.
    pub hand_in: Option<Box<HandInRow>>,
}

/// What became of one [`AttemptWrite`] of a batch that was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Durable.
    Saved,
    /// Nothing of it was written: the epoch is no longer the attempt's.
    Fenced,
}

/// An attempt as its new owner needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// The owner's epoch, higher than any before.
    pub epoch: u64,
    /// What it is.
    pub identity: Identity,
    /// The candidate's name, for the proctors.
    pub candidate_name: String,
    /// `domain::attempt::Control` as JSON.
    pub control: Arc<str>,
    /// How far it is durable.
    pub progress: Progress,
    /// Every stored answer, by question.
    pub answers: Vec<AnswerRow>,
    /// The last sign of life of a node that had it and died; known until the first
    /// [save](AttemptStore::save) of an owner after it.
    pub lost_at: Option<Timestamp>,
}

/// What became of [`AttemptStore::take`].
#[derive(Debug, Clone, PartialEq)]
pub enum Take {
    /// It is taken.
    Taken(Box<Taken>),
    /// Another node has it.
    Held {
        /// Which.
        node: NodeId,
        /// The number of its taking.
        epoch: u64,
    },
}

/// Whose overdue attempts are asked for; those that nobody ever had are everyone's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'a> {
    /// The node's own.
    Own,
    /// Also those of nodes that were not heard of for a minute, or are not among these
    /// and were not heard of lately.
    Lost(&'a [NodeId]),
}

/// Who has an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Which attempt.
    pub attempt: AttemptId,
    /// The node that took it last; none: nobody ever did.
    pub node: Option<NodeId>,
    /// The number of that taking.
    pub epoch: u64,
}

/// An attempt seen from outside, without taking it.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// What it is.
    pub identity: Identity,
    /// Where it stands, as last written.
    pub control: ControlRow,
    /// How far it is durable.
    pub progress: Progress,
    /// Answers that are not null.
    pub answered: u32,
    /// When it was handed in.
    pub submitted_at: Option<Timestamp>,
    /// Whether it was late; false before the hand-in.
    pub late: bool,
    /// After the hand-in.
    pub totals: Option<Totals>,
    /// Whether staff released the result to the candidate.
    pub released: bool,
}

/// A line of an exam's results.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultLine {
    /// The attempt.
    pub summary: Summary,
    /// The candidate's name.
    pub candidate_name: String,
}

/// What is known of a staff command's id. See [`AttemptStore::begin_command`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandState {
    /// Never seen, or begun and not ended: do it (attempts skip what they did). With
    /// the attempts of the exam that could still be changed when it began, ordered;
    /// none where it is for no whole exam.
    Begun(Vec<AttemptId>),
    /// Done: its result, JSON.
    Done(Arc<str>),
    /// The id was used for another command.
    Conflict,
}

/// What the attempt engine needs.
#[async_trait]
pub trait AttemptStore: Send + Sync {
    /// Makes an attempt, or finds the person's open one. Two calls at once
    /// make one attempt, and never more than `max_attempts`.
    async fn start(&self, new: NewAttempt) -> Result<Started, Error>;

    /// Takes an attempt, unless one of `living` (other nodes that are known not to be
    /// dead, whatever the store has heard) has it by another taking than `from`: raises
    /// its epoch, names the owner, then reads it. None where there is no such attempt.
    async fn take(
        &self,
        attempt: AttemptId,
        node: &NodeId,
        living: &[NodeId],
        from: Option<u64>,
    ) -> Result<Option<Take>, Error>;

    /// Who has these attempts, in any order; those that there are not are left out.
    async fn owners(&self, attempts: &[AttemptId]) -> Result<Vec<Owner>, Error>;

    /// Writes a batch in one durable transaction: all of it or, on an error,
    /// nothing. A fenced write does not hinder the others. At most one write an
    /// attempt. Writing the same batch twice changes nothing.
    async fn save(&self, batch: &[AttemptWrite]) -> Result<Vec<Written>, Error>;

    /// Attempts whose `close_at` is at or before `now` and that are for this node to
    /// hand in, earliest first, with the number of their last taking. Whoever hands one
    /// in takes it from that, as any other.
    async fn overdue(
        &self,
        now: Timestamp,
        node: &NodeId,
        whose: Whose<'_>,
        limit: u32,
    ) -> Result<Vec<(AttemptId, u64)>, Error>;

    /// Looks at an attempt without taking it.
    async fn summary(&self, attempt: AttemptId) -> Result<Option<Summary>, Error>;

    /// All attempts of a person, oldest first.
    async fn attempts_of(&self, person: &PersonId) -> Result<Vec<Summary>, Error>;

    /// All attempts of an exam, by candidate and number.
    async fn results(&self, exam: &ExamCode) -> Result<Vec<ResultLine>, Error>;

    /// Stored answers with their marks (none before the hand-in).
    async fn graded_answers(
        &self,
        attempt: AttemptId,
    ) -> Result<Vec<(AnswerRow, Option<GradeRow>)>, Error>;

    /// The signed receipt, JSON.
    async fn receipt(&self, attempt: AttemptId) -> Result<Option<Arc<str>>, Error>;

    /// Timeline entries with a number over `after`, oldest first.
    async fn timeline(
        &self,
        attempt: AttemptId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<TimelineRow>, Error>;

    /// Timeline entries from before an instant that come `after` one, by attempt and
    /// number, for a recorder that moves them to a store of records.
    async fn unrecorded(
        &self,
        after: (AttemptId, u64),
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<(AttemptId, ExamCode, TimelineRow)>, Error>;

    /// Forgets timeline entries, by attempt and number: a store of records has them.
    async fn recorded(&self, entries: &[(AttemptId, u64)]) -> Result<(), Error>;

    /// Registers a staff command's id for a person, or says what is known of it.
    /// `body` is a hash of the command, `exam` the exam that it is for as a whole, as
    /// far as the candidates are within reach: which attempts that means is settled
    /// here, and stays so when it is repeated.
    async fn begin_command(
        &self,
        person: &PersonId,
        command: &str,
        body: &[u8; 32],
        exam: Option<(&ExamCode, &CandidateScope)>,
    ) -> Result<CommandState, Error>;

    /// Keeps the result of a command that was begun.
    async fn end_command(
        &self,
        person: &PersonId,
        command: &str,
        result: &str,
    ) -> Result<(), Error>;

    /// Says that the node lives, and names the latest instant before at which
    /// any node did.
    async fn node_alive(&self, node: &NodeId, now: Timestamp) -> Result<Option<Timestamp>, Error>;

    /// Says that the node ends in good order: it has no attempt any more.
    async fn node_left(&self, node: &NodeId) -> Result<(), Error>;

    /// Keeps an interval in which no node was alive. A repeat changes nothing.
    async fn record_outage(&self, from: Timestamp, until: Timestamp) -> Result<(), Error>;

    /// All recorded outages, oldest first, as (from, until).
    async fn outages(&self) -> Result<Vec<(Timestamp, Timestamp)>, Error>;

    /// Whether the store answers; for readiness.
    async fn ping(&self) -> Result<(), Error>;
}

/// An exam as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredExam {
    /// Unique.
    pub code: ExamCode,
    /// Hash of `definition`.
    pub version: ExamVersion,
    /// For listings.
    pub title: String,
    /// The exam file's content as canonical JSON.
    pub definition: Arc<str>,
    /// Keys that were found wrong since, oldest first; nothing to be stored.
    pub corrections: Vec<Correction>,
}

/// A person, and what proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The person.
    pub person: Person,
    /// Keyed hash of the access code; none: there is none.
    pub access_code: Option<[u8; 32]>,
    /// Argon2id in PHC format; none: there is no password.
    pub password: Option<String>,
    /// Nobody signs in as this person before.
    pub locked_until: Option<Timestamp>,
}

/// A log-in to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLogin {
    /// Hash of its token.
    pub token: [u8; 32],
    /// Whose.
    pub person: PersonId,
    /// Valid before.
    pub expires_at: Timestamp,
    /// Where it came from.
    pub client: Client,
}

/// Where a request comes from, for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The address.
    pub address: std::net::IpAddr,
    /// What the program calls itself; as much of it as is kept.
    pub user_agent: Option<String>,
}

/// How long a log-in token is good after it was replaced: for requests under way.
pub const TOKEN_OVERLAP: std::time::Duration = std::time::Duration::from_secs(30);

/// A try to sign in.
#[derive(Debug, Clone, Copy)]
pub struct LoginTry<'a> {
    /// As it was typed.
    pub name: &'a str,
    /// Where it came from.
    pub client: &'a Client,
    /// What came of it.
    pub success: bool,
    /// When.
    pub at: Timestamp,
    /// So many failures in a row lock the person.
    pub lock_after: u32,
    /// For so long.
    pub lock_for: std::time::Duration,
}

/// People, exams, log-ins and secrets.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Adds or replaces exams by code, all or none. Versions that attempts are
    /// about stay readable. `questions` of each definition get their keys here.
    async fn put_exams(&self, exams: &[StoredExam]) -> Result<(), Error>;

    /// The newest version of every exam, by code.
    async fn exams(&self) -> Result<Vec<StoredExam>, Error>;

    /// One frozen version.
    async fn exam_version(&self, version: &ExamVersion) -> Result<Option<StoredExam>, Error>;

    /// Adds or replaces people by id, all or none, with the keyed hash of the
    /// access code of each.
    async fn put_people(&self, people: &[(Person, [u8; 32])]) -> Result<(), Error>;

    /// One person, with what proves who it is. None too where the person may
    /// not sign in at all.
    async fn credentials(&self, id: &PersonId) -> Result<Option<Credentials>, Error>;

    /// Keeps the outcome of a try to sign in. Enough failures in a row lock the
    /// person where the store keeps locks.
    async fn note_login(&self, tried: &LoginTry<'_>) -> Result<(), Error>;

    /// Keeps a log-in by the hash of its token.
    async fn put_login(&self, login: &NewLogin) -> Result<(), Error>;

    /// Gives a log-in another token, good until the same end, which is told; none where
    /// `token` is no valid log-in. The old token is good for [`TOKEN_OVERLAP`] more, and for
    /// another replacement, since an answer may be lost.
    async fn rotate_login(
        &self,
        token: &[u8; 32],
        fresh: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error>;

    /// Whose log-in a token is, while it is valid. One that comes after it was replaced,
    /// and after its [`TOKEN_OVERLAP`], is a copy in other hands: the log-in ends.
    async fn login(&self, token: &[u8; 32], now: Timestamp) -> Result<Option<Person>, Error>;

    /// Ends a log-in.
    async fn end_login(&self, token: &[u8; 32]) -> Result<(), Error>;

    /// The secret of this name; the first caller's `fresh` becomes it.
    async fn secret(&self, name: &str, fresh: &[u8; 32]) -> Result<[u8; 32], Error>;
}

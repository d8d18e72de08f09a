//! A store in memory and an engine on it, for tests of rules that need a whole node.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use crate::{ConnectionLimits, Engine, EngineClock, EngineSettings, SystemEntropy, WriterSettings};
use invigil_cluster::local::LocalBus;
use invigil_domain::{
    attempt::{AttemptControl, AttemptIdentity},
    exam::definition,
    id::{AttemptId, ExamCode, ExamVersion, NodeId, PersonId},
    person::{CandidateScope, GroupSet, RosterPerson},
    time::Timestamp,
};
use invigil_store::{
    AcquireOutcome, Acquired, AnswerRow, AttemptOwner, AttemptStore, AttemptSummary, AttemptWrite,
    CatalogStore, CommandState, Error, GradeRow, LoginRow, NewAttempt, OverdueScope,
    PersonCredentials, ProgressRow, ResultLine, SignInOutcome, StartOutcome, StoredExam,
    TimelineRow, WriteOutcome,
};
use invigil_telemetry::metrics::Metrics;

/// Begin of a test's time.
const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);

/// The only exam.
const EXAM: &str = r#"{
    "code": "E1", "title": "Exam", "duration_minutes": 60,
    "sections": [{ "id": "s", "questions": [
        { "id": "q1", "type": "true_false", "content": "True?", "answer": true }
    ] }]
}"#;

/// Returns the identity of an attempt at the only exam.
pub(crate) fn identity(attempt: AttemptId) -> AttemptIdentity {
    AttemptIdentity {
        id: attempt,
        exam: "E1".into(),
        exam_version: "sha256:0".into(),
        candidate: "ann".into(),
        number: 1,
        seed: 0,
        time_factor: rust_decimal::Decimal::ONE,
        extra_time: Duration::ZERO,
        groups: GroupSet::default(),
        started_at: NOW,
    }
}

/// Starts an engine on a store.
pub(crate) async fn start_engine(
    store: &Arc<MemoryStore>,
    idle_stop: Duration,
) -> (Engine, Arc<Metrics>) {
    let (node, metrics) = (NodeId::from("n1"), Arc::new(Metrics::default()));
    let settings = EngineSettings {
        bus: LocalBus::single_node(node.clone()),
        node,
        clock: EngineClock::starting_at(NOW),
        entropy: Arc::new(SystemEntropy),
        limits: ConnectionLimits {
            frame_bytes: 16_384,
            answer_bytes: 65_536,
            commands_per_second: 20,
            burst: 40,
            unsaved: 256,
        },
        flush: WriterSettings {
            max_delay: Duration::from_millis(5),
            attempts_max: 256,
        },
        outage_min: Duration::from_secs(3),
        idle_stop,
        records: None,
    };
    let (attempts, catalog) = (Arc::clone(store), Arc::clone(store));
    let engine = Engine::start_up(attempts, catalog, settings, Arc::clone(&metrics)).await;
    (engine.expect("the store is empty and works"), metrics)
}

/// A store in memory that never fails in the calls that loading and saving make, and always
/// in the others.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    rows: Mutex<BTreeMap<AttemptId, Acquired>>,
    batches: Mutex<Vec<usize>>,
}

impl MemoryStore {
    /// Adds an attempt that was started just now.
    pub(crate) fn add_attempt(&self, attempt: AttemptId) {
        let control = serde_json::to_string(&AttemptControl::default());
        let row = Acquired {
            epoch: 0,
            identity: identity(attempt),
            candidate_name: "Ann".to_owned(),
            control: control.expect("control is plain JSON").into(),
            progress: ProgressRow::default(),
            answers: Vec::new(),
            lost_at: None,
        };
        lock(&self.rows).insert(attempt, row);
    }

    /// Returns the number of attempts in each batch that was saved.
    pub(crate) fn batches(&self) -> Vec<usize> {
        lock(&self.batches).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_stored<T>() -> Result<T, Error> {
    Err(Error::Unavailable {
        operation: "fixture",
        source: "the fixture does not store this".into(),
    })
}

#[async_trait]
impl AttemptStore for MemoryStore {
    async fn start_attempt(&self, _: NewAttempt) -> Result<StartOutcome, Error> {
        not_stored()
    }

    async fn acquire_attempt(
        &self,
        attempt: AttemptId,
        _: &NodeId,
        _: &[NodeId],
        _: Option<u64>,
    ) -> Result<Option<AcquireOutcome>, Error> {
        let mut rows = lock(&self.rows);
        Ok(rows.get_mut(&attempt).map(|row| {
            row.epoch += 1;
            AcquireOutcome::Acquired(Box::new(row.clone()))
        }))
    }

    async fn read_owners(&self, _: &[AttemptId]) -> Result<Vec<AttemptOwner>, Error> {
        Ok(Vec::new())
    }

    async fn save_batch(&self, batch: &[AttemptWrite]) -> Result<Vec<WriteOutcome>, Error> {
        lock(&self.batches).push(batch.len());
        let mut rows = lock(&self.rows);
        for write in batch {
            let Some(row) = rows.get_mut(&write.attempt) else {
                continue;
            };
            row.progress = write.progress.clone();
            if let Some(control) = &write.control {
                row.control = Arc::clone(&control.state);
            }
            for answer in &write.answers {
                row.answers.retain(|old| old.question != answer.question);
                row.answers.push(answer.clone());
            }
        }
        Ok(vec![WriteOutcome::Saved; batch.len()])
    }

    async fn find_overdue(
        &self,
        _: Timestamp,
        _: &NodeId,
        _: OverdueScope<'_>,
        _: u32,
    ) -> Result<Vec<(AttemptId, u64)>, Error> {
        Ok(Vec::new())
    }

    async fn read_summary(&self, _: AttemptId) -> Result<Option<AttemptSummary>, Error> {
        not_stored()
    }

    async fn list_attempts_of(&self, _: &PersonId) -> Result<Vec<AttemptSummary>, Error> {
        not_stored()
    }

    async fn list_results(&self, _: &ExamCode) -> Result<Vec<ResultLine>, Error> {
        not_stored()
    }

    async fn read_graded_answers(
        &self,
        _: AttemptId,
    ) -> Result<Vec<(AnswerRow, Option<GradeRow>)>, Error> {
        not_stored()
    }

    async fn read_receipt(&self, _: AttemptId) -> Result<Option<Arc<str>>, Error> {
        not_stored()
    }

    async fn read_timeline(&self, _: AttemptId, _: u64, _: u32) -> Result<Vec<TimelineRow>, Error> {
        not_stored()
    }

    async fn list_unrecorded(
        &self,
        _: (AttemptId, u64),
        _: Timestamp,
        _: u32,
    ) -> Result<Vec<(AttemptId, ExamCode, TimelineRow)>, Error> {
        Ok(Vec::new())
    }

    async fn delete_recorded(&self, _: &[(AttemptId, u64)]) -> Result<(), Error> {
        Ok(())
    }

    async fn begin_command(
        &self,
        _: &PersonId,
        _: &str,
        _: &[u8; 32],
        _: Option<(&ExamCode, &CandidateScope)>,
    ) -> Result<CommandState, Error> {
        not_stored()
    }

    async fn end_command(&self, _: &PersonId, _: &str, _: &str) -> Result<(), Error> {
        not_stored()
    }

    async fn mark_node_alive(&self, _: &NodeId, _: Timestamp) -> Result<Option<Timestamp>, Error> {
        Ok(None)
    }

    async fn mark_node_left(&self, _: &NodeId) -> Result<(), Error> {
        Ok(())
    }

    async fn record_outage(&self, _: Timestamp, _: Timestamp) -> Result<(), Error> {
        Ok(())
    }

    async fn list_outages(&self) -> Result<Vec<(Timestamp, Timestamp)>, Error> {
        Ok(Vec::new())
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[async_trait]
impl CatalogStore for MemoryStore {
    async fn upsert_exams(&self, _: &[StoredExam]) -> Result<(), Error> {
        not_stored()
    }

    async fn list_exams(&self) -> Result<Vec<StoredExam>, Error> {
        Ok(Vec::new())
    }

    async fn read_exam_version(&self, version: &ExamVersion) -> Result<Option<StoredExam>, Error> {
        let exam = definition::parse_exam(EXAM, definition::FileFormat::Json);
        let exam = exam.expect("a valid definition");
        Ok(Some(StoredExam {
            code: exam.exam.code.clone(),
            version: version.clone(),
            title: "Exam".to_owned(),
            definition: exam.definition,
            corrections: Vec::new(),
        }))
    }

    async fn upsert_people(&self, _: &[(RosterPerson, [u8; 32])]) -> Result<(), Error> {
        not_stored()
    }

    async fn read_credentials(&self, _: &PersonId) -> Result<Option<PersonCredentials>, Error> {
        not_stored()
    }

    async fn record_sign_in(&self, _: &SignInOutcome<'_>) -> Result<(), Error> {
        not_stored()
    }

    async fn insert_login(&self, _: &LoginRow) -> Result<(), Error> {
        not_stored()
    }

    async fn rotate_login_token(
        &self,
        _: &[u8; 32],
        _: &[u8; 32],
        _: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        not_stored()
    }

    async fn verify_login(
        &self,
        _: &[u8; 32],
        _: Timestamp,
    ) -> Result<Option<RosterPerson>, Error> {
        not_stored()
    }

    async fn end_login(&self, _: &[u8; 32]) -> Result<(), Error> {
        not_stored()
    }

    async fn ensure_secret(&self, _: &str, fresh: &[u8; 32]) -> Result<[u8; 32], Error> {
        Ok(*fresh)
    }
}

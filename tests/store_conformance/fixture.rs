//! Two exams, some people, and writes to fill in.

use std::time::Duration;

use invigil_domain::{
    attempt::LifecycleStatus,
    id::{AttemptId, ExamCode, ExamVersion, NodeId, PersonId},
    time::Timestamp,
};
use invigil_store::{
    AcquireOutcome, Acquired, AnswerRow, AttemptIdentity, AttemptStore, AttemptWrite, CatalogStore,
    ControlRow, EvidenceStore, ExamScope, GroupSet, HandInRow, IntegritySums, NewAttempt,
    PersonRole, ProgressRow, RosterPerson, ScoreTotals, StartOutcome, StoredExam, TimelineRow,
};
use rust_decimal::Decimal;

/// Either adapter.
pub(crate) trait Store: AttemptStore + CatalogStore + EvidenceStore {}
impl<T: AttemptStore + CatalogStore + EvidenceStore> Store for T {}

/// Eight in the morning of an exam day.
pub(crate) const MORNING: Timestamp = Timestamp::from_ms(1_795_420_800_123);

/// Questions of [`exam`]; the second id is not ASCII.
pub(crate) const QUESTIONS: [&str; 3] = ["q1", "\u{9898}-2", "q3"];

/// The node that acquires attempts here.
pub(crate) fn node() -> NodeId {
    "node-1".into()
}

/// Returns an instant so many milliseconds into the morning.
pub(crate) fn at(ms: u64) -> Timestamp {
    MORNING + Duration::from_millis(ms)
}

/// An exam with three questions.
pub(crate) fn exam(code: &str, edition: u32) -> StoredExam {
    let title = format!("{code} \u{8a66}\u{9a13} {edition}");
    let definition = serde_json::json!({
        "code": code,
        "title": title,
        "duration_minutes": 60,
        "sections": [
            {"id": "s1", "questions": [
                {"id": QUESTIONS[0], "type": "essay", "content": "2 > 1?"},
                {"id": QUESTIONS[1], "type": "essay", "points": 0.5, "content": "\u{1f600}"},
            ]},
            {"id": "s2", "questions": [
                {"id": QUESTIONS[2], "type": "true_false", "content": title, "answer": true},
            ]},
        ],
    });
    StoredExam {
        code: code.into(),
        version: version(code, edition),
        title,
        definition: definition.to_string().into(),
        corrections: Vec::new(),
    }
}

/// Stands for the hash of [`exam`].
pub(crate) fn version(code: &str, edition: u32) -> ExamVersion {
    format!("sha256:{code}-{edition}").into()
}

/// A candidate of every exam.
pub(crate) fn person(id: &str) -> RosterPerson {
    RosterPerson {
        id: id.into(),
        name: format!("Name of {id}"),
        email: String::new(),
        role: PersonRole::Candidate,
        exams: ExamScope::All,
        groups: GroupSet::default(),
        time_factor: Decimal::ONE,
        extra_time: Duration::ZERO,
    }
}

/// The exam HIST and the candidates ann, bob and cy.
pub(crate) async fn furnish(store: &dyn Store) {
    store.upsert_exams(&[exam("HIST", 1)]).await.unwrap();
    let people = ["ann", "bob", "cy"].map(|id| (person(id), [7; 32]));
    store.upsert_people(&people).await.unwrap();
}

/// Returns the state of an attempt that was never entered.
pub(crate) fn untouched() -> ControlRow {
    ControlRow {
        state: r#"{"phase": "started"}"#.into(),
        status: LifecycleStatus::Started,
        entered_at: None,
        deadline_at: None,
        close_at: Some(at(3_600_000)),
        closed_at: None,
        integrity: IntegritySums::default(),
    }
}

/// The state of an attempt that is over.
pub(crate) fn closed(closed_at: Timestamp) -> ControlRow {
    ControlRow {
        state: r#"{"phase":"over","why":"\u0000 \ud83d\ude00"}"#.into(),
        status: LifecycleStatus::Graded,
        entered_at: Some(at(1)),
        deadline_at: Some(at(3_600_001)),
        close_at: None,
        closed_at: Some(closed_at),
        integrity: IntegritySums::default(),
    }
}

/// A start of HIST, at most two attempts.
pub(crate) fn new_attempt(candidate: &str) -> NewAttempt {
    NewAttempt {
        identity: AttemptIdentity {
            id: AttemptId(0),
            exam: ExamCode::from("HIST"),
            exam_version: version("HIST", 1),
            candidate: PersonId::from(candidate),
            number: 0,
            seed: u64::MAX - 3,
            time_factor: Decimal::new(125, 2),
            extra_time: Duration::from_millis(600_001),
            groups: GroupSet::default(),
            started_at: MORNING,
        },
        max_attempts: 2,
        address: "2001:db8::7".parse().unwrap(),
        control: untouched(),
    }
}

/// Starts an attempt at HIST.
pub(crate) async fn start(store: &dyn Store, candidate: &str) -> AttemptId {
    let started = store.start_attempt(new_attempt(candidate)).await.unwrap();
    let StartOutcome::Created(identity) = started else {
        panic!("{candidate} has an attempt already: {started:?}");
    };
    identity.id
}

/// Starts an attempt and acquires it; returns its epoch.
pub(crate) async fn started_and_taken(store: &dyn Store, candidate: &str) -> (AttemptId, u64) {
    let attempt = start(store, candidate).await;
    (attempt, take(store, attempt, &node()).await.epoch)
}

/// Acquires an attempt, whatever node has it.
pub(crate) async fn take(store: &dyn Store, attempt: AttemptId, node: &NodeId) -> Acquired {
    match store
        .acquire_attempt(attempt, node, &[], None)
        .await
        .unwrap()
    {
        Some(AcquireOutcome::Acquired(taken)) => *taken,
        other => panic!("{other:?}"),
    }
}

/// A write of progress alone.
pub(crate) fn write(attempt: AttemptId, epoch: u64, version_number: u64) -> AttemptWrite {
    AttemptWrite {
        attempt,
        epoch,
        exam_version: version("HIST", 1),
        progress: ProgressRow {
            version: version_number,
            session: Some("session-1".into()),
            last_seq: version_number,
            last_event: 2,
            last_activity_at: at(version_number),
        },
        control: None,
        answers: Vec::new(),
        timeline: Vec::new(),
        hand_in: None,
    }
}

/// An answer.
pub(crate) fn answer(question: &str, value: Option<&str>, version_number: u64) -> AnswerRow {
    AnswerRow {
        question: question.into(),
        value: value.map(Into::into),
        flagged: version_number.is_multiple_of(2),
        rev: 3,
        version: version_number,
        answered_at: at(version_number),
        spent_ms: 40_000,
    }
}

/// A timeline entry.
pub(crate) fn entry(number: u64, data: &str) -> TimelineRow {
    TimelineRow {
        number,
        at: at(number),
        kind: "answer".to_owned(),
        data: data.into(),
    }
}

/// A hand-in, marked but for an essay.
pub(crate) fn hand_in() -> HandInRow {
    HandInRow {
        submitted_at: at(50),
        handed_in_by: "candidate",
        late: true,
        totals: totals(),
        grades: Vec::new(),
        receipt: r#"{"content": {"a": "\u0000"},   "signature":"x"}"#.into(),
    }
}

/// The sums of [`hand_in`].
pub(crate) fn totals() -> ScoreTotals {
    ScoreTotals {
        score: Decimal::new(150, 2),
        max_score: Decimal::new(313, 2),
        percentage: Decimal::new(4_792, 2),
        passed: None,
        grade: None,
        penalty: Decimal::new(15, 2),
        needs_marking: true,
    }
}

//! An engine with live attempts and without sockets, for benchmarks.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use invigil_cluster::local::LocalBus;
use invigil_domain::{
    exam::definition::{self, FileFormat},
    id::ExamCode,
    person::{ExamScope, GroupSet, PersonRole, RosterPerson},
};
use invigil_engine::{
    ActorHandle, ConnectRequest, Connected, ConnectionLimits, Engine, EngineClock, EngineSettings,
    JoinRequest, Outbox, RecorderSettings, SystemEntropy, WriterSettings,
};
use invigil_store::{AttemptStore, CatalogStore, StoredExam, records::RecordStore};
use invigil_store_sql::sqlite::SqliteStore;
use invigil_telemetry::metrics::Metrics;
use rust_decimal::Decimal;

const EXAM: &str = "
code: BENCH
title: Bench
type: quiz
duration_minutes: 60
passing_score: 50
proctoring:
  enabled: true
  rules: [{kind: focus_lost, severity: medium, limit: 5, within_seconds: 600, then: note}]
sections:
  - id: s1
    title: All
    questions:
      - {id: q1, type: short_answer, content: Say it., points: 1, answer: [it]}
";

/// A proctor, who may watch and act.
pub(crate) fn bench_proctor() -> RosterPerson {
    bench_person("pat", PersonRole::Proctor)
}

fn bench_person(id: &str, role: PersonRole) -> RosterPerson {
    RosterPerson {
        id: id.into(),
        name: format!("Name of {id}"),
        email: String::new(),
        role,
        exams: ExamScope::All,
        groups: GroupSet::default(),
        time_factor: Decimal::ONE,
        extra_time: Duration::ZERO,
    }
}

/// Starts an engine on an embedded store, with an open exam and this store of records.
pub(crate) async fn start_engine(
    store: &SqliteStore,
    records: Option<(Arc<dyn RecordStore>, RecorderSettings)>,
) -> Engine {
    let parsed = definition::parse_exam(EXAM, FileFormat::Yaml).unwrap();
    let exam = StoredExam {
        code: parsed.exam.code.clone(),
        version: parsed.exam.version.clone(),
        title: parsed.exam.title.clone(),
        definition: parsed.definition,
        corrections: Vec::new(),
    };
    store.upsert_exams(&[exam]).await.unwrap();
    let settings = EngineSettings {
        node: "bench".into(),
        bus: LocalBus::single_node("bench".into()),
        clock: EngineClock::system(),
        entropy: Arc::new(SystemEntropy),
        limits: ConnectionLimits {
            frame_bytes: 16_384,
            answer_bytes: 1_048_576,
            commands_per_second: 20,
            burst: 40,
            unsaved: 256,
        },
        flush: WriterSettings {
            max_delay: Duration::from_millis(5),
            attempts_max: 1000,
        },
        outage_min: Duration::from_secs(2),
        idle_stop: Duration::from_hours(1),
        records,
    };
    let attempts: Arc<dyn AttemptStore> = Arc::new(store.clone());
    let catalog: Arc<dyn CatalogStore> = Arc::new(store.clone());
    let metrics = Arc::new(Metrics::default());
    Engine::start_up(attempts, catalog, settings, metrics)
        .await
        .unwrap()
}

/// An attempt whose candidate is connected.
pub(crate) struct BenchAttempt {
    /// The attempt's actor.
    pub(crate) handle: ActorHandle,
    /// The connection.
    pub(crate) opened: Connected,
    /// Messages that the client would read.
    pub(crate) outbox: Arc<Outbox>,
}

/// Starts and connects this number of attempts.
pub(crate) async fn enter_candidates(
    engine: &Engine,
    store: &SqliteStore,
    attempts: usize,
) -> Vec<BenchAttempt> {
    let people: Vec<(RosterPerson, [u8; 32])> = (0..attempts)
        .map(|number| {
            (
                bench_person(&format!("c{number}"), PersonRole::Candidate),
                [0; 32],
            )
        })
        .collect();
    store.upsert_people(&people).await.unwrap();
    store
        .upsert_people(&[(bench_proctor(), [0; 32])])
        .await
        .unwrap();
    let address = IpAddr::from([127, 0, 0, 1]);
    stream::iter(people)
        .map(|(person, _)| async move {
            let exam = ExamCode::from("BENCH");
            let started = engine
                .start_attempt(&person, &exam, None, address)
                .await
                .unwrap();
            let outbox = Arc::new(Outbox::default());
            let opening = ConnectRequest {
                join: JoinRequest {
                    resume: None,
                    address,
                    asked_at: None,
                },
                device: None,
                outbox: Arc::clone(&outbox),
                until: tokio::time::Instant::now() + Duration::from_secs(10),
            };
            let opened = engine.connect_candidate(started.identity.id, opening).await;
            let (handle, opened) = opened.unwrap_or_else(|_| unreachable!("it is open"));
            BenchAttempt {
                handle,
                opened,
                outbox,
            }
        })
        .buffer_unordered(64)
        .collect()
        .await
}

//! An engine with live attempts and without sockets, for benchmarks.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use invigil::{
    cluster::local::Local,
    domain::{
        exam::definition::{self, Format},
        id::ExamCode,
        person::{ExamScope, Groups, Person, Role},
    },
    engine::{
        Clock, Engine, Entry, Flush, Handle, Limits, Opened, Opening, Outbox, RecorderSettings,
        Settings, SystemEntropy,
    },
    store::{AttemptStore, Catalog, StoredExam, records::RecordStore, sqlite::Sqlite},
    telemetry::metrics::Metrics,
};
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

/// Who may watch and act.
pub(crate) fn proctor() -> Person {
    person("pat", Role::Proctor)
}

fn person(id: &str, role: Role) -> Person {
    Person {
        id: id.into(),
        name: format!("Name of {id}"),
        email: String::new(),
        role,
        exams: ExamScope::All,
        groups: Groups::default(),
        time_factor: Decimal::ONE,
        extra_time: Duration::ZERO,
    }
}

/// An engine on an embedded store, with an exam that may begin. Records go where
/// it is said.
pub(crate) async fn start(
    store: &Sqlite,
    records: Option<(Arc<dyn RecordStore>, RecorderSettings)>,
) -> Engine {
    let parsed = definition::parse(EXAM, Format::Yaml).unwrap();
    let exam = StoredExam {
        code: parsed.exam.code.clone(),
        version: parsed.exam.version.clone(),
        title: parsed.exam.title.clone(),
        definition: parsed.definition,
        corrections: Vec::new(),
    };
    store.put_exams(&[exam]).await.unwrap();
    let settings = Settings {
        node: "bench".into(),
        bus: Local::alone("bench".into()),
        clock: Clock::system(),
        entropy: Arc::new(SystemEntropy),
        limits: Limits {
            frame_bytes: 16_384,
            answer_bytes: 1_048_576,
            commands_per_second: 20,
            burst: 40,
            unsaved: 256,
        },
        flush: Flush {
            max_delay: Duration::from_millis(5),
            attempts_max: 1000,
        },
        outage_min: Duration::from_secs(2),
        idle_stop: Duration::from_hours(1),
        records,
    };
    let attempts: Arc<dyn AttemptStore> = Arc::new(store.clone());
    let catalog: Arc<dyn Catalog> = Arc::new(store.clone());
    let metrics = Arc::new(Metrics::default());
    Engine::start_up(attempts, catalog, settings, metrics)
        .await
        .unwrap()
}

/// A candidate who is in.
pub(crate) struct Seat {
    /// The attempt's actor.
    pub(crate) handle: Handle,
    /// The connection.
    pub(crate) opened: Opened,
    /// What the client would read.
    pub(crate) outbox: Arc<Outbox>,
}

/// Seats so many candidates.
pub(crate) async fn seat(engine: &Engine, store: &Sqlite, attempts: usize) -> Vec<Seat> {
    let people: Vec<(Person, [u8; 32])> = (0..attempts)
        .map(|number| (person(&format!("c{number}"), Role::Candidate), [0; 32]))
        .collect();
    store.put_people(&people).await.unwrap();
    store.put_people(&[(proctor(), [0; 32])]).await.unwrap();
    let address = IpAddr::from([127, 0, 0, 1]);
    stream::iter(people)
        .map(|(person, _)| async move {
            let exam = ExamCode::from("BENCH");
            let started = engine.start(&person, &exam, None, address).await.unwrap();
            let outbox = Arc::new(Outbox::default());
            let opening = Opening {
                entry: Entry {
                    resume: None,
                    address,
                    asked_at: None,
                },
                device: None,
                outbox: Arc::clone(&outbox),
                until: tokio::time::Instant::now() + Duration::from_secs(10),
            };
            let opened = engine.open(started.identity.id, opening).await;
            let (handle, opened) = opened.unwrap_or_else(|_| unreachable!("it is open"));
            Seat {
                handle,
                opened,
                outbox,
            }
        })
        .buffer_unordered(64)
        .collect()
        .await
}

//! Nodes in this process, on a database and a bus of their own, and clients of them.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use invigil_cluster::{
    Bus, BusEvent, BusRecipient,
    local::{LocalBus, LocalHub},
};
use invigil_domain::{
    exam::definition::{self, FileFormat},
    id::AttemptId,
    person::{ExamScope, GroupSet, PersonRole, RosterPerson},
};
use invigil_engine::{
    ActorHandle, CloseReason, ConnectRefusal, ConnectRequest, Connected, ConnectionLimits, Engine,
    EngineClock, EngineSettings, ExchangeRefusal, JoinRequest, Outbox, OutboxItem, SystemEntropy,
    WriterSettings,
};
use invigil_protocol::{
    candidate::{self, CandidateWelcome, ClientMessage, ServerMessage},
    exchange,
    proctor::{self, ActionName, CommandArgs, CommandTarget},
};
use invigil_store::{AttemptStore, CatalogStore, StoredExam};
use invigil_store_sql::postgres::PostgresStore;
use invigil_telemetry::metrics::Metrics;
use rust_decimal::Decimal;
use serde_json::json;

use crate::postgres_server::Database;

/// The most time for any step on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Returns an exam that lets a second device in, or refuses it.
fn exam(policy: &str) -> String {
    format!(
        "
code: NODES-{policy}
title: Nodes
type: quiz
duration_minutes: 60
passing_score: 50
session_policy: {policy}
proctoring: {{enabled: true, heartbeat_seconds: 5}}
sections:
  - id: s1
    title: All
    questions:
      - {{id: q1, type: short_answer, content: Say it., points: 1, answer: [it]}}
      - {{id: q2, type: short_answer, content: Say it., points: 1, answer: [it]}}
"
    )
}

/// Nodes, and the parts that they share.
pub(crate) struct Cluster {
    pub(crate) database: Database,
    pub(crate) hub: Arc<LocalHub>,
}

/// A node's line to its peers, which can be cut in either direction.
pub(crate) struct Line {
    bus: Arc<LocalBus>,
    pub(crate) is_mute: AtomicBool,
    pub(crate) is_deaf: AtomicBool,
}

impl Line {
    /// Cuts the line in both directions.
    pub(crate) fn cut(&self) {
        self.is_mute.store(true, Ordering::Release);
        self.is_deaf.store(true, Ordering::Release);
    }
}

#[async_trait]
impl Bus for Line {
    fn send(&self, to: BusRecipient, message: Bytes) {
        if !self.is_mute.load(Ordering::Acquire) {
            self.bus.send(to, message);
        }
    }

    async fn next_event(&self) -> BusEvent {
        loop {
            let heard = self.bus.next_event().await;
            if !self.is_deaf.load(Ordering::Acquire) {
                return heard;
            }
        }
    }
}

/// A node.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) line: Arc<Line>,
    pub(crate) store: PostgresStore,
    pub(crate) metrics: Arc<Metrics>,
}

/// A socket of a candidate.
pub(crate) struct Socket {
    pub(crate) handle: ActorHandle,
    pub(crate) opened: Connected,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) welcome: CandidateWelcome,
}

impl Cluster {
    /// Starts the harness; none without PostgreSQL.
    pub(crate) async fn new() -> Option<Self> {
        let database = Database::create().await?;
        PostgresStore::migrate(&database.url).await.unwrap();
        let store = PostgresStore::connect(&database.url, 2).await.unwrap();
        for policy in ["takeover", "reject"] {
            let parsed = definition::parse_exam(&exam(policy), FileFormat::Yaml).unwrap();
            let stored = StoredExam {
                code: parsed.exam.code.clone(),
                version: parsed.exam.version.clone(),
                title: parsed.exam.title.clone(),
                definition: parsed.definition,
                corrections: Vec::new(),
            };
            store.upsert_exams(&[stored]).await.unwrap();
        }
        let people = [
            person("ann", PersonRole::Candidate),
            person("bob", PersonRole::Candidate),
            person("pat", PersonRole::Proctor),
        ];
        let people = people.map(|person| (person, [0; 32]));
        store.upsert_people(&people).await.unwrap();
        Some(Self {
            database,
            hub: Arc::default(),
        })
    }

    /// Starts a node.
    pub(crate) async fn node(&self, name: &str) -> Node {
        let store = PostgresStore::connect(&self.database.url, 4).await.unwrap();
        let line = Arc::new(Line {
            bus: self.hub.connect_node(name.into()),
            is_mute: AtomicBool::new(false),
            is_deaf: AtomicBool::new(false),
        });
        let bus: Arc<dyn Bus> = Arc::<Line>::clone(&line);
        let settings = EngineSettings {
            node: name.into(),
            bus,
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
                attempts_max: 1_000,
            },
            outage_min: Duration::from_secs(2),
            idle_stop: Duration::from_hours(1),
            records: None,
        };
        let metrics = Arc::new(Metrics::default());
        let engine = Engine::start_up(
            Arc::new(store.clone()),
            Arc::new(store.clone()),
            settings,
            Arc::clone(&metrics),
        );
        Node {
            engine: engine.await.unwrap(),
            line,
            store,
            metrics,
        }
    }

    pub(crate) async fn remove(self) {
        self.database.remove().await;
    }
}

impl Node {
    /// Starts an attempt, which no node has yet.
    pub(crate) async fn start(&self, candidate: &str, policy: &str) -> AttemptId {
        let code = format!("NODES-{policy}").as_str().into();
        let person = person(candidate, PersonRole::Candidate);
        let started = self
            .engine
            .start_attempt(&person, &code, None, ADDRESS)
            .await;
        started.unwrap().identity.id
    }

    /// Opens a socket, and resumes a session if there is one.
    pub(crate) async fn open(
        &self,
        attempt: AttemptId,
        resume: Option<(&str, u64)>,
    ) -> Result<Socket, CloseReason> {
        let outbox = Arc::new(Outbox::default());
        let opening = ConnectRequest {
            join: JoinRequest {
                resume: resume.map(|(session, next_seq)| (session.into(), next_seq)),
                address: ADDRESS,
                asked_at: Some(self.engine.now()),
            },
            device: None,
            outbox: Arc::clone(&outbox),
            until: tokio::time::Instant::now() + Duration::from_secs(10),
        };
        let opened = self.engine.connect_candidate(attempt, opening).await;
        let (handle, opened) = opened.map_err(|ConnectRefusal(closing)| closing)?;
        let OutboxItem::Message(ServerMessage::Welcome(welcome)) = next(&outbox).await else {
            panic!("no welcome");
        };
        Ok(Socket {
            handle,
            opened,
            outbox,
            welcome: *welcome,
        })
    }

    /// Answers without a socket.
    pub(crate) async fn exchange(
        &self,
        attempt: AttemptId,
        session: Option<&str>,
        seq: u64,
        value: &str,
    ) -> Result<Box<exchange::ExchangeResponse>, ExchangeRefusal> {
        let request = exchange::ExchangeRequest {
            session: session.map(str::to_owned),
            next_seq: Some(seq),
            commands: vec![answer(seq, "q1", value)],
            signals: Vec::new(),
        };
        let json = serde_json::to_string(&request).unwrap();
        let done = self.engine.run_exchange(attempt, request, &json, ADDRESS);
        done.await
    }

    /// Acts on an attempt as a proctor; returns the number of attempts it reached.
    pub(crate) async fn act(&self, attempt: AttemptId, id: &str, action: ActionName) -> u32 {
        let command = proctor::ProctorCommand {
            id: id.to_owned(),
            target: CommandTarget::Attempt(attempt.to_string()),
            action,
            args: CommandArgs::default(),
        };
        let pat = person("pat", PersonRole::Proctor);
        let done = self.engine.run_command(&pat, &|_| true, command, &|_| ());
        done.await.unwrap().done
    }

    /// Returns the owner of an attempt, as the store knows it.
    pub(crate) async fn owner(&self, attempt: AttemptId) -> String {
        let owner = self
            .store
            .read_owners(&[attempt])
            .await
            .unwrap()
            .pop()
            .unwrap();
        owner.node.unwrap().to_string()
    }
}

impl Socket {
    /// Sends an answer, without waiting for anything.
    pub(crate) async fn answer(&self, seq: u64, question: &str, value: &str) {
        let answer = answer(seq, question, value);
        assert!(
            self.handle
                .deliver_client_message(self.opened.connection, answer)
                .await
        );
    }

    /// Waits until everything up to a number is saved.
    pub(crate) async fn saved(&self, seq: u64) {
        loop {
            if let OutboxItem::Message(ServerMessage::Saved(saved)) = next(&self.outbox).await
                && saved.seq >= seq
            {
                return;
            }
        }
    }

    /// Waits for the end.
    pub(crate) async fn closing(&self) -> CloseReason {
        loop {
            if let OutboxItem::Close(closing) = next(&self.outbox).await {
                return closing;
            }
        }
    }
}

fn answer(seq: u64, question: &str, value: &str) -> ClientMessage {
    ClientMessage::Answer(candidate::AnswerCommand {
        seq,
        q: question.to_owned(),
        value: candidate::WireValue::Json(json!(value)),
        base_rev: None,
        spent_ms: None,
        bad_field: None,
    })
}

async fn next(outbox: &Outbox) -> OutboxItem {
    tokio::time::timeout(PATIENCE, outbox.next())
        .await
        .expect("the engine says something")
}

/// Waits until the nodes hear each other, which is from their first messages on.
pub(crate) async fn until_heard(nodes: &[&Node]) {
    for node in nodes {
        let others = i64::try_from(nodes.len()).unwrap();
        let heard = async {
            while node.metrics.bus_nodes.get() < others {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, heard).await.unwrap();
    }
}

/// Returns a person of these exams.
pub(crate) fn person(id: &str, role: PersonRole) -> RosterPerson {
    RosterPerson {
        id: id.into(),
        name: id.to_owned(),
        email: String::new(),
        role,
        exams: ExamScope::All,
        groups: GroupSet::default(),
        time_factor: Decimal::ONE,
        extra_time: Duration::ZERO,
    }
}

//! The web layer on a port of its own, its store, and the place of its files.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use invigil::{
    config::Config,
    web::{self, AppState, WebApp, token},
};
use invigil_cluster::local::LocalBus;
use invigil_domain::{
    attempt::LifecycleStatus,
    exam::definition::{self, FileFormat},
    id::AttemptId,
    roster,
    time::Timestamp,
};
use invigil_engine::{
    ConnectionLimits, Engine, EngineClock, EngineSettings, SystemEntropy, WriterSettings,
};
use invigil_store::{
    AttemptIdentity, AttemptStore as _, CatalogStore, ControlRow, GroupSet, IntegritySums,
    NewAttempt, StartOutcome, StoredExam,
};
use invigil_store_sql::sqlite::SqliteStore;
use invigil_telemetry::metrics::Metrics;
use reqwest::{Method, StatusCode, header::HeaderMap};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

/// The most time for any step on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The key of the S3 server, and its name.
pub(crate) const ACCESS_KEY: &str = "the-engine";
pub(crate) const SECRET_KEY: &str = "a-secret-of-the-engine";

const ROSTER: &str = "id,name,email,role,code,exams,time_factor,extra_minutes
ann,Ann,,candidate,code-ann,ART;OTHER,,
bob,Bob,,candidate,code-bob,ART,,
paul,Paul,,proctor,code-paul,ART,,
tess,Tess,,teacher,code-tess,ART,,
olga,Olga,,teacher,code-olga,OTHER,,
";

/// A running web layer.
pub(crate) struct Site {
    pub(crate) app: AppState,
    store: SqliteStore,
    dir: TempDir,
    base: String,
    /// The place of the files.
    place: PathBuf,
    client: reqwest::Client,
    _servers: JoinSet<()>,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) content: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.content).unwrap_or_default()
    }

    /// Returns the body of a request that must have worked.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        let text = String::from_utf8_lossy(&self.content);
        assert!(self.status.is_success(), "{} {text}", self.status);
        self.json()
    }

    /// Status and stable code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let body = self.json();
        let code = body["code"].as_str().unwrap_or_default();
        (self.status.as_u16(), code.to_owned())
    }
}

impl Site {
    /// With files in a folder; `settings` are lines of the section `[evidence]`.
    pub(crate) async fn folder(settings: &str) -> Self {
        Self::start(folder(), settings, "data/evidence", JoinSet::new()).await
    }

    /// With files on an S3 server of its own, in a bucket under a prefix.
    pub(crate) async fn s3(settings: &str) -> Self {
        let dir = folder();
        fs::create_dir_all(dir.path().join("s3/bucket")).unwrap();
        let files = FileSystem::new(dir.path().join("s3")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = format!(
            "url = \"s3://bucket/exams/here\"\nendpoint = \"http://{address}\"\n\
             access_key = \"{ACCESS_KEY}\"\nsecret_key = \"{SECRET_KEY}\"\n{settings}"
        );
        let mut servers = JoinSet::new();
        servers.spawn(serve_s3(files, listener));
        Self::start(dir, &settings, "s3/bucket", servers).await
    }

    async fn start(dir: TempDir, settings: &str, place: &str, mut servers: JoinSet<()>) -> Self {
        let data = dir.path().join("data");
        let shown = data.display();
        let file = format!("[database]\ndata = \"{shown}\"\n[evidence]\n{settings}");
        let config = Config::from_layers(Some(&file), Some(HashMap::new())).unwrap();
        let store = SqliteStore::open(&data).await.unwrap();
        fill(&store).await;
        let metrics = Arc::new(Metrics::default());
        let engine = Engine::start_up(
            Arc::new(store.clone()),
            Arc::new(store.clone()),
            engine_settings(),
            Arc::clone(&metrics),
        )
        .await
        .unwrap();
        let stores = web::WebStores {
            attempts: Arc::new(store.clone()),
            catalog: Arc::new(store.clone()),
            evidence: Arc::new(store.clone()),
        };
        let stop = CancellationToken::new();
        let app = WebApp::new(engine, stores, metrics, None, config, stop)
            .await
            .unwrap();
        let listener = web::server::bind_listener("127.0.0.1:0".parse().unwrap()).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        servers.spawn(web::server::serve_until_stopped(listener, Arc::clone(&app)));
        Self {
            app,
            store,
            place: dir.path().join(place),
            dir,
            base,
            client: reqwest::Client::new(),
            _servers: servers,
        }
    }

    /// An instant by the engine's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.app.engine.now()
    }

    /// The engine's address, without the scheme.
    pub(crate) fn address(&self) -> &str {
        self.base.strip_prefix("http://").unwrap()
    }

    /// Returns a person's log-in token.
    pub(crate) async fn login(&self, id: &str) -> String {
        let body = json!({"id": id, "code": format!("code-{id}")});
        let reply = self
            .send(Method::POST, "/api/v1/login", "", Some(body))
            .await;
        reply.ok()["token"].as_str().unwrap().to_owned()
    }

    /// Returns a candidate's attempt at an exam, and its token. `closed_at` is set if it is
    /// over.
    pub(crate) async fn attempt(
        &self,
        candidate: &str,
        exam: &str,
        closed_at: Option<Timestamp>,
    ) -> (AttemptId, String) {
        let exams = self.store.list_exams().await.unwrap();
        let stored = exams.iter().find(|stored| stored.code.as_str() == exam);
        let control = ControlRow {
            state: r#"{"phase": "waiting"}"#.into(),
            status: closed_at.map_or(LifecycleStatus::Started, |_| LifecycleStatus::Graded),
            entered_at: None,
            deadline_at: None,
            close_at: None,
            closed_at,
            integrity: IntegritySums::default(),
        };
        let new = NewAttempt {
            identity: AttemptIdentity {
                id: AttemptId(0),
                exam: exam.into(),
                exam_version: stored.unwrap().version.clone(),
                candidate: candidate.into(),
                number: 0,
                seed: 7,
                time_factor: rust_decimal::Decimal::ONE,
                extra_time: Duration::ZERO,
                groups: GroupSet::default(),
                started_at: self.now(),
            },
            max_attempts: 9,
            address: "127.0.0.1".parse().unwrap(),
            control,
        };
        let StartOutcome::Created(identity) = self.store.start_attempt(new).await.unwrap() else {
            panic!("{candidate} has an attempt at {exam}");
        };
        let token = self
            .app
            .tokens
            .sign(identity.id, candidate.into(), self.now());
        (identity.id, token)
    }

    /// Sends a request with a token, where it is not empty.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<Value>,
    ) -> Reply {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        reply(request).await
    }

    /// Announces a file.
    pub(crate) async fn announce(&self, id: AttemptId, token: &str, body: Value) -> Reply {
        let path = format!("/api/v1/attempts/{id}/evidence");
        self.send(Method::POST, &path, token, Some(body)).await
    }

    /// The evidence of an attempt, as staff see it.
    pub(crate) async fn list(&self, id: AttemptId, token: &str) -> Vec<Value> {
        let path = format!("/api/v1/attempts/{id}/evidence");
        let list = self.send(Method::GET, &path, token, None).await.ok();
        list["evidence"].as_array().unwrap().clone()
    }

    /// A link's address, whole.
    pub(crate) fn whole(&self, url: &Value) -> String {
        let url = url.as_str().unwrap();
        if url.starts_with('/') {
            format!("{}{url}", self.base)
        } else {
            url.to_owned()
        }
    }

    /// Uploads a file as the announcement says.
    pub(crate) async fn upload(&self, announced: &Value, content: &[u8]) -> Reply {
        let upload = &announced["upload"];
        assert_eq!(upload["method"], "PUT");
        let mut request = self.client.put(self.whole(&upload["url"]));
        for (name, value) in upload["headers"].as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        reply(request.body(content.to_vec())).await
    }

    /// Announces, uploads and confirms a picture.
    pub(crate) async fn store(&self, id: AttemptId, token: &str, content: &[u8]) -> Value {
        let body = json!({"kind": "snapshot", "content_type": "image/png", "bytes": content.len()});
        let announced = self.announce(id, token, body).await.ok();
        self.upload(&announced, content).await.ok();
        self.done(id, token, &announced).await.ok();
        announced
    }

    /// Confirms a file.
    pub(crate) async fn done(&self, id: AttemptId, token: &str, announced: &Value) -> Reply {
        let evidence = announced["id"].as_str().unwrap();
        let path = format!("/api/v1/attempts/{id}/evidence/{evidence}/done");
        self.send(Method::POST, &path, token, None).await
    }

    /// Asks for a link to read a file.
    pub(crate) async fn link(&self, id: AttemptId, token: &str, announced: &Value) -> Reply {
        let evidence = announced["id"].as_str().unwrap();
        let path = format!("/api/v1/attempts/{id}/evidence/{evidence}");
        self.send(Method::GET, &path, token, None).await
    }

    /// Requests a whole address without a token.
    pub(crate) async fn request(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        content: &[u8],
    ) -> Reply {
        let mut request = self.client.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        reply(request.body(content.to_vec())).await
    }

    /// Every file that is kept, by its path within the place.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut pending = vec![self.place.clone()];
        let mut found = Vec::new();
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    pending.push(path);
                } else {
                    let inside = path.strip_prefix(&self.place).unwrap();
                    found.push(inside.to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }

    /// The folder of everything.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The file of this path within the place.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.place.join(file)
    }
}

fn folder() -> TempDir {
    let mut named = tempfile::Builder::new();
    named.prefix("invigil-evidence-").tempdir().unwrap()
}

async fn reply(request: reqwest::RequestBuilder) -> Reply {
    let reply = request.send().await.unwrap();
    Reply {
        status: reply.status(),
        headers: reply.headers().clone(),
        content: reply.bytes().await.unwrap().to_vec(),
    }
}

/// Waits until a condition holds, or reports the last state.
pub(crate) async fn until<T: std::fmt::Debug, F: Future<Output = T>>(
    mut look: impl FnMut() -> F,
    done: impl Fn(&T) -> bool,
) -> T {
    let begun = Instant::now();
    loop {
        let seen = look().await;
        if done(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "last seen: {seen:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A picture of this size.
pub(crate) fn png(bytes: usize) -> Vec<u8> {
    let mut content = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    content.extend((0..=u8::MAX).cycle().take(bytes - content.len()));
    content
}

async fn serve_s3(files: FileSystem, listener: TcpListener) {
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    let service = builder.build();
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(socket), service.clone());
        connections.spawn(async move {
            // A client that goes away is no fault of the server.
            connection.await.ok();
        });
    }
}

async fn fill(store: &SqliteStore) {
    let exams = ["ART", "OTHER"].map(|code| {
        let text = format!(
            "code: {code}\ntitle: {code}\ntype: quiz\nduration_minutes: 60\npassing_score: 50\n\
             sections:\n  - id: s1\n    title: All\n    questions:\n      \
             - {{id: q1, type: essay, content: Say it., points: 1}}\n"
        );
        let parsed = definition::parse_exam(&text, FileFormat::Yaml).unwrap();
        StoredExam {
            code: parsed.exam.code.clone(),
            version: parsed.exam.version.clone(),
            title: parsed.exam.title.clone(),
            definition: parsed.definition,
            corrections: Vec::new(),
        }
    });
    store.upsert_exams(&exams).await.unwrap();
    let key = web::access_code_key(store).await.unwrap();
    let people: Vec<_> = roster::parse_roster(ROSTER)
        .unwrap()
        .into_iter()
        .map(|entry| {
            let hash = token::access_code_hash(&key, &entry.person.id, &entry.code);
            (entry.person, hash)
        })
        .collect();
    store.upsert_people(&people).await.unwrap();
}

fn engine_settings() -> EngineSettings {
    EngineSettings {
        node: "test".into(),
        bus: LocalBus::single_node("test".into()),
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
        records: None,
        outage_min: Duration::from_secs(2),
        idle_stop: Duration::from_mins(1),
    }
}

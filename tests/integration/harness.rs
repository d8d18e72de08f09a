//! The real program on a port of its own, with its own exam, people and store.

use std::{
    fmt::Write as _,
    fs,
    future::Future,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use invigil_client::{ApiClient, protocol::rest::AttemptStartReply};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::Instant,
};

use crate::dice::Dice;

/// The most time for any step on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A teacher of every exam, and the access code.
pub(crate) const STAFF: &str = "tess";
pub(crate) const STAFF_CODE: &str = "code-of-a-teacher";

/// The exam that [`exam`] makes.
pub(crate) const EXAM: &str = "LUCK-1";

/// The files of one engine, which outlive its processes.
pub(crate) struct Site {
    dir: TempDir,
    /// PostgreSQL, where the store is not embedded.
    url: Option<String>,
    settings: Vec<(String, String)>,
}

impl Site {
    /// With an embedded store.
    pub(crate) fn embedded(exam: &str, candidates: usize) -> Self {
        let site = Self {
            dir: tempfile::Builder::new()
                .prefix("invigil-test-")
                .tempdir()
                .unwrap(),
            url: None,
            settings: Vec::new(),
        };
        fs::write(site.path("exam.yaml"), exam).unwrap();
        fs::write(site.path("roster.csv"), roster(candidates)).unwrap();
        site
    }

    /// With a database of PostgreSQL, brought to the schema and filled.
    pub(crate) async fn postgres(url: &str, exam: &str, candidates: usize) -> Self {
        let mut site = Self::embedded(exam, candidates);
        site.url = Some(url.to_owned());
        site.run(&["migrate", "--roles"]).await;
        site.run(&["import", "exam", "exam.yaml"]).await;
        site.run(&["import", "roster", "roster.csv"]).await;
        site
    }

    /// Sets `section.key`.
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        let name = format!("INVIGIL__{}", key.to_uppercase().replace('.', "__"));
        self.settings.push((name, value.to_owned()));
        self
    }

    /// A file or folder of the site.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program, which dies with the test.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_invigil"));
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(url) = &self.url {
            command.env("INVIGIL__DATABASE__URL", url);
        }
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) {
        let done = self.command(arguments).output().await.unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{arguments:?}: {said}");
    }

    /// Arguments of `serve`. The data directory is `data` of the site.
    pub(crate) fn arguments<'a>(&self, listen: &'a str) -> Vec<&'a str> {
        let mut arguments = vec!["serve", "--listen", listen];
        if self.url.is_none() {
            let embedded = [
                "--exam",
                "exam.yaml",
                "--roster",
                "roster.csv",
                "--data",
                "data",
            ];
            arguments.extend(embedded);
        }
        arguments
    }

    /// Starts the engine on any free port.
    pub(crate) async fn start(&self) -> Server {
        self.start_on(0).await
    }

    /// Starts the engine on a port.
    pub(crate) async fn start_on(&self, port: u16) -> Server {
        let listen = format!("127.0.0.1:{port}");
        let log = self.path("log");
        let writer = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let mut child = self
            .command(&self.arguments(&listen))
            .stdout(Stdio::piped())
            .stderr(writer)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let address = line
            .ok()
            .and_then(|line| line.unwrap())
            .and_then(|line| Some(line.strip_prefix("listening on ")?.to_owned()))
            .unwrap_or_else(|| panic!("the engine does not start:\n{}", tail(&log)));
        Server {
            child,
            base: format!("http://{address}"),
            log,
        }
    }
}

/// A running engine.
pub(crate) struct Server {
    child: Child,
    /// `http://address:port`
    pub(crate) base: String,
    log: PathBuf,
}

impl Server {
    /// `address:port`
    pub(crate) fn address(&self) -> &str {
        self.base.strip_prefix("http://").unwrap()
    }

    /// Ends the engine as a power cut would: at once, without a word.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks the engine to end, and waits until it has.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        let pid = self.child.id().unwrap().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(asked.unwrap().success());
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended
            .unwrap_or_else(|_| panic!("it does not stop:\n{}", tail(&self.log)))
            .unwrap()
    }

    /// Returns the bytes of memory that the engine uses.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap()));
        let status = status.unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
        kilobytes.parse::<u64>().unwrap() * 1024
    }

    /// Returns the end of its log.
    pub(crate) fn said(&self) -> String {
        tail(&self.log)
    }

    /// A candidate who is signed in.
    pub(crate) async fn login(&self, number: usize) -> ApiClient {
        ApiClient::sign_in(&self.base, &name(number), &code(number))
            .await
            .unwrap_or_else(|error| panic!("{error:?}\n{}", self.said()))
    }

    /// A candidate who has started the attempt.
    pub(crate) async fn begin(&self, number: usize) -> (ApiClient, AttemptStartReply) {
        let client = self.login(number).await;
        let started = client.start_attempt(EXAM, None).await.unwrap();
        (client, started)
    }

    /// The status of a path, and its text.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = reqwest::get(format!("{}{path}", self.base)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The log-in of a teacher.
    pub(crate) async fn staff(&self) -> String {
        let url = format!("{}/api/v1/login", self.base);
        let body = serde_json::json!({ "id": STAFF, "code": STAFF_CODE });
        let response = reqwest::Client::new().post(url).json(&body).send();
        let body: Value = response.await.unwrap().json().await.unwrap();
        body["token"].as_str().unwrap().to_owned()
    }

    /// Returns the timeline of an attempt.
    pub(crate) async fn timeline(&self, token: &str, attempt: &str) -> Vec<Value> {
        let url = format!(
            "{}/api/v1/attempts/{attempt}/timeline?limit=1000",
            self.base
        );
        let response = reqwest::Client::new().get(url).bearer_auth(token).send();
        let body: Value = response.await.unwrap().json().await.unwrap();
        body["events"]
            .as_array()
            .unwrap_or_else(|| panic!("{body}"))
            .clone()
    }

    /// Returns one figure of the metrics; 0 if nothing counted it yet.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the engine's log ends so:\n{}", self.said());
        }
    }
}

/// Returns the end of a log, to explain a failure.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// Returns a port for an engine that is started again and again on the same one: under the
/// ports that the system gives to outgoing connections, so that no client takes it in between.
pub(crate) fn free_port() -> u16 {
    // Tests beside this one, in this process and in others, begin elsewhere.
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 500).unwrap() * 20;
    let from = 20_000 + own + GIVEN.fetch_add(1, Ordering::Relaxed);
    (from..32_000)
        .find(|&port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        .expect("a port is free")
}

/// Waits until a condition holds, or reports the last state.
pub(crate) async fn until<T: std::fmt::Debug, F: Future<Output = T>>(
    what: &str,
    mut look: impl FnMut() -> F,
    done: impl Fn(&T) -> bool,
) -> T {
    let begun = Instant::now();
    loop {
        let seen = look().await;
        if done(&seen) {
            return seen;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "waited for {what}; last seen: {seen:?}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Candidate `number`'s id.
pub(crate) fn name(number: usize) -> String {
    format!("c{number}")
}

/// Candidate `number`'s access code.
pub(crate) fn code(number: usize) -> String {
    format!("code-{number}-of-luck")
}

/// Question `number`'s id.
pub(crate) fn question(number: usize) -> String {
    format!("q{number}")
}

/// An exam of short answers, an hour long; `head` adds lines to its head.
pub(crate) fn exam(head: &str, questions: usize) -> String {
    let mut text = format!(
        "code: {EXAM}\ntitle: Luck\ntype: quiz\nduration_minutes: 60\npassing_score: 50\n\
         {head}\nsections:\n  - id: s1\n    title: All\n    questions:\n"
    );
    for number in 0..questions {
        let id = question(number);
        writeln!(
            text,
            "      - {{id: {id}, type: short_answer, content: Say it., points: 1, answer: [it]}}"
        )
        .unwrap();
    }
    text
}

fn roster(candidates: usize) -> String {
    let mut text = "id,name,email,role,code,exams,time_factor,extra_minutes\n".to_owned();
    writeln!(
        text,
        "{STAFF},Teacher,t@example.org,teacher,{STAFF_CODE},*,,"
    )
    .unwrap();
    for number in 0..candidates {
        let (id, code) = (name(number), code(number));
        writeln!(text, "{id},Candidate,{id}@example.org,candidate,{code},*,,").unwrap();
    }
    text
}

/// An instant from now, as exam files have it.
pub(crate) fn in_seconds(seconds: i64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(now_ms() + seconds * 1_000).unwrap();
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The wall clock, which is the engine's too.
pub(crate) fn now_ms() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the engine is another process")]
    chrono::Utc::now().timestamp_millis()
}

/// A setting of the test run.
pub(crate) fn setting(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test's only settings")]
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}

/// Returns chance from `SEED`, or from the system; printed either way, for a repeat.
pub(crate) fn roll_dice() -> Dice {
    let seed = setting("SEED").unwrap_or_else(|| getrandom::u64().unwrap() >> 16);
    println!("chance again with SEED={seed}");
    Dice::new(seed)
}

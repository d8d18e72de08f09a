//! The program with a database of its own, and people who talk to it.

use std::{fmt::Write as _, fs, process::Stdio, time::Duration};

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::postgres_server::Database;

/// Time for the program to start on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running program.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) database: Database,
    child: Child,
    base: String,
}

impl Site {
    /// Starts the program with these people; none without PostgreSQL.
    pub(crate) async fn start(roster: &str) -> Option<Self> {
        let database = Database::create().await?;
        let dir = tempfile::Builder::new()
            .prefix("invigil-manage-")
            .tempdir()
            .unwrap();
        fs::write(dir.path().join("roster.csv"), roster).unwrap();
        run(&dir, &database, &["migrate", "--roles"]).await;
        run(&dir, &database, &["import", "roster", "roster.csv"]).await;
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut child = command(&dir, &database, &["serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = line.ok().and_then(|line| line.unwrap()).unwrap_or_default();
        let address = line.strip_prefix("listening on ").unwrap_or_else(|| {
            let log = fs::read_to_string(dir.path().join("log"));
            panic!("it does not start: {}", log.unwrap_or_default())
        });
        Some(Self {
            base: format!("http://{address}"),
            dir,
            database,
            child,
        })
    }

    /// Runs the program beside the server, and returns its output.
    pub(crate) async fn run(&self, arguments: &[&str]) -> String {
        run(&self.dir, &self.database, arguments).await
    }

    /// Returns a person who is signed in by an access code.
    pub(crate) async fn login(&self, id: &str) -> Person {
        self.login_with(json!({"id": id, "code": format!("code-{id}")}))
            .await
            .unwrap_or_else(|status| panic!("{id}: {status}"))
    }

    /// Tries to sign in.
    pub(crate) async fn login_with(&self, credentials: Value) -> Result<Person, StatusCode> {
        let client = reqwest::Client::new();
        let reply = client
            .post(format!("{}/api/v1/login", self.base))
            .json(&credentials)
            .send()
            .await
            .unwrap();
        if !reply.status().is_success() {
            return Err(reply.status());
        }
        let body: Value = reply.json().await.unwrap();
        Ok(Person {
            client,
            base: self.base.clone(),
            token: body["token"].as_str().unwrap().to_owned(),
        })
    }

    /// Ends the program and removes its database.
    pub(crate) async fn end(mut self) {
        self.child.kill().await.unwrap();
        self.database.remove().await;
    }
}

fn command(dir: &TempDir, database: &Database, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_invigil"));
    command
        .args(arguments)
        .current_dir(dir.path())
        .env("INVIGIL__DATABASE__URL", &database.url)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn run(dir: &TempDir, database: &Database, arguments: &[&str]) -> String {
    let done = command(dir, database, arguments).output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{arguments:?}: {said}");
    String::from_utf8(done.stdout).unwrap()
}

/// A signed-in person.
pub(crate) struct Person {
    client: reqwest::Client,
    base: String,
    pub(crate) token: String,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) etag: String,
    pub(crate) body: Value,
}

impl Reply {
    /// Returns the body of a request that must have worked.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.body);
        self.body
    }

    /// Returns the number of a created or read row.
    #[track_caller]
    pub(crate) fn id(self) -> i64 {
        self.ok()["id"].as_i64().unwrap()
    }

    /// Returns status and stable code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        let code = self.body["code"].as_str().unwrap_or_default();
        (self.status.as_u16(), code)
    }

    /// Returns the fields that a refusal names.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().into_iter().flatten();
        errors
            .map(|error| error["field"].as_str().unwrap())
            .collect()
    }
}

impl Person {
    /// Returns the same person with another token.
    pub(crate) fn with_token(&self, token: &Value) -> Self {
        Self {
            client: self.client.clone(),
            base: self.base.clone(),
            token: token.as_str().unwrap().to_owned(),
        }
    }

    /// Sends a request below `/api/v1`.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        etag: Option<&str>,
        body: Option<Value>,
    ) -> Reply {
        let url = format!("{}/api/v1{path}", self.base);
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if let Some(etag) = etag {
            request = request.header(header::IF_MATCH, etag);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let reply = request.send().await.unwrap();
        let etag = reply.headers().get(header::ETAG);
        Reply {
            status: reply.status(),
            etag: etag.map_or(String::new(), |etag| etag.to_str().unwrap().to_owned()),
            body: serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap_or_default(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, None, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, None, Some(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, None, Some(body)).await
    }

    /// Reads a resource, then sends a change of it as it stands.
    pub(crate) async fn on(&self, method: Method, read: &str, path: &str, body: Value) -> Reply {
        let seen = self.get(read).await;
        assert!(seen.status.is_success(), "{read}: {seen:?}");
        self.send(method, path, Some(&seen.etag), Some(body)).await
    }

    /// Sends a roster.
    pub(crate) async fn csv(&self, path: &str, text: String) -> Reply {
        self.text(path, "text/csv", text).await
    }

    /// Uploads a file.
    pub(crate) async fn upload(&self, path: &str, content: Vec<u8>) -> Reply {
        let url = format!("{}/api/v1{path}", self.base);
        let request = self.client.post(url).bearer_auth(&self.token);
        let reply = request.body(content).send().await.unwrap();
        Reply {
            status: reply.status(),
            etag: String::new(),
            body: serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap_or_default(),
        }
    }

    /// Reads an address of the site without a log-in.
    pub(crate) async fn fetch(&self, address: &str, range: Option<&str>) -> reqwest::Response {
        let mut request = self.client.get(format!("{}{address}", self.base));
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        request.send().await.unwrap()
    }

    /// Sends text.
    pub(crate) async fn text(&self, path: &str, kind: &str, text: String) -> Reply {
        let url = format!("{}/api/v1{path}", self.base);
        let request = self.client.post(url).bearer_auth(&self.token);
        let reply = request
            .header(header::CONTENT_TYPE, kind)
            .body(text)
            .send()
            .await
            .unwrap();
        Reply {
            status: reply.status(),
            etag: String::new(),
            body: serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap_or_default(),
        }
    }

    /// Takes an exam without a socket: starts, answers, hands in.
    pub(crate) async fn take(&self, exam: &str, answers: &[(String, Value)]) -> String {
        let started = self
            .post(&format!("/exams/{exam}/attempts"), json!({}))
            .await;
        let attempt = started.ok()["attempt"].as_str().unwrap().to_owned();
        let mut commands: Vec<Value> = answers
            .iter()
            .zip(1..)
            .map(|((q, value), seq)| json!({"t": "answer", "seq": seq, "q": q, "value": value}))
            .collect();
        commands.push(json!({"t": "submit", "seq": commands.len() + 1}));
        let path = format!("/attempts/{attempt}/exchange");
        let entered = self.post(&path, json!({})).await.ok();
        let session = &entered["session"];
        let done = self
            .post(
                &path,
                json!({"session": session, "next_seq": 1, "commands": commands}),
            )
            .await
            .ok();
        let status = done["status"].as_str().unwrap();
        assert!(["graded", "submitted"].contains(&status), "{done}");
        attempt
    }
}

/// Returns a roster in which every code is `code-` and the name.
pub(crate) fn roster(people: &[(&str, &str)]) -> String {
    let mut text = "id,name,email,role,code,exams,time_factor,extra_minutes\n".to_owned();
    for (id, role) in people {
        let exams = if *role == "admin" { "*" } else { "" };
        writeln!(text, "{id},Name of {id},,{role},code-{id},{exams},,").unwrap();
    }
    text
}

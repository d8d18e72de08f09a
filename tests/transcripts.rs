//! The transcripts of `docs/protocol.md`, played against the real program.
//!
//! Each block is one candidate's attempt at the exam that the same document
//! shows. A line that begins with a blank goes on with the line before it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests"
)]

use std::{fmt::Write as _, fs, path::Path, process::Stdio, time::Duration};

use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

const DOCS: &str = include_str!("../docs/protocol.md");

/// Stands for any value; in a client's message, for the value that it has.
const ANY: &str = "\u{2026}";

/// Far over the time of any step; a step that never comes fails here.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the fenced blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let start = format!("\n```{language}\n");
    let after = DOCS.split(start.as_str()).skip(1);
    after
        .map(|rest| rest.split_once("\n```").unwrap().0)
        .collect()
}

/// Returns the steps of a transcript, each on one line, without comments.
fn steps(transcript: &str) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    for line in transcript.lines().filter(|line| !line.starts_with('#')) {
        match steps.last_mut() {
            Some(last) if line.starts_with(' ') => last.push_str(line),
            _ => steps.push(line.to_owned()),
        }
    }
    steps
}

/// Returns true if a message is the written one, with [`ANY`] for values that vary.
fn matches(written: &Value, came: &Value) -> bool {
    match (written, came) {
        (Value::String(text), _) if text == ANY => true,
        (Value::Object(written), Value::Object(came)) => {
            written.len() == came.len()
                && written
                    .iter()
                    .all(|(key, value)| came.get(key).is_some_and(|it| matches(value, it)))
        }
        (Value::Array(written), Value::Array(came)) => {
            written.len() == came.len() && written.iter().zip(came).all(|(a, b)| matches(a, b))
        }
        _ => written == came,
    }
}

/// The program, serving the document's exam to some candidates.
struct Server {
    _program: Child,
    address: String,
}

impl Server {
    async fn start(folder: &Path, candidates: usize) -> Self {
        let (exam, roster) = (folder.join("exam.yaml"), folder.join("roster.csv"));
        let mut people = "id,name,email,role,code,exams,time_factor,extra_minutes\n".to_owned();
        for number in 0..candidates {
            writeln!(
                people,
                "c{number},Candidate,,candidate,code-{number},DOCS,,"
            )
            .unwrap();
        }
        fs::write(&exam, blocks("yaml")[0]).unwrap();
        fs::write(&roster, people).unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_invigil"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.join("data"))
            .arg("--exam")
            .arg(exam)
            .arg("--roster")
            .arg(roster)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        let line = line.expect("the program says where it listens");
        let address = line.strip_prefix("listening on ").unwrap().to_owned();
        Self {
            _program: program,
            address,
        }
    }

    /// Signs a candidate in and starts the attempt.
    async fn candidate(&self, number: usize) -> Candidate {
        let http = reqwest::Client::new();
        let base = format!("http://{}/api/v1", self.address);
        let login = json!({ "id": format!("c{number}"), "code": format!("code-{number}") });
        let login = http
            .post(format!("{base}/login"))
            .json(&login)
            .send()
            .await
            .unwrap();
        let login: Value = login.json().await.unwrap();
        let start = http
            .post(format!("{base}/exams/DOCS/attempts"))
            .bearer_auth(login["token"].as_str().unwrap())
            .json(&json!({}))
            .send()
            .await
            .unwrap();
        assert_eq!(start.status(), StatusCode::CREATED);
        let start: Value = start.json().await.unwrap();
        Candidate {
            exchange: format!(
                "{base}/attempts/{}/exchange",
                start["attempt"].as_str().unwrap()
            ),
            socket_address: format!("ws://{}{}", self.address, start["socket"].as_str().unwrap()),
            token: start["token"].as_str().unwrap().to_owned(),
            http,
            session: Value::Null,
            socket: None,
            reply: None,
        }
    }
}

/// The client of one candidate.
struct Candidate {
    http: reqwest::Client,
    exchange: String,
    socket_address: String,
    token: String,
    session: Value,
    socket: Option<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    reply: Option<(StatusCode, Value)>,
}

impl Candidate {
    async fn play(&mut self, step: &str) {
        let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
        match verb {
            "connect" => self.socket = Some(connect_async(&self.socket_address).await.unwrap().0),
            "break" => self.socket = None,
            ">" => {
                let message = self.fill(rest).to_string();
                self.socket().send(Message::text(message)).await.unwrap();
            }
            "<" => {
                let came = self.next().await.into_text().unwrap();
                self.compare(rest, &serde_json::from_str(&came).unwrap());
            }
            "closed" => {
                let came = self.next().await;
                let Message::Close(Some(frame)) = came else {
                    panic!("{came:?} came");
                };
                assert_eq!(u16::from(frame.code).to_string(), rest);
            }
            "POST" => {
                let body = self.fill(rest);
                let request = self.http.post(&self.exchange).bearer_auth(&self.token);
                let response = request.json(&body).send().await.unwrap();
                let status = response.status();
                self.reply = Some((status, response.json().await.unwrap()));
            }
            status => {
                let (came, reply) = self.reply.take().expect("a POST goes before");
                assert_eq!(came.as_str(), status);
                self.compare(rest, &reply);
            }
        }
    }

    fn socket(&mut self) -> &mut WebSocketStream<MaybeTlsStream<TcpStream>> {
        self.socket.as_mut().expect("a connect goes before")
    }

    async fn next(&mut self) -> Message {
        let next = timeout(PATIENCE, self.socket().next()).await;
        next.expect("nothing came").expect("the end came").unwrap()
    }

    fn compare(&mut self, written: &str, came: &Value) {
        let written: Value = serde_json::from_str(written).unwrap();
        assert!(matches(&written, came), "came: {came}");
        if let Some(session) = came.get("session") {
            self.session = session.clone();
        }
    }

    /// A client's message with its token and session in it.
    fn fill(&self, written: &str) -> Value {
        let mut message: Value = serde_json::from_str(written).unwrap();
        for (pointer, value) in [
            ("/token", &json!(self.token)),
            ("/session", &self.session),
            ("/resume/session", &self.session),
        ] {
            if let Some(place) = message.pointer_mut(pointer).filter(|it| **it == ANY) {
                *place = value.clone();
            }
        }
        message
    }
}

#[tokio::test]
async fn the_documented_transcripts_are_what_happens() {
    let transcripts = blocks("transcript");
    assert!(transcripts.len() >= 5, "found {}", transcripts.len());
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), transcripts.len()).await;
    for (number, transcript) in transcripts.into_iter().enumerate() {
        let mut candidate = server.candidate(number).await;
        for step in steps(transcript) {
            let played = timeout(PATIENCE, candidate.play(&step)).await;
            assert!(played.is_ok(), "no end of: {step}");
        }
    }
}

#[test]
fn a_pattern_matches_any_value_but_no_other_fields() {
    let any = json!({ "a": ANY, "b": [1, { "c": ANY }] });
    assert!(matches(&any, &json!({ "a": 7, "b": [1, { "c": null }] })));
    assert!(!matches(&any, &json!({ "a": 7, "b": [2, { "c": null }] })));
    assert!(!matches(&any, &json!({ "a": 7, "b": [1, {}] })));
    assert!(!matches(
        &any,
        &json!({ "a": 7, "b": [1, { "c": 1 }], "d": 1 })
    ));
}

//! The console for terminals: the commands that a proctor types reach the candidate.

use std::process::Stdio;

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
};

use crate::{
    harness::{EXAM, PATIENCE, STAFF, STAFF_CODE, Server, Site, exam},
    socket::Socket,
};

/// `invigil watch --plain`, typed at by a test.
struct Terminal {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Terminal {
    fn open(site: &Site, server: &Server, exam: &str) -> Self {
        let arguments = [
            "watch",
            "--plain",
            "--exam",
            exam,
            "--user",
            STAFF,
            "--server",
            &server.base,
        ];
        let mut child = site
            .command(&arguments)
            .env("INVIGIL_CODE", STAFF_CODE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            input,
            lines,
        }
    }

    async fn type_line(&mut self, line: &str) {
        self.input
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }

    /// Returns the next message that satisfies a condition.
    async fn until(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let looking = async {
            loop {
                let line = self.lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("it ended without {what}"));
                let message: Value = serde_json::from_str(&line).unwrap();
                if holds(&message) {
                    return message;
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, looking).await;
        found.unwrap_or_else(|_| panic!("waited for {what}"))
    }

    async fn result(&mut self) -> Value {
        self.until("a result", |message| message["t"] == "result")
            .await
    }
}

#[tokio::test]
async fn what_is_typed_is_done_and_seen() {
    let site = Site::embedded(&exam("proctoring: {enabled: true}", 3), 2);
    let server = site.start().await;
    let (_, started) = server.begin(0).await;
    let (mut socket, welcome) = Socket::enter(&server, &started.token).await;
    let deadline = welcome["attempt"]["deadline_at"].as_i64().unwrap();
    let mut terminal = Terminal::open(&site, &server, EXAM);
    let board = terminal
        .until("the board", |message| message["t"] == "board")
        .await;
    assert_eq!(board["rows"][0]["attempt"], started.attempt.as_str());

    terminal.type_line("warn c0 eyes on your own screen").await;
    assert_eq!(terminal.result().await["done"], 1);
    let notice = socket.wait_for("notice").await;
    assert_eq!(notice["text"], "eyes on your own screen");
    assert_eq!(notice["level"], "warning");
    terminal.type_line("pause #1 a call").await;
    assert_eq!(terminal.result().await["done"], 1);
    assert_eq!(socket.wait_for("status").await["reason"], "a call");
    terminal
        .type_line(&format!("resume {}", started.attempt))
        .await;
    assert_eq!(terminal.result().await["done"], 1);
    terminal.type_line("extend c0 5 the call").await;
    assert_eq!(terminal.result().await["done"], 1);
    loop {
        let timing = socket.wait_for("timing").await;
        if timing["reason"] == "extended" {
            assert!(timing["deadline_at"].as_i64().unwrap() >= deadline + 300_000);
            break;
        }
    }
    // A grave command asks for confirmation, and an unknown one is reported.
    terminal.type_line("dance c0").await;
    terminal
        .until("a fault", |message| message["t"] == "fault")
        .await;
    terminal.type_line("cancel c0 enough").await;
    terminal.type_line("yes").await;
    assert_eq!(terminal.result().await["done"], 1);
    assert_eq!(socket.closed().await, 4510);
    terminal
        .until("the row", |message| {
            message["t"] == "delta" && message["rows"][0]["status"] == "cancelled"
        })
        .await;
    terminal.type_line("quit").await;
    assert!(terminal.child.wait().await.unwrap().success());
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn it_comes_back_after_a_restart_and_says_what_is_not_ones_own() {
    let site = Site::embedded(&exam("", 3), 1);
    let port = crate::harness::free_port();
    let server = site.start_on(port).await;
    server.begin(0).await;
    let mut terminal = Terminal::open(&site, &server, EXAM);
    terminal
        .until("the board", |message| message["t"] == "board")
        .await;
    server.kill().await;
    let server = site.start_on(port).await;
    terminal
        .until("the board again", |message| message["t"] == "board")
        .await;
    terminal.type_line("quit").await;
    assert!(terminal.child.wait().await.unwrap().success());
    let nothing = Terminal::open(&site, &server, "NOWHERE");
    let ended = nothing.child.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("NOWHERE"));
    assert!(server.stop().await.success());
}

//! Fuzzing, for some seconds, of every listener: nothing breaks.

use std::time::Duration;

use reqwest::{Method, header};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    dice::Dice,
    harness::{EXAM, Server, Site, code, exam, name, question, roll_dice, setting},
    socket::Socket,
};

const CANDIDATES: usize = 4;

/// Words with a meaning in some part of the protocol.
const WORDS: [&str; 16] = [
    "",
    "hello",
    "answer",
    "null",
    "q0",
    "../..",
    "%00",
    "a'b\"c",
    "-1",
    "18446744073709551616",
    "\u{0}",
    "\u{d7ff}\u{1f600}",
    "LUCK-1",
    "0",
    "1e400",
    "__proto__",
];

fn value(dice: &mut Dice, depth: usize) -> Value {
    match dice.below(if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => json!(dice.below(2) == 0),
        2 => json!(dice.next()),
        3 => json!(-1.5e300),
        4 => json!(*dice.pick(&WORDS)),
        5 => json!("x".repeat(dice.below(2_000))),
        6 => (0..dice.below(5)).map(|_| value(dice, depth - 1)).collect(),
        _ => {
            let fields = (0..dice.below(5)).map(|_| {
                let name = (*dice.pick(&WORDS)).to_owned();
                (name, value(dice, depth - 1))
            });
            Value::Object(fields.collect())
        }
    }
}

/// A message of the protocol, with some of its fields replaced.
fn message(dice: &mut Dice, token: &str, seq: u64) -> Value {
    let q = question(dice.below(4));
    let known = [
        json!({ "t": "hello", "token": token }),
        json!({ "t": "hello", "token": token, "resume": { "session": "x", "next_seq": seq } }),
        json!({ "t": "answer", "seq": seq, "q": q, "value": "it", "base_rev": 0 }),
        json!({ "t": "flag", "seq": seq, "q": q, "on": true }),
        json!({ "t": "heartbeat", "n": seq, "q": q }),
        json!({ "t": "event", "n": seq, "kind": "paste", "at": 0, "data": {} }),
        json!({ "t": "notice_ack", "id": "1" }),
        json!({ "t": "submit", "seq": seq + 1_000 }),
    ];
    let mut message = dice.pick(&known).clone();
    if dice.below(2) == 0 {
        let fields = message.as_object_mut().unwrap();
        let names: Vec<_> = fields.keys().cloned().collect();
        let replaced = dice.pick(&names).clone();
        fields.insert(replaced, value(dice, 3));
    }
    message
}

/// Changes, cuts or repeats some bytes.
fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..dice.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = dice.below(bytes.len());
        match dice.below(3) {
            0 => bytes[at] = dice.next().to_le_bytes()[0],
            1 => bytes.truncate(at),
            _ => bytes.extend_from_within(at..),
        }
    }
}

fn frame(dice: &mut Dice, encoding: &str, token: &str, seq: u64) -> Message {
    let message = message(dice, token, seq);
    if encoding.ends_with("json") {
        let mut bytes = serde_json::to_vec(&message).unwrap();
        mutate(dice, &mut bytes);
        match String::from_utf8(bytes) {
            Ok(text) => Message::text(text),
            Err(error) => Message::binary(error.into_bytes()),
        }
    } else {
        let mut bytes = rmp_serde::to_vec_named(&message).unwrap();
        mutate(dice, &mut bytes);
        Message::binary(bytes)
    }
}

/// Fuzzes one socket until the engine closes it; returns the number of frames it took.
async fn socket(server: &Server, dice: &mut Dice, token: &str, until: Instant) -> u64 {
    let encoding = *dice.pick(&["invigil.v1.json", "invigil.v1.msgpack"]);
    let mut socket = Socket::connect_as(server, encoding).await;
    let hello = json!({ "t": "hello", "token": token });
    // Most sockets say a correct `hello` first: the larger part of the protocol follows it.
    if dice.below(4) > 0 {
        let hello = if encoding.ends_with("json") {
            Message::text(hello.to_string())
        } else {
            Message::binary(rmp_serde::to_vec_named(&hello).unwrap())
        };
        socket.send(hello).await;
    }
    let mut seq = 1;
    while Instant::now() < until && seq < 60 {
        if !socket.send(frame(dice, encoding, token, seq)).await {
            break;
        }
        seq += 1;
    }
    seq
}

async fn request(server: &Server, dice: &mut Dice, tokens: &[String], attempt: &str) {
    let http = reqwest::Client::new();
    let paths = [
        "/api/v1/login".to_owned(),
        "/api/v1/logout".to_owned(),
        "/api/v1/exams".to_owned(),
        format!("/api/v1/exams/{EXAM}/attempts"),
        format!("/api/v1/exams/{EXAM}/commands"),
        format!("/api/v1/exams/{EXAM}/results"),
        format!("/api/v1/attempts/{attempt}"),
        format!("/api/v1/attempts/{attempt}/answers"),
        format!("/api/v1/attempts/{attempt}/exchange"),
        format!("/api/v1/attempts/{attempt}/timeline?after={}", dice.next()),
        format!("/api/v1/attempts/{}/result", dice.pick(&WORDS)),
        format!("/api/v1/papers/sha256-{}", dice.next()),
        format!("/ws/v1/attempt?{}", dice.pick(&WORDS)),
        format!("/{}", dice.pick(&WORDS)),
    ];
    let methods = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
    let path = dice.pick(&paths).clone();
    let method = dice.pick(&methods).clone();
    let command = message(dice, &tokens[0], dice.clone().next() % 4);
    let bodies = [
        json!({ "id": name(dice.below(9)), "code": code(dice.below(9)) }),
        json!({ "commands": [command], "signals": [value(dice, 2)] }),
        json!({ "session": "x", "next_seq": dice.next(), "commands": [command] }),
        json!({ "id": "1", "target": { "exam": EXAM }, "action": "pause", "args": value(dice, 2) }),
        value(dice, 4),
    ];
    let mut body = serde_json::to_vec(dice.pick(&bodies)).unwrap();
    if dice.below(3) == 0 {
        mutate(dice, &mut body);
    }
    let shown = String::from_utf8_lossy(&body).into_owned();
    let mut request = http
        .request(method.clone(), format!("{}{path}", server.base))
        .header(header::CONTENT_TYPE, "application/json")
        .bearer_auth(dice.pick(tokens))
        .body(body);
    if dice.below(3) == 0 {
        let junk: Vec<u8> = (0..40).map(|_| b' ' + (dice.next() % 94) as u8).collect();
        let names = [
            "origin",
            "cookie",
            "range",
            "if-none-match",
            "x-forwarded-for",
        ];
        request = request.header(*dice.pick(&names), junk);
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    assert!(
        !status.is_server_error(),
        "{method} {path}: {status}\n{shown}\n{}",
        response.text().await.unwrap_or_default()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_breaks_nothing() {
    let mut dice = roll_dice();
    let seconds = setting("FUZZ_SECONDS").unwrap_or(8);
    let site = Site::embedded(&exam("", 4), CANDIDATES);
    let server = site.start().await;
    let mut begun = Vec::new();
    for number in 0..CANDIDATES {
        let (client, started) = server.begin(number).await;
        begun.push((client.token().to_owned(), started));
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut frames, mut requests) = (0, 0);
    while Instant::now() < until {
        let (login, started) = dice.pick(&begun).clone();
        frames += socket(&server, &mut dice, &started.token, until).await;
        let tokens = [started.token, login, "nonsense".to_owned()];
        for _ in 0..10 {
            request(&server, &mut dice, &tokens, &started.attempt).await;
            requests += 1;
        }
    }
    println!("{frames} frames and {requests} requests of nonsense");
    assert!(frames > 0 && requests > 0);
    assert_eq!(server.get("/readyz").await.0, 200);
    let panics = server.metric("invigil_actor_panics_total").await;
    assert!(panics < 1.0, "{}", server.said());
    assert!(!server.said().contains("panicked"), "{}", server.said());
    let (_, started) = &begun[0];
    let (socket, _) = Socket::enter(&server, &started.token).await;
    drop(socket);
    assert!(server.stop().await.success());
}

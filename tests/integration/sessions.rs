//! Tabs, tokens and time, as candidates meet them on the real program.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use invigil::web::token::{AttemptToken, TokenSigner};
use invigil_client::{ApiClient, AttemptPaper, protocol::rest::AttemptView};
use invigil_domain::{id::PersonId, time::Timestamp};
use invigil_store::CatalogStore as _;
use invigil_store_sql::sqlite::SqliteStore;
use serde_json::{Value, json};

use crate::{
    harness::{Server, Site, exam, in_seconds, name, now_ms, question, until},
    socket::Socket,
};

fn answer(seq: u64, question: &str, value: &str) -> Value {
    json!({ "t": "answer", "seq": seq, "q": question, "value": value })
}

/// The attempt, once it is handed in.
async fn handed_in(client: &ApiClient, attempt: &str) -> AttemptView {
    until(
        "the hand-in",
        async || client.fetch_view(attempt).await.unwrap(),
        |view| {
            let status = serde_json::to_value(view.status).unwrap();
            status != "in_progress" && status != "started"
        },
    )
    .await
}

#[tokio::test]
async fn a_second_tab_takes_over() {
    let server = Site::embedded(&exam("", 3), 1);
    let server = server.start().await;
    let (client, started) = server.begin(0).await;
    let (mut first, _) = Socket::enter(&server, &started.token).await;
    first.say(answer(1, &question(0), "first")).await;
    assert_eq!(first.wait_for("saved").await["seq"], 1);
    let (mut second, welcome) = Socket::enter(&server, &started.token).await;
    assert_eq!(welcome["resumed"], false);
    assert_eq!(first.closed().await, 4509);
    second.say(answer(1, &question(1), "second")).await;
    assert_eq!(second.wait_for("saved").await["seq"], 1);
    let stored = client.fetch_answers(&started.attempt, &started.token).await;
    let stored = stored.unwrap().answers;
    assert_eq!(stored[&question(0)].value, "first");
    assert_eq!(stored[&question(1)].value, "second");
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn a_token_that_is_not_right_opens_nothing() {
    let site = Site::embedded(&exam("", 3), 2);
    let server = site.start().await;
    let (_, started) = server.begin(0).await;
    assert!(server.stop().await.success());
    let store = SqliteStore::open(&site.path("data")).await.unwrap();
    let secret = store
        .ensure_secret("attempt-token", &[0; 32])
        .await
        .unwrap();
    store.close().await;
    let right = TokenSigner::new(&secret, Duration::from_mins(1));
    let now = Timestamp::from_ms(now_ms());
    let said = right.verify(&started.token, now).unwrap();
    let person = PersonId::from(name(0));
    let expired = TokenSigner::new(&secret, Duration::ZERO).sign(said.attempt, person.clone(), now);
    let foreign =
        TokenSigner::new(&[7; 32], Duration::from_mins(1)).sign(said.attempt, person, now);
    let other = AttemptToken {
        person: PersonId::from(name(1)),
        ..said
    };
    let (_, signature) = started.token.split_once('.').unwrap();
    let other = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&other).unwrap());
    let tampered = format!("{other}.{signature}");

    let server = site.start().await;
    for token in [expired, foreign, tampered, started.attempt] {
        let (mut socket, _) = Socket::hello(&server, &token, None).await;
        assert_eq!(socket.closed().await, 4501, "{token}");
    }
    Socket::enter(&server, &started.token).await;
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn what_is_anothers_does_not_exist() {
    let server = Site::embedded(&exam("", 3), 2);
    let server = server.start().await;
    let (first, mine) = server.begin(0).await;
    let (second, _) = server.begin(1).await;
    for part in ["", "/answers", "/result", "/receipt"] {
        let path = format!("/api/v1/attempts/{}{part}", mine.attempt);
        let Err(invigil_client::Error::Refused(problem)) = second.get_json(&path).await else {
            panic!("{path} is told to another");
        };
        assert_eq!(problem.status, 404, "{path}");
    }
    first.fetch_view(&mine.attempt).await.unwrap();
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn what_is_not_on_the_paper_is_refused() {
    let server = Site::embedded(&exam("", 3), 1);
    let server = server.start().await;
    let (_, started) = server.begin(0).await;
    let (mut socket, _) = Socket::enter(&server, &started.token).await;
    socket.say(answer(1, "q99", "x")).await;
    let refused = socket.wait_for("refused").await;
    assert_eq!(refused["code"], "unknown_question");
    assert_eq!(refused["seq"], 1);
    socket.say(answer(2, &question(0), "x")).await;
    assert_eq!(socket.wait_for("saved").await["t"], "saved");
    assert!(server.stop().await.success());
}

/// Returns an exam whose window ends soon, and with it the time of every candidate.
fn closing_soon(seconds: i64) -> String {
    let head = format!(
        "available_until: {}\ngrace_period_minutes: 0",
        in_seconds(seconds)
    );
    exam(&head, 3)
}

#[tokio::test]
async fn time_hands_in_while_the_candidate_is_there() {
    let site = Site::embedded(&closing_soon(8), 1);
    let server = site.start().await;
    let (client, started) = server.begin(0).await;
    let (mut socket, _) = Socket::enter(&server, &started.token).await;
    socket.say(answer(1, &question(0), "it")).await;
    assert_eq!(socket.wait_for("saved").await["seq"], 1);
    let submitted = socket.wait_for("submitted").await;
    assert_eq!(submitted["handed_in"], "time");
    let deadline_at = client
        .fetch_view(&started.attempt)
        .await
        .unwrap()
        .deadline_at;
    assert!(submitted["at"].as_i64() >= deadline_at, "{submitted}");
    assert_eq!(socket.closed().await, 1000);
    let (mut late, _) = Socket::hello(&server, &started.token, None).await;
    assert_eq!(late.closed().await, 4510);
    too_late(&server, &started.attempt, &started.token).await;
    assert!(server.stop().await.success());
}

/// An answer after the hand-in changes nothing.
async fn too_late(server: &Server, attempt: &str, token: &str) {
    let path = format!("{}/api/v1/attempts/{attempt}/exchange", server.base);
    let request = reqwest::Client::new()
        .post(path)
        .bearer_auth(token)
        .json(&json!({ "commands": [answer(1, &question(1), "late")] }));
    let response = request.send().await.unwrap();
    assert!(!response.status().is_server_error(), "{response:?}");
    let path = format!("{}/api/v1/attempts/{attempt}/answers", server.base);
    let request = reqwest::Client::new().get(path).bearer_auth(token);
    let stored: Value = request.send().await.unwrap().json().await.unwrap();
    let late = &stored["answers"][question(1)]["value"];
    assert_eq!(*late, Value::Null, "{stored}");
}

#[tokio::test]
async fn time_hands_in_what_nobody_watches() {
    let site = Site::embedded(&closing_soon(8), 1).set("idle.stop_after_seconds", "1");
    let server = site.start().await;
    let (client, started) = server.begin(0).await;
    let (mut socket, _) = Socket::enter(&server, &started.token).await;
    socket.say(answer(1, &question(0), "it")).await;
    assert_eq!(socket.wait_for("saved").await["seq"], 1);
    drop(socket);
    let view = handed_in(&client, &started.attempt).await;
    assert_eq!(view.answered, 1);
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn time_hands_in_though_the_engine_was_away() {
    let site = Site::embedded(&closing_soon(6), 1);
    let server = site.start().await;
    let (_, started) = server.begin(0).await;
    let (mut socket, welcome) = Socket::enter(&server, &started.token).await;
    socket.say(answer(1, &question(0), "it")).await;
    assert_eq!(socket.wait_for("saved").await["seq"], 1);
    let deadline_at = welcome["attempt"]["deadline_at"].as_i64().unwrap();
    server.kill().await;
    until("the deadline", async || now_ms(), |now| *now > deadline_at).await;
    let server = site.start().await;
    let client = server.login(0).await;
    let view = handed_in(&client, &started.attempt).await;
    assert_eq!(view.answered, 1);
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn an_attempt_leaves_memory_and_comes_back() {
    let site = Site::embedded(&exam("", 3), 1).set("idle.stop_after_seconds", "1");
    let server = site.start().await;
    let (_, started) = server.begin(0).await;
    let (mut socket, welcome) = Socket::enter(&server, &started.token).await;
    socket.say(answer(1, &question(0), "it")).await;
    assert_eq!(socket.wait_for("saved").await["seq"], 1);
    drop(socket);
    until(
        "the attempt to leave memory",
        async || server.metric("invigil_live_attempts").await,
        |live| *live == 0.0,
    )
    .await;
    let resume = json!({ "session": welcome["session"], "next_seq": 2 });
    let (mut socket, _) = {
        let mut socket = Socket::connect(&server).await;
        let hello = json!({ "t": "hello", "token": started.token, "resume": resume });
        socket.say(hello).await;
        let back = socket.wait_for("welcome").await;
        assert_eq!(back["resumed"], true);
        assert_eq!(back["saved_seq"], 1);
        (socket, back)
    };
    socket.say(answer(2, &question(1), "it too")).await;
    assert_eq!(socket.wait_for("saved").await["seq"], 2);
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn the_lobby_opens_on_time() {
    let site = Site::embedded(&exam(&format!("available_from: {}", in_seconds(8)), 3), 1);
    let server = site.start().await;
    let (client, started) = server.begin(0).await;
    let (mut socket, welcome) = Socket::enter(&server, &started.token).await;
    assert_eq!(welcome["attempt"]["status"], "started");
    assert_eq!(welcome["paper"]["sealed"], true);
    socket.say(answer(1, &question(0), "early")).await;
    assert_eq!(socket.wait_for("refused").await["code"], "not_open");
    let url = welcome["paper"]["url"].as_str().unwrap();
    let paper = client.fetch_paper(url, &started.token).await.unwrap();
    let AttemptPaper::Sealed(sealed) = paper else {
        panic!("an open paper in the lobby");
    };
    let open = socket.wait_for("open").await;
    assert!(now_ms() >= welcome["attempt"]["opens_at"].as_i64().unwrap());
    let sections = ApiClient::unseal_paper(&sealed, open["key"].as_str().unwrap()).unwrap();
    assert_eq!(sections[0].questions.len(), 3);
    socket.say(answer(2, &question(0), "it")).await;
    assert_eq!(socket.wait_for("saved").await["t"], "saved");
    assert!(server.stop().await.success());
}

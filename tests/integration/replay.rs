//! A replayed timeline ends in the stored attempt.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    dice::Dice,
    harness::{Server, Site, exam, now_ms, roll_dice},
    socket::Socket,
};

/// Returns the output of `invigil replay`.
async fn replayed(site: &Site, arguments: &[&str]) -> Value {
    let arguments = [&["replay", "--data", "data"], arguments].concat();
    let done = site.command(&arguments).output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&done.stdout).unwrap()
}

/// Some answers and flags, in bursts, so that many wait for one commit.
async fn answer(socket: &mut Socket, seq: &mut u64, dice: &mut Dice, count: usize) {
    for _ in 0..count {
        *seq += 1;
        let q = format!("q{}", dice.below(6));
        let value = *dice.pick(&["it", "that", ""]);
        let message = match dice.below(4) {
            0 => json!({ "t": "flag", "seq": *seq, "q": q, "on": dice.below(2) == 0 }),
            1 => json!({ "t": "answer", "seq": *seq, "q": q, "value": null }),
            _ => json!({ "t": "answer", "seq": *seq, "q": q, "value": value }),
        };
        socket.say(message).await;
    }
    while socket.wait_for("saved").await["seq"].as_u64().unwrap() < *seq {}
}

async fn stored(server: &Server, attempt: &str, token: &str) -> Value {
    let url = format!("{}/api/v1/attempts/{attempt}/answers", server.base);
    let response = reqwest::Client::new().get(url).bearer_auth(token).send();
    let body: Value = response.await.unwrap().json().await.unwrap();
    body["answers"].clone()
}

#[tokio::test]
async fn a_timeline_ends_in_what_is_stored_and_shows_every_moment() {
    let rules = "proctoring:\n  enabled: true\n  rules:\n    \
                 - {kind: copy, severity: high, limit: 2, then: flag}";
    let site = Site::embedded(&exam(rules, 6), 1);
    let mut server = site.start().await;
    let (_, started) = server.begin(0).await;
    let (mut dice, mut seq) = (roll_dice(), 0);
    let (mut socket, welcome) = Socket::enter(&server, &started.token).await;
    answer(&mut socket, &mut seq, &mut dice, 60).await;
    let midway = stored(&server, &started.attempt, &started.token).await;
    let midway_at = now_ms();
    tokio::time::sleep(Duration::from_millis(50)).await;
    for n in 1..=3 {
        socket
            .say(json!({ "t": "event", "n": n, "kind": "copy", "at": midway_at }))
            .await;
    }
    socket.wait_for("event_ack").await;
    answer(&mut socket, &mut seq, &mut dice, 30).await;
    // A crash, another session, and more.
    server.kill().await;
    server = site.start().await;
    let resume = json!({ "session": welcome["session"], "next_seq": seq + 1 });
    let (mut socket, _) = Socket::hello(&server, &started.token, Some(resume)).await;
    answer(&mut socket, &mut seq, &mut dice, 30).await;
    let last = stored(&server, &started.attempt, &started.token).await;
    assert!(server.stop().await.success());

    let whole = replayed(&site, &[&started.attempt]).await;
    assert_eq!(whole["agrees_with_the_stored_answers"], true, "{whole}");
    assert_eq!(whole["answers"], last);
    assert_eq!(whole["status"], "in_progress");
    assert_eq!(whole["flagged"], true);
    let incidents = whole["incidents"].as_array().unwrap();
    let copied = incidents.iter().find(|incident| incident["kind"] == "copy");
    assert_eq!(copied.unwrap()["events"], 3, "{whole}");
    let at = chrono::DateTime::from_timestamp_millis(midway_at)
        .unwrap()
        .to_rfc3339();
    let then = replayed(&site, &[&started.attempt, "--at", &at]).await;
    assert_eq!(then["answers"], midway);
    assert_eq!(then["flagged"], false);
    let incidents = then["incidents"].as_array().unwrap();
    assert!(
        incidents.iter().all(|incident| incident["kind"] != "copy"),
        "{then}"
    );
    let before = replayed(&site, &[&started.attempt, "--at", "2020-01-01T00:00:00Z"]).await;
    assert_eq!(
        (&before["status"], &before["answers"]),
        (&json!("started"), &json!({}))
    );
}

//! The findings of proctoring stand in the attempt's columns, for queries.

use std::time::Duration;

use invigil_client::{ConsoleClient, ConsoleUpdate, protocol::proctor::ProctorServerMessage};
use serde_json::{Value, json};

use crate::{
    harness::{Server, Site, exam, until},
    postgres_server::Database,
    socket::Socket,
};

const WATCHED: &str = "proctoring:\n  enabled: true\n  rules:\n    \
                       - {kind: copy, severity: medium, limit: 1, then: flag}";

/// Returns the violations, the kinds of incidents, the score, and true if all is well.
async fn columns(database: &Database, attempt: &str) -> (i64, Value, Option<f64>, bool) {
    let mut connection = database.connection().await;
    let (violations, flags, score, verified): (i64, String, Option<f64>, bool) = sqlx::query_as(
        "SELECT violations_count::bigint, security_flags::text, proctoring_score::float8,
                integrity_verified
         FROM exam_attempts WHERE id = $1",
    )
    .bind(attempt.parse::<i64>().unwrap())
    .fetch_one(&mut connection)
    .await
    .unwrap();
    let flags = serde_json::from_str(&flags).unwrap();
    (violations, flags, score, verified)
}

async fn status(database: &Database, attempt: &str) -> String {
    let mut connection = database.connection().await;
    sqlx::query_scalar("SELECT status FROM exam_attempts WHERE id = $1")
        .bind(attempt.parse::<i64>().unwrap())
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

/// Acts as a member of staff, and waits until the console reports the result.
async fn command(console: &mut ConsoleClient, id: &str, action: &str, attempt: &str, args: Value) {
    let command = json!({
        "t": "command", "id": id, "action": action, "target": { "attempt": attempt }, "args": args,
    });
    console
        .send_message(serde_json::from_value(command).unwrap())
        .await;
    let done = async {
        loop {
            if let Some(ConsoleUpdate::Message(message)) = console.next_update().await
                && let ProctorServerMessage::Result(result) = *message
                && result.id == id
            {
                return result;
            }
        }
    };
    let result = tokio::time::timeout(Duration::from_secs(20), done).await;
    let result = result.expect("a result");
    assert_eq!((result.done, result.failed.len()), (1, 0), "{result:?}");
}

async fn incident(server: &Server, staff: &str, attempt: &str) -> String {
    let timeline = server.timeline(staff, attempt).await;
    let raised = timeline.iter().find(|entry| entry["kind"] == "incident");
    let raised = raised.unwrap_or_else(|| panic!("no incident: {timeline:?}"));
    raised["data"]["incident"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_columns_of_an_attempt_follow_its_incidents() {
    let Some(database) = Database::create().await else {
        return;
    };
    let site = Site::postgres(&database.url, &exam(WATCHED, 3), 2).await;
    let server = site.start().await;
    let (_, started) = server.begin(0).await;
    let attempt = started.attempt;
    let (mut socket, _) = Socket::enter(&server, &started.token).await;
    assert_eq!(
        columns(&database, &attempt).await,
        (0, json!([]), Some(1.0), false),
        "nothing yet"
    );

    let copied = json!({ "t": "event", "n": 1, "kind": "copy", "at": 0 });
    socket.say(copied).await;
    socket.wait_for("event_ack").await;
    let (violations, flags, score, verified) = columns(&database, &attempt).await;
    assert_eq!((violations, flags, verified), (1, json!(["copy"]), false));
    assert!(score.is_some_and(|score| score < 1.0), "{score:?}");

    socket.say(json!({ "t": "submit", "seq": 1 })).await;
    socket.wait_for("submitted").await;
    assert!(!columns(&database, &attempt).await.3, "it is flagged");

    let staff = server.staff().await;
    let incident = incident(&server, &staff, &attempt).await;
    let mut console = ConsoleClient::open(&format!("http://{}", server.address()), &staff);
    let args = json!({ "incident": incident, "verdict": "dismissed", "note": "a keyboard" });
    command(&mut console, "c1", "resolve", &attempt, args).await;
    assert!(!columns(&database, &attempt).await.3, "it is still flagged");
    let args = json!({ "reason": "looked into" });
    command(&mut console, "c2", "unflag", &attempt, args).await;
    let (violations, flags, after, verified) = columns(&database, &attempt).await;
    assert_eq!((violations, flags, verified), (1, json!(["copy"]), true));
    assert_eq!(after, score, "the score is of the worst moment");
    let timeline = server.timeline(&staff, &attempt).await;
    let kinds: Vec<&str> = timeline
        .iter()
        .filter_map(|entry| entry["kind"].as_str())
        .collect();
    assert!(kinds.ends_with(&["unflagged", "command"]), "{kinds:?}");

    // Another attempt does not count in the end.
    let (_, started) = server.begin(1).await;
    let (mut socket, _) = Socket::enter(&server, &started.token).await;
    socket
        .say(json!({ "t": "event", "n": 1, "kind": "copy", "at": 0 }))
        .await;
    socket.say(json!({ "t": "submit", "seq": 1 })).await;
    socket.wait_for("submitted").await;
    let args = json!({ "reason": "a second person" });
    command(&mut console, "c3", "cancel", &started.attempt, args).await;
    let statuses =
        [&attempt, &started.attempt].map(async |attempt| status(&database, attempt).await);
    let statuses = futures_util::future::join_all(statuses).await;
    assert_eq!(statuses, ["graded", "cancelled"]);
    assert!(server.stop().await.success());
}

const STRICTER: &str = "proctoring:\n  enabled: true\n  rules:\n    \
                        - {kind: focus_lost, severity: high, limit: 1, then: pause}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_change_in_mid_exam_hold_from_then_on() {
    let Some(database) = Database::create().await else {
        return;
    };
    let site = Site::postgres(&database.url, &exam(WATCHED, 3), 1).await;
    let server = site.start().await;
    let (_, started) = server.begin(0).await;
    let (mut socket, _) = Socket::enter(&server, &started.token).await;
    let event = |n: u64| json!({ "t": "event", "n": n, "kind": "focus_lost", "at": 0 });
    socket.say(event(1)).await;
    socket.wait_for("event_ack").await;

    let file = site.path("stricter.yaml");
    std::fs::write(&file, exam(STRICTER, 3)).unwrap();
    site.run(&["import", "exam", file.to_str().unwrap()]).await;
    until(
        "the engine to notice",
        || async { server.said() },
        |said| said.contains("other rules hold from now on"),
    )
    .await;
    socket.say(event(2)).await;
    let status = socket.wait_for("status").await;
    assert_eq!(status["status"], "paused");
    let staff = server.staff().await;
    let timeline = server.timeline(&staff, &started.attempt).await;
    let incidents = timeline.iter().filter(|one| one["kind"] == "incident");
    assert_eq!(incidents.count(), 1, "what came before is not judged again");
    assert!(server.stop().await.success());
}

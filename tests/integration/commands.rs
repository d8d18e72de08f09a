//! A staff command is done once, even if its result was lost on the way.

use invigil_client::protocol::rest::AttemptView;
use serde_json::{Value, json};

use crate::{
    harness::{Server, Site, exam},
    postgres_server::Database,
    socket::Socket,
};

const MINUTE_MS: i64 = 60_000;

/// The database refuses every result of a command.
const LOSE_RESULTS: &str = "
    CREATE FUNCTION lose_result() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'lost' USING ERRCODE = '57P01'; END $$;
    CREATE TRIGGER lose_result BEFORE UPDATE OF result ON staff_commands
        FOR EACH ROW EXECUTE FUNCTION lose_result()";

const KEEP_RESULTS: &str = "DROP TRIGGER lose_result ON staff_commands";

/// Gives all candidates a minute, and returns the status and the body.
async fn extend_all(server: &Server, staff: &str) -> (u16, Value) {
    let url = format!("{}/api/v1/exams/LUCK-1/commands", server.base);
    let command = json!({
        "id": "more", "action": "extend", "target": { "exam": "LUCK-1" },
        "args": { "ms": MINUTE_MS, "reason": "fire alarm" },
    });
    let request = reqwest::Client::new().post(url).bearer_auth(staff);
    let response = request.json(&command).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn deadline(server: &Server, number: usize, attempt: &str) -> i64 {
    let client = server.login(number).await;
    let view: AttemptView = client.fetch_view(attempt).await.unwrap();
    view.deadline_at.expect("somebody has entered")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exams_command_whose_result_was_lost_is_repeated_for_the_same_attempts() {
    let Some(database) = Database::create().await else {
        return;
    };
    let site = Site::postgres(&database.url, &exam("", 3), 4).await;
    let server = site.start().await;
    let mut attempts = Vec::new();
    for number in 0..3 {
        let (_, started) = server.begin(number).await;
        let (socket, _) = Socket::enter(&server, &started.token).await;
        let before = deadline(&server, number, &started.attempt).await;
        attempts.push((started.attempt, before, socket));
    }
    let mut admin = database.connection().await;
    sqlx::raw_sql(LOSE_RESULTS)
        .execute(&mut admin)
        .await
        .unwrap();
    let staff = server.staff().await;
    let (status, problem) = extend_all(&server, &staff).await;
    assert_eq!(
        (status, &problem["code"]),
        (503, &json!("unavailable")),
        "{problem}"
    );

    // Meanwhile one candidate hands in, another begins, and the engine dies.
    let (_, _, leaving) = &mut attempts[0];
    leaving.say(json!({ "t": "submit", "seq": 1 })).await;
    leaving.wait_for("submitted").await;
    let (_, late) = server.begin(3).await;
    let (_late, _) = Socket::enter(&server, &late.token).await;
    let untouched = deadline(&server, 3, &late.attempt).await;
    server.kill().await;
    let server = site.start().await;
    let (status, _) = extend_all(&server, &staff).await;
    assert_eq!(status, 503, "it is lost once more");
    sqlx::raw_sql(KEEP_RESULTS)
        .execute(&mut admin)
        .await
        .unwrap();

    let (status, result) = extend_all(&server, &staff).await;
    assert_eq!(status, 200, "{result}");
    assert_eq!(
        result,
        json!({ "id": "more", "done": 3, "failed": [], "total": 3 })
    );
    for (number, (attempt, before, _)) in attempts.iter().enumerate() {
        let moved = deadline(&server, number, attempt).await - before;
        assert_eq!(moved, MINUTE_MS, "candidate {number} got it once");
    }
    assert_eq!(deadline(&server, 3, &late.attempt).await, untouched);
    assert_eq!(
        extend_all(&server, &staff).await,
        (200, result),
        "it is known now"
    );
    assert!(server.stop().await.success());
}

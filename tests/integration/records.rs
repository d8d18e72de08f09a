//! Client events are recorded exactly once, through the death of any part.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mongodb::bson::Document;
use serde_json::{Value, json};

use crate::{
    harness::{Server, Site, exam, setting, until},
    mongodb_server::Database as Records,
    postgres_server::Database,
    socket::{Heard, Socket},
};

const CANDIDATES: usize = 12;

/// Events of one candidate a second.
const PACE: Duration = Duration::from_millis(40);

const WATCHED: &str = "proctoring:\n  enabled: true\n  rules:\n    \
                       - {kind: focus_lost, severity: medium, limit: 5, within_seconds: 60, then: warn}";

/// Returns a site on PostgreSQL and MongoDB; none if one of the two is missing.
async fn site(database: Option<&Database>, records: &Records) -> Option<Site> {
    let site = Site::postgres(&database?.url, &exam(WATCHED, 10), CANDIDATES).await;
    Some(
        site.set("mongodb.url", &records.url)
            .set("mongodb.database", &records.name)
            .set("recorder.patience_ms", "1000"),
    )
}

/// A candidate's client as the protocol wants it: unacknowledged events are sent again, in
/// the same session.
struct Client {
    token: String,
    attempt: String,
    session: Option<String>,
    sent: u64,
    acknowledged: u64,
}

impl Client {
    async fn begin(server: &Server, number: usize) -> Self {
        let (_, started) = server.begin(number).await;
        Self {
            token: started.token,
            attempt: started.attempt,
            session: None,
            sent: 0,
            acknowledged: 0,
        }
    }

    async fn enter(&mut self, server: &Server) -> Socket {
        let resume = self.session.as_ref().map(
            |session| json!({ "session": session, "next_seq": 1, "next_event": self.sent + 1 }),
        );
        let resumed = resume.is_some();
        let (mut socket, heard) = Socket::hello(server, &self.token, resume).await;
        let Heard::Said(welcome) = heard else {
            panic!("no welcome: {heard:?}");
        };
        assert_eq!(welcome["resumed"], resumed, "{welcome}");
        self.session = welcome["session"].as_str().map(str::to_owned);
        for n in self.acknowledged + 1..=self.sent {
            socket.say(event(n)).await;
        }
        socket
    }

    /// Sends events for a while, and reads the acknowledgements.
    async fn notice(&mut self, socket: &mut Socket, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            self.sent += 1;
            if !socket.send(event(self.sent).to_string().into()).await {
                return;
            }
            tokio::time::sleep(PACE).await;
            self.hear_what_came(socket).await;
        }
    }

    async fn hear_what_came(&mut self, socket: &mut Socket) {
        while let Ok(heard) = tokio::time::timeout(Duration::from_millis(1), socket.hear()).await {
            match heard {
                Heard::Said(message) => self.hear(&message),
                Heard::Closed(_) => return,
            }
        }
    }

    fn hear(&mut self, message: &Value) {
        if message["t"] == "event_ack" {
            assert!(message["dropped"].is_null(), "{message}");
            self.acknowledged = message["n"].as_u64().unwrap();
        }
    }

    /// Waits until everything is acknowledged.
    async fn settle(&mut self, socket: &mut Socket) {
        while self.acknowledged < self.sent {
            self.hear(&socket.wait_for("event_ack").await);
        }
    }
}

fn event(n: u64) -> Value {
    let kind = ["copy", "focus_lost", "x-own"][usize::try_from(n % 3).unwrap()];
    let at = 1_795_421_000_000_u64 + n;
    json!({ "t": "event", "n": n, "kind": kind, "at": at, "data": { "n": n } })
}

/// Returns the numbers of each attempt's events; each number comes once.
fn numbers(documents: &[Document]) -> BTreeMap<String, BTreeSet<u64>> {
    let mut numbers: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for document in documents {
        if document.get_str("class").unwrap() == "event" {
            let attempt = document.get_i64("attempt").unwrap().to_string();
            let data: Value = serde_json::from_str(document.get_str("data").unwrap()).unwrap();
            let n = data["n"].as_u64().unwrap();
            assert!(numbers.entry(attempt).or_default().insert(n), "{n} twice");
        }
    }
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_exactly_once_after_an_outage_and_a_kill() {
    let Some(records) = Records::create().await else {
        return;
    };
    let database = Database::create().await;
    let Some(site) = site(database.as_ref(), &records).await else {
        return;
    };
    let away = Duration::from_secs(setting("INVIGIL_TEST_OUTAGE_SECONDS").unwrap_or(8));
    let mut server = site.start().await;
    let mut clients = Vec::new();
    for number in 0..CANDIDATES {
        clients.push(Client::begin(&server, number).await);
    }
    // With the store, without it, and without it on an engine that was killed.
    for phase in 0..4 {
        match phase {
            1 => records.cut(),
            2 => {
                server.kill().await;
                server = site.start().await;
            }
            3 => records.mend(),
            _ => {}
        }
        let each = clients.iter_mut().map(|client| {
            let server = &server;
            async move {
                let mut socket = client.enter(server).await;
                client.notice(&mut socket, away / 4).await;
                if phase == 3 {
                    client.settle(&mut socket).await;
                }
            }
        });
        futures_util::future::join_all(each).await;
        let acknowledged: u64 = clients.iter().map(|client| client.acknowledged).sum();
        assert!(acknowledged > 0, "phase {phase}: events are acknowledged");
    }
    let wanted: BTreeMap<String, BTreeSet<u64>> = clients
        .iter()
        .map(|client| (client.attempt.clone(), (1..=client.sent).collect()))
        .collect();
    let total: usize = wanted.values().map(BTreeSet::len).sum();
    println!("{total} events of {CANDIDATES} candidates");
    until(
        "every event in the store of records",
        || async { numbers(&records.documents("events").await) == wanted },
        |all| *all,
    )
    .await;
    assert!(
        server
            .metric("invigil_records_total{class=\"event\",outcome=\"drained\"}")
            .await
            > 0.0
    );
    assert!(server.stop().await.success());
    let spool = std::fs::read_dir(site.path("spool")).unwrap();
    assert_eq!(spool.count(), 0, "everything drained");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_moves_to_the_store_of_records_and_reads_the_same_everywhere() {
    let Some(records) = Records::create().await else {
        return;
    };
    let database = Database::create().await;
    let Some(site) = site(database.as_ref(), &records).await else {
        return;
    };
    records.cut();
    let server = site.start().await;
    let mut client = Client::begin(&server, 0).await;
    let mut socket = client.enter(&server).await;
    for seq in 1..=20_u64 {
        let q = format!("q{}", seq % 10);
        socket
            .say(json!({ "t": "answer", "seq": seq, "q": q, "value": seq.to_string() }))
            .await;
        // Answers go one by one: answers that wait for the same commit are one entry.
        socket.wait_for("saved").await;
    }
    socket
        .say(json!({ "t": "heartbeat", "n": 1, "q": "q3", "visible": true }))
        .await;
    socket.wait_for("pulse").await;
    let staff = server.staff().await;
    let answers = |timeline: &[Value]| -> Vec<Value> {
        let entries = timeline.iter().filter(|entry| entry["kind"] == "answer");
        entries
            .map(|entry| entry["data"]["value"].clone())
            .collect()
    };
    let expected: Vec<Value> = (1..=20).map(|seq| json!(seq.to_string())).collect();
    records.mend();
    // The entries are in two places: the timeline reads the same.
    let before = until(
        "the timeline",
        || server.timeline(&staff, &client.attempt),
        |timeline| !timeline.is_empty(),
    )
    .await;
    assert_eq!(answers(&before), expected);
    let documents = until(
        "all history in the store of records",
        || records.documents("events"),
        |documents| {
            let answers = documents
                .iter()
                .filter(|one| one.get_str("kind").ok() == Some("answer"));
            answers.count() == 20
        },
    )
    .await;
    assert!(
        documents
            .iter()
            .any(|one| one.get_str("kind").ok() == Some("question_shown"))
    );
    until(
        "PostgreSQL to keep none of it",
        || async {
            let mut connection = database.as_ref().unwrap().connection().await;
            let count = sqlx::query_scalar("SELECT count(*) FROM attempt_timeline");
            let count: i64 = count.fetch_one(&mut connection).await.unwrap();
            count
        },
        |count| *count == 0,
    )
    .await;
    let after = server.timeline(&staff, &client.attempt).await;
    assert_eq!(answers(&after), expected);
    assert!(after.len() >= before.len());
    assert_eq!(records.documents("heartbeats").await.len(), 1);
    assert!(server.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_of_an_exam_are_listed_by_kind_and_severity() {
    let Some(records) = Records::create().await else {
        return;
    };
    let database = Database::create().await;
    let Some(site) = site(database.as_ref(), &records).await else {
        return;
    };
    let server = site.start().await;
    let mut client = Client::begin(&server, 0).await;
    let mut socket = client.enter(&server).await;
    for n in 1..=5_u64 {
        let kind = if n % 2 == 1 { "focus_lost" } else { "paste" };
        let event = json!({ "t": "event", "n": n, "kind": kind, "at": 0 });
        socket.say(event).await;
        socket.wait_for("event_ack").await;
    }
    let staff = server.staff().await;
    let list = async |query: &str| -> Value {
        let url = format!("{}/api/v1/exams/LUCK-1/events?{query}", server.base);
        let response = reqwest::Client::new().get(url).bearer_auth(&staff).send();
        response.await.unwrap().json().await.unwrap()
    };
    let kinds = |page: &Value| -> Vec<String> {
        let events = page["events"].as_array().into_iter().flatten();
        events
            .map(|event| event["kind"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let all = until("all of them", || list(""), |all| kinds(all).len() == 5).await;
    assert_eq!(all["events"][0]["attempt"], client.attempt.as_str());
    assert_eq!(all["events"][0]["severity"], "medium");
    assert_eq!(all["next"], Value::Null);
    let graver = list("severity=medium").await;
    assert_eq!(kinds(&graver), ["focus_lost"; 3]);
    let first = list("kind=focus_lost&limit=2").await;
    let cursor = first["next"].as_str().expect("a cursor");
    let rest = list(&format!("kind=focus_lost&limit=2&before={cursor}")).await;
    assert_eq!((kinds(&first).len(), kinds(&rest).len()), (2, 1));
    assert_eq!(rest["events"][0], all["events"][4]);
    assert!(server.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_was_killed_leaves_no_history_behind() {
    let Some(records) = Records::create().await else {
        return;
    };
    let database = Database::create().await;
    let Some(site) = site(database.as_ref(), &records).await else {
        return;
    };
    records.cut();
    let server = site.start().await;
    let mut client = Client::begin(&server, 0).await;
    let mut socket = client.enter(&server).await;
    for seq in 1..=5_u64 {
        let message = json!({ "t": "answer", "seq": seq, "q": "q1", "value": seq.to_string() });
        socket.say(message).await;
        socket.wait_for("saved").await;
    }
    server.kill().await;
    records.mend();
    let server = site.start().await;
    until(
        "the history that the dead engine left",
        || records.documents("events"),
        |documents| {
            let answers = documents
                .iter()
                .filter(|one| one.get_str("kind").ok() == Some("answer"));
            answers.count() == 5
        },
    )
    .await;
    assert!(server.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_without_room_stops_acknowledgements_and_not_answers() {
    let Some(records) = Records::create().await else {
        return;
    };
    let database = Database::create().await;
    let Some(site) = site(database.as_ref(), &records).await else {
        return;
    };
    let spool = site.path("small");
    std::fs::create_dir(&spool).unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
        .arg(&spool)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no small file system can be mounted here");
        return;
    }
    let site = site.set("recorder.spool", spool.to_str().unwrap());
    let server = site.start().await;
    let mut client = Client::begin(&server, 0).await;
    let mut socket = client.enter(&server).await;
    records.cut();
    // Each has some kilobytes: the disk is full after some dozens.
    let long = "x".repeat(4_000);
    for n in 1..=40_u64 {
        let data = json!({ "n": n, "x": long });
        let message = json!({ "t": "event", "n": n, "kind": "copy", "at": 1, "data": data });
        socket.say(message).await;
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    socket
        .say(json!({ "t": "answer", "seq": 1, "q": "q1", "value": "it" }))
        .await;
    let mut saved = false;
    let mut acknowledged = 0;
    let end = tokio::time::Instant::now() + Duration::from_secs(5);
    while let Ok(heard) = tokio::time::timeout_at(end, socket.hear()).await {
        let Heard::Said(message) = heard else {
            panic!("{heard:?}");
        };
        saved |= message["t"] == "saved";
        if message["t"] == "event_ack" {
            acknowledged = message["n"].as_u64().unwrap();
        }
    }
    assert!(saved, "answers go on");
    assert!(
        acknowledged < 40,
        "{acknowledged} were acknowledged on a full disk"
    );
    records.mend();
    while acknowledged < 40 {
        acknowledged = socket.wait_for("event_ack").await["n"].as_u64().unwrap();
    }
    until(
        "all events",
        || async { numbers(&records.documents("events").await) },
        |numbers| {
            numbers
                .get(&client.attempt)
                .is_some_and(|all| all.len() == 40)
        },
    )
    .await;
    assert!(server.stop().await.success());
    let unmounted = std::process::Command::new("umount").arg(&spool).status();
    assert!(unmounted.unwrap().success());
}

#[tokio::test]
async fn a_store_that_is_away_at_the_start_stops_nothing() {
    let Some(records) = Records::create().await else {
        return;
    };
    let database = Database::create().await;
    let Some(site) = site(database.as_ref(), &records).await else {
        return;
    };
    records.cut();
    let server = site.start().await;
    assert_eq!(server.get("/readyz").await.0, 200);
    assert!(server.stop().await.success());
}

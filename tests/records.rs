//! The store of timeline records keeps the promises of its trait, on MongoDB.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests panic and say what they skip"
)]

#[path = "support/mongodb.rs"]
mod mongodb_server;
#[path = "support/servers.rs"]
mod servers;

use std::{sync::Arc, time::Duration};

use invigil_domain::{exam::EventSeverity, id::AttemptId, time::Timestamp};
use invigil_store::{
    Error,
    records::{EventFilter, IncidentRow, RecordClass, RecordStore, TimelineRecord},
};
use invigil_store_mongo::MongoStore;
use mongodb::bson::{Bson, Document, doc};
use mongodb_server::Database;

const PATIENCE: Duration = Duration::from_secs(2);

/// Far from now, so that no server removes anything meanwhile.
const KEEP_UNTIL: i64 = 4_102_444_800_000;

async fn store(database: &Database) -> MongoStore {
    let store = MongoStore::connect(&database.url, &database.name, PATIENCE).await;
    let store = store.unwrap();
    store.ensure_schema().await.unwrap();
    store
}

const fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(1_795_421_000_000 + ms)
}

fn record(attempt: i64, number: u64, class: RecordClass, kind: &str) -> TimelineRecord {
    TimelineRecord {
        id: format!("{attempt}:v{number}"),
        class,
        attempt: AttemptId(attempt),
        exam: "E1".into(),
        number,
        at: at(number.cast_signed()),
        kind: kind.to_owned(),
        severity: None,
        data: "{}".into(),
        keep_until: Timestamp::from_ms(KEEP_UNTIL),
    }
}

#[tokio::test]
async fn a_record_is_there_once_however_often_it_is_written() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = store(&database).await;
    let first = record(1, 1, RecordClass::History, "answer");
    store
        .append_records(std::slice::from_ref(&first))
        .await
        .unwrap();
    let changed = TimelineRecord {
        kind: "other".to_owned(),
        ..first.clone()
    };
    let second = record(1, 2, RecordClass::Event, "copy");
    store
        .append_records(&[changed, second.clone()])
        .await
        .unwrap();
    store
        .append_records(&[first.clone(), second.clone()])
        .await
        .unwrap();
    store.append_records(&[]).await.unwrap();
    let timeline = store.read_records(AttemptId(1), 0, 10).await.unwrap();
    assert_eq!(timeline, [first, second]);
}

#[tokio::test]
async fn a_timeline_is_in_order_without_heartbeats_and_read_by_cursor() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = store(&database).await;
    let mut records: Vec<TimelineRecord> = (1..=20)
        .rev()
        .map(|number| record(1, number, RecordClass::History, "answer"))
        .collect();
    records.push(record(2, 3, RecordClass::History, "answer"));
    records.push(record(1, 21, RecordClass::Heartbeat, "heartbeat"));
    records.push(record(1, 22, RecordClass::Navigation, "question_shown"));
    // An owner of a later epoch numbers its versions so.
    records.push(record(1, (9 << 32) + 1, RecordClass::History, "answer"));
    store.append_records(&records).await.unwrap();
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let page = store.read_records(AttemptId(1), after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.number;
        seen.extend(page.iter().map(|record| record.number));
    }
    let expected: Vec<u64> = (1..=20).chain([22, (9 << 32) + 1]).collect();
    assert_eq!(seen, expected);
    assert_eq!(database.documents("heartbeats").await.len(), 1);
}

#[tokio::test]
async fn events_are_found_by_exam_kind_and_severity_newest_first() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = store(&database).await;
    let severities = [None, Some(EventSeverity::Low), Some(EventSeverity::High)];
    let mut records = Vec::new();
    for number in 1..=12_u64 {
        let index = usize::try_from(number % 3).unwrap();
        records.push(TimelineRecord {
            severity: severities[index],
            ..record(1, number, RecordClass::Event, ["a", "b", "c"][index])
        });
    }
    records.push(record(1, 13, RecordClass::History, "a"));
    records.push(TimelineRecord {
        exam: "E2".into(),
        ..record(2, 14, RecordClass::Event, "a")
    });
    store.append_records(&records).await.unwrap();
    let all = EventFilter {
        exam: "E1".into(),
        kind: None,
        min_severity: None,
        attempts: None,
        before: None,
        limit: 5,
    };
    let numbers = |found: &[TimelineRecord]| found.iter().map(|one| one.number).collect::<Vec<_>>();
    let page = store.list_events(&all).await.unwrap();
    assert_eq!(numbers(&page), [12, 11, 10, 9, 8]);
    let next = EventFilter {
        attempts: None,
        before: page.last().map(|last| (last.at, last.id.clone())),
        ..all.clone()
    };
    assert_eq!(
        numbers(&store.list_events(&next).await.unwrap()),
        [7, 6, 5, 4, 3]
    );
    let of_kind = EventFilter {
        kind: Some("b".to_owned()),
        ..all.clone()
    };
    assert_eq!(
        numbers(&store.list_events(&of_kind).await.unwrap()),
        [10, 7, 4, 1]
    );
    let grave = EventFilter {
        min_severity: Some(EventSeverity::Medium),
        ..all.clone()
    };
    assert_eq!(
        numbers(&store.list_events(&grave).await.unwrap()),
        [11, 8, 5, 2]
    );
    for (attempts, expected) in [
        (vec![AttemptId(1), AttemptId(9)], vec![12, 11, 10, 9, 8]),
        (vec![AttemptId(9)], vec![]),
        (vec![], vec![]),
    ] {
        let of_attempts = EventFilter {
            attempts: Some(attempts),
            ..all.clone()
        };
        let found = store.list_events(&of_attempts).await.unwrap();
        assert_eq!(numbers(&found), expected);
    }
}

fn incident(version: u64, open: bool) -> IncidentRow {
    IncidentRow {
        id: "1:i1".to_owned(),
        attempt: AttemptId(1),
        exam: "E1".into(),
        version,
        kind: "copy".to_owned(),
        severity: EventSeverity::Medium,
        opened_at: at(0),
        last_at: at(version.cast_signed()),
        events: 3,
        open,
        data: "{}".into(),
        keep_until: Timestamp::from_ms(KEEP_UNTIL),
    }
}

#[tokio::test]
async fn an_older_version_of_an_incident_never_overwrites() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = store(&database).await;
    store.upsert_incidents(&[incident(2, true)]).await.unwrap();
    store
        .upsert_incidents(&[incident(5, false), incident(3, true)])
        .await
        .unwrap();
    let kept = database.documents("incidents").await;
    let [kept] = kept.as_slice() else {
        panic!("{kept:?}");
    };
    let newest = incident(5, false);
    assert_eq!(kept.get_str("_id").unwrap(), newest.id);
    assert_eq!(kept.get_i64("version").unwrap(), 5);
    assert!(!kept.get_bool("open").unwrap());
}

#[tokio::test]
async fn any_text_is_kept_as_it_is() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = store(&database).await;
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let texts = [
        r#"{"a":"\u0000 \ud83d\ude00 \" \\ $where","$set":{"a.b":1}}"#.to_owned(),
        format!(r#"{{"long":"{}"}}"#, "\u{5b57}".repeat(400_000)),
        format!(r#"{{"deep":{deep}}}"#),
        r#"{"number":123456789012345678901234567890,"float":1e400}"#.to_owned(),
    ];
    let records: Vec<TimelineRecord> = (1..)
        .zip(&texts)
        .map(|(number, text)| TimelineRecord {
            data: Arc::from(text.as_str()),
            kind: format!("x-{}", "\u{1f309}".repeat(10)),
            ..record(1, number, RecordClass::Event, "x")
        })
        .collect();
    store.append_records(&records).await.unwrap();
    assert_eq!(
        store.read_records(AttemptId(1), 0, 10).await.unwrap(),
        records
    );
}

#[tokio::test]
async fn a_store_that_is_away_is_said_to_be_and_works_again() {
    let Some(database) = Database::create().await else {
        return;
    };
    let store = store(&database).await;
    database.cut();
    let one = record(1, 1, RecordClass::Event, "copy");
    let failed = store.append_records(std::slice::from_ref(&one)).await;
    assert!(
        matches!(failed, Err(Error::Unavailable { .. })),
        "{failed:?}"
    );
    assert!(store.ping().await.is_err());
    database.mend();
    store
        .append_records(std::slice::from_ref(&one))
        .await
        .unwrap();
    store.ping().await.unwrap();
    assert_eq!(
        store.read_records(AttemptId(1), 0, 10).await.unwrap(),
        [one]
    );
}

/// Faults of a server, each of which leaves a batch with an unknown end.
fn faults() -> Vec<Document> {
    // Shutdown, stepdown, a failed disk, and a write that no majority has.
    let codes = [91, 10_107, 11_602, 14_031];
    let errors = codes.map(|code| doc! { "failCommands": ["insert", "update"], "errorCode": code });
    let cut = doc! { "failCommands": ["insert", "update"], "closeConnection": true };
    let lonely = doc! { "code": 64, "errmsg": "waiting for replication timed out" };
    let lonely = doc! { "failCommands": ["insert", "update"], "writeConcernError": lonely };
    errors.into_iter().chain([cut, lonely]).collect()
}

/// Lets the server fail commands of the program `app`, as MongoDB's documentation of
/// `failCommand` says. Returns false, with a message, if the server has no failpoints.
async fn fail(database: &Database, app: &str, mode: Bson, mut how: Document) -> bool {
    how.insert("appName", app);
    let command = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": how };
    let done = database.client.database("admin").run_command(command).await;
    if let Err(error) = &done {
        eprintln!("skipped: this server has no failpoints: {error}");
    }
    done.is_ok()
}

#[tokio::test]
async fn whatever_the_server_fails_with_nothing_is_lost_or_doubled() {
    let Some(database) = Database::create().await else {
        return;
    };
    let app = format!("faults-{}", database.name);
    // A driver that lost a server looks for it again twice a second.
    let url = format!("{}&appName={app}&heartbeatFrequencyMS=500", database.url);
    let store = MongoStore::connect(&url, &database.name, PATIENCE)
        .await
        .unwrap();
    store.ensure_schema().await.unwrap();
    let mut written = Vec::new();
    for (number, fault) in (1..).zip(faults()) {
        let one = record(1, number, RecordClass::Event, "copy");
        let always = Bson::from("alwaysOn");
        if !fail(&database, &app, always, fault.clone()).await {
            return;
        }
        let failed = store.append_records(std::slice::from_ref(&one)).await;
        assert!(
            matches!(failed, Err(Error::Unavailable { .. })),
            "{fault}: {failed:?}"
        );
        // A stored record without its majority fails too.
        let failed = store.append_records(std::slice::from_ref(&one)).await;
        assert!(failed.is_err(), "{fault}");
        let row = incident(number, true);
        assert!(
            store
                .upsert_incidents(std::slice::from_ref(&row))
                .await
                .is_err(),
            "{fault}"
        );

        // The driver, or the recorder, tries again.
        let once = doc! { "times": 1 }.into();
        fail(&database, &app, once, fault.clone()).await;
        let stored = async {
            while store
                .append_records(std::slice::from_ref(&one))
                .await
                .is_err()
            {}
        };
        tokio::time::timeout(Duration::from_mins(1), stored)
            .await
            .expect("it comes back");
        fail(&database, &app, Bson::from("off"), doc! {}).await;
        store.upsert_incidents(&[row]).await.unwrap();
        written.push(one);
        assert_eq!(
            store.read_records(AttemptId(1), 0, 100).await.unwrap(),
            written
        );
    }
    assert_eq!(database.documents("events").await.len(), written.len());
    let incidents = database.documents("incidents").await;
    assert_eq!(incidents.len(), 1);
    let version = incidents[0].get_i64("version").unwrap();
    assert_eq!(version.cast_unsigned(), written.len() as u64);
}

#[tokio::test]
async fn several_nodes_prepare_at_once() {
    let Some(database) = Database::create().await else {
        return;
    };
    let mut stores = Vec::new();
    for _ in 0..4 {
        let store = MongoStore::connect(&database.url, &database.name, PATIENCE).await;
        stores.push(store.unwrap());
    }
    let prepared =
        futures_util::future::join_all(stores.iter().map(RecordStore::ensure_schema)).await;
    for one in prepared {
        one.unwrap();
    }
}

//! Speed of records on their way into MongoDB.
//!
//! `INVIGIL_TEST_MONGODB=mongodb://... cargo run --release --example recorder_bench -- [seconds]`
//!
//! First batches of 500 events through the store of records, alternating with the same
//! documents through the bare driver into a collection with the same indexes and
//! validators. Then a whole engine on an embedded store with 2,000 live attempts that
//! report 5,000 events a second together: the time from giving an event to the actor
//! until its acknowledgement, and the number of events in MongoDB at the end.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a program to be read at a terminal, which stops where it fails"
)]

#[path = "../tests/support/mongodb.rs"]
#[expect(dead_code, reason = "only tests cut its line")]
mod mongodb_server;
#[path = "support/seats.rs"]
mod seats;
#[path = "../tests/support/servers.rs"]
mod servers;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use hdrhistogram::Histogram;
use invigil_domain::{exam::EventSeverity, id::AttemptId, time::Timestamp};
use invigil_engine::{OutboxItem, RecorderSettings};
use invigil_protocol::candidate::{ClientMessage, ReportedEvent, ServerMessage};
use invigil_store::records::{RecordClass, RecordStore, TimelineRecord};
use invigil_store_mongo::MongoStore;
use invigil_store_sql::sqlite::SqliteStore;
use mongodb::bson::{DateTime, Document, doc};
use mongodb_server::Database;
use seats::{BenchAttempt, enter_candidates, start_engine};
use tokio::time::{Instant, MissedTickBehavior, interval};

const BATCH: u64 = 500;
const ATTEMPTS: usize = 2_000;
const EVENTS_PER_SECOND: usize = 5_000;
const TICK: Duration = Duration::from_millis(10);
const STORE_TIMEOUT: Duration = Duration::from_secs(10);
const BEGUN: i64 = 1_795_421_000_000;
const KEEP_UNTIL: i64 = 4_102_444_800_000;
const DATA: &str = r#"{"at":1795421000000,"data":{"chars":12},"n":7,"received_at":1795421000012}"#;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let argument = std::env::args().nth(1);
    let seconds: u64 = argument.map_or(10, |text| text.parse().unwrap());
    let (Some(ours), Some(bare), Some(whole)) = (
        Database::create().await,
        Database::create().await,
        Database::create().await,
    ) else {
        return;
    };
    compare_batches(&ours, &bare, seconds).await;
    measure_engine(&whole, seconds).await;
}

async fn prepare_store(database: &Database) -> MongoStore {
    let store = MongoStore::connect(&database.url, &database.name, STORE_TIMEOUT).await;
    let store = store.unwrap();
    store.ensure_schema().await.unwrap();
    store
}

async fn compare_batches(ours: &Database, bare: &Database, seconds: u64) {
    let (ours, prepared) = (prepare_store(ours).await, prepare_store(bare).await);
    drop(prepared);
    let collection = bare.client.database(&bare.name).collection("events");
    let (mut batch, mut stored, mut inserted) = (0, BatchTimes::default(), BatchTimes::default());
    for _ in 0..seconds {
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            batch += 1;
            let records: Vec<TimelineRecord> = (0..BATCH)
                .map(|place| sample_record(batch, place))
                .collect();
            let begun = Instant::now();
            ours.append_records(&records).await.unwrap();
            stored.add_batch(begun);
        }
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            batch += 1;
            let documents: Vec<Document> = (0..BATCH)
                .map(|place| sample_document(batch, place))
                .collect();
            let begun = Instant::now();
            let options = collection.insert_many(documents).ordered(false);
            options.await.unwrap();
            inserted.add_batch(begun);
        }
    }
    let (stored, inserted) = (stored.per_second(), inserted.per_second());
    println!("the bare driver: {inserted:.0} events a second in batches of {BATCH}");
    println!(
        "the store:       {stored:.0} events a second, {:.0} %",
        100.0 * stored / inserted
    );
}

/// Number of batches written in one way, and their time.
#[derive(Default)]
struct BatchTimes {
    batches: u64,
    took: Duration,
}

impl BatchTimes {
    fn add_batch(&mut self, begun: Instant) {
        self.batches += 1;
        self.took += begun.elapsed();
    }

    fn per_second(&self) -> f64 {
        (self.batches * BATCH) as f64 / self.took.as_secs_f64()
    }
}

fn sample_record(batch: u64, place: u64) -> TimelineRecord {
    TimelineRecord {
        id: format!("{place}:{batch}"),
        class: RecordClass::Event,
        attempt: AttemptId(place.cast_signed()),
        exam: "BENCH".into(),
        number: batch,
        at: Timestamp::from_ms(BEGUN + batch.cast_signed()),
        kind: "focus_lost".to_owned(),
        severity: Some(EventSeverity::Medium),
        data: DATA.into(),
        keep_until: Timestamp::from_ms(KEEP_UNTIL),
    }
}

/// The same record as the store writes it.
fn sample_document(batch: u64, place: u64) -> Document {
    doc! {
        "_id": format!("{place}:{batch}"),
        "attempt": place.cast_signed(),
        "exam": "BENCH",
        "class": "event",
        "number": batch.cast_signed(),
        "at": DateTime::from_millis(BEGUN + batch.cast_signed()),
        "kind": "focus_lost",
        "data": DATA,
        "expires_at": DateTime::from_millis(KEEP_UNTIL),
        "severity": 2,
    }
}

/// An attempt, its events so far, and the send times of those not acknowledged.
struct EventSource {
    seat: BenchAttempt,
    events: u64,
    acknowledged: u64,
    sent: VecDeque<Instant>,
}

async fn measure_engine(database: &Database, seconds: u64) {
    let folder = tempfile::tempdir().unwrap();
    let attempts = SqliteStore::open(folder.path()).await.unwrap();
    let records: Arc<dyn RecordStore> = Arc::new(prepare_store(database).await);
    let settings = RecorderSettings {
        spool_dir: folder.path().join("spool"),
        spool_bytes: 1 << 30,
        write_timeout: Duration::from_secs(2),
        events_kept: Duration::from_hours(24),
        history_kept: Duration::from_hours(24),
    };
    let engine = start_engine(&attempts, Some((records, settings))).await;
    let mut sources: Vec<EventSource> = enter_candidates(&engine, &attempts, ATTEMPTS)
        .await
        .into_iter()
        .map(|seat| EventSource {
            seat,
            events: 0,
            acknowledged: 0,
            sent: VecDeque::new(),
        })
        .collect();

    let mut lag = Histogram::<u64>::new(3).unwrap();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let each_tick = EVENTS_PER_SECOND * usize::try_from(TICK.as_millis()).unwrap() / 1_000;
    let (begun, mut next) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(seconds) {
        tick.tick().await;
        for _ in 0..each_tick {
            send_event(&mut sources[next]).await;
            next = (next + 1) % ATTEMPTS;
        }
        for source in &mut sources {
            read_acks(source, &mut lag);
        }
    }
    let rate = total_events(&sources) as f64 / begun.elapsed().as_secs_f64();
    let patience = Instant::now() + STORE_TIMEOUT;
    while sources.iter().any(|source| !source.sent.is_empty()) && Instant::now() < patience {
        tokio::time::sleep(TICK).await;
        for source in &mut sources {
            read_acks(source, &mut lag);
        }
    }
    let acknowledged: u64 = sources.iter().map(|source| source.acknowledged).sum();
    let events = database.client.database(&database.name);
    let events = events.collection::<Document>("events");
    let stored = async || {
        let count = events.count_documents(doc! { "class": "event" });
        count.await.unwrap()
    };
    while stored().await < total_events(&sources) && begun.elapsed() < Duration::from_mins(2) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let drained = begun.elapsed().as_secs_f64();
    let count = stored().await;
    engine.drain(STORE_TIMEOUT).await;
    let ms = |quantile| lag.value_at_quantile(quantile) as f64 / 1_000.0;
    println!(
        "the engine: {rate:.0} events a second; {} sent, {acknowledged} acknowledged, {count} in MongoDB after {drained:.1} s; \
         to `event_ack` p50 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        total_events(&sources),
        ms(0.5),
        ms(0.99),
        lag.max() as f64 / 1_000.0,
    );
}

fn total_events(sources: &[EventSource]) -> u64 {
    sources.iter().map(|source| source.events).sum()
}

async fn send_event(source: &mut EventSource) {
    source.events += 1;
    source.sent.push_back(Instant::now());
    let event = ClientMessage::Event(ReportedEvent {
        n: source.events,
        kind: "focus_lost".to_owned(),
        at: BEGUN,
        data: None,
        bad_field: None,
    });
    let seat = &source.seat;
    seat.handle
        .deliver_client_message(seat.opened.connection, event)
        .await;
}

/// Reads acknowledgements as the client would.
fn read_acks(source: &mut EventSource, lag: &mut Histogram<u64>) {
    while let Some(OutboxItem::Message(message)) = source.seat.outbox.next().now_or_never() {
        let ServerMessage::EventAck(ack) = message else {
            continue;
        };
        assert_eq!(ack.dropped, None, "nothing is dropped");
        while source.acknowledged < ack.n {
            source.acknowledged += 1;
            let sent = source.sent.pop_front().unwrap();
            lag.record(u64::try_from(sent.elapsed().as_micros()).unwrap())
                .unwrap();
        }
    }
}

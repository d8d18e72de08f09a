//! The spool's bound on a real disk, while the store of records is away.

use tokio::sync::oneshot;

use super::*;
use crate::fixture::MemoryStore;
use invigil_domain::{exam::EventSeverity, time::Timestamp};
use invigil_store::{Error, records::EventFilter};

const SPOOL_BYTES: u64 = 300_000;

/// Bytes of data in a record.
const RECORD_BYTES: usize = 1_000;

/// A store of records that is away.
struct AwayStore;

fn away<T>() -> Result<T, Error> {
    Err(Error::Unavailable {
        operation: "fixture",
        source: "the store is away".into(),
    })
}

#[async_trait::async_trait]
impl RecordStore for AwayStore {
    async fn append_records(&self, _: &[TimelineRecord]) -> Result<(), Error> {
        away()
    }

    async fn upsert_incidents(&self, _: &[IncidentRow]) -> Result<(), Error> {
        away()
    }

    async fn read_records(
        &self,
        _: AttemptId,
        _: u64,
        _: u32,
    ) -> Result<Vec<TimelineRecord>, Error> {
        away()
    }

    async fn list_events(&self, _: &EventFilter) -> Result<Vec<TimelineRecord>, Error> {
        away()
    }

    async fn ensure_schema(&self) -> Result<(), Error> {
        away()
    }

    async fn ping(&self) -> Result<(), Error> {
        away()
    }
}

fn recorder(spool_dir: PathBuf) -> Arc<Recorder> {
    Arc::new(Recorder::new(
        Arc::new(AwayStore),
        Arc::new(MemoryStore::default()),
        Arc::default(),
        Arc::default(),
        RecorderSettings {
            spool_dir,
            spool_bytes: SPOOL_BYTES,
            write_timeout: Duration::from_secs(2),
            events_kept: Duration::from_hours(24),
            history_kept: Duration::from_hours(24),
        },
    ))
}

fn record(class: RecordClass, number: u64) -> TimelineRecord {
    TimelineRecord {
        id: format!("1:{}:{number}", class.as_str()),
        class,
        attempt: AttemptId(1),
        exam: "E1".into(),
        number,
        at: Timestamp::from_ms(0),
        kind: "copy".to_owned(),
        severity: None,
        data: "x".repeat(RECORD_BYTES).into(),
        keep_until: Timestamp::from_ms(0),
    }
}

fn incident(version: u64) -> IncidentRow {
    IncidentRow {
        id: "1:i1".to_owned(),
        attempt: AttemptId(1),
        exam: "E1".into(),
        version,
        kind: "copy".to_owned(),
        severity: EventSeverity::High,
        opened_at: Timestamp::from_ms(0),
        last_at: Timestamp::from_ms(0),
        events: 1,
        open: true,
        data: "{}".into(),
        keep_until: Timestamp::from_ms(0),
    }
}

impl Recorder {
    fn dropped(&self, class: RecordClass) -> u64 {
        let labels = ClassLabels {
            class: class.as_str(),
            outcome: "dropped",
        };
        self.metrics.records.get_or_create(&labels).get()
    }

    /// Waits until everything that was submitted is on disk.
    async fn settle(&self) {
        let (sender, settled) = oneshot::channel();
        self.when_durable(move |durable| sender.send(durable).expect("the test waits"));
        assert_eq!(settled.await, Ok(true));
    }
}

#[tokio::test]
async fn the_disk_is_bounded_and_takes_the_most_valuable_records_last() {
    let folder = tempfile::tempdir().expect("a folder");
    let recorder = recorder(folder.path().join("spool"));
    let spool = recorder.open_spool().expect("the folder can be used");
    let writing = Arc::clone(&recorder);
    let running = TaskTracker::new().spawn(async move { writing.run(spool).await });
    let classes = [
        RecordClass::Heartbeat,
        RecordClass::Navigation,
        RecordClass::Event,
    ];
    let mut refused_at = BTreeMap::new();
    for number in 1..1_000 {
        let fullness = recorder.spool_fullness();
        let records = classes.map(|class| record(class, number));
        recorder.submit_records(records.into(), Vec::new(), None);
        recorder.settle().await;
        for class in classes {
            if recorder.dropped(class) > 0 {
                refused_at.entry(class).or_insert(fullness);
            }
        }
        if refused_at.len() == classes.len() {
            break;
        }
    }
    let within = |class, from: f64| (from..from + 0.05).contains(&refused_at[&class]);
    assert!(within(RecordClass::Heartbeat, 0.8), "{refused_at:?}");
    assert!(within(RecordClass::Navigation, 0.9), "{refused_at:?}");
    assert!(within(RecordClass::Event, 1.0), "{refused_at:?}");

    let full = recorder.spool_fullness();
    recorder.submit_records(vec![record(RecordClass::Event, 1_000)], Vec::new(), None);
    recorder.settle().await;
    assert!(
        (full..=full).contains(&recorder.spool_fullness()),
        "no more"
    );
    recorder.submit_records(Vec::new(), vec![incident(1)], None);
    recorder.settle().await;
    assert!(recorder.spool_fullness() > full, "an incident passes it by");

    recorder.request_stop();
    running.await.expect("the recorder ends");
}

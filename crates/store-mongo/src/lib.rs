//! Records in MongoDB.
//!
//! Collections: `events` (events, navigation, history), `heartbeats` (a
//! time-series collection if the server supports them), `incidents`. All writes
//! use majority write concern. `data` is stored as JSON text, which keeps any
//! keys and numbers exact. The server itself removes old documents, by
//! `expires_at`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use mongodb::{
    Client, Collection, Database, IndexModel,
    bson::{DateTime, Document, doc},
    error::{Error as DriverError, ErrorKind, WriteFailure},
    options::{
        Acknowledgment, ClientOptions, CollectionOptions, IndexOptions, TimeseriesGranularity,
        TimeseriesOptions, ValidationAction, WriteConcern,
    },
};

use invigil_domain::{exam::EventSeverity, id::AttemptId, time::Timestamp};
use invigil_store::{
    Error,
    records::{EventFilter, IncidentRow, RecordClass, RecordStore, TimelineRecord},
};

const EVENTS: &str = "events";
const HEARTBEATS: &str = "heartbeats";
const INCIDENTS: &str = "incidents";

/// Maximum connections to a server. A single task writes, few read.
const MAX_CONNECTIONS: u32 = 8;

/// Retention of all heartbeats: a time-series collection has a single age limit.
const HEARTBEAT_RETENTION: Duration = Duration::from_hours(24 * 365);

/// The server's error code for an existing id.
const DUPLICATE_KEY: i32 = 11_000;

/// The server's error code for an existing collection.
const NAMESPACE_EXISTS: i32 = 48;

/// Error codes of data that the server never accepts: a document that is too large or
/// nested too deeply. A validator's refusal is not among them: an operator can fix it.
const PERMANENT_FAILURES: [i32; 3] = [10_334, 17_280, 15];

/// The store of records on MongoDB.
#[derive(Debug, Clone)]
pub struct MongoStore {
    database: Database,
    timeout: Duration,
}

impl MongoStore {
    /// Creates the store without waiting for the server, so that a start succeeds
    /// while the server is away. Connecting and reading take at most `timeout` each.
    ///
    /// # Errors
    /// Returns an error if the address is invalid.
    pub async fn connect(url: &str, database: &str, timeout: Duration) -> Result<Self, Error> {
        let failed = |error| classify_error("connect to MongoDB", error);
        let mut options = ClientOptions::parse(url).await.map_err(failed)?;
        options.app_name.get_or_insert_with(|| "invigil".to_owned());
        options.server_selection_timeout = Some(timeout);
        options.connect_timeout = Some(timeout);
        options.max_pool_size = Some(MAX_CONNECTIONS);
        let majority = WriteConcern::builder()
            .w(Acknowledgment::Majority)
            .journal(true)
            .build();
        options.write_concern = Some(majority);
        let client = Client::with_options(options).map_err(failed)?;
        Ok(Self {
            database: client.database(database),
            timeout,
        })
    }

    fn collection(&self, name: &str) -> Collection<Document> {
        let options = CollectionOptions::default();
        self.database.collection_with_options(name, options)
    }

    async fn insert_new(&self, name: &str, documents: Vec<Document>) -> Result<(), DriverError> {
        if documents.is_empty() {
            return Ok(());
        }
        let inserted = self
            .collection(name)
            .insert_many(documents)
            .ordered(false)
            .await;
        match inserted {
            Err(error) if are_all_duplicates(&error) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Creates a collection unless it exists.
    async fn create_collection(&self, name: &str, validator: Document) -> Result<(), DriverError> {
        let created = self
            .database
            .create_collection(name)
            .validator(validator)
            .validation_action(ValidationAction::Error)
            .await;
        ignore_existing(created)
    }

    async fn create_heartbeat_collection(&self) -> Result<(), DriverError> {
        let series = TimeseriesOptions::builder()
            .time_field("at".to_owned())
            .meta_field(Some("attempt".to_owned()))
            .granularity(Some(TimeseriesGranularity::Seconds))
            .build();
        let created = self
            .database
            .create_collection(HEARTBEATS)
            .timeseries(series)
            .expire_after_seconds(HEARTBEAT_RETENTION)
            .await;
        match ignore_existing(created) {
            Ok(()) => Ok(()),
            Err(error) if matches!(*error.kind, ErrorKind::Command(_)) => {
                tracing::info!(
                    %error,
                    "no time-series collections; using a plain collection for heartbeats"
                );
                self.create_collection(HEARTBEATS, doc! {}).await?;
                let index = expiring_index("at", HEARTBEAT_RETENTION);
                self.collection(HEARTBEATS).create_index(index).await?;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn ensure_collections(&self) -> Result<(), DriverError> {
        self.create_collection(EVENTS, record_schema()).await?;
        self.create_collection(INCIDENTS, incident_schema()).await?;
        self.create_heartbeat_collection().await?;
        self.collection(EVENTS)
            .create_indexes([
                plain_index(doc! { "attempt": 1, "number": 1 }),
                plain_index(doc! { "exam": 1, "class": 1, "at": -1, "_id": -1 }),
                plain_index(doc! { "exam": 1, "kind": 1, "severity": -1, "at": -1 }),
                expiring_index("expires_at", Duration::ZERO),
            ])
            .await?;
        self.collection(INCIDENTS)
            .create_indexes([
                plain_index(doc! { "exam": 1, "open": 1, "last_at": -1 }),
                plain_index(doc! { "attempt": 1 }),
                expiring_index("expires_at", Duration::ZERO),
            ])
            .await?;
        Ok(())
    }

    /// Replaces older versions of incidents, in one command. Returns the incidents that
    /// are stored in this version or a newer one.
    async fn upsert_newer<'a>(
        &self,
        rows: &[&'a IncidentRow],
    ) -> Result<Vec<&'a IncidentRow>, DriverError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let updates: Vec<Document> = rows
            .iter()
            .map(|row| {
                let version = row.version.cast_signed();
                doc! {
                    "q": { "_id": &row.id, "version": { "$lt": version } },
                    "u": incident_document(row),
                    "upsert": true,
                }
            })
            .collect();
        let command = doc! {
            "update": INCIDENTS,
            "updates": updates,
            "ordered": false,
            "writeConcern": { "w": "majority", "j": true },
        };
        let reply = self.database.run_command(command).await?;
        if let Ok(error) = reply.get_document("writeConcernError") {
            return Err(DriverError::custom(error.to_string()));
        }
        let mut there = Vec::new();
        for error in reply.get_array("writeErrors").into_iter().flatten() {
            let error = error.as_document();
            let code = error.and_then(|error| error.get_i32("code").ok());
            let index = error.and_then(|error| error.get_i32("index").ok());
            let row = index
                .and_then(|index| usize::try_from(index).ok())
                .and_then(|index| rows.get(index));
            match (code, row) {
                (Some(DUPLICATE_KEY), Some(row)) => there.push(*row),
                _ => return Err(DriverError::custom(reply.to_string())),
            }
        }
        Ok(there)
    }

    async fn find_documents<T>(
        &self,
        operation: &'static str,
        name: &str,
        filter: Document,
        sort: Document,
        limit: u32,
        read: impl Fn(&Document) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let collection = self.collection(name);
        let found = async {
            let found = collection
                .find(filter)
                .sort(sort)
                .limit(i64::from(limit.max(1)))
                .await?;
            found.try_collect().await
        };
        let documents: Vec<Document> = tokio::time::timeout(self.timeout, found)
            .await
            .map_err(|elapsed| Error::Unavailable {
                operation,
                source: Box::new(elapsed),
            })?
            .map_err(|error| classify_error(operation, error))?;
        Ok(documents.iter().filter_map(read).collect())
    }
}

#[async_trait]
impl RecordStore for MongoStore {
    async fn append_records(&self, records: &[TimelineRecord]) -> Result<(), Error> {
        let (heartbeats, events): (Vec<&TimelineRecord>, Vec<&TimelineRecord>) = records
            .iter()
            .partition(|record| record.class == RecordClass::Heartbeat);
        let documents = events.into_iter().map(record_document).collect();
        let failed = |error| classify_error("append records", error);
        self.insert_new(EVENTS, documents).await.map_err(failed)?;
        // A time-series collection has no unique ids: a heartbeat that is written again
        // after an unknown outcome may be stored twice, which does no harm to samples.
        let documents = heartbeats.into_iter().map(record_document).collect();
        self.insert_new(HEARTBEATS, documents).await.map_err(failed)
    }

    async fn upsert_incidents(&self, rows: &[IncidentRow]) -> Result<(), Error> {
        let rows: Vec<&IncidentRow> = rows.iter().collect();
        let failed = |error| classify_error("put incidents", error);
        let late = self.upsert_newer(&rows).await.map_err(failed)?;
        // Another writer inserted these meanwhile, maybe in an older version.
        self.upsert_newer(&late).await.map_err(failed).map(drop)
    }

    async fn read_records(
        &self,
        attempt: AttemptId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<TimelineRecord>, Error> {
        let filter = doc! { "attempt": attempt.0, "number": { "$gt": after.cast_signed() } };
        let (operation, sort) = ("read the timeline", doc! { "number": 1 });
        self.find_documents(operation, EVENTS, filter, sort, limit, record_from_document)
            .await
    }

    async fn list_events(&self, wanted: &EventFilter) -> Result<Vec<TimelineRecord>, Error> {
        let mut filter =
            doc! { "exam": wanted.exam.as_str(), "class": RecordClass::Event.as_str() };
        if let Some(kind) = &wanted.kind {
            filter.insert("kind", kind);
        }
        if let Some(least) = wanted.min_severity {
            filter.insert("severity", doc! { "$gte": severity_rank(least) });
        }
        if let Some(attempts) = &wanted.attempts {
            let ids: Vec<i64> = attempts.iter().map(|attempt| attempt.0).collect();
            filter.insert("attempt", doc! { "$in": ids });
        }
        if let Some((at, id)) = &wanted.before {
            let older = doc! { "at": { "$lt": to_bson_date(*at) } };
            let same = doc! { "at": to_bson_date(*at), "_id": { "$lt": id } };
            filter.insert("$or", vec![older, same]);
        }
        let sort = doc! { "at": -1, "_id": -1 };
        let (operation, limit) = ("read events", wanted.limit);
        self.find_documents(operation, EVENTS, filter, sort, limit, record_from_document)
            .await
    }

    async fn ensure_schema(&self) -> Result<(), Error> {
        let prepared = self.ensure_collections().await;
        prepared.map_err(|error| classify_error("prepare the collections", error))
    }

    async fn ping(&self) -> Result<(), Error> {
        let answer = self.database.run_command(doc! { "ping": 1 }).await;
        answer
            .map(drop)
            .map_err(|error| classify_error("ping", error))
    }
}

/// Classifies an error as temporary or permanent.
fn classify_error(operation: &'static str, error: DriverError) -> Error {
    let never = error_codes(&error)
        .iter()
        .any(|code| PERMANENT_FAILURES.contains(code))
        || matches!(
            *error.kind,
            ErrorKind::InvalidArgument { .. } | ErrorKind::BsonSerialization(_)
        );
    let source = Box::new(error);
    if never {
        Error::Rejected { operation, source }
    } else {
        Error::Unavailable { operation, source }
    }
}

/// Returns the codes with which the server refused documents.
fn error_codes(error: &DriverError) -> Vec<i32> {
    if let ErrorKind::InsertMany(failure) = &*error.kind
        && failure.write_concern_error.is_none()
    {
        let errors = failure.write_errors.iter().flatten();
        errors.map(|error| error.code).collect()
    } else if let ErrorKind::Write(WriteFailure::WriteError(error)) = &*error.kind {
        vec![error.code]
    } else if let ErrorKind::Command(error) = &*error.kind {
        vec![error.code]
    } else {
        Vec::new()
    }
}

/// Returns true if all refused documents exist already.
fn are_all_duplicates(error: &DriverError) -> bool {
    let codes = error_codes(error);
    !codes.is_empty() && codes.iter().all(|code| *code == DUPLICATE_KEY)
}

fn ignore_existing(created: Result<(), DriverError>) -> Result<(), DriverError> {
    match created {
        Err(error) if error_codes(&error) == [NAMESPACE_EXISTS] => Ok(()),
        other => other,
    }
}

fn plain_index(keys: Document) -> IndexModel {
    IndexModel::builder().keys(keys).build()
}

fn expiring_index(field: &str, after: Duration) -> IndexModel {
    let options = IndexOptions::builder().expire_after(after).build();
    IndexModel::builder()
        .keys(doc! { field: 1 })
        .options(options)
        .build()
}

/// The validator of records.
fn record_schema() -> Document {
    doc! { "$jsonSchema": {
        "bsonType": "object",
        "required": ["attempt", "exam", "class", "number", "at", "kind", "data", "expires_at"],
        "properties": {
            "_id": { "bsonType": "string" },
            "attempt": { "bsonType": "long" },
            "exam": { "bsonType": "string" },
            "class": { "enum": ["navigation", "event", "history"] },
            "number": { "bsonType": "long" },
            "at": { "bsonType": "date" },
            "kind": { "bsonType": "string" },
            "severity": { "bsonType": "int", "minimum": 1, "maximum": 4 },
            "data": { "bsonType": "string" },
            "expires_at": { "bsonType": "date" },
        },
    } }
}

/// The validator of incidents.
fn incident_schema() -> Document {
    doc! { "$jsonSchema": {
        "bsonType": "object",
        "required": ["attempt", "exam", "version", "kind", "severity", "last_at", "open", "data"],
        "properties": {
            "_id": { "bsonType": "string" },
            "attempt": { "bsonType": "long" },
            "version": { "bsonType": "long" },
            "severity": { "bsonType": "int", "minimum": 1, "maximum": 4 },
            "last_at": { "bsonType": "date" },
            "open": { "bsonType": "bool" },
            "data": { "bsonType": "string" },
        },
    } }
}

/// Returns a severity as a number, by which queries compare.
const fn severity_rank(severity: EventSeverity) -> i32 {
    match severity {
        EventSeverity::Low => 1,
        EventSeverity::Medium => 2,
        EventSeverity::High => 3,
        EventSeverity::Critical => 4,
    }
}

fn severity_from_rank(rank: i32) -> Option<EventSeverity> {
    let mut all = EventSeverity::ALL.iter().copied();
    all.find(|severity| severity_rank(*severity) == rank)
}

const fn to_bson_date(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.as_ms())
}

fn record_document(record: &TimelineRecord) -> Document {
    let mut document = doc! {
        "_id": &record.id,
        "attempt": record.attempt.0,
        "exam": record.exam.as_str(),
        "class": record.class.as_str(),
        "number": record.number.cast_signed(),
        "at": to_bson_date(record.at),
        "kind": &record.kind,
        "data": &*record.data,
        "expires_at": to_bson_date(record.keep_until),
    };
    if let Some(severity) = record.severity {
        document.insert("severity", severity_rank(severity));
    }
    document
}

fn record_from_document(document: &Document) -> Option<TimelineRecord> {
    let text = |key| document.get_str(key).ok();
    let at = |key| {
        Some(Timestamp::from_ms(
            document.get_datetime(key).ok()?.timestamp_millis(),
        ))
    };
    Some(TimelineRecord {
        id: text("_id")?.to_owned(),
        class: RecordClass::from_name(text("class")?)?,
        attempt: AttemptId(document.get_i64("attempt").ok()?),
        exam: text("exam")?.into(),
        number: document.get_i64("number").ok()?.cast_unsigned(),
        at: at("at")?,
        kind: text("kind")?.to_owned(),
        severity: document
            .get_i32("severity")
            .ok()
            .and_then(severity_from_rank),
        data: Arc::from(text("data")?),
        keep_until: at("expires_at")?,
    })
}

fn incident_document(row: &IncidentRow) -> Document {
    doc! {
        "_id": &row.id,
        "attempt": row.attempt.0,
        "exam": row.exam.as_str(),
        "version": row.version.cast_signed(),
        "kind": &row.kind,
        "severity": severity_rank(row.severity),
        "opened_at": to_bson_date(row.opened_at),
        "last_at": to_bson_date(row.last_at),
        "events": i64::from(row.events),
        "open": row.open,
        "data": &*row.data,
        "expires_at": to_bson_date(row.keep_until),
    }
}

//! Records in MongoDB.
//!
//! Collections: `events` (events, navigation, history), `heartbeats` (a
//! time-series collection where the server has them), `incidents`. Everything is
//! written with majority. `data` is kept as JSON text: exact, whatever its keys
//! and numbers are. Old documents are removed by the server itself, by
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

use super::{
    Error,
    records::{Class, EventFilter, IncidentRow, Record, RecordStore},
};
use crate::domain::{exam::Severity, id::AttemptId, time::Timestamp};

const EVENTS: &str = "events";
const HEARTBEATS: &str = "heartbeats";
const INCIDENTS: &str = "incidents";

/// Connections to a server. One task writes, few read.
const CONNECTIONS: u32 = 8;

/// Heartbeats are all kept equally long: a time-series collection has one age.
const HEARTBEATS_KEPT: Duration = Duration::from_hours(24 * 365);

/// The server's code for an id that is there already.
const DUPLICATE_KEY: i32 = 11_000;

/// The server's code for a collection that is there already.
const NAMESPACE_EXISTS: i32 = 48;

/// Codes of data that the server will never take: a document that is too large or
/// nested too deeply. A validator's no is not among them: an operator can mend it.
const NEVER: [i32; 3] = [10_334, 17_280, 15];

/// MongoDB as a store of records.
#[derive(Debug, Clone)]
pub struct Mongo {
    database: Database,
    patience: Duration,
}

impl Mongo {
    /// Makes the store, without waiting for the server: one that is away at the
    /// start does not stop the start. Connecting and reading take no longer than
    /// `patience` each.
    ///
    /// # Errors
    /// Where the address makes no sense.
    pub async fn connect(url: &str, database: &str, patience: Duration) -> Result<Self, Error> {
        let failed = |error| failed("connect to MongoDB", error);
        let mut options = ClientOptions::parse(url).await.map_err(failed)?;
        options.app_name.get_or_insert_with(|| "invigil".to_owned());
        options.server_selection_timeout = Some(patience);
        options.connect_timeout = Some(patience);
        options.max_pool_size = Some(CONNECTIONS);
        let majority = WriteConcern::builder()
            .w(Acknowledgment::Majority)
            .journal(true)
            .build();
        options.write_concern = Some(majority);
        let client = Client::with_options(options).map_err(failed)?;
        Ok(Self {
            database: client.database(database),
            patience,
        })
    }

    fn collection(&self, name: &str) -> Collection<Document> {
        let options = CollectionOptions::default();
        self.database.collection_with_options(name, options)
    }

    async fn insert(&self, name: &str, documents: Vec<Document>) -> Result<(), DriverError> {
        if documents.is_empty() {
            return Ok(());
        }
        let inserted = self
            .collection(name)
            .insert_many(documents)
            .ordered(false)
            .await;
        match inserted {
            Err(error) if only_duplicates(&error) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Makes a collection; one that is there already is fine.
    async fn create(&self, name: &str, validator: Document) -> Result<(), DriverError> {
        let created = self
            .database
            .create_collection(name)
            .validator(validator)
            .validation_action(ValidationAction::Error)
            .await;
        there_already(created)
    }

    async fn create_heartbeats(&self) -> Result<(), DriverError> {
        let series = TimeseriesOptions::builder()
            .time_field("at".to_owned())
            .meta_field(Some("attempt".to_owned()))
            .granularity(Some(TimeseriesGranularity::Seconds))
            .build();
        let created = self
            .database
            .create_collection(HEARTBEATS)
            .timeseries(series)
            .expire_after_seconds(HEARTBEATS_KEPT)
            .await;
        match there_already(created) {
            Ok(()) => Ok(()),
            Err(error) if matches!(*error.kind, ErrorKind::Command(_)) => {
                tracing::info!(%error, "heartbeats go into a plain collection");
                self.create(HEARTBEATS, doc! {}).await?;
                let index = expiring("at", HEARTBEATS_KEPT);
                self.collection(HEARTBEATS).create_index(index).await?;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn prepare_all(&self) -> Result<(), DriverError> {
        self.create(EVENTS, record_form()).await?;
        self.create(INCIDENTS, incident_form()).await?;
        self.create_heartbeats().await?;
        self.collection(EVENTS)
            .create_indexes([
                index(doc! { "attempt": 1, "number": 1 }),
                index(doc! { "exam": 1, "class": 1, "at": -1, "_id": -1 }),
                index(doc! { "exam": 1, "kind": 1, "severity": -1, "at": -1 }),
                expiring("expires_at", Duration::ZERO),
            ])
            .await?;
        self.collection(INCIDENTS)
            .create_indexes([
                index(doc! { "exam": 1, "open": 1, "last_at": -1 }),
                index(doc! { "attempt": 1 }),
                expiring("expires_at", Duration::ZERO),
            ])
            .await?;
        Ok(())
    }

    /// Puts incidents in the place of older versions, in one command. Returns those of
    /// which this version or a newer one is there.
    async fn put_newer<'a>(
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

    async fn find<T>(
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
        let documents: Vec<Document> = tokio::time::timeout(self.patience, found)
            .await
            .map_err(|elapsed| Error::Unavailable {
                operation,
                source: Box::new(elapsed),
            })?
            .map_err(|error| failed(operation, error))?;
        Ok(documents.iter().filter_map(read).collect())
    }
}

#[async_trait]
impl RecordStore for Mongo {
    async fn append(&self, records: &[Record]) -> Result<(), Error> {
        let (heartbeats, events): (Vec<&Record>, Vec<&Record>) = records
            .iter()
            .partition(|record| record.class == Class::Heartbeat);
        let documents = events.into_iter().map(to_document).collect();
        let failed = |error| failed("append records", error);
        self.insert(EVENTS, documents).await.map_err(failed)?;
        // A time-series collection knows no unique ids: one that is written again
        // after an unknown outcome may be there twice, which harms no sample.
        let documents = heartbeats.into_iter().map(to_document).collect();
        self.insert(HEARTBEATS, documents).await.map_err(failed)
    }

    async fn put_incidents(&self, rows: &[IncidentRow]) -> Result<(), Error> {
        let rows: Vec<&IncidentRow> = rows.iter().collect();
        let failed = |error| failed("put incidents", error);
        let late = self.put_newer(&rows).await.map_err(failed)?;
        // Somebody made those meanwhile, and maybe in an older version.
        self.put_newer(&late).await.map_err(failed).map(drop)
    }

    async fn timeline(
        &self,
        attempt: AttemptId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Record>, Error> {
        let filter = doc! { "attempt": attempt.0, "number": { "$gt": after.cast_signed() } };
        let (operation, sort) = ("read the timeline", doc! { "number": 1 });
        self.find(operation, EVENTS, filter, sort, limit, to_record)
            .await
    }

    async fn events(&self, wanted: &EventFilter) -> Result<Vec<Record>, Error> {
        let mut filter = doc! { "exam": wanted.exam.as_str(), "class": Class::Event.as_str() };
        if let Some(kind) = &wanted.kind {
            filter.insert("kind", kind);
        }
        if let Some(least) = wanted.least {
            filter.insert("severity", doc! { "$gte": rank(least) });
        }
        if let Some(attempts) = &wanted.attempts {
            let ids: Vec<i64> = attempts.iter().map(|attempt| attempt.0).collect();
            filter.insert("attempt", doc! { "$in": ids });
        }
        if let Some((at, id)) = &wanted.before {
            let older = doc! { "at": { "$lt": date(*at) } };
            let same = doc! { "at": date(*at), "_id": { "$lt": id } };
            filter.insert("$or", vec![older, same]);
        }
        let sort = doc! { "at": -1, "_id": -1 };
        let (operation, limit) = ("read events", wanted.limit);
        self.find(operation, EVENTS, filter, sort, limit, to_record)
            .await
    }

    async fn prepare(&self) -> Result<(), Error> {
        let prepared = self.prepare_all().await;
        prepared.map_err(|error| failed("prepare the collections", error))
    }

    async fn ping(&self) -> Result<(), Error> {
        let answer = self.database.run_command(doc! { "ping": 1 }).await;
        answer.map(drop).map_err(|error| failed("ping", error))
    }
}

/// What may work later, and what never will.
fn failed(operation: &'static str, error: DriverError) -> Error {
    let never = codes(&error).iter().any(|code| NEVER.contains(code))
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

/// The codes with which the server refuses documents.
fn codes(error: &DriverError) -> Vec<i32> {
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

/// Whether all that was refused is there already.
fn only_duplicates(error: &DriverError) -> bool {
    let codes = codes(error);
    !codes.is_empty() && codes.iter().all(|code| *code == DUPLICATE_KEY)
}

fn there_already(created: Result<(), DriverError>) -> Result<(), DriverError> {
    match created {
        Err(error) if codes(&error) == [NAMESPACE_EXISTS] => Ok(()),
        other => other,
    }
}

fn index(keys: Document) -> IndexModel {
    IndexModel::builder().keys(keys).build()
}

fn expiring(field: &str, after: Duration) -> IndexModel {
    let options = IndexOptions::builder().expire_after(after).build();
    IndexModel::builder()
        .keys(doc! { field: 1 })
        .options(options)
        .build()
}

/// What every record must look like.
fn record_form() -> Document {
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

/// What every incident must look like.
fn incident_form() -> Document {
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

/// Severities as numbers, so that they compare.
const fn rank(severity: Severity) -> i32 {
    match severity {
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

fn severity(rank: i32) -> Option<Severity> {
    let mut all = Severity::ALL.iter().copied();
    all.find(|severity| self::rank(*severity) == rank)
}

const fn date(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.as_ms())
}

fn to_document(record: &Record) -> Document {
    let mut document = doc! {
        "_id": &record.id,
        "attempt": record.attempt.0,
        "exam": record.exam.as_str(),
        "class": record.class.as_str(),
        "number": record.number.cast_signed(),
        "at": date(record.at),
        "kind": &record.kind,
        "data": &*record.data,
        "expires_at": date(record.keep_until),
    };
    if let Some(severity) = record.severity {
        document.insert("severity", rank(severity));
    }
    document
}

fn to_record(document: &Document) -> Option<Record> {
    let text = |key| document.get_str(key).ok();
    let at = |key| {
        Some(Timestamp::from_ms(
            document.get_datetime(key).ok()?.timestamp_millis(),
        ))
    };
    Some(Record {
        id: text("_id")?.to_owned(),
        class: Class::from_name(text("class")?)?,
        attempt: AttemptId(document.get_i64("attempt").ok()?),
        exam: text("exam")?.into(),
        number: document.get_i64("number").ok()?.cast_unsigned(),
        at: at("at")?,
        kind: text("kind")?.to_owned(),
        severity: document.get_i32("severity").ok().and_then(severity),
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
        "severity": rank(row.severity),
        "opened_at": date(row.opened_at),
        "last_at": date(row.last_at),
        "events": i64::from(row.events),
        "open": row.open,
        "data": &*row.data,
        "expires_at": date(row.keep_until),
    }
}

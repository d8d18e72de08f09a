//! The spool's format of a record: MessagePack with named fields.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use invigil_domain::{
    exam::EventSeverity,
    id::{AttemptId, ExamCode},
    time::Timestamp,
};
use invigil_store::records::{IncidentRow, RecordClass, TimelineRecord};

/// A record or an incident that waits to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RecorderEntry {
    /// A record.
    Record(TimelineRecord),
    /// An incident as it stands.
    Incident(Box<IncidentRow>),
}

/// The form on disk. Fields are only ever added, with a default.
#[derive(Serialize, Deserialize)]
struct SpoolFrame {
    id: String,
    /// A record's class; empty for an incident.
    class: String,
    attempt: i64,
    exam: ExamCode,
    /// A record's number, an incident's version.
    number: u64,
    at: Timestamp,
    kind: String,
    severity: Option<EventSeverity>,
    data: String,
    keep_until: Timestamp,
    #[serde(default)]
    opened_at: Timestamp,
    #[serde(default)]
    events: u32,
    #[serde(default)]
    open: bool,
}

impl RecorderEntry {
    /// Encodes the entry.
    pub(super) fn to_frame(&self) -> Vec<u8> {
        let on_disk = match self {
            Self::Record(record) => SpoolFrame {
                id: record.id.clone(),
                class: record.class.as_str().to_owned(),
                attempt: record.attempt.0,
                exam: record.exam.clone(),
                number: record.number,
                at: record.at,
                kind: record.kind.clone(),
                severity: record.severity,
                data: record.data.to_string(),
                keep_until: record.keep_until,
                opened_at: record.at,
                events: 0,
                open: false,
            },
            Self::Incident(row) => SpoolFrame {
                id: row.id.clone(),
                class: String::new(),
                attempt: row.attempt.0,
                exam: row.exam.clone(),
                number: row.version,
                at: row.last_at,
                kind: row.kind.clone(),
                severity: Some(row.severity),
                data: row.data.to_string(),
                keep_until: row.keep_until,
                opened_at: row.opened_at,
                events: row.events,
                open: row.open,
            },
        };
        rmp_serde::to_vec_named(&on_disk).expect("plain fields are MessagePack")
    }

    /// Decodes an entry; none if another program wrote it.
    pub(super) fn from_frame(frame: &[u8]) -> Option<Self> {
        let on_disk: SpoolFrame = rmp_serde::from_slice(frame).ok()?;
        let attempt = AttemptId(on_disk.attempt);
        let data = Arc::from(on_disk.data);
        if on_disk.class.is_empty() {
            return Some(Self::Incident(Box::new(IncidentRow {
                id: on_disk.id,
                attempt,
                exam: on_disk.exam,
                version: on_disk.number,
                kind: on_disk.kind,
                severity: on_disk.severity?,
                opened_at: on_disk.opened_at,
                last_at: on_disk.at,
                events: on_disk.events,
                open: on_disk.open,
                data,
                keep_until: on_disk.keep_until,
            })));
        }
        Some(Self::Record(TimelineRecord {
            id: on_disk.id,
            class: RecordClass::from_name(&on_disk.class)?,
            attempt,
            exam: on_disk.exam,
            number: on_disk.number,
            at: on_disk.at,
            kind: on_disk.kind,
            severity: on_disk.severity,
            data,
            keep_until: on_disk.keep_until,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let record = RecorderEntry::Record(TimelineRecord {
            id: "7:s:1".to_owned(),
            class: RecordClass::Event,
            attempt: AttemptId(7),
            exam: "E1".into(),
            number: u64::MAX,
            at: Timestamp::from_ms(5),
            kind: "copy".to_owned(),
            severity: Some(EventSeverity::Low),
            data: r#"{"a":"\u0000"}"#.into(),
            keep_until: Timestamp::from_ms(i64::MAX),
        });
        let incident = RecorderEntry::Incident(Box::new(IncidentRow {
            id: "7:i1".to_owned(),
            attempt: AttemptId(7),
            exam: "E1".into(),
            version: 3,
            kind: "copy".to_owned(),
            severity: EventSeverity::Critical,
            opened_at: Timestamp::from_ms(-1),
            last_at: Timestamp::from_ms(9),
            events: 30,
            open: true,
            data: "{}".into(),
            keep_until: Timestamp::from_ms(10),
        }));
        for entry in [record, incident] {
            let frame = entry.to_frame();
            assert_eq!(RecorderEntry::from_frame(&frame), Some(entry));
            assert_eq!(RecorderEntry::from_frame(&frame[1..]), None);
        }
        assert_eq!(RecorderEntry::from_frame(b""), None);
    }
}

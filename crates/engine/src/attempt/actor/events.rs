//! Events that a client reports, and its acknowledgements of notices.

use std::sync::Arc;

use invigil_protocol::{
    candidate::{ErrorMessage, ReportedEvent, ServerMessage},
    code::ErrorCode,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::AttemptActor;
use crate::{
    attempt::monitor::ClientObservation, commit::write_buffer::AttemptChanges,
    node::limits::HEALTH_EVENTS_MIN,
};
use invigil_domain::{
    attempt::{AttemptCommand, DomainEvent, command::ClientEvent},
    integrity::EventJudgement,
    time::Timestamp,
};
use invigil_store::{TimelineRow, records::TimelineRecord};

/// Kind of the event by which a client reports, after the fact, that it was offline.
const OFFLINE: &str = "offline";

impl AttemptActor {
    /// Handles an event of the connected client.
    pub(super) fn handle_event(&mut self, now: Timestamp, event: ReportedEvent) {
        let Some(outbox) = self.connection.outbox() else {
            return;
        };
        let changes = AttemptChanges {
            outbox: Some(Arc::clone(outbox)),
            event: Some(event.n),
            ..AttemptChanges::default()
        };
        if self.is_known_event(&event) {
            self.accept_repeated_event(now, &event, changes);
            return;
        }
        if let Some(field) = event.bad_field {
            outbox.send(ServerMessage::Error(ErrorMessage {
                code: ErrorCode::BadEvent,
                detail: Some(format!("{field} of event {} is not valid", event.n)),
            }));
        }
        self.accept_event(now, event, changes);
    }

    /// Accepts an event that was handled before; the next acknowledgement covers it. A
    /// node may have died before the recorder got the first one, so it is recorded once
    /// more. Returns true if it was over the limits.
    pub(super) fn accept_repeated_event(
        &mut self,
        now: Timestamp,
        event: &ReportedEvent,
        mut changes: AttemptChanges,
    ) -> bool {
        let mut dropped = false;
        if self.journal.has_recorder() {
            dropped = !self.may_store_event(event);
            changes.dropped = u64::from(dropped);
            if !dropped {
                changes.records.extend(self.repeat_record(now, event));
            }
        } else {
            // The commit that counted the event contains its record.
            let session = self.attempt.session();
            let all = session.map(|session| session.applied_event);
            changes.event = changes.event.max(all.filter(|_| changes.event.is_some()));
        }
        self.buffer_changes(now, changes);
        dropped
    }

    fn repeat_record(&mut self, now: Timestamp, event: &ReportedEvent) -> Option<TimelineRecord> {
        self.attempt.apply(&DomainEvent::Noted);
        let judgement = EventJudgement::without_rules(&event.kind);
        let data = json!({
            "n": event.n, "client_at": event.at, "data": event.data,
            "severity": judgement.severity,
        });
        let entry = TimelineRow {
            number: self.attempt.version(),
            at: now,
            kind: event.kind.clone(),
            data: data.to_string().into(),
        };
        self.journal
            .event_record(&self.attempt, event.n, &judgement, entry)
    }

    /// Accepts a new event. Returns true if it was over the limits.
    pub(super) fn accept_event(
        &mut self,
        now: Timestamp,
        event: ReportedEvent,
        mut changes: AttemptChanges,
    ) -> bool {
        let dropped = !self.may_store_event(&event);
        changes.dropped = u64::from(dropped);
        if !dropped && event.kind != OFFLINE {
            if self.shared.health_level() < HEALTH_EVENTS_MIN {
                self.monitor.expect_late_events(now);
            }
            self.monitor.inspect_clock(now, event.at);
        }
        let observation = ClientEvent {
            n: event.n,
            kind: event.kind,
            client_at: Timestamp::from_ms(event.at),
            data: event.data.map_or(Value::Null, Value::Object),
            dropped,
        };
        self.perform_command(now, &AttemptCommand::Observe(observation), changes)
            .ok();
        dropped
    }

    /// True if an event was handled before.
    pub(super) fn is_known_event(&self, event: &ReportedEvent) -> bool {
        self.attempt
            .session()
            .is_some_and(|session| event.n <= session.applied_event)
    }

    /// True if an event may be stored. Events over the limits are only counted.
    fn may_store_event(&mut self, event: &ReportedEvent) -> bool {
        self.journal.has_room_for_event()
            && event.bad_field.is_none()
            && self.connection.spend_event(Instant::now())
    }

    /// Records an observation that changes nothing.
    pub(super) fn record_observation(&mut self, now: Timestamp, observation: &ClientObservation) {
        if self.attempt.is_over() {
            return;
        }
        self.attempt.apply(&DomainEvent::Noted);
        let entry = TimelineRow {
            number: self.attempt.version(),
            at: now,
            kind: observation.kind.to_owned(),
            data: observation.data.to_string().into(),
        };
        self.board_row.send_entry(&entry);
        let unrecorded = self
            .journal
            .record_observation(&self.attempt, observation.class, entry);
        if let Some(changes) = unrecorded {
            self.buffer_changes(now, changes);
        }
    }

    /// Marks notices that waited for the candidate as delivered.
    pub(super) fn mark_notices_delivered(&self) {
        let notices = &self.attempt.control().notices;
        for key in notices.iter().filter_map(|notice| notice.command.as_ref()) {
            self.board_row.note_delivered(key);
        }
    }

    /// Handles the candidate's acknowledgement of a notice.
    pub(super) fn acknowledge_notice(&mut self, now: Timestamp, id: String) {
        let mut notices = self.attempt.control().notices.iter();
        if let Some(notice) = notices.find(|notice| notice.id == id)
            && let Some(key) = &notice.command
        {
            self.board_row.note_acknowledged(key);
        }
        self.perform_unasked(now, &AttemptCommand::AcknowledgeNotice { id });
    }
}

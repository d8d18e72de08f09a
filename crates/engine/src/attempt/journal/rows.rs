//! Rows that each event makes durable.

use std::{collections::BTreeSet, time::Duration};

use serde::Serialize;
use serde_json::{json, value::RawValue};

use crate::{commit::write_buffer::AttemptChanges, wire::parse_json};
use invigil_domain::{
    attempt::{Attempt, AttemptPhase, DomainEvent, LifecycleStatus},
    exam::SessionPolicy,
    integrity::EventJudgement,
    time::Timestamp,
    timing::whole_ms,
};
use invigil_store::{
    AnswerRow, ControlRow, IntegritySums, TimelineRow,
    records::{IncidentRow, RecordClass, TimelineRecord},
};

/// Rows of the events of an attempt, by its state after each.
pub(super) struct EventRows<'a> {
    /// The attempt.
    pub attempt: &'a Attempt,
    /// Time for which the recorder usually keeps events; `None` without a recorder.
    pub recorder_keeps: Option<Duration>,
}

impl EventRows<'_> {
    /// Adds the rows of an event, just applied, to the changes.
    pub(super) fn add_event(
        &self,
        now: Timestamp,
        event: &DomainEvent,
        entry: Option<TimelineRow>,
        changes: &mut AttemptChanges,
    ) {
        if let DomainEvent::Answered { question, .. }
        | DomainEvent::QuestionFlagged { question, .. } = event
        {
            let row = self.answer_row(*question).zip(entry);
            changes.answer = row.map(|(row, entry)| (*question, row, entry));
        } else if changes.dropped == 0 || !matches!(event, DomainEvent::Observed { .. }) {
            self.add_entry(event, entry, changes);
        }
        let incident = if let DomainEvent::IncidentRaised { raised } = event {
            self.incident_id(&raised.kind)
        } else if let DomainEvent::IncidentClosed { incident, .. }
        | DomainEvent::IncidentAssigned { incident, .. } = event
        {
            Some(incident.as_str())
        } else {
            None
        };
        changes
            .incidents
            .extend(incident.and_then(|id| self.incident_row(id)));
        if self.changes_control(event) {
            changes.control = Some(Box::new(self.control_row(now)));
        }
    }

    /// Adds a timeline entry. A client's event goes to the recorder, if there is one;
    /// every other event is part of the commit.
    fn add_entry(
        &self,
        event: &DomainEvent,
        entry: Option<TimelineRow>,
        changes: &mut AttemptChanges,
    ) {
        match (event, self.recorder_keeps) {
            (DomainEvent::Observed { n, judgement, .. }, Some(_)) => {
                changes
                    .records
                    .extend(entry.and_then(|entry| self.event_record(*n, judgement, entry)));
            }
            _ => changes.timeline.extend(entry),
        }
    }

    /// Record of a client's event: named by session and number, so that a repeat is the
    /// same record.
    pub(super) fn event_record(
        &self,
        n: u64,
        judgement: &EventJudgement,
        entry: TimelineRow,
    ) -> Option<TimelineRecord> {
        let identity = self.attempt.identity();
        let session = &self.attempt.session()?.id;
        Some(TimelineRecord {
            id: format!("{}:{session}:{n}", identity.id),
            class: RecordClass::Event,
            severity: judgement.severity,
            ..entry.into_history_record(identity.id, identity.exam.clone(), self.events_kept())
        })
    }

    /// Time for which the exam keeps events.
    pub(super) fn events_kept(&self) -> Duration {
        self.attempt
            .indexed_exam()
            .exam()
            .proctoring
            .retention
            .or(self.recorder_keeps)
            .unwrap_or(Duration::ZERO)
    }

    /// Row of an incident's present state, for the recorder.
    fn incident_row(&self, id: &str) -> Option<IncidentRow> {
        self.recorder_keeps?;
        let incident = self.attempt.control().integrity.incident(id)?;
        let identity = self.attempt.identity();
        Some(IncidentRow {
            id: format!("{}:{id}", identity.id),
            attempt: identity.id,
            exam: identity.exam.clone(),
            version: self.attempt.version(),
            kind: incident.kind.clone(),
            severity: incident.severity,
            opened_at: incident.opened_at,
            last_at: incident.last_at,
            events: incident.events,
            open: incident.is_open(),
            data: serde_json::to_string(incident).ok()?.into(),
            keep_until: incident.last_at + self.events_kept(),
        })
    }

    fn control_row(&self, now: Timestamp) -> ControlRow {
        let control = self.attempt.control();
        let state = serde_json::to_string(control).expect("control is plain JSON");
        ControlRow {
            state: state.into(),
            status: self.attempt.status(),
            entered_at: control.ledger.entered_at,
            deadline_at: self.attempt.deadline(now),
            close_at: self.attempt.close_at(),
            closed_at: match control.phase {
                AttemptPhase::HandedIn { at, .. } | AttemptPhase::Cancelled { at } => Some(at),
                AttemptPhase::Waiting | AttemptPhase::Taking => None,
            },
            integrity: self.integrity_sums(),
        }
    }

    fn integrity_sums(&self) -> IntegritySums {
        let control = self.attempt.control();
        let integrity = &control.integrity;
        let watched = self.attempt.proctoring().enabled;
        let incidents = integrity.incidents();
        let kinds: BTreeSet<&str> = incidents.iter().map(|one| one.kind.as_str()).collect();
        let handed_in = matches!(control.phase, AttemptPhase::HandedIn { .. });
        IntegritySums {
            violations: integrity.violations(),
            flags: kinds.into_iter().map(str::to_owned).collect(),
            peak_risk: watched.then(|| integrity.peak_risk()),
            verified: watched && handed_in && !control.flagged && integrity.is_clear(),
        }
    }

    fn incident_id(&self, kind: &str) -> Option<&str> {
        newest_open_incident(self.attempt, kind)
    }

    fn section_id(&self, index: u16) -> String {
        self.attempt.indexed_exam().section_id(index).to_string()
    }

    fn answer_row(&self, number: u16) -> Option<AnswerRow> {
        let answer = self.attempt.answers().get(number)?;
        Some(AnswerRow {
            question: self.attempt.indexed_exam().question(number).id.clone(),
            value: answer.value.clone(),
            flagged: answer.flagged,
            rev: answer.rev,
            version: answer.version,
            answered_at: answer.answered_at,
            spent_ms: answer.spent_ms,
        })
    }

    fn changes_control(&self, event: &DomainEvent) -> bool {
        match event {
            DomainEvent::Answered { late, .. } => *late,
            DomainEvent::SessionOpened { .. }
            | DomainEvent::SessionResumed
            | DomainEvent::Left { .. } => {
                // Under other rules they change only the session.
                let exam = self.attempt.indexed_exam().exam();
                let holds_release = match exam.session_policy {
                    SessionPolicy::Takeover => false,
                    SessionPolicy::Reject => true,
                };
                holds_release || exam.compensate_up_to.is_some()
            }
            DomainEvent::Observed { judgement, .. } | DomainEvent::Detected { judgement, .. } => {
                judgement.changes_anything()
            }
            DomainEvent::QuestionFlagged { .. }
            | DomainEvent::Refused { .. }
            | DomainEvent::Noted => false,
            DomainEvent::ClockStarted { .. }
            | DomainEvent::Noticed { .. }
            | DomainEvent::NoticesSent
            | DomainEvent::NoticeAcknowledged { .. }
            | DomainEvent::Paused { .. }
            | DomainEvent::Resumed { .. }
            | DomainEvent::Extended { .. }
            | DomainEvent::Compensated { .. }
            | DomainEvent::SectionChanged { .. }
            | DomainEvent::Flagged { .. }
            | DomainEvent::Unflagged { .. }
            | DomainEvent::Released { .. }
            | DomainEvent::CommandDone { .. }
            | DomainEvent::Arrived { .. }
            | DomainEvent::IncidentRaised { .. }
            | DomainEvent::IncidentClosed { .. }
            | DomainEvent::IncidentAssigned { .. }
            | DomainEvent::Cancelled { .. }
            | DomainEvent::HandedIn { .. } => true,
        }
    }

    /// Timeline entry of an event that was just applied; `None` for events that staff
    /// need not see.
    pub(super) fn timeline_entry(
        &self,
        now: Timestamp,
        event: &DomainEvent,
    ) -> Option<TimelineRow> {
        let (kind, data) = self.describe_event(event)?;
        Some(TimelineRow {
            number: self.attempt.version(),
            at: now,
            kind: kind.to_owned(),
            data: data.into(),
        })
    }

    fn answer_entry(&self, seq: u64, number: u16, late: bool, on: Option<bool>) -> String {
        let answer = self.attempt.answers().get(number);
        let value = answer.and_then(|answer| answer.value.as_deref());
        let entry = AnswerEntry {
            seq,
            q: &self.attempt.indexed_exam().question(number).id.0,
            rev: answer.map_or(0, |answer| answer.rev),
            value: value.and_then(|text| serde_json::from_str(text).ok()),
            flagged: answer.is_some_and(|answer| answer.flagged),
            late,
            on,
        };
        serde_json::to_string(&entry).expect("an entry is plain JSON")
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one short arm an event reads best in one place"
    )]
    fn describe_event<'a>(&self, event: &'a DomainEvent) -> Option<(&'a str, String)> {
        let (kind, data) = match event {
            // Frequent: its value is JSON already, and is not parsed again.
            DomainEvent::Answered {
                seq,
                question: number,
                late,
                ..
            } => {
                return Some(("answer", self.answer_entry(*seq, *number, *late, None)));
            }
            DomainEvent::ClockStarted { at } => ("clock_started", json!({ "entered_at": at })),
            DomainEvent::SessionOpened { session } => {
                ("session_opened", json!({ "session": session }))
            }
            DomainEvent::SessionResumed => ("session_resumed", json!({})),
            DomainEvent::Left { .. } => ("disconnected", json!({})),
            DomainEvent::QuestionFlagged {
                seq,
                question: number,
                on,
                ..
            } => {
                let data = self.answer_entry(*seq, *number, false, Some(*on));
                return Some(("question_flagged", data));
            }
            DomainEvent::Refused {
                seq,
                code,
                question,
                kept,
                ..
            } => {
                let data = json!({
                    "seq": seq, "code": code.as_str(), "q": question,
                    "value": parse_json(kept.as_deref()),
                });
                ("refused", data)
            }
            DomainEvent::Observed {
                n,
                kind,
                client_at,
                data,
                judgement,
                ..
            } => (
                kind.as_str(),
                json!({
                    "n": n, "client_at": client_at, "data": data, "severity": judgement.severity,
                }),
            ),
            DomainEvent::Detected {
                what,
                data,
                judgement,
                ..
            } => (
                what.as_str(),
                json!({ "data": data, "severity": judgement.severity }),
            ),
            DomainEvent::Arrived { origin } => ("connected_from", json!(origin)),
            DomainEvent::IncidentRaised { raised } => (
                "incident",
                json!({
                    "incident": self.incident_id(&raised.kind), "kind": raised.kind,
                    "severity": raised.severity, "then": raised.then, "events": raised.events,
                    "by": raised.by, "note": raised.note,
                }),
            ),
            DomainEvent::IncidentClosed { incident, closed } => (
                "incident_closed",
                json!({
                    "incident": incident, "verdict": closed.verdict, "note": closed.note,
                    "by": closed.by,
                }),
            ),
            DomainEvent::IncidentAssigned { incident, to } => (
                "incident_assigned",
                json!({ "incident": incident, "to": to }),
            ),
            DomainEvent::Noticed {
                text,
                level,
                ack,
                from,
                ..
            } => (
                "notice",
                json!({ "text": text, "level": level, "ack": ack, "from": from }),
            ),
            DomainEvent::NoticeAcknowledged { id } => ("notice_acknowledged", json!({ "id": id })),
            DomainEvent::Paused { reason, .. } => ("paused", json!({ "reason": reason })),
            DomainEvent::Resumed { reason, .. } => ("resumed", json!({ "reason": reason })),
            DomainEvent::Extended { by, reason, .. } => {
                ("extended", json!({ "ms": whole_ms(*by), "reason": reason }))
            }
            DomainEvent::Compensated { from, by, cause } => (
                "compensated",
                json!({ "from": from, "ms": whole_ms(*by), "cause": cause }),
            ),
            DomainEvent::SectionChanged { section } => (
                "section",
                json!({ "section": section.map(|index| self.section_id(index)) }),
            ),
            DomainEvent::Flagged { reason } => ("flagged", json!({ "reason": reason })),
            DomainEvent::Unflagged { reason } => ("unflagged", json!({ "reason": reason })),
            DomainEvent::Released { reason } => ("released", json!({ "reason": reason })),
            DomainEvent::CommandDone { key } => (
                "command",
                json!({ "person": key.person, "id": key.command }),
            ),
            DomainEvent::Cancelled { reason, .. } => ("cancelled", json!({ "reason": reason })),
            DomainEvent::HandedIn {
                at,
                by,
                status,
                late,
                reason,
                ..
            } => {
                let status: &LifecycleStatus = status;
                let data = json!({
                    "submitted_at": at, "handed_in": by, "status": status, "late": late,
                    "reason": reason,
                });
                ("handed_in", data)
            }
            DomainEvent::NoticesSent | DomainEvent::Noted => return None,
        };
        Some((kind, data.to_string()))
    }
}

/// Complete timeline entry of a question: of the entries that wait for a commit, only the
/// newest is kept.
#[derive(Serialize)]
struct AnswerEntry<'a> {
    seq: u64,
    q: &'a str,
    rev: u32,
    value: Option<&'a RawValue>,
    flagged: bool,
    late: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    on: Option<bool>,
}

/// Id of the newest open incident of a kind.
pub(in crate::attempt) fn newest_open_incident<'a>(
    attempt: &'a Attempt,
    kind: &str,
) -> Option<&'a str> {
    let mut newest = attempt.control().integrity.incidents().iter().rev();
    newest
        .find(|incident| incident.kind == kind && incident.is_open())
        .map(|incident| incident.id.as_str())
}

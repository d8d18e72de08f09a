//! What becomes durable of each event: rows for the store.

use std::{collections::BTreeSet, time::Duration};

use invigil_protocol::candidate::Refused;
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use super::Actor;
use crate::{
    domain::{
        attempt::{Event, Phase, Status},
        integrity::Judgement,
        time::Timestamp,
        timing::whole_ms,
    },
    engine::{hand_in, shared::wire_refusal, slot::Change},
    store::{
        AnswerRow, ControlRow, HandInRow, IntegritySums, Progress, TimelineRow,
        records::{Class, IncidentRow, Record},
    },
};

impl Actor {
    /// Adds to a change what an event, just applied, makes durable.
    pub(super) fn record(&mut self, now: Timestamp, event: &Event, change: &mut Change) {
        let entry = self.entry(now, event);
        if let Some(entry) = &entry {
            self.seat.tell_entry(entry);
        }
        if let Event::Answered { question, .. } | Event::QuestionFlagged { question, .. } = event {
            let row = self.answer_row(*question).zip(entry);
            change.answer = row.map(|(row, entry)| (*question, row, entry));
        } else if change.dropped == 0 || !matches!(event, Event::Observed { .. }) {
            self.record_entry(event, entry, change);
        }
        let incident = if let Event::IncidentRaised { raised } = event {
            self.incident_id(&raised.kind)
        } else if let Event::IncidentClosed { incident, .. }
        | Event::IncidentAssigned { incident, .. } = event
        {
            Some(incident.as_str())
        } else {
            None
        };
        change
            .incidents
            .extend(incident.and_then(|id| self.incident_row(id)));
        if let Event::Refused { .. } = event {
            let refused = refused_message(event);
            if change.outbox.is_some() {
                change.refused = refused;
            } else {
                self.refusal = refused;
            }
        }
        if self.changes_control(event) {
            change.control = Some(Box::new(self.control_row()));
        }
    }

    /// An event of the client goes to the recorder, where there is one; what else
    /// happened is part of the commit.
    fn record_entry(&self, event: &Event, entry: Option<TimelineRow>, change: &mut Change) {
        match (event, &self.shared.recorder) {
            (Event::Observed { n, judgement, .. }, Some(_)) => {
                change
                    .records
                    .extend(entry.and_then(|entry| self.event_record(*n, judgement, entry)));
            }
            _ => change.timeline.extend(entry),
        }
    }

    /// A client's event for the recorder: named by session and number, so that a
    /// repeat is the same record.
    pub(super) fn event_record(
        &self,
        n: u64,
        judgement: &Judgement,
        entry: TimelineRow,
    ) -> Option<Record> {
        let identity = self.attempt.identity();
        let session = &self.attempt.session()?.id;
        Some(Record {
            id: format!("{}:{session}:{n}", identity.id),
            class: Class::Event,
            severity: judgement.severity,
            ..entry.into_history(identity.id, identity.exam.clone(), self.events_kept())
        })
    }

    /// How long the exam wants events to be kept.
    pub(super) fn events_kept(&self) -> Duration {
        let recorder = self.shared.recorder.as_ref();
        let usual = recorder.map_or(Duration::ZERO, |recorder| recorder.settings().events_kept);
        self.attempt.plan().exam().proctoring.keep.unwrap_or(usual)
    }

    /// An incident as it stands, for the recorder.
    fn incident_row(&self, id: &str) -> Option<IncidentRow> {
        self.shared.recorder.as_ref()?;
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

    /// Applies an event that no rule decides, and puts it on its way.
    pub(super) fn note(&mut self, now: Timestamp, event: &Event) {
        self.attempt.apply(event);
        let mut change = Change::default();
        self.record(now, event, &mut change);
        self.put(now, change);
    }

    /// How far the session is.
    pub(super) fn progress(&self, now: Timestamp) -> Progress {
        let session = self.attempt.session();
        Progress {
            version: self.attempt.version(),
            session: session.map(|session| session.id.clone()),
            last_seq: session.map_or(0, |session| session.applied_seq),
            last_event: session.map_or(0, |session| session.applied_event),
            last_activity_at: now,
        }
    }

    fn control_row(&self) -> ControlRow {
        let control = self.attempt.control();
        let state = serde_json::to_string(control).expect("control is plain JSON");
        ControlRow {
            state: state.into(),
            status: self.attempt.status(),
            entered_at: control.ledger.entered_at,
            deadline_at: self.attempt.deadline(self.shared.clock.now()),
            close_at: self.attempt.close_at(),
            closed_at: match control.phase {
                Phase::HandedIn { at, .. } | Phase::Cancelled { at } => Some(at),
                Phase::Waiting | Phase::Taking => None,
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
        let handed_in = matches!(control.phase, Phase::HandedIn { .. });
        IntegritySums {
            violations: integrity.violations(),
            flags: kinds.into_iter().map(str::to_owned).collect(),
            peak: watched.then(|| integrity.peak()),
            verified: watched && handed_in && !control.flagged && integrity.is_clear(),
        }
    }

    /// The incident of a kind that was raised just now.
    pub(super) fn incident_id(&self, kind: &str) -> Option<&str> {
        let incidents = self.attempt.control().integrity.incidents();
        let mut newest = incidents.iter().rev();
        newest
            .find(|incident| incident.kind == kind && incident.is_open())
            .map(|incident| incident.id.as_str())
    }

    /// What the hand-in, just applied, makes durable.
    pub(super) fn hand_in_row(&self) -> Option<HandInRow> {
        hand_in::row(&self.attempt, &self.content, &self.shared.keys)
    }

    fn answer_row(&self, number: u16) -> Option<AnswerRow> {
        let answer = self.attempt.answers().get(number)?;
        Some(AnswerRow {
            question: self.attempt.plan().question(number).id.clone(),
            value: answer.value.clone(),
            flagged: answer.flagged,
            rev: answer.rev,
            version: answer.version,
            answered_at: answer.answered_at,
            spent_ms: answer.spent_ms,
        })
    }

    fn changes_control(&self, event: &Event) -> bool {
        match event {
            Event::Answered { late, .. } => *late,
            Event::SessionOpened { .. } | Event::SessionResumed | Event::Left { .. } => {
                // Only then do they touch anything but the session.
                let exam = self.attempt.plan().exam();
                exam.compensate_up_to.is_some()
                    || exam.session_policy == crate::domain::exam::SessionPolicy::Reject
            }
            Event::Observed { judgement, .. } | Event::Detected { judgement, .. } => {
                judgement.changes_anything()
            }
            Event::QuestionFlagged { .. } | Event::Refused { .. } | Event::Noted => false,
            Event::ClockStarted { .. }
            | Event::Noticed { .. }
            | Event::NoticesSent
            | Event::NoticeAcknowledged { .. }
            | Event::Paused { .. }
            | Event::Resumed { .. }
            | Event::Extended { .. }
            | Event::Compensated { .. }
            | Event::SectionChanged { .. }
            | Event::Flagged { .. }
            | Event::Unflagged { .. }
            | Event::Released { .. }
            | Event::CommandDone { .. }
            | Event::Arrived { .. }
            | Event::IncidentRaised { .. }
            | Event::IncidentClosed { .. }
            | Event::IncidentAssigned { .. }
            | Event::Cancelled { .. }
            | Event::HandedIn { .. } => true,
        }
    }

    /// The timeline's entry for an event that was just applied; none for what
    /// nobody needs to see again.
    fn entry(&self, now: Timestamp, event: &Event) -> Option<TimelineRow> {
        let (kind, data) = self.describe(event)?;
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
            q: &self.attempt.plan().question(number).id.0,
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
    fn describe<'a>(&self, event: &'a Event) -> Option<(&'a str, String)> {
        let (kind, data) = match event {
            // The frequent one: its value is JSON already, and is not parsed again.
            Event::Answered {
                seq,
                question: number,
                late,
                ..
            } => {
                return Some(("answer", self.answer_entry(*seq, *number, *late, None)));
            }
            Event::ClockStarted { at } => ("clock_started", json!({ "entered_at": at })),
            Event::SessionOpened { session } => ("session_opened", json!({ "session": session })),
            Event::SessionResumed => ("session_resumed", json!({})),
            Event::Left { .. } => ("disconnected", json!({})),
            Event::QuestionFlagged {
                seq,
                question: number,
                on,
                ..
            } => {
                let data = self.answer_entry(*seq, *number, false, Some(*on));
                return Some(("question_flagged", data));
            }
            Event::Refused {
                seq,
                code,
                question,
                kept,
                ..
            } => {
                let data = json!({
                    "seq": seq, "code": code.as_str(), "q": question,
                    "value": json_of(kept.as_deref()),
                });
                ("refused", data)
            }
            Event::Observed {
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
            Event::Detected {
                what,
                data,
                judgement,
                ..
            } => (
                what.as_str(),
                json!({ "data": data, "severity": judgement.severity }),
            ),
            Event::Arrived { origin } => ("connected_from", json!(origin)),
            Event::IncidentRaised { raised } => (
                "incident",
                json!({
                    "incident": self.incident_id(&raised.kind), "kind": raised.kind,
                    "severity": raised.severity, "then": raised.then, "events": raised.events,
                    "by": raised.by, "note": raised.note,
                }),
            ),
            Event::IncidentClosed { incident, closed } => (
                "incident_closed",
                json!({
                    "incident": incident, "verdict": closed.verdict, "note": closed.note,
                    "by": closed.by,
                }),
            ),
            Event::IncidentAssigned { incident, to } => (
                "incident_assigned",
                json!({ "incident": incident, "to": to }),
            ),
            Event::Noticed {
                text,
                level,
                ack,
                from,
                ..
            } => (
                "notice",
                json!({ "text": text, "level": level, "ack": ack, "from": from }),
            ),
            Event::NoticeAcknowledged { id } => ("notice_acknowledged", json!({ "id": id })),
            Event::Paused { reason, .. } => ("paused", json!({ "reason": reason })),
            Event::Resumed { reason, .. } => ("resumed", json!({ "reason": reason })),
            Event::Extended { by, reason, .. } => {
                ("extended", json!({ "ms": whole_ms(*by), "reason": reason }))
            }
            Event::Compensated { from, by, cause } => (
                "compensated",
                json!({ "from": from, "ms": whole_ms(*by), "cause": cause }),
            ),
            Event::SectionChanged { section } => (
                "section",
                json!({ "section": section.map(|index| self.section_id(index)) }),
            ),
            Event::Flagged { reason } => ("flagged", json!({ "reason": reason })),
            Event::Unflagged { reason } => ("unflagged", json!({ "reason": reason })),
            Event::Released { reason } => ("released", json!({ "reason": reason })),
            Event::CommandDone { key } => (
                "command",
                json!({ "person": key.person, "id": key.command }),
            ),
            Event::Cancelled { reason, .. } => ("cancelled", json!({ "reason": reason })),
            Event::HandedIn {
                at,
                by,
                status,
                late,
                reason,
                ..
            } => {
                let status: &Status = status;
                let data = json!({
                    "submitted_at": at, "handed_in": by, "status": status, "late": late,
                    "reason": reason,
                });
                ("handed_in", data)
            }
            Event::NoticesSent | Event::Noted => return None,
        };
        Some((kind, data.to_string()))
    }
}

/// What the timeline keeps of a question: all of it, since only the newest entry
/// of those that wait for a commit is kept.
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

/// The refusal of a numbered command, for its client.
fn refused_message(event: &Event) -> Option<Refused> {
    let Event::Refused {
        seq,
        code,
        detail,
        question,
        stored,
        ..
    } = event
    else {
        return None;
    };
    let q = question.as_ref().map(ToString::to_string);
    if let (Some((rev, value)), Some(q)) = (stored, &q) {
        return Some(Refused::conflict(
            *seq,
            q.clone(),
            *rev,
            json_of(value.as_deref()),
        ));
    }
    let mut refused = Refused::new(*seq, wire_refusal(*code), q);
    refused
        .detail
        .insert("reason".to_owned(), Value::from(*detail));
    Some(refused)
}

fn json_of(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

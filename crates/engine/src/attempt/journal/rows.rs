//! Rows that each event makes durable.

use std::{collections::BTreeSet, time::Duration};

use crate::commit::write_buffer::AttemptChanges;
use invigil_domain::{
    attempt::{Attempt, AttemptPhase, DomainEvent},
    exam::SessionPolicy,
    integrity::EventJudgement,
    time::Timestamp,
};
use invigil_store::{
    AnswerRow, ControlRow, IntegritySums, TimelineRow,
    records::{IncidentRow, RecordClass, TimelineRecord},
    timeline::TimelineEvent,
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
        self.attempt.control().integrity.open_incident_id(kind)
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
        let entry = TimelineEvent::from_domain(self.attempt, event)?;
        Some(entry.into_row(self.attempt.version(), now))
    }
}

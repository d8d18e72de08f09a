//! Effects of events: planned as each event is applied, and run at once or after its
//! commit.

use invigil_protocol::{
    candidate::{EngineHealth, ServerMessage, TimingReason},
    code::CloseCode,
};

use super::AttemptActor;
use crate::{
    attempt::journal::{DeferredEffect, newest_open_incident},
    board::{RowState, incident_counts},
    commit::{outbox::CloseReason, write_buffer::AttemptChanges},
    content::hand_in,
    wire,
};
use invigil_domain::{
    attempt::{AttemptPhase, DomainEvent, HandedInBy, PendingNotice},
    time::Timestamp,
};

impl AttemptActor {
    /// Plans the effects of an event besides being stored. Effects that depend on the
    /// store wait for the commit; effects that time alone decides do not, so that an exam
    /// opens while the store is away.
    pub(super) fn plan_effects(
        &mut self,
        now: Timestamp,
        event: &DomainEvent,
        changes: &mut AttemptChanges,
    ) {
        let effect = match event {
            DomainEvent::ClockStarted { .. } => return self.send_open(now),
            DomainEvent::SectionChanged { .. } => return self.send_section(now),
            DomainEvent::Answered { .. } => {
                return self.monitor.inspect_answer(&self.attempt, event);
            }
            DomainEvent::IncidentRaised { raised } => {
                if let Some(incident) = newest_open_incident(&self.attempt, &raised.kind) {
                    self.publish_incident(incident);
                }
                return;
            }
            DomainEvent::IncidentClosed { incident, .. }
            | DomainEvent::IncidentAssigned { incident, .. } => {
                return self.publish_incident(incident);
            }
            DomainEvent::Compensated { .. } => DeferredEffect::Timing(TimingReason::Compensated),
            DomainEvent::Extended { .. } => DeferredEffect::Timing(TimingReason::Extended),
            DomainEvent::Paused { reason, .. } => DeferredEffect::Status(reason.clone()),
            DomainEvent::Resumed { reason, .. } => {
                self.defer_effect(DeferredEffect::Timing(TimingReason::Resumed));
                DeferredEffect::Status(reason.clone())
            }
            DomainEvent::Noticed { .. } => match self.attempt.control().notices.last() {
                Some(notice) => DeferredEffect::Notice(notice.clone()),
                None => return,
            },
            DomainEvent::HandedIn { reason, by, .. } => {
                self.shared.metrics.count_hand_in(by.as_str());
                let row = hand_in::hand_in_row(&self.attempt, &self.content, &self.shared.keys);
                changes.hand_in = row.map(Box::new);
                DeferredEffect::Finish(reason.clone())
            }
            DomainEvent::Cancelled { reason, .. } => DeferredEffect::Cancelled(reason.clone()),
            DomainEvent::Refused { code, .. } => {
                return self.shared.metrics.count_refusal(code.as_str());
            }
            DomainEvent::SessionOpened { .. }
            | DomainEvent::SessionResumed
            | DomainEvent::Left { .. }
            | DomainEvent::QuestionFlagged { .. }
            | DomainEvent::Observed { .. }
            | DomainEvent::Detected { .. }
            | DomainEvent::Arrived { .. }
            | DomainEvent::Noted
            | DomainEvent::NoticesSent
            | DomainEvent::NoticeAcknowledged { .. }
            | DomainEvent::Flagged { .. }
            | DomainEvent::Unflagged { .. }
            | DomainEvent::Released { .. }
            | DomainEvent::CommandDone { .. } => return,
        };
        self.defer_effect(effect);
        changes.wakes_actor = true;
    }

    /// Runs an effect after its commit.
    pub(super) fn run_effect(&mut self, effect: DeferredEffect) {
        let now = self.shared.clock.now();
        match effect {
            DeferredEffect::Timing(reason) => {
                let timing = wire::wire_timing(&self.attempt, now, reason);
                self.connection.send(ServerMessage::Timing(timing));
            }
            DeferredEffect::Status(reason) => self.send_status(reason),
            DeferredEffect::Notice(notice) => self.send_notice(now, &notice),
            DeferredEffect::Finish(reason) => self.finish_connection(reason),
            DeferredEffect::Cancelled(reason) => {
                self.send_status(reason);
                self.close_connection(CloseReason::new(CloseCode::Closed));
            }
            DeferredEffect::Staff(key, reply) => {
                if self.connection.is_open() {
                    self.board_row.note_delivered(&key);
                }
                // The caller may have given up waiting; the command is done.
                reply.send(Ok(())).ok();
            }
            DeferredEffect::Exchange(done) => self.end_exchange(*done),
            DeferredEffect::Refuse(refuse) => refuse(),
        }
    }

    /// Reports that the exam has opened. A candidate who enters just now has no
    /// connection yet, and learns it from `welcome`.
    fn send_open(&self, now: Timestamp) {
        let opening = wire::wire_opening(&self.attempt, &self.content, now);
        self.connection.send(ServerMessage::Open(opening));
    }

    /// Reports the end of a time-limited section.
    fn send_section(&self, now: Timestamp) {
        let change = wire::wire_section_change(&self.attempt, now);
        self.connection.send(ServerMessage::Status(change));
    }

    fn send_status(&self, reason: Option<String>) {
        let change = wire::wire_status_change(&self.attempt, reason);
        self.connection.send(ServerMessage::Status(change));
    }

    /// Reports the engine's health.
    pub(super) fn send_health(&self) {
        self.connection
            .send(ServerMessage::Health(self.engine_health()));
    }

    /// The engine's health, for this exam.
    pub(super) fn engine_health(&self) -> EngineHealth {
        let heartbeat = self.attempt.indexed_exam().exam().proctoring.heartbeat;
        wire::wire_health(self.shared.health_level(), heartbeat)
    }

    fn send_notice(&mut self, now: Timestamp, notice: &PendingNotice) {
        if self.connection.is_open() {
            self.connection
                .send(ServerMessage::Notice(wire::wire_notice(notice)));
            if !notice.ack {
                self.apply_event(now, &DomainEvent::NoticesSent);
            }
        }
    }

    /// Reports the durable hand-in, and closes the connection.
    fn finish_connection(&mut self, reason: Option<String>) {
        let AttemptPhase::HandedIn { by, .. } = self.attempt.control().phase else {
            return;
        };
        if !self.connection.is_open() {
            return;
        }
        if by != HandedInBy::Candidate {
            self.send_status(reason);
        }
        let submitted = wire::wire_hand_in(&self.attempt, &self.content, &self.shared.keys);
        if let Some(submitted) = submitted {
            self.connection
                .send(ServerMessage::Submitted(Box::new(submitted)));
        }
        self.close_connection(CloseReason::new(CloseCode::Finished));
    }

    /// Sends an incident to the proctors.
    fn publish_incident(&self, id: &str) {
        if let Some(incident) = self.attempt.control().integrity.incident(id) {
            self.board_row.send_incident(incident);
        }
    }

    /// Updates the attempt's row on the board.
    pub(super) fn update_board_row(&self) {
        let now = self.shared.clock.now();
        let control = self.attempt.control();
        let integrity = &control.integrity;
        let readings = self.monitor.readings();
        let shown = RowState {
            status: self.attempt.status(),
            online: self.connection.is_open(),
            deadline_at: self.attempt.deadline(now),
            answered: readings.answered_count,
            q: readings.shown_question.clone(),
            risk: integrity.risk(now),
            incidents: incident_counts(integrity.incidents()),
            last_seen_at: readings.last_seen_at,
            rtt_ms: readings.rtt_ms,
            flagged: control.flagged,
            node: Some(self.shared.node.clone()),
        };
        self.board_row.update_row(self.journal.epoch(), shown);
    }
}

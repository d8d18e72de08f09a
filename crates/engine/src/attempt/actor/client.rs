//! Actions of a connected candidate: entering, commands, signals, leaving.

use std::{net::IpAddr, sync::Arc, time::Duration};

use invigil_protocol::{
    candidate::{self, ClientMessage, CommandRefused, ServerMessage},
    code::{CloseCode, ErrorCode},
};
use serde_json::Value;
use tokio::time::Instant;

use super::{AttemptActor, CandidateConnection, DeferredEffect, handover::JoinAdmission};
use crate::attempt::mailbox::{
    ConnectRefusal, ConnectRequest, Connected, ConnectionId, ReplySender,
};
use crate::{
    commit::{
        outbox::CloseReason,
        write_buffer::{AttemptChanges, TIMELINE_PENDING_MAX},
    },
    node::entropy::fresh_session,
};
use invigil_domain::{
    admission,
    attempt::{
        AttemptCommand, DecideError, DomainEvent,
        command::{CandidateCommand, ClientEvent},
    },
    id::SessionId,
    integrity::EventJudgement,
    time::Timestamp,
};
use invigil_store::{
    records::TimelineRecord,
    timeline::{ClientReport, TimelineEvent},
};

/// Shortest interval between answers to heartbeats.
const PULSE_INTERVAL: Duration = Duration::from_secs(1);

/// Most events of one candidate that are stored in a second.
const EVENTS_PER_SECOND: u32 = 50;

/// Kind of the event by which a client reports, after the fact, that it was offline.
const OFFLINE: &str = "offline";

/// Longest time on one answer that a client may report: a day, the longest exam.
const SPENT_MAX: Duration = Duration::from_hours(24);

/// Budget of events that a candidate may store in the present second.
#[derive(Debug)]
pub(super) struct EventBudget {
    second: Instant,
    used: u32,
}

impl EventBudget {
    pub(super) fn new() -> Self {
        Self {
            second: Instant::now(),
            used: 0,
        }
    }

    fn try_spend(&mut self) -> bool {
        if self.second.elapsed() >= Duration::from_secs(1) {
            *self = Self::new();
        }
        self.used += 1;
        self.used <= EVENTS_PER_SECOND
    }
}

/// Reason for not letting a candidate into the attempt.
pub(super) enum EnterRefusal {
    /// The exam refuses a second device.
    AnotherDevice,
    /// The attempt is over.
    Closed,
}

impl From<DecideError> for EnterRefusal {
    fn from(refusal: DecideError) -> Self {
        match refusal {
            DecideError::AnotherDevice => Self::AnotherDevice,
            DecideError::Closed
            | DecideError::Gap { .. }
            | DecideError::AfterHandIn
            | DecideError::NotPaused
            | DecideError::AlreadyPaused
            | DecideError::NotStarted
            | DecideError::UnknownIncident => Self::Closed,
        }
    }
}

impl EnterRefusal {
    pub(super) fn into_connect_refusal(self) -> ConnectRefusal {
        match self {
            Self::AnotherDevice => {
                connect_refusal(CloseCode::Forbidden, Some("another_device".to_owned()))
            }
            Self::Closed => connect_refusal(CloseCode::Closed, None),
        }
    }
}

impl AttemptActor {
    /// Opens a connection, or refuses it.
    pub(super) fn handle_connect(
        &mut self,
        request: ConnectRequest,
        reply: ReplySender<Connected, ConnectRefusal>,
    ) {
        match self.open_connection(request) {
            Err(refusal) if matches!(refusal.0.code, CloseCode::Forbidden | CloseCode::Closed) => {
                self.refuse_after_commit(self.shared.clock.now(), reply, refusal);
            }
            opened => {
                // A connection that gave up waiting never reports its end.
                if let Err(Ok(opened)) = reply.send(opened) {
                    self.handle_disconnect(opened.connection);
                }
            }
        }
    }

    /// Opens a connection in the place of the present one.
    fn open_connection(&mut self, request: ConnectRequest) -> Result<Connected, ConnectRefusal> {
        let now = self.shared.clock.now();
        let ConnectRequest {
            join,
            device,
            outbox,
            until,
        } = request;
        if self.shared.is_draining() {
            return Err(connect_refusal(CloseCode::Draining, None));
        }
        if Instant::now() >= until {
            return Err(connect_refusal(CloseCode::Overloaded, None));
        }
        let JoinAdmission { resume, over } = self.admit_join(now, &join)?;
        let resumed = resume.is_some();
        if !over {
            let fresh = fresh_session(&*self.shared.entropy).map_err(|error| {
                tracing::error!(%error, "the system gives no random bytes");
                connect_refusal(CloseCode::InternalError, None)
            })?;
            self.enter_session(now, resume, fresh)
                .map_err(EnterRefusal::into_connect_refusal)?;
        }
        // A node that wanted the attempt asks again, or acquires it.
        self.release_waiters.clear();
        self.close_connection(CloseReason::new(CloseCode::Superseded));
        self.connection_count += 1;
        let connection = CandidateConnection {
            id: self.connection_count,
            outbox,
            last_pulse: None,
            asked_at: join.asked_at,
        };
        let id = connection.id;
        if over {
            self.connection = Some(connection);
            self.defer_until_durable(now, DeferredEffect::Finish(None));
        } else {
            self.welcome_client(now, connection, resumed);
            self.inspect_origin(now, join.address.to_string(), device.as_deref());
        }
        Ok(Connected {
            connection: id,
            applied_seq: self
                .attempt
                .session()
                .map_or(0, |session| session.applied_seq),
            saved_seq: self.saved_seq(),
            heartbeat: self.attempt.indexed_exam().exam().proctoring.heartbeat,
        })
    }

    /// Sends `welcome` to a client that was let in.
    fn welcome_client(&mut self, now: Timestamp, connection: CandidateConnection, resumed: bool) {
        let welcome = self.build_welcome(now, resumed);
        // Ahead of every later message of the outbox.
        connection
            .outbox
            .send_acknowledgement(ServerMessage::Welcome(Box::new(welcome)));
        self.connection = Some(connection);
        self.mark_seen(now);
        self.expect_late_events(now);
        self.mark_notices_delivered();
        let notices = &self.attempt.control().notices;
        if notices.iter().any(|notice| !notice.ack) {
            self.apply_event(now, &DomainEvent::NoticesSent);
        }
        if !resumed {
            self.reset_client_clock();
        }
    }

    /// Checks the exam's access rules for an address.
    pub(super) fn check_access(
        &self,
        now: Timestamp,
        address: IpAddr,
    ) -> Result<(), admission::AdmissionError> {
        if self.attempt.is_over() {
            // An attempt that is over refuses later, with its own reason.
            return Ok(());
        }
        let entered_at = self.attempt.control().ledger.entered_at;
        admission::may_enter(self.attempt.indexed_exam().exam(), address, now, entered_at)
    }

    /// Enters the attempt, resuming a session or beginning a new one.
    pub(super) fn enter_session(
        &mut self,
        now: Timestamp,
        resume: Option<SessionId>,
        fresh: SessionId,
    ) -> Result<(), EnterRefusal> {
        self.perform_command(
            now,
            &AttemptCommand::Enter { resume, fresh },
            AttemptChanges::default(),
        )
        .map_err(EnterRefusal::from)?;
        self.compensate_lost_node();
        Ok(())
    }

    /// Handles the end of a connection; if it is still the attempt's, the candidate has
    /// left.
    pub(super) fn handle_disconnect(&mut self, id: ConnectionId) {
        if self
            .connection
            .as_ref()
            .is_some_and(|connection| connection.id == id)
        {
            self.connection = None;
            self.record_leave();
        }
    }

    /// Records that the candidate is no longer connected.
    pub(super) fn record_leave(&mut self) {
        self.idle_since = Instant::now();
        let now = self.shared.clock.now();
        self.perform_command(now, &AttemptCommand::Leave, AttemptChanges::default())
            .ok();
    }

    /// Handles a message of a connection's client. Messages of an earlier connection are
    /// dropped: they will come again, or are another tab's.
    pub(super) fn handle_client_message(&mut self, id: ConnectionId, message: ClientMessage) {
        if self
            .connection
            .as_ref()
            .is_none_or(|connection| connection.id != id)
        {
            return;
        }
        let now = self.shared.clock.now();
        self.mark_seen(now);
        match message {
            ClientMessage::Answer(_) | ClientMessage::Flag(_) | ClientMessage::Submit(_) => {
                if let Some((seq, what)) = into_numbered(message) {
                    self.handle_numbered(now, seq, what);
                }
            }
            ClientMessage::Heartbeat(heartbeat) => {
                self.inspect_heartbeat(now, &heartbeat);
                self.send_pulse(now, heartbeat.n);
            }
            ClientMessage::Event(event) => self.handle_event(now, event),
            ClientMessage::NoticeAck(ack) => self.acknowledge_notice(now, ack.id),
            ClientMessage::Hello(_) => {
                let detail = Some("a second hello".to_owned());
                let code = CloseCode::BadMessage;
                self.close_connection(CloseReason {
                    code,
                    detail,
                    retry_ms: None,
                });
                self.record_leave();
            }
        }
    }

    fn handle_numbered(&mut self, now: Timestamp, seq: u64, what: CandidateCommand) {
        self.shared.metrics.count_command(what.wire_name());
        let Some(connection) = &self.connection else {
            return;
        };
        let outbox = Arc::clone(&connection.outbox);
        let known = self.attempt.version();
        let changes = AttemptChanges {
            outbox: Some(Arc::clone(&outbox)),
            saved: true,
            ..AttemptChanges::default()
        };
        match self.perform_command(now, &AttemptCommand::Numbered { seq, what }, changes) {
            Ok(()) if self.attempt.version() == known => {
                // A repeat: covered by the next `saved`, sent at once if the original is
                // durable.
                if self.buffer.is_clean(known) {
                    outbox.report_saved(self.saved_seq());
                } else {
                    let outbox = Some(outbox);
                    self.buffer_changes(
                        now,
                        AttemptChanges {
                            outbox,
                            saved: true,
                            ..AttemptChanges::default()
                        },
                    );
                }
            }
            Ok(()) => {}
            Err(DecideError::Gap { expected }) => {
                outbox.send_acknowledgement(gap_refusal(seq, expected));
            }
            Err(refusal) => tracing::error!(?refusal, "unexpected refusal of a numbered command"),
        }
    }

    fn send_pulse(&mut self, now: Timestamp, n: u64) {
        let saved_seq = self.saved_seq();
        let remaining_ms = self.remaining_ms(now);
        let section = self.running_section(now);
        if let Some(connection) = &mut self.connection {
            if connection
                .last_pulse
                .is_some_and(|last| last.elapsed() < PULSE_INTERVAL)
            {
                return;
            }
            connection.last_pulse = Some(Instant::now());
            connection
                .outbox
                .send(ServerMessage::Pulse(candidate::CandidatePulse {
                    n,
                    now_at: now.as_ms(),
                    remaining_ms,
                    saved_seq,
                    section,
                }));
        }
    }

    fn handle_event(&mut self, now: Timestamp, event: candidate::ReportedEvent) {
        let Some(connection) = &self.connection else {
            return;
        };
        let outbox = Some(Arc::clone(&connection.outbox));
        let changes = AttemptChanges {
            outbox,
            event: Some(event.n),
            ..AttemptChanges::default()
        };
        if self.is_known_event(&event) {
            self.accept_repeated_event(now, &event, changes);
            return;
        }
        if let Some(field) = event.bad_field {
            connection
                .outbox
                .send(ServerMessage::Error(candidate::ErrorMessage {
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
        event: &candidate::ReportedEvent,
        mut changes: AttemptChanges,
    ) -> bool {
        let mut dropped = false;
        if self.shared.recorder.is_none() {
            // The commit that counted the event contains its record.
            let session = self.attempt.session();
            let all = session.map(|session| session.applied_event);
            changes.event = changes.event.max(all.filter(|_| changes.event.is_some()));
        } else {
            dropped = !self.may_store_event(event);
            changes.dropped = u64::from(dropped);
            if !dropped {
                changes.records.extend(self.repeat_record(now, event));
            }
        }
        self.buffer_changes(now, changes);
        dropped
    }

    fn repeat_record(
        &mut self,
        now: Timestamp,
        event: &candidate::ReportedEvent,
    ) -> Option<TimelineRecord> {
        self.attempt.apply(&DomainEvent::Noted);
        let judgement = EventJudgement::without_rules(&event.kind);
        let entry = TimelineEvent::Reported {
            kind: event.kind.clone(),
            report: ClientReport {
                client_at: Timestamp::from_ms(event.at),
                data: event.data.clone().map_or(Value::Null, Value::Object),
                n: event.n,
                severity: judgement.severity,
            },
        };
        let entry = entry.into_row(self.attempt.version(), now);
        self.event_record(event.n, &judgement, entry)
    }

    /// Accepts a new event. Returns true if it was over the limits.
    pub(super) fn accept_event(
        &mut self,
        now: Timestamp,
        event: candidate::ReportedEvent,
        mut changes: AttemptChanges,
    ) -> bool {
        let dropped = !self.may_store_event(&event);
        changes.dropped = u64::from(dropped);
        if !dropped && event.kind != OFFLINE {
            self.inspect_clock(now, event.at);
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
    pub(super) fn is_known_event(&self, event: &candidate::ReportedEvent) -> bool {
        self.attempt
            .session()
            .is_some_and(|session| event.n <= session.applied_event)
    }

    /// True if an event may be stored. Events over the limits are only counted.
    fn may_store_event(&mut self, event: &candidate::ReportedEvent) -> bool {
        let room = self.buffer.timeline_pending() < TIMELINE_PENDING_MAX;
        room && event.bad_field.is_none() && self.event_budget.try_spend()
    }

    /// Marks notices that waited for the candidate as delivered.
    fn mark_notices_delivered(&self) {
        let notices = &self.attempt.control().notices;
        for key in notices.iter().filter_map(|notice| notice.command.as_ref()) {
            self.board_row.note_delivered(key);
        }
    }

    pub(super) fn acknowledge_notice(&mut self, now: Timestamp, id: String) {
        let mut notices = self.attempt.control().notices.iter();
        if let Some(notice) = notices.find(|notice| notice.id == id)
            && let Some(key) = &notice.command
        {
            self.board_row.note_acknowledged(key);
        }
        self.perform_command(
            now,
            &AttemptCommand::AcknowledgeNotice { id },
            AttemptChanges::default(),
        )
        .ok();
    }
}

/// Converts a candidate's numbered command to the domain's; `None` for a signal.
pub(super) fn into_numbered(message: ClientMessage) -> Option<(u64, CandidateCommand)> {
    match message {
        ClientMessage::Answer(answer) => Some((
            answer.seq,
            CandidateCommand::Answer {
                question: answer.q.into(),
                value: answer.value.into_json(),
                base_rev: answer.base_rev,
                spent: clamp_spent(answer.spent_ms),
                bad_field: answer.bad_field,
            },
        )),
        ClientMessage::Flag(flag) => Some((
            flag.seq,
            CandidateCommand::Flag {
                question: flag.q.into(),
                on: flag.on,
            },
        )),
        ClientMessage::Submit(submit) => Some((submit.seq, CandidateCommand::Submit)),
        ClientMessage::Hello(_)
        | ClientMessage::Heartbeat(_)
        | ClientMessage::Event(_)
        | ClientMessage::NoticeAck(_) => None,
    }
}

/// Caps the time on an answer that a client reports.
fn clamp_spent(ms: Option<i64>) -> Duration {
    let ms = ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
    Duration::from_millis(ms).min(SPENT_MAX)
}

/// The one refusal that does not use up its number.
fn gap_refusal(seq: u64, expected: u64) -> ServerMessage {
    ServerMessage::Refused(CommandRefused::for_gap(seq, expected, None))
}

pub(super) fn connect_refusal(code: CloseCode, detail: Option<String>) -> ConnectRefusal {
    ConnectRefusal(CloseReason {
        code,
        detail,
        retry_ms: None,
    })
}

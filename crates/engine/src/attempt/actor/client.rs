//! Actions of a connected candidate: entering, commands, leaving.

use std::{net::IpAddr, sync::Arc, time::Duration};

use invigil_protocol::{
    candidate::{CandidateHeartbeat, CandidatePulse, ClientMessage, CommandRefused, ServerMessage},
    code::CloseCode,
};
use tokio::time::Instant;

use super::AttemptActor;
use crate::{
    attempt::{
        entry::{EnterRefusal, JoinAdmission, admit_join, connect_refusal},
        journal::DeferredEffect,
        mailbox::{ConnectRefusal, ConnectRequest, Connected, ConnectionId, ReplySender},
        monitor,
    },
    commit::{outbox::CloseReason, write_buffer::AttemptChanges},
    node::entropy::fresh_session,
    wire,
};
use invigil_domain::{
    attempt::{AttemptCommand, DecideError, DomainEvent, command::CandidateCommand},
    id::SessionId,
    time::Timestamp,
};

/// Longest time on one answer that a client may report: a day, the longest exam.
const SPENT_MAX: Duration = Duration::from_hours(24);

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
        let JoinAdmission { resume, over } =
            admit_join(&self.attempt, now, &join, self.saved_seq())?;
        let resumed = resume.is_some();
        if !over {
            let fresh = fresh_session(&*self.shared.entropy).map_err(|error| {
                tracing::error!(%error, "the system gives no random bytes");
                connect_refusal(CloseCode::InternalError, None)
            })?;
            self.enter_session(now, resume, fresh)?;
        }
        self.handover.cancel_release();
        let connection = self.connection.open(Instant::now(), outbox, join.asked_at);
        if over {
            self.defer_until_durable(now, DeferredEffect::Finish(None));
        } else {
            self.welcome_client(now, resumed);
            self.inspect_origin(now, join.address, device.as_deref());
        }
        let session = self.attempt.session();
        Ok(Connected {
            connection,
            applied_seq: session.map_or(0, |session| session.applied_seq),
            saved_seq: self.saved_seq(),
            heartbeat: self.attempt.indexed_exam().exam().proctoring.heartbeat,
        })
    }

    /// Sends `welcome` to a client that was let in.
    fn welcome_client(&mut self, now: Timestamp, resumed: bool) {
        let facts = wire::WelcomeFacts {
            resumed,
            saved_seq: self.saved_seq(),
            health_level: self.engine_health().level,
            paper: self.content.paper_ref(self.attempt.identity(), now),
            limits: self.shared.limits,
        };
        let welcome = wire::wire_welcome(&self.attempt, now, facts);
        // Ahead of every later message of the outbox.
        self.connection
            .send_acknowledgement(ServerMessage::Welcome(Box::new(welcome)));
        self.monitor.mark_seen(now);
        self.monitor.expect_late_events(now);
        self.mark_notices_delivered();
        let notices = &self.attempt.control().notices;
        if notices.iter().any(|notice| !notice.ack) {
            self.apply_event(now, &DomainEvent::NoticesSent);
        }
        if !resumed {
            self.monitor.reset_client_clock();
        }
    }

    /// Enters the attempt, resuming a session or beginning a new one.
    pub(super) fn enter_session(
        &mut self,
        now: Timestamp,
        resume: Option<SessionId>,
        fresh: SessionId,
    ) -> Result<(), EnterRefusal> {
        let enter = AttemptCommand::Enter { resume, fresh };
        self.perform_command(now, &enter, AttemptChanges::default())?;
        self.compensate_lost_node();
        Ok(())
    }

    /// Inspects the address and device of a candidate who connects.
    pub(super) fn inspect_origin(&mut self, now: Timestamp, address: IpAddr, device: Option<&str>) {
        self.monitor.note_return();
        if !self.attempt.proctoring().enabled || self.attempt.is_over() {
            return;
        }
        let device = monitor::inspectable_device(device);
        if let Some(device) = device {
            let identity = self.attempt.identity();
            let other = self.shared.devices.record_use(
                &identity.exam,
                device,
                &identity.candidate,
                identity.id,
                now,
            );
            if let Some(other) = other {
                self.monitor.note_shared_device(other);
            }
        }
        let origin = monitor::connection_origin(&self.attempt, address.to_string(), device);
        self.perform_unasked(now, &AttemptCommand::Arrive { origin });
        self.judge_detections(now);
    }

    /// Detects a long absence of the candidate.
    pub(super) fn inspect_absence(&mut self) {
        let away_since = self.connection.away_since();
        if self
            .monitor
            .inspect_absence(&self.attempt, away_since, Instant::now())
        {
            self.judge_detections(self.shared.clock.now());
        }
    }

    /// Handles the end of a connection; if it is still the attempt's, the candidate has
    /// left.
    pub(super) fn handle_disconnect(&mut self, id: ConnectionId) {
        if self.connection.end(id) {
            self.record_leave();
        }
    }

    /// Records that the candidate is no longer connected.
    pub(super) fn record_leave(&mut self) {
        self.connection.mark_idle(Instant::now());
        self.perform_unasked(self.shared.clock.now(), &AttemptCommand::Leave);
    }

    /// Handles a message of a connection's client. Messages of an earlier connection are
    /// dropped: they will come again, or are another tab's.
    pub(super) fn handle_client_message(&mut self, id: ConnectionId, message: ClientMessage) {
        if !self.connection.is_current(id) {
            return;
        }
        let now = self.shared.clock.now();
        self.monitor.mark_seen(now);
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
        let Some(outbox) = self.connection.outbox().cloned() else {
            return;
        };
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
                if self.journal.is_clean(known) {
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

    /// Records what a heartbeat reports.
    pub(super) fn inspect_heartbeat(&mut self, now: Timestamp, heartbeat: &CandidateHeartbeat) {
        let observations = self
            .monitor
            .inspect_heartbeat(&self.attempt, now, heartbeat);
        for observation in &observations {
            self.record_observation(now, observation);
        }
    }

    fn send_pulse(&mut self, now: Timestamp, n: u64) {
        let pulse = CandidatePulse {
            n,
            now_at: now.as_ms(),
            remaining_ms: wire::remaining_ms(&self.attempt, now),
            saved_seq: self.saved_seq(),
            section: wire::running_section(&self.attempt, now),
        };
        self.connection.send_pulse(Instant::now(), pulse);
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

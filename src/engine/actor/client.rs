//! What a connected candidate does: entering, commands, signals, leaving.

use std::{net::IpAddr, sync::Arc, time::Duration};

use invigil_protocol::{
    candidate::{self, ClientMessage, Refused, ServerMessage},
    code::{CloseCode, ErrorCode},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Actor, After, Connection,
    message::{ConnectionId, Opened, Opening, OpeningRefusal, Reply},
    moving::Admitted,
};
use crate::{
    domain::{
        admission,
        attempt::{
            Command, Event, Refusal,
            command::{Numbered, Observation},
        },
        id::SessionId,
        integrity::Judgement,
        time::Timestamp,
    },
    engine::{
        entropy::fresh_session,
        outbox::Closing,
        slot::{Change, TIMELINE_PENDING_MAX},
    },
    store::{TimelineRow, records::Record},
};

/// Heartbeats oftener than this get no answer each.
const PULSE_INTERVAL: Duration = Duration::from_secs(1);

/// Events of one candidate that are stored in any one second.
const EVENTS_PER_SECOND: u32 = 50;

/// The event that says, after the fact, that a client was off line.
const OFFLINE: &str = "offline";

/// What a client may count as time on one answer: a day, the longest exam.
const SPENT_MAX: Duration = Duration::from_hours(24);

/// How many events a candidate may still store in this second.
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

    fn spend(&mut self) -> bool {
        if self.second.elapsed() >= Duration::from_secs(1) {
            *self = Self::new();
        }
        self.used += 1;
        self.used <= EVENTS_PER_SECOND
    }
}

/// Why a candidate is not let into the attempt.
pub(super) enum EnterRefusal {
    /// The exam refuses a second device.
    AnotherDevice,
    /// The attempt is over.
    Closed,
}

impl From<Refusal> for EnterRefusal {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::AnotherDevice => Self::AnotherDevice,
            Refusal::Closed
            | Refusal::Gap { .. }
            | Refusal::AfterHandIn
            | Refusal::NotPaused
            | Refusal::AlreadyPaused
            | Refusal::NotStarted
            | Refusal::UnknownIncident => Self::Closed,
        }
    }
}

impl EnterRefusal {
    pub(super) fn into_opening(self) -> OpeningRefusal {
        match self {
            Self::AnotherDevice => refuse(CloseCode::Forbidden, Some("another_device".to_owned())),
            Self::Closed => refuse(CloseCode::Closed, None),
        }
    }
}

impl Actor {
    /// Lets a connection in, or refuses it.
    pub(super) fn open_for(&mut self, opening: Opening, reply: Reply<Opened, OpeningRefusal>) {
        match self.open(opening) {
            Err(refusal) if matches!(refusal.0.code, CloseCode::Forbidden | CloseCode::Closed) => {
                self.refuse(self.shared.clock.now(), reply, refusal);
            }
            opened => {
                // Nobody will say that a connection has gone which gave up waiting.
                if let Err(Ok(opened)) = reply.send(opened) {
                    self.gone(opened.connection);
                }
            }
        }
    }

    /// Takes a connection over from whoever had the attempt.
    fn open(&mut self, opening: Opening) -> Result<Opened, OpeningRefusal> {
        let now = self.shared.clock.now();
        let Opening {
            entry,
            device,
            outbox,
            until,
        } = opening;
        if self.shared.is_draining() {
            return Err(refuse(CloseCode::Draining, None));
        }
        if Instant::now() >= until {
            return Err(refuse(CloseCode::Overloaded, None));
        }
        let Admitted { resume, over } = self.admission(now, &entry)?;
        let resumed = resume.is_some();
        if !over {
            let fresh = fresh_session(&*self.shared.entropy).map_err(|error| {
                tracing::error!(%error, "the system gives no random bytes");
                refuse(CloseCode::InternalError, None)
            })?;
            self.enter(now, resume, fresh)
                .map_err(EnterRefusal::into_opening)?;
        }
        // Whoever wanted it elsewhere asks again, or takes it.
        self.leaving.clear();
        self.close_connection(Closing::new(CloseCode::Superseded));
        self.connections += 1;
        let connection = Connection {
            id: self.connections,
            outbox,
            last_pulse: None,
            asked_at: entry.asked_at,
        };
        let id = connection.id;
        if over {
            self.connection = Some(connection);
            self.after_all(now, After::Finish(None));
        } else {
            self.receive(now, connection, resumed);
            self.look_at_origin(now, entry.address.to_string(), device.as_deref());
        }
        Ok(Opened {
            connection: id,
            applied_seq: self
                .attempt
                .session()
                .map_or(0, |session| session.applied_seq),
            saved_seq: self.saved_seq(),
            heartbeat: self.attempt.plan().exam().proctoring.heartbeat,
        })
    }

    /// Tells a client that is let in how things stand.
    fn receive(&mut self, now: Timestamp, connection: Connection, resumed: bool) {
        let welcome = self.welcome(now, resumed);
        // Ahead of everything that the outbox may get from here on.
        connection
            .outbox
            .acknowledge(ServerMessage::Welcome(Box::new(welcome)));
        self.connection = Some(connection);
        self.heard(now);
        self.events_may_be_late(now);
        self.note_delivered();
        let notices = &self.attempt.control().notices;
        if notices.iter().any(|notice| !notice.ack) {
            self.note(now, &Event::NoticesSent);
        }
        if !resumed {
            self.forget_clock();
        }
    }

    /// Whether the exam's access rules let the candidate in from here.
    pub(super) fn admit(&self, now: Timestamp, address: IpAddr) -> Result<(), admission::Refusal> {
        if self.attempt.is_over() {
            // What is over lets nobody in, but says why by itself.
            return Ok(());
        }
        let entered_at = self.attempt.control().ledger.entered_at;
        admission::may_enter(self.attempt.plan().exam(), address, now, entered_at)
    }

    /// Enters the attempt, in the session to go on with or in a new one.
    pub(super) fn enter(
        &mut self,
        now: Timestamp,
        resume: Option<SessionId>,
        fresh: SessionId,
    ) -> Result<(), EnterRefusal> {
        self.perform(now, &Command::Enter { resume, fresh }, Change::default())
            .map_err(EnterRefusal::from)?;
        self.give_back_lost_node();
        Ok(())
    }

    /// A connection is gone; if it is still the attempt's, the candidate is away.
    pub(super) fn gone(&mut self, id: ConnectionId) {
        if self
            .connection
            .as_ref()
            .is_some_and(|connection| connection.id == id)
        {
            self.connection = None;
            self.leave();
        }
    }

    /// Nobody is connected any more.
    pub(super) fn leave(&mut self) {
        self.idle_since = Instant::now();
        let now = self.shared.clock.now();
        self.perform(now, &Command::Leave, Change::default()).ok();
    }

    /// Something that the client of a connection said. What comes from an
    /// earlier connection is dropped: it will come again, or is another tab's.
    pub(super) fn client(&mut self, id: ConnectionId, message: ClientMessage) {
        if self
            .connection
            .as_ref()
            .is_none_or(|connection| connection.id != id)
        {
            return;
        }
        let now = self.shared.clock.now();
        self.heard(now);
        match message {
            ClientMessage::Answer(_) | ClientMessage::Flag(_) | ClientMessage::Submit(_) => {
                if let Some((seq, what)) = numbered(message) {
                    self.numbered(now, seq, what);
                }
            }
            ClientMessage::Heartbeat(heartbeat) => {
                self.look_at_heartbeat(now, &heartbeat);
                self.pulse(now, heartbeat.n);
            }
            ClientMessage::Event(event) => self.event(now, event),
            ClientMessage::NoticeAck(ack) => self.acknowledge_notice(now, ack.id),
            ClientMessage::Hello(_) => {
                let detail = Some("a second hello".to_owned());
                let code = CloseCode::BadMessage;
                self.close_connection(Closing {
                    code,
                    detail,
                    retry_ms: None,
                });
                self.leave();
            }
        }
    }

    fn numbered(&mut self, now: Timestamp, seq: u64, what: Numbered) {
        self.shared.metrics.command(what.name());
        let Some(connection) = &self.connection else {
            return;
        };
        let outbox = Arc::clone(&connection.outbox);
        let known = self.attempt.version();
        let change = Change {
            outbox: Some(Arc::clone(&outbox)),
            saved: true,
            ..Change::default()
        };
        match self.perform(now, &Command::Numbered { seq, what }, change) {
            Ok(()) if self.attempt.version() == known => {
                // A repeat: covered by the next `saved`, which comes at once
                // where the first one is durable.
                if self.slot.is_clean(known) {
                    outbox.saved(self.saved_seq());
                } else {
                    let outbox = Some(outbox);
                    self.put(
                        now,
                        Change {
                            outbox,
                            saved: true,
                            ..Change::default()
                        },
                    );
                }
            }
            Ok(()) => {}
            Err(Refusal::Gap { expected }) => outbox.acknowledge(gap(seq, expected)),
            Err(refusal) => tracing::error!(?refusal, "a numbered command cannot be refused so"),
        }
    }

    fn pulse(&mut self, now: Timestamp, n: u64) {
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
                .send(ServerMessage::Pulse(candidate::Pulse {
                    n,
                    now_at: now.as_ms(),
                    remaining_ms,
                    saved_seq,
                    section,
                }));
        }
    }

    fn event(&mut self, now: Timestamp, event: candidate::Event) {
        let Some(connection) = &self.connection else {
            return;
        };
        let outbox = Some(Arc::clone(&connection.outbox));
        let change = Change {
            outbox,
            event: Some(event.n),
            ..Change::default()
        };
        if self.is_known(&event) {
            self.take_repeat(now, &event, change);
            return;
        }
        if let Some(field) = event.bad_field {
            connection
                .outbox
                .send(ServerMessage::Error(candidate::Error {
                    code: ErrorCode::BadEvent,
                    detail: Some(format!("{field} of event {} makes no sense", event.n)),
                }));
        }
        self.take_event(now, event, change);
    }

    /// Takes in an event that was dealt with before; the next acknowledgement covers
    /// it. Whether the first one got to the recorder before a node died is not
    /// known: it is recorded once more. True: it was over the limits.
    pub(super) fn take_repeat(
        &mut self,
        now: Timestamp,
        event: &candidate::Event,
        mut change: Change,
    ) -> bool {
        let mut dropped = false;
        if self.shared.recorder.is_none() {
            // The commit that counted it has its record.
            let session = self.attempt.session();
            let all = session.map(|session| session.applied_event);
            change.event = change.event.max(all.filter(|_| change.event.is_some()));
        } else {
            dropped = !self.may_store(event);
            change.dropped = u64::from(dropped);
            if !dropped {
                change.records.extend(self.repeated(now, event));
            }
        }
        self.put(now, change);
        dropped
    }

    fn repeated(&mut self, now: Timestamp, event: &candidate::Event) -> Option<Record> {
        self.attempt.apply(&Event::Noted);
        let judgement = Judgement::usual(&event.kind);
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
        self.event_record(event.n, &judgement, entry)
    }

    /// Takes in an event that is new. True: it was over the limits.
    pub(super) fn take_event(
        &mut self,
        now: Timestamp,
        event: candidate::Event,
        mut change: Change,
    ) -> bool {
        let dropped = !self.may_store(&event);
        change.dropped = u64::from(dropped);
        if !dropped && event.kind != OFFLINE {
            self.look_at_clock(now, event.at);
        }
        let observation = Observation {
            n: event.n,
            kind: event.kind,
            client_at: Timestamp::from_ms(event.at),
            data: event.data.map_or(Value::Null, Value::Object),
            dropped,
        };
        self.perform(now, &Command::Observe(observation), change)
            .ok();
        dropped
    }

    /// Whether an event was dealt with before.
    pub(super) fn is_known(&self, event: &candidate::Event) -> bool {
        self.attempt
            .session()
            .is_some_and(|session| event.n <= session.applied_event)
    }

    /// Whether an event is stored. What is over the limits is counted only.
    fn may_store(&mut self, event: &candidate::Event) -> bool {
        let room = self.slot.timeline_pending() < TIMELINE_PENDING_MAX;
        room && event.bad_field.is_none() && self.events.spend()
    }

    /// Notices that waited for the candidate are on their way.
    fn note_delivered(&self) {
        let notices = &self.attempt.control().notices;
        for key in notices.iter().filter_map(|notice| notice.command.as_ref()) {
            self.seat.delivered(key);
        }
    }

    pub(super) fn acknowledge_notice(&mut self, now: Timestamp, id: String) {
        let mut notices = self.attempt.control().notices.iter();
        if let Some(notice) = notices.find(|notice| notice.id == id)
            && let Some(key) = &notice.command
        {
            self.seat.acknowledged(key);
        }
        self.perform(now, &Command::AcknowledgeNotice { id }, Change::default())
            .ok();
    }
}

/// A candidate's numbered command in the domain's terms; none for a signal.
pub(super) fn numbered(message: ClientMessage) -> Option<(u64, Numbered)> {
    match message {
        ClientMessage::Answer(answer) => Some((
            answer.seq,
            Numbered::Answer {
                question: answer.q.into(),
                value: answer.value.into_json(),
                base_rev: answer.base_rev,
                spent: spent(answer.spent_ms),
                bad_field: answer.bad_field,
            },
        )),
        ClientMessage::Flag(flag) => Some((
            flag.seq,
            Numbered::Flag {
                question: flag.q.into(),
                on: flag.on,
            },
        )),
        ClientMessage::Submit(submit) => Some((submit.seq, Numbered::Submit)),
        ClientMessage::Hello(_)
        | ClientMessage::Heartbeat(_)
        | ClientMessage::Event(_)
        | ClientMessage::NoticeAck(_) => None,
    }
}

/// Time on an answer as a client counts it, within reason.
fn spent(ms: Option<i64>) -> Duration {
    let ms = ms.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
    Duration::from_millis(ms).min(SPENT_MAX)
}

/// The one refusal that does not use up its number.
fn gap(seq: u64, expected: u64) -> ServerMessage {
    ServerMessage::Refused(Refused::gap(seq, expected, None))
}

pub(super) fn refuse(code: CloseCode, detail: Option<String>) -> OpeningRefusal {
    OpeningRefusal(Closing {
        code,
        detail,
        retry_ms: None,
    })
}

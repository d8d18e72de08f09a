//! What the engine says to a connected candidate by itself.

use invigil_protocol::{
    candidate::{
        self, AttemptInfo, ExamInfo, Health, Open, RecordRef, SectionClock, ServerMessage,
        StatusChange, Submitted, Timing, TimingReason, Welcome,
    },
    code::CloseCode,
};

use serde_json::Value;

use super::{Actor, After};
use crate::{
    domain::{
        attempt::{Event, HandedInBy, Notice, Phase},
        grading::Key,
        time::{Timestamp, duration_ms},
        timing::Ledger,
    },
    engine::{
        hand_in,
        outbox::Closing,
        shared::{wire_handed_in, wire_notice, wire_status},
    },
};

/// Bytes of the largest receipt and of the largest result that go into
/// `submitted`: together they must stay under the 64 KiB of a frame.
const RECEIPT_INLINE_MAX: usize = 24 * 1024;
const RESULT_INLINE_MAX: usize = 36 * 1024;

impl Actor {
    /// Everything that a client needs on entering.
    pub(super) fn welcome(&self, now: Timestamp, resumed: bool) -> Welcome {
        let attempt = &self.attempt;
        let exam = attempt.plan().exam();
        let identity = attempt.identity();
        let ledger = &attempt.control().ledger;
        let waiting = attempt.control().phase == Phase::Waiting;
        let session = attempt.session();
        Welcome {
            session: session
                .map(|session| session.id.to_string())
                .unwrap_or_default(),
            resumed,
            now_at: now.as_ms(),
            attempt: AttemptInfo {
                id: identity.id.to_string(),
                status: wire_status(attempt.status()),
                exam: ExamInfo {
                    code: exam.code.to_string(),
                    title: exam.title.clone(),
                    instructions: exam.instructions.clone(),
                },
                started_at: identity.started_at.as_ms(),
                opens_at: exam
                    .available_from
                    .filter(|_| waiting)
                    .map(Timestamp::as_ms),
                deadline_at: self.expected_deadline(now).as_ms(),
                remaining_ms: self.remaining_ms(now),
                timing_rev: ledger.timing_rev,
                grace_ms: duration_ms(exam.grace_period),
            },
            health: self.health().level,
            saved_seq: self.saved_seq(),
            applied_seq: session.map_or(0, |session| session.applied_seq),
            paper: self.content.paper_ref(identity, now),
            record: RecordRef {
                version: attempt.version(),
                url: format!("/api/v1/attempts/{}/answers", identity.id),
            },
            section: self.running_section(now),
            notices: self.notices(),
            limits: self.shared.limits.on_the_wire(exam.proctoring.heartbeat),
        }
    }

    /// Notices that were not yet sent or not yet acknowledged.
    pub(super) fn notices(&self) -> Vec<candidate::Notice> {
        self.attempt
            .control()
            .notices
            .iter()
            .map(wire_notice)
            .collect()
    }

    /// The deadline; while the exam has not opened, the one of who waits for it.
    pub(super) fn expected_deadline(&self, now: Timestamp) -> Timestamp {
        self.attempt.deadline(now).unwrap_or_else(|| {
            let opens = self.attempt.plan().exam().available_from.unwrap_or(now);
            let ledger = Ledger {
                entered_at: Some(opens.max(now)),
                ..Ledger::default()
            };
            ledger
                .deadline(self.attempt.allowance(), now)
                .unwrap_or(now)
        })
    }

    pub(super) fn remaining_ms(&self, now: Timestamp) -> i64 {
        duration_ms(self.attempt.remaining(now))
    }

    /// The time-limited section that runs.
    pub(super) fn running_section(&self, now: Timestamp) -> Option<SectionClock> {
        let (section, left) = self.attempt.section(now)?;
        Some(SectionClock {
            id: self.section_id(section),
            remaining_ms: duration_ms(left),
        })
    }

    /// The section that follows the last one with a time limit.
    fn section_after_limits(&self) -> Option<String> {
        let sections = &self.attempt.plan().exam().sections;
        let last = sections
            .iter()
            .rposition(|section| section.time_limit.is_some())?;
        sections.get(last + 1).map(|section| section.id.to_string())
    }

    pub(super) fn section_id(&self, index: u16) -> String {
        self.attempt.plan().exam().sections[usize::from(index)]
            .id
            .to_string()
    }

    fn send(&self, message: ServerMessage) {
        if let Some(connection) = &self.connection {
            connection.outbox.send(message);
        }
    }

    /// The exam opens for a candidate who waits. Who enters just now has no
    /// connection here yet, and learns it from `welcome`.
    pub(super) fn tell_open(&self, now: Timestamp) {
        self.send(ServerMessage::Open(Open {
            key: self.content.seal_key_base64(),
            deadline_at: self.expected_deadline(now).as_ms(),
            remaining_ms: self.remaining_ms(now),
            timing_rev: self.attempt.control().ledger.timing_rev,
        }));
    }

    /// A time-limited section has ended: which comes next, limited or not.
    pub(super) fn tell_section(&self, now: Timestamp) {
        let running = self.running_section(now).map(|section| section.id);
        let section = running.or_else(|| self.section_after_limits());
        self.send(ServerMessage::Status(StatusChange {
            status: wire_status(self.attempt.status()),
            reason: None,
            section,
        }));
    }

    /// The store went away or came back.
    pub(super) fn tell_health(&self) {
        self.send(ServerMessage::Health(self.health()));
    }

    fn health(&self) -> Health {
        let heartbeat = self.attempt.plan().exam().proctoring.heartbeat;
        self.shared.health(heartbeat)
    }

    /// Does what waited for a commit.
    pub(super) fn carry_out(&mut self, after: After) {
        let now = self.shared.clock.now();
        match after {
            After::Timing(reason) => self.tell_timing(now, reason),
            After::Status(reason) => self.tell_status(reason),
            After::Notice(notice) => self.tell_notice(now, &notice),
            After::Finish(reason) => self.finish(reason),
            After::Void(reason) => {
                self.tell_status(reason);
                self.close_connection(Closing::new(CloseCode::Closed));
            }
            After::Staff(key, reply) => {
                if self.connection.is_some() {
                    self.seat.delivered(&key);
                }
                // Who asked may have given up waiting; the command is done.
                reply.send(Ok(())).ok();
            }
            After::Exchange(done) => self.end_exchange(*done),
            After::Refuse(refuse) => refuse(),
        }
    }

    fn tell_timing(&self, now: Timestamp, reason: TimingReason) {
        self.send(ServerMessage::Timing(Timing {
            deadline_at: self.expected_deadline(now).as_ms(),
            remaining_ms: self.remaining_ms(now),
            timing_rev: self.attempt.control().ledger.timing_rev,
            reason,
        }));
    }

    fn tell_status(&self, reason: Option<String>) {
        self.send(ServerMessage::Status(StatusChange {
            status: wire_status(self.attempt.status()),
            reason,
            section: None,
        }));
    }

    fn tell_notice(&mut self, now: Timestamp, notice: &Notice) {
        if self.connection.is_some() {
            self.send(ServerMessage::Notice(wire_notice(notice)));
            if !notice.ack {
                self.note(now, &Event::NoticesSent);
            }
        }
    }

    /// Shows an incident to the proctors.
    pub(super) fn tell_incident(&self, id: &str) {
        if let Some(incident) = self.attempt.control().integrity.incident(id) {
            self.seat.tell_incident(incident);
        }
    }

    /// Shows the incident of a kind that was raised just now.
    pub(super) fn tell_incident_of(&self, kind: &str) {
        if let Some(id) = self.incident_id(kind) {
            self.tell_incident(id);
        }
    }

    /// The attempt is handed in, durably: says so, and ends the connection.
    fn finish(&mut self, reason: Option<String>) {
        let Phase::HandedIn { at, by, status } = self.attempt.control().phase else {
            return;
        };
        if self.connection.is_none() {
            return;
        }
        if by != HandedInBy::Candidate {
            self.tell_status(reason);
        }
        self.send(ServerMessage::Submitted(Box::new(Submitted {
            at: at.as_ms(),
            status: wire_status(status),
            handed_in: wire_handed_in(by),
            receipt: self.wire_receipt(),
            result: self.wire_result(),
        })));
        self.close_connection(Closing::new(CloseCode::Finished));
    }

    /// The receipt; where it is too long for a frame without what it is about,
    /// which stands with the whole receipt behind its address.
    fn wire_receipt(&self) -> Value {
        let receipt = hand_in::receipt(&self.attempt, &self.content, &self.shared.keys);
        let mut receipt = serde_json::to_value(receipt).expect("a receipt is plain JSON");
        if size(&receipt) > RECEIPT_INLINE_MAX
            && let Some(fields) = receipt.as_object_mut()
        {
            fields.remove("content");
        }
        receipt
    }

    /// The result, where the exam shows it at once and a frame holds it; else it
    /// stands behind its address.
    fn wire_result(&self) -> Option<Value> {
        let exam = self.attempt.plan().exam();
        exam.show_results_immediately
            .then(|| hand_in::result(&self.attempt, Key::for_candidate(exam)))
            .filter(|result| size(result) <= RESULT_INLINE_MAX)
    }
}

/// Bytes of a value as JSON, which is never shorter than as MessagePack.
fn size(value: &Value) -> usize {
    serde_json::to_string(value).map_or(usize::MAX, |json| json.len())
}

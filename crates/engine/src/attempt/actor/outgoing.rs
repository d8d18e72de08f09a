//! Messages that the engine sends to a connected candidate by itself.

use invigil_protocol::{
    candidate::{
        self, AttemptSubmitted, CandidateWelcome, EngineHealth, ExamOpened, RecordRef,
        SectionClock, ServerMessage, StatusChange, TimingChange, TimingReason, WelcomeAttempt,
        WelcomeExam,
    },
    code::CloseCode,
};

use serde_json::Value;

use super::{AttemptActor, DeferredEffect};
use crate::{
    commit::outbox::CloseReason,
    content::hand_in,
    node::context::{wire_handed_in, wire_notice, wire_status},
};
use invigil_domain::{
    attempt::{AttemptPhase, DomainEvent, HandedInBy, PendingNotice},
    grading::KeyVisibility,
    time::{Timestamp, duration_ms},
    timing::TimeLedger,
};

/// Largest receipt and largest result that go into `submitted`, bytes: together they must
/// stay under the 64 KiB of a frame.
const RECEIPT_INLINE_MAX: usize = 24 * 1024;
const RESULT_INLINE_MAX: usize = 36 * 1024;

impl AttemptActor {
    /// Builds `welcome`: everything that a client needs on entering.
    pub(super) fn build_welcome(&self, now: Timestamp, resumed: bool) -> CandidateWelcome {
        let attempt = &self.attempt;
        let exam = attempt.indexed_exam().exam();
        let identity = attempt.identity();
        let ledger = &attempt.control().ledger;
        let waiting = attempt.control().phase == AttemptPhase::Waiting;
        let session = attempt.session();
        CandidateWelcome {
            session: session
                .map(|session| session.id.to_string())
                .unwrap_or_default(),
            resumed,
            now_at: now.as_ms(),
            attempt: WelcomeAttempt {
                id: identity.id.to_string(),
                status: wire_status(attempt.status()),
                exam: WelcomeExam {
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
            health: self.wire_health().level,
            saved_seq: self.saved_seq(),
            applied_seq: session.map_or(0, |session| session.applied_seq),
            paper: self.content.paper_ref(identity, now),
            record: RecordRef {
                version: attempt.version(),
                url: format!("/api/v1/attempts/{}/answers", identity.id),
            },
            section: self.running_section(now),
            notices: self.notices(),
            limits: self.shared.limits.to_wire(exam.proctoring.heartbeat),
        }
    }

    /// Notices not yet sent or not yet acknowledged.
    pub(super) fn notices(&self) -> Vec<candidate::CandidateNotice> {
        self.attempt
            .control()
            .notices
            .iter()
            .map(wire_notice)
            .collect()
    }

    /// The deadline; before the exam opens, the deadline of a candidate who waits for it.
    pub(super) fn expected_deadline(&self, now: Timestamp) -> Timestamp {
        self.attempt.deadline(now).unwrap_or_else(|| {
            let opens = self
                .attempt
                .indexed_exam()
                .exam()
                .available_from
                .unwrap_or(now);
            let ledger = TimeLedger {
                entered_at: Some(opens.max(now)),
                ..TimeLedger::default()
            };
            ledger
                .deadline(self.attempt.allowance(), now)
                .unwrap_or(now)
        })
    }

    pub(super) fn remaining_ms(&self, now: Timestamp) -> i64 {
        duration_ms(self.attempt.remaining_time(now))
    }

    /// The running section, if its time is limited.
    pub(super) fn running_section(&self, now: Timestamp) -> Option<SectionClock> {
        let (section, left) = self.attempt.running_section(now)?;
        Some(SectionClock {
            id: self.section_id(section),
            remaining_ms: duration_ms(left),
        })
    }

    /// The section that follows the last one with a time limit.
    fn section_after_limits(&self) -> Option<String> {
        let sections = &self.attempt.indexed_exam().exam().sections;
        let last = sections
            .iter()
            .rposition(|section| section.time_limit.is_some())?;
        sections.get(last + 1).map(|section| section.id.to_string())
    }

    pub(super) fn section_id(&self, index: u16) -> String {
        self.attempt.indexed_exam().exam().sections[usize::from(index)]
            .id
            .to_string()
    }

    fn send_message(&self, message: ServerMessage) {
        if let Some(connection) = &self.connection {
            connection.outbox.send(message);
        }
    }

    /// Reports that the exam has opened. A candidate who enters just now has no
    /// connection yet, and learns it from `welcome`.
    pub(super) fn send_open(&self, now: Timestamp) {
        self.send_message(ServerMessage::Open(ExamOpened {
            key: self.content.seal_key_base64(),
            deadline_at: self.expected_deadline(now).as_ms(),
            remaining_ms: self.remaining_ms(now),
            timing_rev: self.attempt.control().ledger.timing_rev,
        }));
    }

    /// Reports the end of a time-limited section and names the next one, limited or not.
    pub(super) fn send_section(&self, now: Timestamp) {
        let running = self.running_section(now).map(|section| section.id);
        let section = running.or_else(|| self.section_after_limits());
        self.send_message(ServerMessage::Status(StatusChange {
            status: wire_status(self.attempt.status()),
            reason: None,
            section,
        }));
    }

    /// Reports the engine's health.
    pub(super) fn send_health(&self) {
        self.send_message(ServerMessage::Health(self.wire_health()));
    }

    fn wire_health(&self) -> EngineHealth {
        let heartbeat = self.attempt.indexed_exam().exam().proctoring.heartbeat;
        self.shared.wire_health(heartbeat)
    }

    /// Runs an effect after its commit.
    pub(super) fn run_effect(&mut self, effect: DeferredEffect) {
        let now = self.shared.clock.now();
        match effect {
            DeferredEffect::Timing(reason) => self.send_timing(now, reason),
            DeferredEffect::Status(reason) => self.send_status(reason),
            DeferredEffect::Notice(notice) => self.send_notice(now, &notice),
            DeferredEffect::Finish(reason) => self.finish_connection(reason),
            DeferredEffect::Cancelled(reason) => {
                self.send_status(reason);
                self.close_connection(CloseReason::new(CloseCode::Closed));
            }
            DeferredEffect::Staff(key, reply) => {
                if self.connection.is_some() {
                    self.board_row.note_delivered(&key);
                }
                // The caller may have given up waiting; the command is done.
                reply.send(Ok(())).ok();
            }
            DeferredEffect::Exchange(done) => self.end_exchange(*done),
            DeferredEffect::Refuse(refuse) => refuse(),
        }
    }

    fn send_timing(&self, now: Timestamp, reason: TimingReason) {
        self.send_message(ServerMessage::Timing(TimingChange {
            deadline_at: self.expected_deadline(now).as_ms(),
            remaining_ms: self.remaining_ms(now),
            timing_rev: self.attempt.control().ledger.timing_rev,
            reason,
        }));
    }

    fn send_status(&self, reason: Option<String>) {
        self.send_message(ServerMessage::Status(StatusChange {
            status: wire_status(self.attempt.status()),
            reason,
            section: None,
        }));
    }

    fn send_notice(&mut self, now: Timestamp, notice: &PendingNotice) {
        if self.connection.is_some() {
            self.send_message(ServerMessage::Notice(wire_notice(notice)));
            if !notice.ack {
                self.apply_event(now, &DomainEvent::NoticesSent);
            }
        }
    }

    /// Sends an incident to the proctors.
    pub(super) fn publish_incident(&self, id: &str) {
        if let Some(incident) = self.attempt.control().integrity.incident(id) {
            self.board_row.send_incident(incident);
        }
    }

    /// Sends the newest open incident of a kind to the proctors.
    pub(super) fn publish_incident_of_kind(&self, kind: &str) {
        if let Some(id) = self.incident_id(kind) {
            self.publish_incident(id);
        }
    }

    /// Reports the durable hand-in, and closes the connection.
    fn finish_connection(&mut self, reason: Option<String>) {
        let AttemptPhase::HandedIn { at, by, status } = self.attempt.control().phase else {
            return;
        };
        if self.connection.is_none() {
            return;
        }
        if by != HandedInBy::Candidate {
            self.send_status(reason);
        }
        self.send_message(ServerMessage::Submitted(Box::new(AttemptSubmitted {
            at: at.as_ms(),
            status: wire_status(status),
            handed_in: wire_handed_in(by),
            receipt: self.wire_receipt(),
            result: self.wire_result(),
        })));
        self.close_connection(CloseReason::new(CloseCode::Finished));
    }

    /// The receipt; without its content if that is too long for a frame. The whole
    /// receipt is available at its URL.
    fn wire_receipt(&self) -> Value {
        let receipt = hand_in::sign_receipt(&self.attempt, &self.content, &self.shared.keys);
        let mut receipt = serde_json::to_value(receipt).expect("a receipt is plain JSON");
        if json_size(&receipt) > RECEIPT_INLINE_MAX
            && let Some(fields) = receipt.as_object_mut()
        {
            fields.remove("content");
        }
        receipt
    }

    /// The result, if the exam shows it at once and a frame holds it; otherwise it is
    /// available at its URL.
    fn wire_result(&self) -> Option<Value> {
        let exam = self.attempt.indexed_exam().exam();
        exam.show_results_immediately
            .then(|| hand_in::candidate_result(&self.attempt, KeyVisibility::for_candidate(exam)))
            .filter(|result| json_size(result) <= RESULT_INLINE_MAX)
    }
}

/// Bytes of a value as JSON, which is never shorter than as MessagePack.
fn json_size(value: &Value) -> usize {
    serde_json::to_string(value).map_or(usize::MAX, |json| json.len())
}

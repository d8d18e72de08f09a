//! Conversions from the domain to the protocol of candidates: the engine's state in the
//! words of the wire. The opposite direction is the actor's, which checks what it is told.

use std::time::Duration;

use invigil_protocol::{
    candidate::{
        AttemptStatus, AttemptSubmitted, CandidateLimits, CandidateNotice, CandidateWelcome,
        CommandRefused, EngineHealth, EventAck, ExamOpened, NoticePriority, PaperRef, RecordRef,
        SectionClock, StatusChange, SubmittedBy, TimingChange, TimingReason, WelcomeAttempt,
        WelcomeExam,
    },
    code::RefusalCode,
    exchange::ExchangeResponse,
};
use serde_json::Value;

use crate::{
    content::{ExamContent, hand_in},
    node::{
        keys::InstallationKeys,
        limits::{ConnectionLimits, HEALTH_EVENTS_MIN},
    },
};
use invigil_domain::{
    attempt::{
        Attempt, AttemptPhase, CommandRefusal, DomainEvent, HandedInBy, LifecycleStatus,
        PendingNotice, command::NoticeUrgency,
    },
    grading::KeyVisibility,
    time::{Timestamp, duration_ms},
};

/// Largest receipt and largest result that go into `submitted`, bytes: together they must
/// stay under the 64 KiB of a frame.
const RECEIPT_INLINE_MAX: usize = 24 * 1024;
const RESULT_INLINE_MAX: usize = 36 * 1024;

/// Factor that stretches heartbeats while clients hold back events.
const HEARTBEAT_STRETCH: u32 = 3;

/// Facts of `welcome` that are not the attempt's.
pub(crate) struct WelcomeFacts {
    /// True if the session goes on.
    pub resumed: bool,
    /// Highest durable command number of the session.
    pub saved_seq: u64,
    /// Health of the engine.
    pub health_level: u8,
    /// The candidate's paper.
    pub paper: PaperRef,
    /// Limits of the connection.
    pub limits: ConnectionLimits,
}

/// Builds `welcome`: everything that a client needs on entering.
pub(crate) fn wire_welcome(
    attempt: &Attempt,
    now: Timestamp,
    facts: WelcomeFacts,
) -> CandidateWelcome {
    let exam = attempt.indexed_exam().exam();
    let identity = attempt.identity();
    let waiting = attempt.control().phase == AttemptPhase::Waiting;
    let session = attempt.session();
    CandidateWelcome {
        session: session
            .map(|session| session.id.to_string())
            .unwrap_or_default(),
        resumed: facts.resumed,
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
            deadline_at: attempt.expected_deadline(now).as_ms(),
            remaining_ms: remaining_ms(attempt, now),
            timing_rev: attempt.control().ledger.timing_rev,
            grace_ms: duration_ms(exam.grace_period),
        },
        health: facts.health_level,
        saved_seq: facts.saved_seq,
        applied_seq: session.map_or(0, |session| session.applied_seq),
        paper: facts.paper,
        record: RecordRef {
            version: attempt.version(),
            url: format!("/api/v1/attempts/{}/answers", identity.id),
        },
        section: running_section(attempt, now),
        notices: wire_notices(attempt),
        limits: wire_limits(facts.limits, exam.proctoring.heartbeat),
    }
}

/// The state after an exchange. `ack` covers its events.
pub(crate) fn wire_exchange(
    attempt: &Attempt,
    now: Timestamp,
    saved_seq: u64,
    (resumed, refused, event_ack): (bool, Vec<CommandRefused>, Option<EventAck>),
) -> Option<ExchangeResponse> {
    let session = attempt.session()?;
    Some(ExchangeResponse {
        session: session.id.to_string(),
        resumed,
        saved_seq,
        applied_seq: session.applied_seq,
        refused,
        event_ack,
        status: wire_status(attempt.status()),
        deadline_at: attempt.expected_deadline(now).as_ms(),
        remaining_ms: remaining_ms(attempt, now),
        timing_rev: attempt.control().ledger.timing_rev,
        notices: wire_notices(attempt),
    })
}

/// The opening of the exam, with the key of the sealed paper.
pub(crate) fn wire_opening(attempt: &Attempt, content: &ExamContent, now: Timestamp) -> ExamOpened {
    ExamOpened {
        key: content.seal_key_base64(),
        deadline_at: attempt.expected_deadline(now).as_ms(),
        remaining_ms: remaining_ms(attempt, now),
        timing_rev: attempt.control().ledger.timing_rev,
    }
}

/// The deadline after it moved.
pub(crate) fn wire_timing(attempt: &Attempt, now: Timestamp, reason: TimingReason) -> TimingChange {
    TimingChange {
        deadline_at: attempt.expected_deadline(now).as_ms(),
        remaining_ms: remaining_ms(attempt, now),
        timing_rev: attempt.control().ledger.timing_rev,
        reason,
    }
}

/// The status after it changed.
pub(crate) fn wire_status_change(attempt: &Attempt, reason: Option<String>) -> StatusChange {
    StatusChange {
        status: wire_status(attempt.status()),
        reason,
        section: None,
    }
}

/// The end of a time-limited section. Names the next section, limited or not.
pub(crate) fn wire_section_change(attempt: &Attempt, now: Timestamp) -> StatusChange {
    let running = running_section(attempt, now).map(|section| section.id);
    StatusChange {
        section: running.or_else(|| section_after_limits(attempt)),
        ..wire_status_change(attempt, None)
    }
}

/// The hand-in, with receipt and result where a frame holds them; `None` before it.
pub(crate) fn wire_hand_in(
    attempt: &Attempt,
    content: &ExamContent,
    keys: &InstallationKeys,
) -> Option<AttemptSubmitted> {
    let AttemptPhase::HandedIn { at, by, status } = attempt.control().phase else {
        return None;
    };
    Some(AttemptSubmitted {
        at: at.as_ms(),
        status: wire_status(status),
        handed_in: wire_handed_in(by),
        receipt: wire_receipt(attempt, content, keys),
        result: wire_result(attempt),
    })
}

/// The receipt; without its content if that is too long for a frame. The whole receipt is
/// available at its URL.
fn wire_receipt(attempt: &Attempt, content: &ExamContent, keys: &InstallationKeys) -> Value {
    let receipt = hand_in::sign_receipt(attempt, content, keys);
    let mut receipt = serde_json::to_value(receipt).expect("a receipt is plain JSON");
    if json_size(&receipt) > RECEIPT_INLINE_MAX
        && let Some(fields) = receipt.as_object_mut()
    {
        fields.remove("content");
    }
    receipt
}

/// The result, if the exam shows it at once and a frame holds it; otherwise it is available
/// at its URL.
fn wire_result(attempt: &Attempt) -> Option<Value> {
    let exam = attempt.indexed_exam().exam();
    exam.show_results_immediately
        .then(|| hand_in::candidate_result(attempt, KeyVisibility::for_candidate(exam)))
        .filter(|result| json_size(result) <= RESULT_INLINE_MAX)
}

/// Bytes of a value as JSON, which is never shorter than as MessagePack.
fn json_size(value: &Value) -> usize {
    serde_json::to_string(value).map_or(usize::MAX, |json| json.len())
}

/// Notices not yet sent or not yet acknowledged.
fn wire_notices(attempt: &Attempt) -> Vec<CandidateNotice> {
    attempt.control().notices.iter().map(wire_notice).collect()
}

/// Time left, milliseconds.
pub(crate) fn remaining_ms(attempt: &Attempt, now: Timestamp) -> i64 {
    duration_ms(attempt.remaining_time(now))
}

/// The running section, if its time is limited.
pub(crate) fn running_section(attempt: &Attempt, now: Timestamp) -> Option<SectionClock> {
    let (section, left) = attempt.running_section(now)?;
    Some(SectionClock {
        id: attempt.indexed_exam().section_id(section).to_string(),
        remaining_ms: duration_ms(left),
    })
}

/// The section that follows the last one with a time limit.
fn section_after_limits(attempt: &Attempt) -> Option<String> {
    let sections = &attempt.indexed_exam().exam().sections;
    let last = sections
        .iter()
        .rposition(|section| section.time_limit.is_some())?;
    sections.get(last + 1).map(|section| section.id.to_string())
}

/// The engine's health, and the heartbeat interval it asks for.
pub(crate) fn wire_health(level: u8, heartbeat: Duration) -> EngineHealth {
    let heartbeat = if level < HEALTH_EVENTS_MIN {
        heartbeat * HEARTBEAT_STRETCH
    } else {
        heartbeat
    };
    EngineHealth {
        level,
        heartbeat_ms: duration_ms(heartbeat),
    }
}

/// Limits of a connection, as `welcome` sends them.
fn wire_limits(limits: ConnectionLimits, heartbeat: Duration) -> CandidateLimits {
    CandidateLimits {
        heartbeat_ms: duration_ms(heartbeat),
        frame_bytes: limits.frame_bytes as u64,
        answer_bytes: limits.answer_bytes as u64,
        commands_per_s: limits.commands_per_second,
        burst: limits.burst,
        unsaved: limits.unsaved,
    }
}

/// The refusal of a numbered command; `None` for every other event.
pub(crate) fn wire_refused(event: &DomainEvent) -> Option<CommandRefused> {
    let DomainEvent::Refused {
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
        return Some(CommandRefused::for_conflict(
            *seq,
            q.clone(),
            *rev,
            parse_json(value.as_deref()),
        ));
    }
    let mut refused = CommandRefused::new(*seq, wire_refusal(*code), q);
    refused
        .detail
        .insert("reason".to_owned(), Value::from(*detail));
    Some(refused)
}

/// A stored text as JSON; null without one.
pub(crate) fn parse_json(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// The protocol's code of a refusal.
const fn wire_refusal(refusal: CommandRefusal) -> RefusalCode {
    match refusal {
        CommandRefusal::NotOpen => RefusalCode::NotOpen,
        CommandRefusal::Conflict => RefusalCode::Conflict,
        CommandRefusal::UnknownQuestion => RefusalCode::UnknownQuestion,
        CommandRefusal::BadValue => RefusalCode::BadValue,
        CommandRefusal::TooLarge => RefusalCode::TooLarge,
        CommandRefusal::Paused => RefusalCode::Paused,
        CommandRefusal::TimeOver => RefusalCode::TimeOver,
        CommandRefusal::Closed => RefusalCode::Closed,
        CommandRefusal::Locked => RefusalCode::Locked,
    }
}

/// A notice to the candidate.
pub(crate) fn wire_notice(notice: &PendingNotice) -> CandidateNotice {
    CandidateNotice {
        id: notice.id.clone(),
        level: match notice.level {
            NoticeUrgency::Info => NoticePriority::Info,
            NoticeUrgency::Warning => NoticePriority::Warning,
            NoticeUrgency::Urgent => NoticePriority::Urgent,
        },
        text: notice.text.clone(),
        from: Some(notice.from.clone()),
        ack: notice.ack,
    }
}

/// The status of an attempt.
pub(crate) const fn wire_status(status: LifecycleStatus) -> AttemptStatus {
    match status {
        LifecycleStatus::Started => AttemptStatus::Started,
        LifecycleStatus::InProgress => AttemptStatus::InProgress,
        LifecycleStatus::Paused => AttemptStatus::Paused,
        LifecycleStatus::Submitted => AttemptStatus::Submitted,
        LifecycleStatus::AutoSubmitted => AttemptStatus::AutoSubmitted,
        LifecycleStatus::Graded => AttemptStatus::Graded,
        LifecycleStatus::Reviewed => AttemptStatus::Reviewed,
        LifecycleStatus::Cancelled => AttemptStatus::Cancelled,
        LifecycleStatus::Flagged => AttemptStatus::Flagged,
    }
}

/// The cause of a hand-in.
const fn wire_handed_in(by: HandedInBy) -> SubmittedBy {
    match by {
        HandedInBy::Candidate => SubmittedBy::Candidate,
        HandedInBy::Time => SubmittedBy::Time,
        HandedInBy::Staff => SubmittedBy::Staff,
    }
}

#[cfg(test)]
mod tests;

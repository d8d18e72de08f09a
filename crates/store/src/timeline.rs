//! Timeline entries: kind and detail of each event, as they are stored.

use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use invigil_domain::{
    attempt::{Attempt, DomainEvent, LifecycleStatus},
    exam::EventSeverity,
    timing::whole_ms,
};

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;

/// Returns the detail of a client's report.
pub fn describe_report(
    n: u64,
    client_at: i64,
    data: &Value,
    severity: Option<EventSeverity>,
) -> String {
    let detail = json!({
        "n": n, "client_at": client_at, "data": data, "severity": severity,
    });
    detail.to_string()
}

/// Returns the detail of the question on screen.
pub fn describe_shown(q: &str) -> String {
    json!({ "q": q }).to_string()
}

/// Returns the detail of a sample.
pub fn describe_sample(
    visible: Option<bool>,
    focused: Option<bool>,
    fullscreen: Option<bool>,
    rtt_ms: Option<i64>,
) -> String {
    let detail = json!({
        "visible": visible, "focused": focused, "fullscreen": fullscreen, "rtt_ms": rtt_ms,
    });
    detail.to_string()
}

fn section_id(attempt: &Attempt, index: u16) -> String {
    attempt.indexed_exam().exam().sections[usize::from(index)]
        .id
        .to_string()
}

fn answer_entry(attempt: &Attempt, seq: u64, number: u16, late: bool, on: Option<bool>) -> String {
    let answer = attempt.answers().get(number);
    let value = answer.and_then(|answer| answer.value.as_deref());
    let entry = AnswerEntry {
        seq,
        q: &attempt.indexed_exam().question(number).id.0,
        rev: answer.map_or(0, |answer| answer.rev),
        value: value.and_then(|text| serde_json::from_str(text).ok()),
        flagged: answer.is_some_and(|answer| answer.flagged),
        late,
        on,
    };
    serde_json::to_string(&entry).expect("an entry is plain JSON")
}

/// Returns kind and detail of an event that was just applied; `None` for events that staff
/// need not see.
#[expect(
    clippy::too_many_lines,
    reason = "one short arm an event reads best in one place"
)]
pub fn describe_event<'a>(attempt: &Attempt, event: &'a DomainEvent) -> Option<(&'a str, String)> {
    let (kind, data) = match event {
        // Frequent: its value is JSON already, and is not parsed again.
        DomainEvent::Answered {
            seq,
            question: number,
            late,
            ..
        } => {
            return Some(("answer", answer_entry(attempt, *seq, *number, *late, None)));
        }
        DomainEvent::ClockStarted { at } => ("clock_started", json!({ "entered_at": at })),
        DomainEvent::SessionOpened { session } => ("session_opened", json!({ "session": session })),
        DomainEvent::SessionResumed => ("session_resumed", json!({})),
        DomainEvent::Left { .. } => ("disconnected", json!({})),
        DomainEvent::QuestionFlagged {
            seq,
            question: number,
            on,
            ..
        } => {
            let data = answer_entry(attempt, *seq, *number, false, Some(*on));
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
                "incident": attempt.control().integrity.open_incident_id(&raised.kind), "kind": raised.kind,
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
            json!({ "section": section.map(|index| section_id(attempt, index)) }),
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

fn parse_json(text: Option<&str>) -> Value {
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

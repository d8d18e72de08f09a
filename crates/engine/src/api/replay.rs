//! Replay of an attempt: its timeline applied again, through the same `apply` as the live
//! attempt.
//!
//! A timeline lacks the data that no commit needed: values that were overwritten before
//! they were saved, and the numbers of sessions. Everything else is restored.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use invigil_domain::{
    attempt::{
        Attempt, AttemptIdentity, AttemptRecord, DomainEvent, HandedInBy, IndexedExam,
        LifecycleStatus,
        command::{CommandKey, NoticeUrgency},
    },
    exam::{EventSeverity, Exam, RuleConsequence},
    integrity::{ConnectionOrigin, DETECTIONS, IncidentClosure, IncidentTrigger},
    time::Timestamp,
    timing::CompensationCause,
};
use invigil_store::TimelineRow;

/// Replays an attempt's entries, oldest first, up to an instant.
pub fn replay_timeline(
    identity: AttemptIdentity,
    exam: Arc<Exam>,
    entries: &[TimelineRow],
    until: Option<Timestamp>,
) -> Attempt {
    let plan = Arc::new(IndexedExam::new(exam));
    let mut attempt = Attempt::from_record(identity, plan, usize::MAX, 0, AttemptRecord::default());
    let wanted = entries
        .iter()
        .filter(|entry| until.is_none_or(|until| entry.at <= until));
    for entry in wanted {
        let events = events_of_entry(&attempt, entry);
        // The last of them has the entry's number.
        attempt.set_version(entry.number.saturating_sub(events.len() as u64));
        for event in events {
            attempt.apply(&event);
        }
    }
    attempt
}

/// Complete entry of a question.
#[derive(Deserialize)]
struct ReplayedAnswer<'a> {
    seq: u64,
    q: String,
    rev: u32,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    flagged: bool,
    #[serde(default)]
    late: bool,
}

/// Fields of the other entries; each kind has some of them.
#[derive(Deserialize, Default)]
#[serde(default)]
struct EntryFields {
    reason: Option<String>,
    session: Option<String>,
    entered_at: Option<Timestamp>,
    submitted_at: Option<Timestamp>,
    handed_in: Option<HandedInBy>,
    status: Option<LifecycleStatus>,
    late: bool,
    ms: u64,
    from: Value,
    cause: Option<CompensationCause>,
    section: Option<String>,
    person: Option<String>,
    id: Option<String>,
    text: Option<String>,
    level: Option<NoticeUrgency>,
    ack: bool,
    n: Option<u64>,
    client_at: i64,
    data: Value,
    incident: Option<String>,
    kind: Option<String>,
    severity: Option<EventSeverity>,
    then: Option<RuleConsequence>,
    events: u32,
    by: Option<String>,
    note: Option<String>,
    to: Option<String>,
    verdict: Option<String>,
}

fn events_of_entry(attempt: &Attempt, entry: &TimelineRow) -> Vec<DomainEvent> {
    match entry.kind.as_str() {
        "answer" | "question_flagged" => answer_events(attempt, entry).unwrap_or_default(),
        _ => {
            let fields = serde_json::from_str(&entry.data).unwrap_or_default();
            event_of_entry(attempt, entry, fields).into_iter().collect()
        }
    }
}

/// Events that lead to the answer of an entry: one change, or a flag besides that waited
/// for the same commit.
fn answer_events(attempt: &Attempt, entry: &TimelineRow) -> Option<Vec<DomainEvent>> {
    let fields: ReplayedAnswer<'_> = serde_json::from_str(&entry.data).ok()?;
    let question = attempt.indexed_exam().question_number(&fields.q.into())?;
    let known = attempt.answers().get(question);
    let (rev, flagged) = known.map_or((0, false), |answer| (answer.rev, answer.flagged));
    let seq = fields.seq;
    let marked = (flagged != fields.flagged).then_some(DomainEvent::QuestionFlagged {
        seq,
        question,
        on: fields.flagged,
        at: entry.at,
    });
    let answered = (rev != fields.rev).then(|| DomainEvent::Answered {
        seq,
        question,
        value: fields.value.map(|value| value.get().into()),
        rev: fields.rev,
        at: entry.at,
        spent: Duration::ZERO,
        late: fields.late,
    });
    Some(marked.into_iter().chain(answered).collect())
}

#[expect(
    clippy::too_many_lines,
    reason = "one short arm a kind reads best in one place"
)]
fn event_of_entry(
    attempt: &Attempt,
    entry: &TimelineRow,
    fields: EntryFields,
) -> Option<DomainEvent> {
    let at = entry.at;
    let reason = fields.reason;
    Some(match entry.kind.as_str() {
        "clock_started" => DomainEvent::ClockStarted {
            at: fields.entered_at?,
        },
        "session_opened" => DomainEvent::SessionOpened {
            session: fields.session?.into(),
        },
        "session_resumed" => DomainEvent::SessionResumed,
        "disconnected" => DomainEvent::Left { at },
        "paused" => DomainEvent::Paused { at, reason },
        "resumed" => DomainEvent::Resumed { at, reason },
        "extended" => DomainEvent::Extended {
            at,
            by: Duration::from_millis(fields.ms),
            reason,
        },
        "compensated" => DomainEvent::Compensated {
            from: serde_json::from_value(fields.from).ok()?,
            by: Duration::from_millis(fields.ms),
            cause: fields.cause?,
        },
        "section" => {
            let sections = &attempt.indexed_exam().exam().sections;
            let index = fields.section.and_then(|id| {
                let mut ids = sections.iter().map(|section| section.id.as_str());
                u16::try_from(ids.position(|one| one == id)?).ok()
            });
            DomainEvent::SectionChanged { section: index }
        }
        "flagged" => DomainEvent::Flagged { reason },
        "unflagged" => DomainEvent::Unflagged { reason },
        "released" => DomainEvent::Released { reason },
        "cancelled" => DomainEvent::Cancelled { at, reason },
        "command" => DomainEvent::CommandDone {
            key: CommandKey {
                person: fields.person?,
                command: fields.id?,
            },
        },
        "notice" => DomainEvent::Noticed {
            text: fields.text?,
            level: fields.level?,
            ack: fields.ack,
            from: fields.from.as_str()?.to_owned(),
            command: None,
        },
        "notice_acknowledged" => DomainEvent::NoticeAcknowledged { id: fields.id? },
        "handed_in" => DomainEvent::HandedIn {
            at: fields.submitted_at?,
            by: fields.handed_in?,
            seq: None,
            status: fields.status?,
            late: fields.late,
            reason,
        },
        "connected_from" => DomainEvent::Arrived {
            origin: serde_json::from_str::<ConnectionOrigin>(&entry.data).ok()?,
        },
        "incident" => DomainEvent::IncidentRaised {
            raised: IncidentTrigger {
                kind: fields.kind?,
                severity: fields.severity?,
                at,
                events: fields.events,
                then: fields.then?,
                note: fields.note,
                by: fields.by,
            },
        },
        "incident_closed" => DomainEvent::IncidentClosed {
            incident: fields.incident?,
            closed: IncidentClosure {
                at,
                by: fields.by?,
                verdict: fields.verdict?,
                note: fields.note,
            },
        },
        "incident_assigned" => DomainEvent::IncidentAssigned {
            incident: fields.incident?,
            to: fields.to,
        },
        kind => {
            let judgement = attempt.judge_event(at, kind);
            let detected = DETECTIONS.iter().find(|(_, name, _)| *name == kind);
            match (fields.n, detected) {
                (Some(n), _) => DomainEvent::Observed {
                    n,
                    kind: kind.to_owned(),
                    client_at: Timestamp::from_ms(fields.client_at),
                    data: fields.data,
                    at,
                    judgement,
                },
                (None, Some((what, ..))) => DomainEvent::Detected {
                    what: *what,
                    at,
                    data: fields.data,
                    judgement,
                },
                // A refusal or a sample changes nothing that lasts.
                (None, None) => DomainEvent::Noted,
            }
        }
    })
}

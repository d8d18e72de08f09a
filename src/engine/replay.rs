//! An attempt as it was: its timeline taken in again, through the same `apply`
//! that the live attempt goes through.
//!
//! What a commit did not need is not in a timeline: values that were overwritten
//! before they were saved, and where a session's numbers stood. Everything else
//! comes out as it was.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    domain::{
        attempt::{
            Attempt, Event, HandedInBy, Identity, Plan, Status, Stored,
            command::{CommandKey, NoticeLevel},
        },
        exam::{Consequence, Exam, Severity},
        integrity::{Closed, DETECTIONS, Origin, Raised},
        time::Timestamp,
        timing::Cause,
    },
    store::TimelineRow,
};

/// The attempt after its entries up to an instant, oldest first.
pub fn replay(
    identity: Identity,
    exam: Arc<Exam>,
    entries: &[TimelineRow],
    until: Option<Timestamp>,
) -> Attempt {
    let plan = Arc::new(Plan::new(exam));
    let mut attempt = Attempt::load(identity, plan, usize::MAX, 0, Stored::default());
    let wanted = entries
        .iter()
        .filter(|entry| until.is_none_or(|until| entry.at <= until));
    for entry in wanted {
        let events = events(&attempt, entry);
        // The last of them is what the entry's number was given to.
        attempt.count_from(entry.number.saturating_sub(events.len() as u64));
        for event in events {
            attempt.apply(&event);
        }
    }
    attempt
}

/// What an entry says of a question, whole.
#[derive(Deserialize)]
struct AnswerEntry<'a> {
    seq: u64,
    q: String,
    rev: u32,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    flagged: bool,
    #[serde(default)]
    late: bool,
}

/// The fields of the other entries; each kind has some of them.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Fields {
    reason: Option<String>,
    session: Option<String>,
    entered_at: Option<Timestamp>,
    submitted_at: Option<Timestamp>,
    handed_in: Option<HandedInBy>,
    status: Option<Status>,
    late: bool,
    ms: u64,
    from: Value,
    cause: Option<Cause>,
    section: Option<String>,
    person: Option<String>,
    id: Option<String>,
    text: Option<String>,
    level: Option<NoticeLevel>,
    ack: bool,
    n: Option<u64>,
    client_at: i64,
    data: Value,
    incident: Option<String>,
    kind: Option<String>,
    severity: Option<Severity>,
    then: Option<Consequence>,
    events: u32,
    by: Option<String>,
    note: Option<String>,
    to: Option<String>,
    verdict: Option<String>,
}

fn events(attempt: &Attempt, entry: &TimelineRow) -> Vec<Event> {
    match entry.kind.as_str() {
        "answer" | "question_flagged" => answered(attempt, entry).unwrap_or_default(),
        _ => {
            let fields = serde_json::from_str(&entry.data).unwrap_or_default();
            one(attempt, entry, fields).into_iter().collect()
        }
    }
}

/// What made an answer what the entry says: one change, or a mark besides that
/// waited for the same commit.
fn answered(attempt: &Attempt, entry: &TimelineRow) -> Option<Vec<Event>> {
    let fields: AnswerEntry<'_> = serde_json::from_str(&entry.data).ok()?;
    let question = attempt.plan().number(&fields.q.into())?;
    let known = attempt.answers().get(question);
    let (rev, flagged) = known.map_or((0, false), |answer| (answer.rev, answer.flagged));
    let seq = fields.seq;
    let marked = (flagged != fields.flagged).then_some(Event::QuestionFlagged {
        seq,
        question,
        on: fields.flagged,
        at: entry.at,
    });
    let answered = (rev != fields.rev).then(|| Event::Answered {
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
fn one(attempt: &Attempt, entry: &TimelineRow, fields: Fields) -> Option<Event> {
    let at = entry.at;
    let reason = fields.reason;
    Some(match entry.kind.as_str() {
        "clock_started" => Event::ClockStarted {
            at: fields.entered_at?,
        },
        "session_opened" => Event::SessionOpened {
            session: fields.session?.into(),
        },
        "session_resumed" => Event::SessionResumed,
        "disconnected" => Event::Left { at },
        "paused" => Event::Paused { at, reason },
        "resumed" => Event::Resumed { at, reason },
        "extended" => Event::Extended {
            at,
            by: Duration::from_millis(fields.ms),
            reason,
        },
        "compensated" => Event::Compensated {
            from: serde_json::from_value(fields.from).ok()?,
            by: Duration::from_millis(fields.ms),
            cause: fields.cause?,
        },
        "section" => {
            let sections = &attempt.plan().exam().sections;
            let index = fields.section.and_then(|id| {
                let mut ids = sections.iter().map(|section| section.id.as_str());
                u16::try_from(ids.position(|one| one == id)?).ok()
            });
            Event::SectionChanged { section: index }
        }
        "flagged" => Event::Flagged { reason },
        "unflagged" => Event::Unflagged { reason },
        "released" => Event::Released { reason },
        "cancelled" => Event::Cancelled { at, reason },
        "command" => Event::CommandDone {
            key: CommandKey {
                person: fields.person?,
                command: fields.id?,
            },
        },
        "notice" => Event::Noticed {
            text: fields.text?,
            level: fields.level?,
            ack: fields.ack,
            from: fields.from.as_str()?.to_owned(),
            command: None,
        },
        "notice_acknowledged" => Event::NoticeAcknowledged { id: fields.id? },
        "handed_in" => Event::HandedIn {
            at: fields.submitted_at?,
            by: fields.handed_in?,
            seq: None,
            status: fields.status?,
            late: fields.late,
            reason,
        },
        "connected_from" => Event::Arrived {
            origin: serde_json::from_str::<Origin>(&entry.data).ok()?,
        },
        "incident" => Event::IncidentRaised {
            raised: Raised {
                kind: fields.kind?,
                severity: fields.severity?,
                at,
                events: fields.events,
                then: fields.then?,
                note: fields.note,
                by: fields.by,
            },
        },
        "incident_closed" => Event::IncidentClosed {
            incident: fields.incident?,
            closed: Closed {
                at,
                by: fields.by?,
                verdict: fields.verdict?,
                note: fields.note,
            },
        },
        "incident_assigned" => Event::IncidentAssigned {
            incident: fields.incident?,
            to: fields.to,
        },
        kind => {
            let judgement = attempt.judge(at, kind);
            let detected = DETECTIONS.iter().find(|(_, name, _)| *name == kind);
            match (fields.n, detected) {
                (Some(n), _) => Event::Observed {
                    n,
                    kind: kind.to_owned(),
                    client_at: Timestamp::from_ms(fields.client_at),
                    data: fields.data,
                    at,
                    judgement,
                },
                (None, Some((what, ..))) => Event::Detected {
                    what: *what,
                    at,
                    data: fields.data,
                    judgement,
                },
                // A refusal, a sample: it changes nothing that lasts.
                (None, None) => Event::Noted,
            }
        }
    })
}

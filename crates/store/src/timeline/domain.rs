//! From events of the domain to entries.

use invigil_domain::{
    attempt::{Answer, Attempt, DomainEvent},
    id::QuestionId,
    timing::whole_ms,
};

use super::{ClientReport, DetectionDetail, TimelineEvent};

impl TimelineEvent {
    /// Returns the entry of an event that was just applied to the attempt; `None` for
    /// events that staff need not see.
    #[expect(
        clippy::too_many_lines,
        reason = "one short arm an event reads best in one place"
    )]
    pub fn from_domain(attempt: &Attempt, event: &DomainEvent) -> Option<Self> {
        Some(match event {
            DomainEvent::Answered {
                seq,
                question,
                late,
                ..
            } => {
                let (q, answer) = changed_answer(attempt, *question)?;
                Self::Answer {
                    seq: *seq,
                    q,
                    rev: answer.rev,
                    value: answer.value.clone(),
                    flagged: answer.flagged,
                    late: *late,
                }
            }
            DomainEvent::QuestionFlagged {
                seq, question, on, ..
            } => {
                let (q, answer) = changed_answer(attempt, *question)?;
                Self::QuestionFlagged {
                    seq: *seq,
                    q,
                    rev: answer.rev,
                    value: answer.value.clone(),
                    flagged: answer.flagged,
                    late: false,
                    on: *on,
                }
            }
            DomainEvent::Refused {
                seq,
                code,
                question,
                kept,
                ..
            } => Self::Refused {
                code: *code,
                q: question.clone(),
                seq: *seq,
                value: kept.clone(),
            },
            DomainEvent::ClockStarted { at } => Self::ClockStarted { entered_at: *at },
            DomainEvent::SessionOpened { session } => Self::SessionOpened {
                session: session.clone(),
            },
            DomainEvent::SessionResumed => Self::SessionResumed {},
            DomainEvent::Left { .. } => Self::Disconnected {},
            DomainEvent::Observed {
                n,
                kind,
                client_at,
                data,
                judgement,
                ..
            } => Self::Reported {
                kind: kind.clone(),
                report: ClientReport {
                    client_at: *client_at,
                    data: data.clone(),
                    n: *n,
                    severity: judgement.severity,
                },
            },
            DomainEvent::Detected {
                what,
                data,
                judgement,
                ..
            } => Self::Detected {
                what: *what,
                detected: DetectionDetail {
                    data: data.clone(),
                    severity: judgement.severity,
                },
            },
            DomainEvent::Arrived { origin } => Self::ConnectedFrom {
                address: origin.address.clone(),
                device: origin.device.clone(),
            },
            DomainEvent::IncidentRaised { raised } => {
                let id = attempt.control().integrity.open_incident_id(&raised.kind);
                Self::Incident {
                    by: raised.by.clone(),
                    events: raised.events,
                    incident: id.map(str::to_owned),
                    kind: raised.kind.clone(),
                    note: raised.note.clone(),
                    severity: raised.severity,
                    then: raised.then,
                }
            }
            DomainEvent::IncidentClosed { incident, closed } => Self::IncidentClosed {
                by: closed.by.clone(),
                incident: incident.clone(),
                note: closed.note.clone(),
                verdict: closed.verdict.clone(),
            },
            DomainEvent::IncidentAssigned { incident, to } => Self::IncidentAssigned {
                incident: incident.clone(),
                to: to.clone(),
            },
            DomainEvent::Noticed {
                text,
                level,
                ack,
                from,
                ..
            } => Self::Notice {
                ack: *ack,
                from: from.clone(),
                level: *level,
                text: text.clone(),
            },
            DomainEvent::NoticeAcknowledged { id } => Self::NoticeAcknowledged { id: id.clone() },
            DomainEvent::Paused { reason, .. } => Self::Paused {
                reason: reason.clone(),
            },
            DomainEvent::Resumed { reason, .. } => Self::Resumed {
                reason: reason.clone(),
            },
            DomainEvent::Extended { by, reason, .. } => Self::Extended {
                ms: whole_ms(*by),
                reason: reason.clone(),
            },
            DomainEvent::Compensated { from, by, cause } => Self::Compensated {
                cause: *cause,
                from: *from,
                ms: whole_ms(*by),
            },
            DomainEvent::SectionChanged { section } => Self::Section {
                section: section.map(|index| attempt.indexed_exam().section_id(index).clone()),
            },
            DomainEvent::Flagged { reason } => Self::Flagged {
                reason: reason.clone(),
            },
            DomainEvent::Unflagged { reason } => Self::Unflagged {
                reason: reason.clone(),
            },
            DomainEvent::Released { reason } => Self::Released {
                reason: reason.clone(),
            },
            DomainEvent::CommandDone { key } => Self::Command {
                id: key.command.clone(),
                person: key.person.clone(),
            },
            DomainEvent::Cancelled { reason, .. } => Self::Cancelled {
                reason: reason.clone(),
            },
            DomainEvent::HandedIn {
                at,
                by,
                status,
                late,
                reason,
                ..
            } => Self::HandedIn {
                handed_in: *by,
                late: *late,
                reason: reason.clone(),
                status: *status,
                submitted_at: *at,
            },
            DomainEvent::NoticesSent | DomainEvent::Noted => return None,
        })
    }
}

/// Returns the question of a change that was just applied, with its answer.
fn changed_answer(attempt: &Attempt, number: u16) -> Option<(QuestionId, &Answer)> {
    let question = attempt.indexed_exam().question(number).id.clone();
    Some((question, attempt.answers().get(number)?))
}

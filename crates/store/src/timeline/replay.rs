//! From entries back to the events of the domain.
//!
//! An entry lacks what no later reader needs: the time spent on an answer, the number of
//! the command that handed in, and the staff command behind a notice. An event is judged
//! again, by the rules of the attempt.

use std::time::Duration;

use invigil_domain::{
    attempt::{Attempt, DomainEvent, command::CommandKey},
    id::{QuestionId, SectionId},
    integrity::{ConnectionOrigin, IncidentClosure, IncidentTrigger},
    time::Timestamp,
    value::CanonicalValue,
};

use super::{DamageReason, TimelineEvent};

/// The complete state of a question in an entry.
struct QuestionState<'a> {
    seq: u64,
    q: &'a QuestionId,
    rev: u32,
    value: Option<&'a CanonicalValue>,
    flagged: bool,
    late: bool,
}

impl TimelineEvent {
    /// Returns the events that lead from the attempt, as it was before the entry, to the
    /// attempt after it, in order.
    ///
    /// # Errors
    /// If the entry names a question or section that the exam does not have.
    #[expect(
        clippy::too_many_lines,
        reason = "one short arm a kind reads best in one place"
    )]
    pub fn to_domain(
        &self,
        attempt: &Attempt,
        at: Timestamp,
    ) -> Result<Vec<DomainEvent>, DamageReason> {
        let event = match self {
            Self::Answer {
                seq,
                q,
                rev,
                value,
                flagged,
                late,
            }
            | Self::QuestionFlagged {
                seq,
                q,
                rev,
                value,
                flagged,
                late,
                on: _,
            } => {
                let state = QuestionState {
                    seq: *seq,
                    q,
                    rev: *rev,
                    value: value.as_ref(),
                    flagged: *flagged,
                    late: *late,
                };
                return state.events_from(attempt, at);
            }
            // They change nothing that lasts, but have a version of their own.
            Self::Refused { .. }
            | Self::QuestionShown { .. }
            | Self::Heartbeat { .. }
            | Self::Unknown { .. } => DomainEvent::Noted,
            Self::ClockStarted { entered_at } => DomainEvent::ClockStarted { at: *entered_at },
            Self::SessionOpened { session } => DomainEvent::SessionOpened {
                session: session.clone(),
            },
            Self::SessionResumed {} => DomainEvent::SessionResumed,
            Self::Disconnected {} => DomainEvent::Left { at },
            Self::ConnectedFrom { address, device } => DomainEvent::Arrived {
                origin: ConnectionOrigin {
                    address: address.clone(),
                    device: device.clone(),
                },
            },
            // The id follows from the entry's number.
            Self::Incident {
                by,
                events,
                incident: _,
                kind,
                note,
                severity,
                then,
            } => DomainEvent::IncidentRaised {
                raised: IncidentTrigger {
                    kind: kind.clone(),
                    severity: *severity,
                    at,
                    events: *events,
                    then: *then,
                    note: note.clone(),
                    by: by.clone(),
                },
            },
            Self::IncidentClosed {
                by,
                incident,
                note,
                verdict,
            } => DomainEvent::IncidentClosed {
                incident: incident.clone(),
                closed: IncidentClosure {
                    at,
                    by: by.clone(),
                    verdict: verdict.clone(),
                    note: note.clone(),
                },
            },
            Self::IncidentAssigned { incident, to } => DomainEvent::IncidentAssigned {
                incident: incident.clone(),
                to: to.clone(),
            },
            Self::Notice {
                ack,
                from,
                level,
                text,
            } => DomainEvent::Noticed {
                text: text.clone(),
                level: *level,
                ack: *ack,
                from: from.clone(),
                command: None,
            },
            Self::NoticeAcknowledged { id } => DomainEvent::NoticeAcknowledged { id: id.clone() },
            Self::Paused { reason } => DomainEvent::Paused {
                at,
                reason: reason.clone(),
            },
            Self::Resumed { reason } => DomainEvent::Resumed {
                at,
                reason: reason.clone(),
            },
            Self::Extended { ms, reason } => DomainEvent::Extended {
                at,
                by: Duration::from_millis(*ms),
                reason: reason.clone(),
            },
            Self::Compensated { cause, from, ms } => DomainEvent::Compensated {
                from: *from,
                by: Duration::from_millis(*ms),
                cause: *cause,
            },
            Self::Section { section } => {
                let index = section.as_ref().map(|id| section_index(attempt, id));
                DomainEvent::SectionChanged {
                    section: index.transpose()?,
                }
            }
            Self::Flagged { reason } => DomainEvent::Flagged {
                reason: reason.clone(),
            },
            Self::Unflagged { reason } => DomainEvent::Unflagged {
                reason: reason.clone(),
            },
            Self::Released { reason } => DomainEvent::Released {
                reason: reason.clone(),
            },
            Self::Command { id, person } => DomainEvent::CommandDone {
                key: CommandKey {
                    person: person.clone(),
                    command: id.clone(),
                },
            },
            Self::Cancelled { reason } => DomainEvent::Cancelled {
                at,
                reason: reason.clone(),
            },
            Self::HandedIn {
                handed_in,
                late,
                reason,
                status,
                submitted_at,
            } => DomainEvent::HandedIn {
                at: *submitted_at,
                by: *handed_in,
                seq: None,
                status: *status,
                late: *late,
                reason: reason.clone(),
            },
            Self::Reported { kind, report } => DomainEvent::Observed {
                n: report.n,
                kind: kind.clone(),
                client_at: report.client_at,
                data: report.data.clone(),
                at,
                judgement: attempt.judge_event(at, kind),
            },
            Self::Detected { what, detected } => DomainEvent::Detected {
                what: *what,
                at,
                data: detected.data.clone(),
                judgement: attempt.judge_event(at, what.as_str()),
            },
        };
        Ok(vec![event])
    }
}

impl QuestionState<'_> {
    /// Returns the events that lead to this state: one change, or a flag besides that
    /// waited for the same commit.
    fn events_from(
        &self,
        attempt: &Attempt,
        at: Timestamp,
    ) -> Result<Vec<DomainEvent>, DamageReason> {
        let number = attempt.indexed_exam().question_number(self.q);
        let question = number.ok_or_else(|| DamageReason::Question(self.q.clone()))?;
        let known = attempt.answers().get(question);
        let (rev, flagged) = known.map_or((0, false), |answer| (answer.rev, answer.flagged));
        let marked = (flagged != self.flagged).then_some(DomainEvent::QuestionFlagged {
            seq: self.seq,
            question,
            on: self.flagged,
            at,
        });
        let answered = (rev != self.rev).then(|| DomainEvent::Answered {
            seq: self.seq,
            question,
            value: self.value.cloned(),
            rev: self.rev,
            at,
            spent: Duration::ZERO,
            late: self.late,
        });
        Ok(marked.into_iter().chain(answered).collect())
    }
}

fn section_index(attempt: &Attempt, id: &SectionId) -> Result<u16, DamageReason> {
    let sections = &attempt.indexed_exam().exam().sections;
    let index = sections.iter().position(|section| section.id == *id);
    index
        .and_then(|index| u16::try_from(index).ok())
        .ok_or_else(|| DamageReason::Section(id.clone()))
}

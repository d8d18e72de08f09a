//! The rules about integrity: what was noticed, and what follows from it.
//!
//! Only what happens while the clock runs is judged: nobody is blamed for what
//! they do in the lobby, in a pause, or after the hand-in. It is recorded all
//! the same.

use serde_json::{Value, json};

use super::{
    Attempt, Event, HandedInBy, Refusal, Status,
    command::{Action, CommandKey, NoticeLevel, Observation},
};
use crate::domain::{
    exam::{Consequence, Severity},
    integrity::{Closed, Detection, Judgement, Origin, Raised},
    time::Timestamp,
};

/// The sender of a rule's notices.
const RULES: &str = "Exam rules";

/// The kind of the incident that staff open by flagging an attempt.
const FLAGGED: &str = "flagged";

impl Attempt {
    /// What the client noticed.
    pub(super) fn observe(&self, now: Timestamp, observation: &Observation) -> Vec<Event> {
        let session = self.session.as_ref();
        if session.is_none_or(|session| observation.n <= session.applied_event) {
            return Vec::new();
        }
        let Observation {
            n,
            kind,
            client_at,
            data,
            dropped,
        } = observation.clone();
        let repeated = session.is_some_and(|session| {
            let integrity = &self.control.integrity;
            integrity.was_judged_before(&session.id, &kind, client_at)
        });
        let judgement = if dropped || repeated {
            Judgement::default()
        } else {
            self.judge(now, &kind)
        };
        let consequences = self.consequences(now, &kind, &judgement);
        let observed = Event::Observed {
            n,
            kind,
            client_at,
            data,
            at: now,
            judgement,
        };
        [vec![observed], consequences].concat()
    }

    /// What the engine noticed. Nothing where nobody asked for proctoring.
    pub(super) fn detect(&self, now: Timestamp, what: Detection, data: &Value) -> Vec<Event> {
        if !self.is_watched() {
            return Vec::new();
        }
        let judgement = self.judge(now, what.as_str());
        let consequences = self.consequences(now, what.as_str(), &judgement);
        let detected = Event::Detected {
            what,
            at: now,
            data: data.clone(),
            judgement,
        };
        [vec![detected], consequences].concat()
    }

    /// The candidate is connected: from the same place as before?
    pub(super) fn arrive(&self, now: Timestamp, origin: &Origin) -> Vec<Event> {
        let known = self.control.integrity.origin();
        if known == Some(origin) || !self.proctoring.enabled {
            return Vec::new();
        }
        let arrived = Event::Arrived {
            origin: origin.clone(),
        };
        let Some(known) = known else {
            return vec![arrived];
        };
        let data = json!({ "from": known, "to": origin });
        let detected = self.detect(now, Detection::AddressChanged, &data);
        [detected, vec![arrived]].concat()
    }

    /// Another device enters while one is connected.
    pub(super) fn takeover(&self, now: Timestamp) -> Vec<Event> {
        if self.connected() {
            self.detect(now, Detection::SessionTakenOver, &Value::Null)
        } else {
            Vec::new()
        }
    }

    /// Whether what is noticed now is judged.
    fn is_watched(&self) -> bool {
        let running = self.phase_is_taking() && self.control.ledger.paused_since.is_none();
        running && self.proctoring.enabled
    }

    /// What the rules make of an event, as things stand.
    pub fn judge(&self, now: Timestamp, kind: &str) -> Judgement {
        if self.is_watched() {
            self.control.integrity.judge(&self.proctoring, kind, now)
        } else {
            Judgement::default()
        }
    }

    /// What follows from a judgement: an incident for the proctors, and what the
    /// rules want done to the candidate, who is told.
    fn consequences(&self, now: Timestamp, kind: &str, judgement: &Judgement) -> Vec<Event> {
        let (Some(&gravest), Some(severity)) = (judgement.consequences.last(), judgement.severity)
        else {
            return Vec::new();
        };
        let raised = Raised {
            kind: kind.to_owned(),
            severity,
            at: now,
            events: judgement.events,
            then: gravest,
            note: None,
            by: None,
        };
        let mut events = vec![Event::IncidentRaised { raised }];
        let what = in_words(kind);
        let reason = Some(format!("A rule of the exam: {what}."));
        if gravest >= Consequence::Warn && gravest != Consequence::Cancel {
            events.push(Event::Noticed {
                text: notice(what, gravest),
                level: if gravest == Consequence::Warn {
                    NoticeLevel::Warning
                } else {
                    NoticeLevel::Urgent
                },
                ack: false,
                from: RULES.to_owned(),
                command: None,
            });
        }
        for consequence in &judgement.consequences {
            let reason = reason.clone();
            match consequence {
                Consequence::Note | Consequence::Warn => {}
                Consequence::Flag if self.control.flagged => {}
                Consequence::Flag => events.push(Event::Flagged { reason }),
                // To pause what is void in the same moment would be of no use.
                Consequence::Pause if gravest == Consequence::Cancel => {}
                Consequence::Pause => events.push(Event::Paused { at: now, reason }),
                Consequence::Cancel => events.push(Event::Cancelled { at: now, reason }),
            }
        }
        events
    }

    /// What staff do about an incident, in the exam and after it. None: the
    /// action is about something else.
    pub(super) fn review(
        &self,
        now: Timestamp,
        key: &CommandKey,
        action: &Action,
    ) -> Result<Option<Event>, Refusal> {
        let known = |id: &str| self.control.integrity.incident(id).is_some();
        match action {
            Action::Resolve { incident, .. } | Action::Assign { incident, .. }
                if !known(incident) =>
            {
                Err(Refusal::UnknownIncident)
            }
            Action::Resolve {
                incident,
                verdict,
                note,
            } => Ok(Some(Event::IncidentClosed {
                incident: incident.clone(),
                closed: Closed {
                    at: now,
                    by: key.person.clone(),
                    verdict: verdict.clone(),
                    note: note.clone(),
                },
            })),
            Action::Assign { incident, to } => Ok(Some(Event::IncidentAssigned {
                incident: incident.clone(),
                to: to.clone(),
            })),
            Action::Message { .. }
            | Action::Pause { .. }
            | Action::Resume { .. }
            | Action::Extend { .. }
            | Action::Submit { .. }
            | Action::Cancel { .. }
            | Action::Flag { .. }
            | Action::Unflag { .. }
            | Action::Release { .. } => Ok(None),
        }
    }

    /// What staff decide about an attempt that is held for its integrity: it counts,
    /// or it does not. Of any other one nothing changes after the hand-in.
    pub(super) fn end_review(&self, now: Timestamp, action: &Action) -> Result<Event, Refusal> {
        if self.status() != Status::Flagged {
            return Err(Refusal::AfterHandIn);
        }
        match action.clone() {
            Action::Unflag { reason } => Ok(Event::Unflagged { reason }),
            Action::Cancel { reason } => Ok(Event::Cancelled { at: now, reason }),
            Action::Message { .. }
            | Action::Pause { .. }
            | Action::Resume { .. }
            | Action::Extend { .. }
            | Action::Submit { .. }
            | Action::Flag { .. }
            | Action::Release { .. }
            | Action::Resolve { .. }
            | Action::Assign { .. } => Err(Refusal::AfterHandIn),
        }
    }

    /// The status of an attempt that is handed in and not held.
    pub(super) fn status_after(&self, by: HandedInBy) -> Status {
        let answers = self.answers.iter();
        let pending = answers
            .filter(|(_, answer)| answer.value.is_some())
            .any(|(number, _)| self.plan.needs_person(number));
        match (pending, by) {
            (false, _) => Status::Graded,
            (true, HandedInBy::Time) => Status::AutoSubmitted,
            (true, HandedInBy::Candidate | HandedInBy::Staff) => Status::Submitted,
        }
    }

    /// The incident that staff open by flagging.
    pub(super) fn raised_by_hand(
        now: Timestamp,
        key: &CommandKey,
        action: &Action,
    ) -> Option<Event> {
        let Action::Flag { reason } = action else {
            return None;
        };
        let raised = Raised {
            kind: FLAGGED.to_owned(),
            severity: Severity::High,
            at: now,
            events: 1,
            then: Consequence::Flag,
            note: reason.clone(),
            by: Some(key.person.clone()),
        };
        Some(Event::IncidentRaised { raised })
    }
}

/// What the candidate is told. Short, and in words that blame nobody.
fn notice(what: &str, then: Consequence) -> String {
    match then {
        Consequence::Note | Consequence::Warn => {
            format!("The rules of this exam were touched: {what}. Please keep to them.")
        }
        Consequence::Flag => {
            format!("The rules of this exam were touched: {what}. A person will look at it.")
        }
        Consequence::Pause | Consequence::Cancel => format!(
            "The rules of this exam were touched: {what}. \
             The exam is paused, and your time with it. Please wait for a proctor."
        ),
    }
}

/// What a kind of event is, for the candidate.
fn in_words(kind: &str) -> &str {
    match kind {
        "focus_lost" | "page_hidden" => "the exam's page was left",
        "fullscreen_exit" => "the full screen was left",
        "copy" | "cut" => "text was copied",
        "paste" => "text was pasted",
        "context_menu" => "a context menu was opened",
        "print" => "the page was printed",
        "screenshot" => "a picture of the screen was taken",
        "devtools" => "the developer tools were opened",
        "second_screen" => "there is a second screen",
        "face_absent" => "no face was seen",
        "face_multiple" => "more than one face was seen",
        "face_mismatch" => "another face was seen",
        "voice" => "a voice was heard",
        "phone" => "a telephone was seen",
        "virtual_machine" => "the exam runs in a virtual machine",
        "screen_share_stopped" => "the screen is no longer shared",
        "offline" | "heartbeat_lost" => "the connection was lost",
        "session_taken_over" => "the exam was opened on another device",
        "address_changed" => "the exam is taken from another place than before",
        "clock_skewed" => "the clock of this device was changed",
        "answer_too_fast" => "answers came faster than the questions can be read",
        "device_shared" => "somebody else takes the exam on this device",
        other => other,
    }
}

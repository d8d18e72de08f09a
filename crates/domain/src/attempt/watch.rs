//! Integrity rules: judgements of events and detections, and their consequences.
//!
//! Events are judged only while the clock runs: no candidate is blamed for the
//! lobby, a pause, or the time after the hand-in. They are recorded all the same.

use serde_json::{Value, json};

use super::{
    Attempt, DecideError, DomainEvent, HandedInBy, LifecycleStatus,
    command::{ClientEvent, CommandKey, NoticeUrgency, StaffAction},
};
use crate::{
    exam::{EventSeverity, RuleConsequence},
    integrity::{ConnectionOrigin, Detection, EventJudgement, IncidentClosure, IncidentTrigger},
    time::Timestamp,
};

/// Sender of the notices that rules cause.
const RULES_SENDER: &str = "Exam rules";

/// Kind of the incident that staff open by flagging an attempt.
const FLAG_KIND: &str = "flagged";

impl Attempt {
    /// Records an event of the client, and its consequences.
    pub(super) fn decide_observe(
        &self,
        now: Timestamp,
        observation: &ClientEvent,
    ) -> Vec<DomainEvent> {
        let session = self.session.as_ref();
        if session.is_none_or(|session| observation.n <= session.applied_event) {
            return Vec::new();
        }
        let ClientEvent {
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
            EventJudgement::default()
        } else {
            self.judge_event(now, &kind)
        };
        let consequences = self.consequence_events(now, &kind, &judgement);
        let observed = DomainEvent::Observed {
            n,
            kind,
            client_at,
            data,
            at: now,
            judgement,
        };
        [vec![observed], consequences].concat()
    }

    /// Records a detection of the engine, and its consequences. No events if the
    /// exam is not proctored.
    pub(super) fn decide_detect(
        &self,
        now: Timestamp,
        what: Detection,
        data: &Value,
    ) -> Vec<DomainEvent> {
        if !self.is_proctored() {
            return Vec::new();
        }
        let judgement = self.judge_event(now, what.as_str());
        let consequences = self.consequence_events(now, what.as_str(), &judgement);
        let detected = DomainEvent::Detected {
            what,
            at: now,
            data: data.clone(),
            judgement,
        };
        [vec![detected], consequences].concat()
    }

    /// Compares a connection's origin with the previous one.
    pub(super) fn decide_arrive(
        &self,
        now: Timestamp,
        origin: &ConnectionOrigin,
    ) -> Vec<DomainEvent> {
        let known = self.control.integrity.origin();
        if known == Some(origin) || !self.proctoring.enabled {
            return Vec::new();
        }
        let arrived = DomainEvent::Arrived {
            origin: origin.clone(),
        };
        let Some(known) = known else {
            return vec![arrived];
        };
        let data = json!({ "from": known, "to": origin });
        let detected = self.decide_detect(now, Detection::AddressChanged, &data);
        [detected, vec![arrived]].concat()
    }

    /// Detects a second device that enters while the first is connected.
    pub(super) fn detect_takeover(&self, now: Timestamp) -> Vec<DomainEvent> {
        if self.is_connected() {
            self.decide_detect(now, Detection::SessionTakenOver, &Value::Null)
        } else {
            Vec::new()
        }
    }

    /// Returns true if events are judged at present.
    fn is_proctored(&self) -> bool {
        let running = self.is_taking() && self.control.ledger.paused_since.is_none();
        running && self.proctoring.enabled
    }

    /// Judges an event by the rules in the current state.
    pub fn judge_event(&self, now: Timestamp, kind: &str) -> EventJudgement {
        if self.is_proctored() {
            self.control
                .integrity
                .judge_event(&self.proctoring, kind, now)
        } else {
            EventJudgement::default()
        }
    }

    /// Returns the consequences of a judgement: an incident for the proctors, the
    /// actions of the rules, and a notice to the candidate.
    fn consequence_events(
        &self,
        now: Timestamp,
        kind: &str,
        judgement: &EventJudgement,
    ) -> Vec<DomainEvent> {
        let (Some(&gravest), Some(severity)) = (judgement.consequences.last(), judgement.severity)
        else {
            return Vec::new();
        };
        let raised = IncidentTrigger {
            kind: kind.to_owned(),
            severity,
            at: now,
            events: judgement.events,
            then: gravest,
            note: None,
            by: None,
        };
        let mut events = vec![DomainEvent::IncidentRaised { raised }];
        let what = describe_kind(kind);
        let reason = Some(format!("A rule of the exam: {what}."));
        if gravest >= RuleConsequence::Warn && gravest != RuleConsequence::Cancel {
            events.push(DomainEvent::Noticed {
                text: notice_text(what, gravest),
                level: if gravest == RuleConsequence::Warn {
                    NoticeUrgency::Warning
                } else {
                    NoticeUrgency::Urgent
                },
                ack: false,
                from: RULES_SENDER.to_owned(),
                command: None,
            });
        }
        for consequence in &judgement.consequences {
            let reason = reason.clone();
            match consequence {
                RuleConsequence::Note | RuleConsequence::Warn => {}
                RuleConsequence::Flag if self.control.flagged => {}
                RuleConsequence::Flag => events.push(DomainEvent::Flagged { reason }),
                // A pause is pointless if the attempt is void in the same moment.
                RuleConsequence::Pause if gravest == RuleConsequence::Cancel => {}
                RuleConsequence::Pause => events.push(DomainEvent::Paused { at: now, reason }),
                RuleConsequence::Cancel => events.push(DomainEvent::Cancelled { at: now, reason }),
            }
        }
        events
    }

    /// Decides an action of staff on an incident, in the exam and after it. Returns
    /// `None` for other actions.
    pub(super) fn decide_incident_action(
        &self,
        now: Timestamp,
        key: &CommandKey,
        action: &StaffAction,
    ) -> Result<Option<DomainEvent>, DecideError> {
        let known = |id: &str| self.control.integrity.incident(id).is_some();
        match action {
            StaffAction::Resolve { incident, .. } | StaffAction::Assign { incident, .. }
                if !known(incident) =>
            {
                Err(DecideError::UnknownIncident)
            }
            StaffAction::Resolve {
                incident,
                verdict,
                note,
            } => Ok(Some(DomainEvent::IncidentClosed {
                incident: incident.clone(),
                closed: IncidentClosure {
                    at: now,
                    by: key.person.clone(),
                    verdict: verdict.clone(),
                    note: note.clone(),
                },
            })),
            StaffAction::Assign { incident, to } => Ok(Some(DomainEvent::IncidentAssigned {
                incident: incident.clone(),
                to: to.clone(),
            })),
            StaffAction::Message { .. }
            | StaffAction::Pause { .. }
            | StaffAction::Resume { .. }
            | StaffAction::Extend { .. }
            | StaffAction::Submit { .. }
            | StaffAction::Cancel { .. }
            | StaffAction::Flag { .. }
            | StaffAction::Unflag { .. }
            | StaffAction::Release { .. } => Ok(None),
        }
    }

    /// Decides the result of an integrity review: the attempt counts, or is void.
    /// An attempt without a review does not change after the hand-in.
    pub(super) fn decide_after_hand_in(
        &self,
        now: Timestamp,
        action: &StaffAction,
    ) -> Result<DomainEvent, DecideError> {
        if self.status() != LifecycleStatus::Flagged {
            return Err(DecideError::AfterHandIn);
        }
        match action.clone() {
            StaffAction::Unflag { reason } => Ok(DomainEvent::Unflagged { reason }),
            StaffAction::Cancel { reason } => Ok(DomainEvent::Cancelled { at: now, reason }),
            StaffAction::Message { .. }
            | StaffAction::Pause { .. }
            | StaffAction::Resume { .. }
            | StaffAction::Extend { .. }
            | StaffAction::Submit { .. }
            | StaffAction::Flag { .. }
            | StaffAction::Release { .. }
            | StaffAction::Resolve { .. }
            | StaffAction::Assign { .. } => Err(DecideError::AfterHandIn),
        }
    }

    /// Status of an attempt that is handed in and not held for a review.
    pub(super) fn status_after_hand_in(&self, by: HandedInBy) -> LifecycleStatus {
        let answers = self.answers.iter();
        let pending = answers
            .filter(|(_, answer)| answer.value.is_some())
            .any(|(number, _)| self.indexed_exam.needs_marking(number));
        LifecycleStatus::after_hand_in(by, pending)
    }

    /// Returns the incident that staff open by flagging.
    pub(super) fn incident_of_flag(
        now: Timestamp,
        key: &CommandKey,
        action: &StaffAction,
    ) -> Option<DomainEvent> {
        let StaffAction::Flag { reason } = action else {
            return None;
        };
        let raised = IncidentTrigger {
            kind: FLAG_KIND.to_owned(),
            severity: EventSeverity::High,
            at: now,
            events: 1,
            then: RuleConsequence::Flag,
            note: reason.clone(),
            by: Some(key.person.clone()),
        };
        Some(DomainEvent::IncidentRaised { raised })
    }
}

/// Text of the notice to the candidate: short, and without blame.
fn notice_text(what: &str, then: RuleConsequence) -> String {
    match then {
        RuleConsequence::Note | RuleConsequence::Warn => {
            format!("A rule of this exam applies: {what}. Please follow the exam's rules.")
        }
        RuleConsequence::Flag => {
            format!("A rule of this exam applies: {what}. A person will review it.")
        }
        RuleConsequence::Pause | RuleConsequence::Cancel => format!(
            "A rule of this exam applies: {what}. \
             The exam is paused, and your time with it. Please wait for a proctor."
        ),
    }
}

/// Describes a kind of event to the candidate.
fn describe_kind(kind: &str) -> &str {
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

//! All rules of an attempt: the events that a command causes in the current state.

use super::{
    Attempt, AttemptCommand, AttemptPhase, CommandRefusal, DecideError, DomainEvent, HandedInBy,
    LifecycleStatus,
    command::{CandidateCommand, CommandKey, StaffAction},
};
use crate::{
    exam::SessionPolicy,
    id::{QuestionId, SessionId},
    time::Timestamp,
    timing::CompensationCause,
    value::{self, CanonicalValue},
};

/// A clock that waited for the opening starts at the opening, not at the tick,
/// if the tick is at most this late: all candidates get the same deadline. With a
/// later tick the candidate could not have begun, and gets the full time.
const OPENING_SLACK_MS: i64 = 1_000;

impl Attempt {
    /// Returns the events that a command causes; none for a repeated command.
    ///
    /// # Errors
    /// A [`DecideError`] if the command has no effect and uses up no number.
    pub fn decide(
        &self,
        now: Timestamp,
        command: &AttemptCommand,
    ) -> Result<Vec<DomainEvent>, DecideError> {
        match command {
            AttemptCommand::Enter { resume, fresh } => {
                self.decide_enter(now, resume.as_ref(), fresh)
            }
            AttemptCommand::Leave => Ok(self.decide_leave(now)),
            AttemptCommand::Numbered { seq, what } => self.decide_numbered(now, *seq, what),
            AttemptCommand::Observe(observation) => Ok(self.decide_observe(now, observation)),
            AttemptCommand::Detect { what, data } => Ok(self.decide_detect(now, *what, data)),
            AttemptCommand::Arrive { origin } => Ok(self.decide_arrive(now, origin)),
            AttemptCommand::AcknowledgeNotice { id } => Ok(self.decide_acknowledge(id)),
            AttemptCommand::Tick => Ok(self.decide_tick(now)),
            AttemptCommand::Outage { from, until } => Ok(self.decide_outage(*from, *until)),
            AttemptCommand::Staff { key, action } => self.decide_staff(now, key, action),
        }
    }

    fn decide_enter(
        &self,
        now: Timestamp,
        resume: Option<&SessionId>,
        fresh: &SessionId,
    ) -> Result<Vec<DomainEvent>, DecideError> {
        if self.is_over() {
            return Err(DecideError::Closed);
        }
        let owner = self.session.as_ref().map(|session| &session.id);
        let resumes = resume.is_some() && resume == owner;
        let mut events = Vec::new();
        if resumes {
            events.push(DomainEvent::SessionResumed);
        } else {
            if owner.is_some() {
                match self.indexed_exam.exam().session_policy {
                    SessionPolicy::Takeover => {}
                    SessionPolicy::Reject if self.control.released => {}
                    SessionPolicy::Reject => return Err(DecideError::AnotherDevice),
                }
            }
            events.extend(self.detect_takeover(now));
            events.push(DomainEvent::SessionOpened {
                session: fresh.clone(),
            });
        }
        let credit = self.control.ledger.absence_credit(&self.allowance, now);
        if let Some(from) = self.control.ledger.away_since
            && !credit.is_zero()
        {
            events.push(DomainEvent::Compensated {
                from,
                by: credit,
                cause: CompensationCause::Network,
            });
        }
        if self.control.phase == AttemptPhase::Waiting && self.exam_has_opened(now) {
            events.extend(self.start_clock(now));
        }
        Ok(events)
    }

    fn exam_has_opened(&self, now: Timestamp) -> bool {
        self.indexed_exam
            .exam()
            .available_from
            .is_none_or(|opens| now >= opens)
    }

    fn start_clock(&self, at: Timestamp) -> Vec<DomainEvent> {
        let mut events = vec![DomainEvent::ClockStarted { at }];
        if let Some(&(section, _)) = self.allowance.sections.first() {
            events.push(DomainEvent::SectionChanged {
                section: Some(section),
            });
        }
        events
    }

    fn decide_leave(&self, now: Timestamp) -> Vec<DomainEvent> {
        if self.is_connected() {
            vec![DomainEvent::Left { at: now }]
        } else {
            Vec::new()
        }
    }

    fn decide_numbered(
        &self,
        now: Timestamp,
        seq: u64,
        what: &CandidateCommand,
    ) -> Result<Vec<DomainEvent>, DecideError> {
        let session = self.session.as_ref().ok_or(DecideError::Closed)?;
        let applied = session.applied_seq;
        if seq <= applied {
            return Ok(Vec::new());
        }
        if seq > applied + 1 {
            return Err(DecideError::Gap {
                expected: applied + 1,
            });
        }
        let event = match what {
            CandidateCommand::Answer {
                question, value, ..
            } => self
                .decide_answer(now, seq, what)
                .unwrap_or_else(|refused| DomainEvent::Refused {
                    seq,
                    code: refused.code,
                    detail: refused.detail,
                    question: Some(question.clone()),
                    kept: value
                        .as_ref()
                        .filter(|_| refused.code.keeps_text())
                        .map(|value| CanonicalValue::from(value.to_string())),
                    stored: refused.stored,
                }),
            CandidateCommand::Flag { question, on } => match self.open_question(now, question) {
                Ok(number) => DomainEvent::QuestionFlagged {
                    seq,
                    question: number,
                    on: *on,
                    at: now,
                },
                Err(refused) => refused.into_event(seq, Some(question.clone())),
            },
            CandidateCommand::Submit => match self.check_open(now) {
                Ok(()) => self.hand_in_event(now, HandedInBy::Candidate, Some(seq), None),
                Err(refused) => refused.into_event(seq, None),
            },
        };
        Ok(vec![event])
    }

    fn decide_answer(
        &self,
        now: Timestamp,
        seq: u64,
        what: &CandidateCommand,
    ) -> Result<DomainEvent, RefusedCommand> {
        let CandidateCommand::Answer {
            question,
            value,
            base_rev,
            spent,
            bad_field,
        } = what
        else {
            return Err(RefusedCommand::new(
                CommandRefusal::BadValue,
                "not an answer",
            ));
        };
        let number = self.open_question(now, question)?;
        if let Some(field) = bad_field {
            return Err(RefusedCommand::new(CommandRefusal::BadValue, field));
        }
        let Some(value) = value else {
            return Err(RefusedCommand::new(
                CommandRefusal::BadValue,
                "the value holds what cannot be kept",
            ));
        };
        let canonical = value::check_answer(self.indexed_exam.question(number), value)
            .map_err(|bad| RefusedCommand::new(CommandRefusal::BadValue, bad.reason()))?;
        if canonical
            .as_ref()
            .is_some_and(|text| text.len() > self.answer_size_max)
        {
            return Err(RefusedCommand::new(
                CommandRefusal::TooLarge,
                "the answer is too long",
            ));
        }
        let stored = self.answers.get(number);
        let rev = stored.map_or(0, |answer| answer.rev);
        if base_rev.is_some_and(|base| base < rev) {
            return Err(RefusedCommand {
                code: CommandRefusal::Conflict,
                detail: "the stored answer is newer",
                stored: Some((rev, stored.and_then(|answer| answer.value.clone()))),
            });
        }
        let late = self.deadline(now).is_some_and(|deadline| now > deadline);
        Ok(DomainEvent::Answered {
            seq,
            question: number,
            value: canonical,
            rev: rev.saturating_add(1),
            at: now,
            spent: *spent,
            late,
        })
    }

    /// Returns the number of a question whose answer may be changed at `now`.
    fn open_question(&self, now: Timestamp, question: &QuestionId) -> Result<u16, RefusedCommand> {
        self.check_open(now)?;
        let number = self
            .indexed_exam
            .question_number(question)
            .ok_or(RefusedCommand::new(
                CommandRefusal::UnknownQuestion,
                "no such question in this paper",
            ))?;
        let section = self.indexed_exam.section_index(number);
        if self
            .control
            .ledger
            .section_is_open(&self.allowance, section, now)
        {
            Ok(number)
        } else {
            Err(RefusedCommand::new(
                CommandRefusal::Locked,
                "this section is not open",
            ))
        }
    }

    /// Checks that answers may be changed at `now`.
    fn check_open(&self, now: Timestamp) -> Result<(), RefusedCommand> {
        match self.control.phase {
            AttemptPhase::Waiting => Err(RefusedCommand::new(
                CommandRefusal::NotOpen,
                "the exam is not open yet",
            )),
            AttemptPhase::HandedIn {
                by: HandedInBy::Time,
                ..
            } => Err(RefusedCommand::new(
                CommandRefusal::TimeOver,
                "the time is over",
            )),
            AttemptPhase::HandedIn {
                by: HandedInBy::Candidate | HandedInBy::Staff,
                ..
            } => Err(RefusedCommand::new(
                CommandRefusal::Closed,
                "the attempt is handed in",
            )),
            AttemptPhase::Cancelled { .. } => Err(RefusedCommand::new(
                CommandRefusal::Closed,
                "the attempt is void",
            )),
            AttemptPhase::Taking => match self.control.ledger.hand_in_at(&self.allowance) {
                None => Err(RefusedCommand::new(
                    CommandRefusal::Paused,
                    "the attempt is paused",
                )),
                Some(end) if now >= end => Err(RefusedCommand::new(
                    CommandRefusal::TimeOver,
                    "the time is over",
                )),
                Some(_) => Ok(()),
            },
        }
    }

    fn decide_acknowledge(&self, id: &str) -> Vec<DomainEvent> {
        if self.control.notices.iter().any(|notice| notice.id == id) {
            vec![DomainEvent::NoticeAcknowledged { id: id.to_owned() }]
        } else {
            Vec::new()
        }
    }

    fn decide_tick(&self, now: Timestamp) -> Vec<DomainEvent> {
        let exam = self.indexed_exam.exam();
        match self.control.phase {
            AttemptPhase::Waiting if exam.available_until.is_some_and(|end| now >= end) => {
                let at = exam.available_until.unwrap_or(now);
                vec![self.hand_in_event(at, HandedInBy::Time, None, None)]
            }
            AttemptPhase::Waiting if self.is_connected() && self.exam_has_opened(now) => {
                let opened = exam.available_from.unwrap_or(now);
                let late = now.as_ms() - opened.as_ms() > OPENING_SLACK_MS;
                self.start_clock(if late { now } else { opened })
            }
            AttemptPhase::Taking => match self.control.ledger.hand_in_at(&self.allowance) {
                Some(end) if now >= end => {
                    vec![self.hand_in_event(end, HandedInBy::Time, None, None)]
                }
                Some(_) => {
                    let running = self.running_section(now).map(|(section, _)| section);
                    if running == self.control.section {
                        Vec::new()
                    } else {
                        vec![DomainEvent::SectionChanged { section: running }]
                    }
                }
                None => Vec::new(),
            },
            AttemptPhase::Waiting
            | AttemptPhase::HandedIn { .. }
            | AttemptPhase::Cancelled { .. } => Vec::new(),
        }
    }

    fn decide_outage(&self, from: Timestamp, until: Timestamp) -> Vec<DomainEvent> {
        let ledger = &self.control.ledger;
        let credit = ledger.outage_credit(&self.allowance, from, until);
        match ledger.entered_at {
            Some(entered) if self.is_taking() && !credit.is_zero() => {
                let from = from.max(entered);
                vec![DomainEvent::Compensated {
                    from,
                    by: credit,
                    cause: CompensationCause::Outage,
                }]
            }
            Some(_) | None => Vec::new(),
        }
    }

    fn decide_staff(
        &self,
        now: Timestamp,
        key: &CommandKey,
        action: &StaffAction,
    ) -> Result<Vec<DomainEvent>, DecideError> {
        if self.control.commands.contains(key) {
            return Ok(Vec::new());
        }
        if let Some(event) = self.decide_incident_action(now, key, action)? {
            return Ok(vec![event, DomainEvent::CommandDone { key: key.clone() }]);
        }
        if self.is_over() {
            let event = self.decide_after_hand_in(now, action)?;
            return Ok(vec![event, DomainEvent::CommandDone { key: key.clone() }]);
        }
        let paused = self.control.ledger.paused_since.is_some();
        let event = match action.clone() {
            StaffAction::Message {
                text,
                level,
                ack,
                from,
            } => DomainEvent::Noticed {
                text,
                level,
                ack,
                from,
                command: Some(key.clone()),
            },
            StaffAction::Pause { .. } if paused => return Err(DecideError::AlreadyPaused),
            StaffAction::Pause { .. } | StaffAction::Extend { .. } | StaffAction::Resume { .. }
                if !self.is_taking() =>
            {
                let resumes = matches!(action, StaffAction::Resume { .. });
                return Err(if resumes {
                    DecideError::NotPaused
                } else {
                    DecideError::NotStarted
                });
            }
            StaffAction::Pause { reason } => DomainEvent::Paused { at: now, reason },
            StaffAction::Resume { .. } if !paused => return Err(DecideError::NotPaused),
            StaffAction::Resume { reason } => DomainEvent::Resumed { at: now, reason },
            StaffAction::Extend { by, reason } => DomainEvent::Extended {
                at: now,
                by,
                reason,
            },
            StaffAction::Submit { reason } => {
                self.hand_in_event(now, HandedInBy::Staff, None, reason)
            }
            StaffAction::Cancel { reason } => DomainEvent::Cancelled { at: now, reason },
            StaffAction::Flag { reason } => DomainEvent::Flagged { reason },
            StaffAction::Unflag { reason } => DomainEvent::Unflagged { reason },
            StaffAction::Release { reason } => DomainEvent::Released { reason },
            StaffAction::Resolve { .. } | StaffAction::Assign { .. } => {
                return Err(DecideError::UnknownIncident);
            }
        };
        let raised = Self::incident_of_flag(now, key, action);
        let done = DomainEvent::CommandDone { key: key.clone() };
        Ok([Some(event), raised, Some(done)]
            .into_iter()
            .flatten()
            .collect())
    }

    fn hand_in_event(
        &self,
        at: Timestamp,
        by: HandedInBy,
        seq: Option<u64>,
        reason: Option<String>,
    ) -> DomainEvent {
        let status = if self.control.flagged {
            LifecycleStatus::Flagged
        } else {
            self.status_after_hand_in(by)
        };
        // The final deadline counts: an answer that was late may be in time after
        // an extension.
        let deadline = self.deadline(at);
        let is_late = |at| deadline.is_some_and(|deadline| at > deadline);
        let answered_late = self
            .answers
            .iter()
            .any(|(_, answer)| answer.rev > 0 && is_late(answer.answered_at));
        // Only the candidate's own hand-in can be late, not one by time or staff.
        let late = answered_late || (by == HandedInBy::Candidate && is_late(at));
        DomainEvent::HandedIn {
            at,
            by,
            seq,
            status,
            late,
            reason,
        }
    }
}

/// A refused command, before its number and question make it an event.
struct RefusedCommand {
    code: CommandRefusal,
    detail: &'static str,
    stored: Option<(u32, Option<CanonicalValue>)>,
}

impl RefusedCommand {
    const fn new(code: CommandRefusal, detail: &'static str) -> Self {
        Self {
            code,
            detail,
            stored: None,
        }
    }

    fn into_event(self, seq: u64, question: Option<QuestionId>) -> DomainEvent {
        let Self {
            code,
            detail,
            stored,
        } = self;
        DomainEvent::Refused {
            seq,
            code,
            detail,
            question,
            kept: None,
            stored,
        }
    }
}

//! Every rule of an attempt: what a command leads to, as things stand.

use super::{
    Attempt, Command, Event, HandedInBy, Phase, Refusal, Status, Void,
    command::{Action, CommandKey, Numbered},
};
use crate::domain::{
    exam::SessionPolicy,
    id::{QuestionId, SessionId},
    time::Timestamp,
    timing::Cause,
    value::{self, Canonical},
};

/// A clock that waited for the opening begins at the opening, not at the tick,
/// as long as the tick is not later than this: everyone gets the same deadline.
/// Later than that, the candidate could not have begun, and gets the time.
const OPENING_SLACK_MS: i64 = 1_000;

impl Attempt {
    /// Says what a command leads to. An empty list: a repeat, nothing to do.
    ///
    /// # Errors
    /// A [`Refusal`] where the command has no effect, not even on a count.
    pub fn decide(&self, now: Timestamp, command: &Command) -> Result<Vec<Event>, Refusal> {
        match command {
            Command::Enter { resume, fresh } => self.enter(now, resume.as_ref(), fresh),
            Command::Leave => Ok(self.leave(now)),
            Command::Numbered { seq, what } => self.numbered(now, *seq, what),
            Command::Observe(observation) => Ok(self.observe(now, observation)),
            Command::Detect { what, data } => Ok(self.detect(now, *what, data)),
            Command::Arrive { origin } => Ok(self.arrive(now, origin)),
            Command::AcknowledgeNotice { id } => Ok(self.acknowledge(id)),
            Command::Tick => Ok(self.tick(now)),
            Command::Outage { from, until } => Ok(self.outage(*from, *until)),
            Command::Staff { key, action } => self.staff(now, key, action),
        }
    }

    fn enter(
        &self,
        now: Timestamp,
        resume: Option<&SessionId>,
        fresh: &SessionId,
    ) -> Result<Vec<Event>, Refusal> {
        if self.is_over() {
            return Err(Refusal::Closed);
        }
        let owner = self.session.as_ref().map(|session| &session.id);
        let resumes = resume.is_some() && resume == owner;
        let mut events = Vec::new();
        if resumes {
            events.push(Event::SessionResumed);
        } else {
            let policy = self.plan.exam().session_policy;
            if owner.is_some() && policy == SessionPolicy::Reject && !self.control.released {
                return Err(Refusal::AnotherDevice);
            }
            events.extend(self.takeover(now));
            events.push(Event::SessionOpened {
                session: fresh.clone(),
            });
        }
        let credit = self.control.ledger.absence_credit(&self.allowance, now);
        if let Some(from) = self.control.ledger.away_since
            && !credit.is_zero()
        {
            events.push(Event::Compensated {
                from,
                by: credit,
                cause: Cause::Network,
            });
        }
        if self.control.phase == Phase::Waiting && self.exam_has_opened(now) {
            events.extend(self.start_clock(now));
        }
        Ok(events)
    }

    fn exam_has_opened(&self, now: Timestamp) -> bool {
        self.plan
            .exam()
            .available_from
            .is_none_or(|opens| now >= opens)
    }

    fn start_clock(&self, at: Timestamp) -> Vec<Event> {
        let mut events = vec![Event::ClockStarted { at }];
        if let Some(&(section, _)) = self.allowance.sections.first() {
            events.push(Event::SectionChanged {
                section: Some(section),
            });
        }
        events
    }

    fn leave(&self, now: Timestamp) -> Vec<Event> {
        if self.connected() {
            vec![Event::Left { at: now }]
        } else {
            Vec::new()
        }
    }

    fn numbered(&self, now: Timestamp, seq: u64, what: &Numbered) -> Result<Vec<Event>, Refusal> {
        let session = self.session.as_ref().ok_or(Refusal::Closed)?;
        let applied = session.applied_seq;
        if seq <= applied {
            return Ok(Vec::new());
        }
        if seq > applied + 1 {
            return Err(Refusal::Gap {
                expected: applied + 1,
            });
        }
        let event = match what {
            Numbered::Answer {
                question, value, ..
            } => self
                .answer(now, seq, what)
                .unwrap_or_else(|refused| Event::Refused {
                    seq,
                    code: refused.code,
                    detail: refused.detail,
                    question: Some(question.clone()),
                    kept: value
                        .as_ref()
                        .filter(|_| refused.code.keeps_text())
                        .map(|value| Canonical::from(value.to_string())),
                    stored: refused.stored,
                }),
            Numbered::Flag { question, on } => match self.writable(now, question) {
                Ok(number) => Event::QuestionFlagged {
                    seq,
                    question: number,
                    on: *on,
                    at: now,
                },
                Err(refused) => refused.into_event(seq, Some(question.clone())),
            },
            Numbered::Submit => match self.open(now) {
                Ok(()) => self.hand_in(now, HandedInBy::Candidate, Some(seq), None),
                Err(refused) => refused.into_event(seq, None),
            },
        };
        Ok(vec![event])
    }

    fn answer(&self, now: Timestamp, seq: u64, what: &Numbered) -> Result<Event, Refused> {
        let Numbered::Answer {
            question,
            value,
            base_rev,
            spent,
            bad_field,
        } = what
        else {
            return Err(Refused::new(Void::BadValue, "not an answer"));
        };
        let number = self.writable(now, question)?;
        if let Some(field) = bad_field {
            return Err(Refused::new(Void::BadValue, field));
        }
        let Some(value) = value else {
            return Err(Refused::new(
                Void::BadValue,
                "the value holds what cannot be kept",
            ));
        };
        let canonical = value::check(self.plan.question(number), value)
            .map_err(|bad| Refused::new(Void::BadValue, bad.reason()))?;
        if canonical
            .as_ref()
            .is_some_and(|text| text.len() > self.answer_size_max)
        {
            return Err(Refused::new(Void::TooLarge, "the answer is too long"));
        }
        let stored = self.answers.get(number);
        let rev = stored.map_or(0, |answer| answer.rev);
        if base_rev.is_some_and(|base| base < rev) {
            return Err(Refused {
                code: Void::Conflict,
                detail: "the stored answer is newer",
                stored: Some((rev, stored.and_then(|answer| answer.value.clone()))),
            });
        }
        let late = self.deadline(now).is_some_and(|deadline| now > deadline);
        Ok(Event::Answered {
            seq,
            question: number,
            value: canonical,
            rev: rev.saturating_add(1),
            at: now,
            spent: *spent,
            late,
        })
    }

    /// The number of a question that may be changed at `now`.
    fn writable(&self, now: Timestamp, question: &QuestionId) -> Result<u16, Refused> {
        self.open(now)?;
        let number = self.plan.number(question).ok_or(Refused::new(
            Void::UnknownQuestion,
            "no such question in this paper",
        ))?;
        let section = self.plan.section(number);
        if self
            .control
            .ledger
            .section_is_open(&self.allowance, section, now)
        {
            Ok(number)
        } else {
            Err(Refused::new(Void::Locked, "this section is not open"))
        }
    }

    /// Whether the record may be changed at `now`.
    fn open(&self, now: Timestamp) -> Result<(), Refused> {
        match self.control.phase {
            Phase::Waiting => Err(Refused::new(Void::NotOpen, "the exam is not open yet")),
            Phase::HandedIn {
                by: HandedInBy::Time,
                ..
            } => Err(Refused::new(Void::TimeOver, "the time is over")),
            Phase::HandedIn {
                by: HandedInBy::Candidate | HandedInBy::Staff,
                ..
            } => Err(Refused::new(Void::Closed, "the attempt is handed in")),
            Phase::Cancelled { .. } => Err(Refused::new(Void::Closed, "the attempt is void")),
            Phase::Taking => match self.control.ledger.hand_in_at(&self.allowance) {
                None => Err(Refused::new(Void::Paused, "the attempt is paused")),
                Some(end) if now >= end => Err(Refused::new(Void::TimeOver, "the time is over")),
                Some(_) => Ok(()),
            },
        }
    }

    fn acknowledge(&self, id: &str) -> Vec<Event> {
        if self.control.notices.iter().any(|notice| notice.id == id) {
            vec![Event::NoticeAcknowledged { id: id.to_owned() }]
        } else {
            Vec::new()
        }
    }

    fn tick(&self, now: Timestamp) -> Vec<Event> {
        let exam = self.plan.exam();
        match self.control.phase {
            Phase::Waiting if exam.available_until.is_some_and(|end| now >= end) => {
                let at = exam.available_until.unwrap_or(now);
                vec![self.hand_in(at, HandedInBy::Time, None, None)]
            }
            Phase::Waiting if self.connected() && self.exam_has_opened(now) => {
                let opened = exam.available_from.unwrap_or(now);
                let late = now.as_ms() - opened.as_ms() > OPENING_SLACK_MS;
                self.start_clock(if late { now } else { opened })
            }
            Phase::Taking => match self.control.ledger.hand_in_at(&self.allowance) {
                Some(end) if now >= end => {
                    vec![self.hand_in(end, HandedInBy::Time, None, None)]
                }
                Some(_) => {
                    let running = self.section(now).map(|(section, _)| section);
                    if running == self.control.section {
                        Vec::new()
                    } else {
                        vec![Event::SectionChanged { section: running }]
                    }
                }
                None => Vec::new(),
            },
            Phase::Waiting | Phase::HandedIn { .. } | Phase::Cancelled { .. } => Vec::new(),
        }
    }

    fn outage(&self, from: Timestamp, until: Timestamp) -> Vec<Event> {
        let ledger = &self.control.ledger;
        let credit = ledger.outage_credit(&self.allowance, from, until);
        match ledger.entered_at {
            Some(entered) if self.phase_is_taking() && !credit.is_zero() => {
                let from = from.max(entered);
                vec![Event::Compensated {
                    from,
                    by: credit,
                    cause: Cause::Outage,
                }]
            }
            Some(_) | None => Vec::new(),
        }
    }

    fn staff(
        &self,
        now: Timestamp,
        key: &CommandKey,
        action: &Action,
    ) -> Result<Vec<Event>, Refusal> {
        if self.control.commands.contains(key) {
            return Ok(Vec::new());
        }
        if let Some(event) = self.review(now, key, action)? {
            return Ok(vec![event, Event::CommandDone { key: key.clone() }]);
        }
        if self.is_over() {
            let event = self.end_review(now, action)?;
            return Ok(vec![event, Event::CommandDone { key: key.clone() }]);
        }
        let paused = self.control.ledger.paused_since.is_some();
        let event = match action.clone() {
            Action::Message {
                text,
                level,
                ack,
                from,
            } => Event::Noticed {
                text,
                level,
                ack,
                from,
                command: Some(key.clone()),
            },
            Action::Pause { .. } if paused => return Err(Refusal::AlreadyPaused),
            Action::Pause { .. } | Action::Extend { .. } | Action::Resume { .. }
                if !self.phase_is_taking() =>
            {
                let resumes = matches!(action, Action::Resume { .. });
                return Err(if resumes {
                    Refusal::NotPaused
                } else {
                    Refusal::NotStarted
                });
            }
            Action::Pause { reason } => Event::Paused { at: now, reason },
            Action::Resume { .. } if !paused => return Err(Refusal::NotPaused),
            Action::Resume { reason } => Event::Resumed { at: now, reason },
            Action::Extend { by, reason } => Event::Extended {
                at: now,
                by,
                reason,
            },
            Action::Submit { reason } => self.hand_in(now, HandedInBy::Staff, None, reason),
            Action::Cancel { reason } => Event::Cancelled { at: now, reason },
            Action::Flag { reason } => Event::Flagged { reason },
            Action::Unflag { reason } => Event::Unflagged { reason },
            Action::Release { reason } => Event::Released { reason },
            Action::Resolve { .. } | Action::Assign { .. } => {
                return Err(Refusal::UnknownIncident);
            }
        };
        let raised = Self::raised_by_hand(now, key, action);
        let done = Event::CommandDone { key: key.clone() };
        Ok([Some(event), raised, Some(done)]
            .into_iter()
            .flatten()
            .collect())
    }

    fn hand_in(
        &self,
        at: Timestamp,
        by: HandedInBy,
        seq: Option<u64>,
        reason: Option<String>,
    ) -> Event {
        let status = if self.control.flagged {
            Status::Flagged
        } else {
            self.status_after(by)
        };
        // The deadline that counts is the final one: what came after it may be
        // timely by now.
        let deadline = self.deadline(at);
        let is_late = |at| deadline.is_some_and(|deadline| at > deadline);
        let answered_late = self
            .answers
            .iter()
            .any(|(_, answer)| answer.rev > 0 && is_late(answer.answered_at));
        // Only the candidate's own hand-in can be late: time and staff end it
        // when they do.
        let late = answered_late || (by == HandedInBy::Candidate && is_late(at));
        Event::HandedIn {
            at,
            by,
            seq,
            status,
            late,
            reason,
        }
    }
}

/// Why a numbered command is void, before it is put into an event.
struct Refused {
    code: Void,
    detail: &'static str,
    stored: Option<(u32, Option<Canonical>)>,
}

impl Refused {
    const fn new(code: Void, detail: &'static str) -> Self {
        Self {
            code,
            detail,
            stored: None,
        }
    }

    fn into_event(self, seq: u64, question: Option<QuestionId>) -> Event {
        let Self {
            code,
            detail,
            stored,
        } = self;
        Event::Refused {
            seq,
            code,
            detail,
            question,
            kept: None,
            stored,
        }
    }
}

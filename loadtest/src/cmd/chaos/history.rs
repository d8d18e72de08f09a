//! Answers and acknowledgements of a candidate, and their comparison with the store.
//!
//! Every answer is a unique text, `c17-42` for the 42nd of candidate 17, so that a
//! stored one identifies itself. A candidate has one device, so the stored answer to a
//! question is the last one reported as saved, or a later one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use invigil_client::{
    ClientUpdate, Ticket,
    protocol::{
        candidate::{CandidateNotice, ServerMessage},
        code::RefusalCode,
    },
};
use serde_json::Value;
use tokio::time::Instant;

use super::{database::DatabaseAttempt, events::SentEvents, exam::QUESTIONS};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AnswerFate {
    Waiting,
    Saved,
    /// Refused for good.
    Void,
}

#[derive(Debug)]
struct GivenAnswer {
    question: usize,
    fate: AnswerFate,
    /// True if it was saved before a later answer to the question was given: no later
    /// answer can have replaced it before the commit.
    committed_alone: bool,
}

/// Code of a refusal that was lost with a connection.
const UNHEARD: &str = "unheard";

/// The newest saved answer to each question, at one moment.
pub(crate) type NewestSaved = BTreeMap<usize, Ticket>;

/// The history of a candidate; see the module.
#[derive(Debug)]
pub(crate) struct CandidateHistory {
    number: usize,
    /// By ticket; the first ticket is 1.
    given: Vec<GivenAnswer>,
    /// Number of saved answers, and of those not settled.
    saved: usize,
    waiting: usize,
    newest_saved: NewestSaved,
    /// Answers that the client found to be refused by the stored answers.
    unheard: BTreeSet<Ticket>,
    pub(crate) events: SentEvents,
    /// Received notices by text, and those that still need an acknowledgement.
    pub(crate) notices: BTreeMap<String, u64>,
    unseen: Vec<String>,
    /// The engine's clock at an instant of the local one, from the first `welcome`.
    clock: Option<(i64, Instant)>,
    /// Refusals by code.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Time of the last settled answer, or of the first answer given since.
    asked_at: Instant,
    /// Longest time without a `saved` while answers waited, and its end.
    pub(crate) longest: (Duration, Instant),
    /// Times when the candidate entered.
    pub(crate) entered_at: Vec<Instant>,
    pub(crate) receipts: Vec<Value>,
    /// Reason why the client has ended.
    pub(crate) closed: Option<String>,
}

impl CandidateHistory {
    pub(crate) fn new(number: usize) -> Self {
        let now = Instant::now();
        Self {
            number,
            given: Vec::new(),
            saved: 0,
            waiting: 0,
            newest_saved: BTreeMap::new(),
            unheard: BTreeSet::new(),
            events: SentEvents::new(number),
            notices: BTreeMap::new(),
            unseen: Vec::new(),
            clock: None,
            refused: BTreeMap::new(),
            asked_at: now,
            longest: (Duration::ZERO, now),
            entered_at: Vec::new(),
            receipts: Vec::new(),
            closed: None,
        }
    }

    /// Returns the next answer, to this question.
    pub(crate) fn give_answer(&mut self, question: usize) -> Value {
        self.given.push(GivenAnswer {
            question,
            fate: AnswerFate::Waiting,
            committed_alone: false,
        });
        if self.waiting == 0 {
            self.asked_at = Instant::now();
        }
        self.waiting += 1;
        self.answer_text(self.given.len())
    }

    /// Notes an update of the client. Returns a question whose newest answer was refused
    /// as a conflict: the person would give it again.
    pub(crate) fn note_update(&mut self, update: ClientUpdate) -> Option<usize> {
        let now = Instant::now();
        match update {
            ClientUpdate::Entered(welcome) => {
                self.entered_at.push(now);
                self.clock.get_or_insert((welcome.now_at, now));
                self.events.note_entered(welcome.resumed);
                for notice in &welcome.notices {
                    self.note_notice(notice);
                }
            }
            ClientUpdate::Saved(tickets) => {
                self.note_served(now);
                for ticket in tickets {
                    self.settle_answer(ticket, AnswerFate::Saved);
                }
            }
            ClientUpdate::Refused { ticket, refused } => {
                // While staff have stopped the clock, a refusal is the only possible reply.
                if refused.code == RefusalCode::Paused {
                    self.note_served(now);
                }
                self.void_answer(ticket, refused.code.as_str());
            }
            ClientUpdate::Unheard { ticket } => {
                self.unheard.insert(ticket);
                self.void_answer(ticket, UNHEARD);
            }
            ClientUpdate::Conflict { ticket, .. } => {
                self.void_answer(ticket, "conflict");
                let question = self.by_ticket(ticket)?.question;
                let newest = self
                    .given
                    .iter()
                    .rposition(|given| given.question == question);
                return (newest.map(|index| index + 1) == usize::try_from(ticket).ok())
                    .then_some(question);
            }
            ClientUpdate::Submitted(submitted) => self.receipts.push(submitted.receipt),
            ClientUpdate::Closed { code, detail } => {
                let detail = detail.map_or_else(String::new, |detail| format!(": {detail}"));
                self.closed = Some(format!("{code}{detail}"));
            }
            ClientUpdate::Message(message) => match *message {
                ServerMessage::EventAck(ack) => self.events.note_ack(ack.n, ack.dropped),
                ServerMessage::Notice(notice) => self.note_notice(&notice),
                ServerMessage::Welcome(_)
                | ServerMessage::Saved(_)
                | ServerMessage::Refused(_)
                | ServerMessage::Pulse(_)
                | ServerMessage::Open(_)
                | ServerMessage::Timing(_)
                | ServerMessage::Health(_)
                | ServerMessage::Status(_)
                | ServerMessage::Submitted(_)
                | ServerMessage::Error(_)
                | ServerMessage::Bye(_) => {}
            },
            ClientUpdate::Timing { .. } | ClientUpdate::Open { .. } => {}
        }
        None
    }

    fn note_notice(&mut self, notice: &CandidateNotice) {
        *self.notices.entry(notice.text.clone()).or_default() += 1;
        if notice.ack {
            self.unseen.push(notice.id.clone());
        }
    }

    /// Takes the notices to be acknowledged since the last call.
    pub(crate) fn take_seen(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unseen)
    }

    /// Time of the engine, as a client with a correct clock would report it.
    pub(crate) fn engine_ms(&self) -> i64 {
        self.clock.map_or(0, |(at, since)| {
            let passed = since.elapsed().as_millis();
            at.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
        })
    }

    pub(crate) fn given_count(&self) -> usize {
        self.given.len()
    }

    pub(crate) const fn saved_count(&self) -> usize {
        self.saved
    }

    /// Answers that the timeline may have, with true for those that it must have: they
    /// were saved, and committed by themselves.
    pub(crate) fn expected_entries(&self) -> BTreeMap<String, bool> {
        let given = (1_usize..).zip(&self.given);
        given
            .filter(|(_, given)| given.fate != AnswerFate::Void)
            .map(|(ticket, given)| {
                let must = given.fate == AnswerFate::Saved && given.committed_alone;
                (format!("c{}-{ticket}", self.number), must)
            })
            .collect()
    }

    /// Number of answers neither saved nor refused.
    pub(crate) const fn waiting_count(&self) -> usize {
        self.waiting
    }

    /// True if all answers and events are settled.
    pub(crate) const fn is_settled(&self) -> bool {
        self.waiting == 0 && self.events.acknowledged_up_to() >= self.events.sent_count()
    }

    /// Compares with the texts that the engine refused, by its timeline. A refused one
    /// that was reported as saved, because a later one superseded it, becomes void.
    pub(crate) fn learn_refused(&mut self, texts: &[Value]) -> Vec<String> {
        let mut violations = Vec::new();
        for text in texts {
            let ticket = text
                .as_str()
                .and_then(|text| text.split_once('-')?.1.parse().ok());
            let Some(ticket) = ticket else {
                continue;
            };
            self.unheard.remove(&ticket);
            let index = usize::try_from(ticket).unwrap_or(0).checked_sub(1);
            let Some(given) = index.and_then(|index| self.given.get_mut(index)) else {
                continue;
            };
            if given.fate != AnswerFate::Saved {
                continue;
            }
            given.fate = AnswerFate::Void;
            if given.committed_alone || self.newest_saved.get(&given.question) == Some(&ticket) {
                violations.push(format!(
                    "c{}: c{}-{ticket} was reported as saved, but is refused",
                    self.number, self.number
                ));
            }
            self.saved -= 1;
            *self.refused.entry(UNHEARD.to_owned()).or_default() += 1;
        }
        for ticket in &self.unheard {
            violations.push(format!(
                "c{}: c{}-{ticket} was reported as refused, but is not",
                self.number, self.number
            ));
        }
        violations
    }

    /// Number of answers whose refusal was lost with a connection.
    pub(crate) fn unheard_count(&self) -> u64 {
        self.refused.get(UNHEARD).copied().unwrap_or(0)
    }

    /// The newest answers reported as saved so far.
    pub(crate) fn newest_saved(&self) -> NewestSaved {
        self.newest_saved.clone()
    }

    /// Compares with the store during a run. `saved` was taken before the store was read,
    /// so the store must not have anything older.
    pub(crate) fn check_running(
        &self,
        saved: &NewestSaved,
        stored: &DatabaseAttempt,
    ) -> Vec<String> {
        let mut violations = Vec::new();
        for question in 0..QUESTIONS {
            let name = question_id(question);
            let answer = stored.answers.get(&name).map(|answer| &answer.value);
            let is = match answer.map(|value| self.ticket_of(value, question)) {
                Some(Some(ticket)) => ticket,
                Some(None) => {
                    let is = answer.unwrap_or(&Value::Null);
                    let wrong = format!(
                        "c{} {name}: stored is {is}, which was never given",
                        self.number
                    );
                    violations.push(wrong);
                    continue;
                }
                None => 0,
            };
            if let Some(&saved) = saved.get(&question)
                && is < saved
            {
                let is = answer.unwrap_or(&Value::Null);
                let wrong = format!(
                    "c{} {name}: c{}-{saved} was saved, but stored is {is}",
                    self.number, self.number
                );
                violations.push(wrong);
            }
        }
        violations
    }

    /// Compares with the store once everything is settled: it has the last answer that was
    /// not refused, and each was applied once.
    pub(crate) fn check_settled(&self, stored: &DatabaseAttempt) -> Vec<String> {
        let mut violations = Vec::new();
        let mut last: NewestSaved = BTreeMap::new();
        let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
        for (ticket, given) in (1..).zip(&self.given) {
            if given.fate != AnswerFate::Void {
                last.insert(given.question, ticket);
                *counts.entry(given.question).or_default() += 1;
            }
        }
        for (question, ticket) in last {
            let name = question_id(question);
            let expected = self.answer_text(usize::try_from(ticket).unwrap_or(0));
            let Some(answer) = stored.answers.get(&name) else {
                violations.push(format!("c{} {name}: nothing is stored", self.number));
                continue;
            };
            if answer.value != expected {
                violations.push(format!(
                    "c{} {name}: the last answer is {expected}, but stored is {}",
                    self.number, answer.value
                ));
            }
            let count = counts.get(&question).copied().unwrap_or(0);
            if answer.rev != count {
                violations.push(format!(
                    "c{} {name}: {count} answers were taken, but stored is revision {}",
                    self.number, answer.rev
                ));
            }
        }
        violations
    }

    fn answer_text(&self, ticket: usize) -> Value {
        format!("c{}-{ticket}", self.number).into()
    }

    /// Returns the ticket of a stored value, if this candidate gave it to the question.
    fn ticket_of(&self, value: &Value, question: usize) -> Option<Ticket> {
        let prefix = format!("c{}-", self.number);
        let ticket: Ticket = value.as_str()?.strip_prefix(&prefix)?.parse().ok()?;
        (self.by_ticket(ticket)?.question == question).then_some(ticket)
    }

    /// Notes that the engine settled an answer.
    fn note_served(&mut self, now: Instant) {
        let without = now.duration_since(self.asked_at);
        if self.waiting > 0 && without > self.longest.0 {
            self.longest = (without, now);
        }
        self.asked_at = now;
    }

    fn void_answer(&mut self, ticket: Ticket, code: &str) {
        *self.refused.entry(code.to_owned()).or_default() += 1;
        self.settle_answer(ticket, AnswerFate::Void);
    }

    fn settle_answer(&mut self, ticket: Ticket, fate: AnswerFate) {
        let index = usize::try_from(ticket)
            .ok()
            .and_then(|ticket| ticket.checked_sub(1));
        // The hand-in has a ticket too.
        let Some(given) = index.and_then(|index| self.given.get_mut(index..)) else {
            return;
        };
        let Some((given, later)) = given.split_first_mut() else {
            return;
        };
        // The first report holds.
        if given.fate != AnswerFate::Waiting {
            return;
        }
        given.fate = fate;
        given.committed_alone = later.iter().all(|later| later.question != given.question);
        self.waiting -= 1;
        if fate == AnswerFate::Saved {
            self.saved += 1;
            let newest = self.newest_saved.entry(given.question).or_default();
            *newest = ticket.max(*newest);
        }
    }

    fn by_ticket(&self, ticket: Ticket) -> Option<&GivenAnswer> {
        self.given
            .get(usize::try_from(ticket).ok()?.checked_sub(1)?)
    }
}

/// Returns the id of a question in the exam file.
pub(crate) fn question_id(question: usize) -> String {
    format!("q{}", question + 1)
}

#[cfg(test)]
mod tests;

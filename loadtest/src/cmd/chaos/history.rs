//! What a candidate gave and was told, and whether what is stored agrees.
//!
//! Every answer is a text of its own, `c17-42` for the 42nd of candidate 17, so
//! that a stored one tells which it is. A candidate has one device, hence: what
//! is stored for a question is the last answer called saved, or a later one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use invigil_client::{
    Ticket, Update,
    protocol::{
        candidate::{Notice, ServerMessage},
        code::RefusalCode,
    },
};
use serde_json::Value;
use tokio::time::Instant;

use super::{database::StoredAttempt, events::Events, exam::QUESTIONS};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waiting,
    Saved,
    /// Refused for good.
    Void,
}

#[derive(Debug)]
struct Given {
    question: usize,
    fate: Fate,
    /// Saved before a later answer to the question was given: it was committed by
    /// itself, and no later one can have taken its place before.
    alone: bool,
}

/// Why an answer is void, where the word of that was lost with a connection.
const UNHEARD: &str = "unheard";

/// The newest answer to each question that was called saved at one moment.
pub(crate) type Saved = BTreeMap<usize, Ticket>;

/// See the module.
#[derive(Debug)]
pub(crate) struct History {
    number: usize,
    /// By ticket; the first ticket is 1.
    given: Vec<Given>,
    /// How many of them are saved, and how many not settled.
    saved: usize,
    waiting: usize,
    newest_saved: Saved,
    /// Refused, as the client found out by itself.
    unheard: BTreeSet<Ticket>,
    pub(crate) events: Events,
    /// Notices that came, by text, and those whose coming the engine waits to hear of.
    pub(crate) notices: BTreeMap<String, u64>,
    unseen: Vec<String>,
    /// The engine's clock at a moment of this one, by the first `welcome`.
    clock: Option<(i64, Instant)>,
    /// Refusals by code.
    pub(crate) refused: BTreeMap<String, u64>,
    /// When the engine last answered for an answer, or was first asked for one since.
    asked_at: Instant,
    /// The longest time without a `saved` while answers waited, and when it ended.
    pub(crate) longest: (Duration, Instant),
    /// When the candidate was let in, each time.
    pub(crate) entered_at: Vec<Instant>,
    pub(crate) receipts: Vec<Value>,
    /// Why the client has given up.
    pub(crate) closed: Option<String>,
}

impl History {
    pub(crate) fn new(number: usize) -> Self {
        let now = Instant::now();
        Self {
            number,
            given: Vec::new(),
            saved: 0,
            waiting: 0,
            newest_saved: BTreeMap::new(),
            unheard: BTreeSet::new(),
            events: Events::new(number),
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

    /// The next answer, to this question.
    pub(crate) fn give(&mut self, question: usize) -> Value {
        self.given.push(Given {
            question,
            fate: Fate::Waiting,
            alone: false,
        });
        if self.waiting == 0 {
            self.asked_at = Instant::now();
        }
        self.waiting += 1;
        self.value(self.given.len())
    }

    /// Takes note of what the client said. A question, where its newest answer
    /// was refused as a conflict: the person would give it again.
    pub(crate) fn note(&mut self, update: Update) -> Option<usize> {
        let now = Instant::now();
        match update {
            Update::Entered(welcome) => {
                self.entered_at.push(now);
                self.clock.get_or_insert((welcome.now_at, now));
                self.events.entered(welcome.resumed);
                for notice in &welcome.notices {
                    self.take(notice);
                }
            }
            Update::Saved(tickets) => {
                self.served(now);
                for ticket in tickets {
                    self.settle(ticket, Fate::Saved);
                }
            }
            Update::Refused { ticket, refused } => {
                // While staff have stopped the clock, nothing else is to be had.
                if refused.code == RefusalCode::Paused {
                    self.served(now);
                }
                self.void(ticket, refused.code.as_str());
            }
            Update::Unheard { ticket } => {
                self.unheard.insert(ticket);
                self.void(ticket, UNHEARD);
            }
            Update::Conflict { ticket, .. } => {
                self.void(ticket, "conflict");
                let question = self.by_ticket(ticket)?.question;
                let newest = self
                    .given
                    .iter()
                    .rposition(|given| given.question == question);
                return (newest.map(|index| index + 1) == usize::try_from(ticket).ok())
                    .then_some(question);
            }
            Update::Submitted(submitted) => self.receipts.push(submitted.receipt),
            Update::Closed { code, detail } => {
                let detail = detail.map_or_else(String::new, |detail| format!(": {detail}"));
                self.closed = Some(format!("{code}{detail}"));
            }
            Update::Message(message) => match *message {
                ServerMessage::EventAck(ack) => self.events.acknowledge(ack.n, ack.dropped),
                ServerMessage::Notice(notice) => self.take(&notice),
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
            Update::Timing { .. } | Update::Open { .. } => {}
        }
        None
    }

    fn take(&mut self, notice: &Notice) {
        *self.notices.entry(notice.text.clone()).or_default() += 1;
        if notice.ack {
            self.unseen.push(notice.id.clone());
        }
    }

    /// Notices that the person has seen since this was asked.
    pub(crate) fn seen(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unseen)
    }

    /// The engine's time, as a client with a right clock has it.
    pub(crate) fn engine_ms(&self) -> i64 {
        self.clock.map_or(0, |(at, since)| {
            let passed = since.elapsed().as_millis();
            at.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
        })
    }

    pub(crate) fn given(&self) -> usize {
        self.given.len()
    }

    pub(crate) const fn saved(&self) -> usize {
        self.saved
    }

    /// What may stand in the timeline, and whether it must: it was saved, and
    /// committed by itself.
    pub(crate) fn taken(&self) -> BTreeMap<String, bool> {
        let given = (1_usize..).zip(&self.given);
        given
            .filter(|(_, given)| given.fate != Fate::Void)
            .map(|(ticket, given)| {
                let must = given.fate == Fate::Saved && given.alone;
                (format!("c{}-{ticket}", self.number), must)
            })
            .collect()
    }

    /// Answers that are neither saved nor refused.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Whether nothing is under way any more, events included.
    pub(crate) const fn is_settled(&self) -> bool {
        self.waiting == 0 && self.events.acknowledged() >= self.events.sent()
    }

    /// Compares with the texts that the engine refused, by its timeline. One that was
    /// called saved since a later one took its place is void from now on.
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
            if given.fate != Fate::Saved {
                continue;
            }
            given.fate = Fate::Void;
            if given.alone || self.newest_saved.get(&given.question) == Some(&ticket) {
                violations.push(format!(
                    "c{}: c{}-{ticket} was called saved, and is refused",
                    self.number, self.number
                ));
            }
            self.saved -= 1;
            *self.refused.entry(UNHEARD.to_owned()).or_default() += 1;
        }
        for ticket in &self.unheard {
            violations.push(format!(
                "c{}: c{}-{ticket} was called refused, and is not",
                self.number, self.number
            ));
        }
        violations
    }

    /// Answers whose refusal was lost with a connection.
    pub(crate) fn unheard(&self) -> u64 {
        self.refused.get(UNHEARD).copied().unwrap_or(0)
    }

    /// The newest answers that were called saved up to now.
    pub(crate) fn newest_saved(&self) -> Saved {
        self.newest_saved.clone()
    }

    /// Compares with the store in the middle of a run. `saved` was taken before
    /// the store was read: by then nothing older may be in it.
    pub(crate) fn check_running(&self, saved: &Saved, stored: &StoredAttempt) -> Vec<String> {
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

    /// Compares with the store once everything is settled: the last answer that
    /// was not refused stands there, and each was taken once.
    pub(crate) fn check_settled(&self, stored: &StoredAttempt) -> Vec<String> {
        let mut violations = Vec::new();
        let mut last: Saved = BTreeMap::new();
        let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
        for (ticket, given) in (1..).zip(&self.given) {
            if given.fate != Fate::Void {
                last.insert(given.question, ticket);
                *counts.entry(given.question).or_default() += 1;
            }
        }
        for (question, ticket) in last {
            let name = question_id(question);
            let expected = self.value(usize::try_from(ticket).unwrap_or(0));
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

    fn value(&self, ticket: usize) -> Value {
        format!("c{}-{ticket}", self.number).into()
    }

    /// Which of this candidate's answers to a question a stored value is.
    fn ticket_of(&self, value: &Value, question: usize) -> Option<Ticket> {
        let prefix = format!("c{}-", self.number);
        let ticket: Ticket = value.as_str()?.strip_prefix(&prefix)?.parse().ok()?;
        (self.by_ticket(ticket)?.question == question).then_some(ticket)
    }

    /// The engine answered for an answer.
    fn served(&mut self, now: Instant) {
        let without = now.duration_since(self.asked_at);
        if self.waiting > 0 && without > self.longest.0 {
            self.longest = (without, now);
        }
        self.asked_at = now;
    }

    fn void(&mut self, ticket: Ticket, code: &str) {
        *self.refused.entry(code.to_owned()).or_default() += 1;
        self.settle(ticket, Fate::Void);
    }

    fn settle(&mut self, ticket: Ticket, fate: Fate) {
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
        // What was said first holds.
        if given.fate != Fate::Waiting {
            return;
        }
        given.fate = fate;
        given.alone = later.iter().all(|later| later.question != given.question);
        self.waiting -= 1;
        if fate == Fate::Saved {
            self.saved += 1;
            let newest = self.newest_saved.entry(given.question).or_default();
            *newest = ticket.max(*newest);
        }
    }

    fn by_ticket(&self, ticket: Ticket) -> Option<&Given> {
        self.given
            .get(usize::try_from(ticket).ok()?.checked_sub(1)?)
    }
}

/// A question's id in the exam file.
pub(crate) fn question_id(question: usize) -> String {
    format!("q{}", question + 1)
}

#[cfg(test)]
mod tests;

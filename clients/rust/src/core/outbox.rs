//! Commands that are not known to be durable, in the order of their numbers.
//!
//! A refused command stays until the `saved` that covers its number, so that the
//! numbers have no gap. A conflict with the very value, or with a later one of
//! this client, is none: it had arrived, only its `saved` was lost.
//!
//! A `saved` covers what was refused too, so it means that a command is durable only
//! where the refusal would have come the same way before it. What else it covers is in
//! doubt until the stored answers are seen: what went out on a connection that is gone,
//! and what is on one way while the other one brings the `saved`.

use std::collections::{HashMap, HashSet, VecDeque};

use invigil_protocol::{
    candidate::{self, ClientMessage, Refused, WireValue},
    code::RefusalCode,
    paper::StoredAnswers,
};
use serde_json::Value;

use super::{Command, Ticket, Update};

/// Commands that may wait without a connection: hours of a person's answers.
const COMMANDS_MAX: usize = 4_096;

/// An answer over this goes by exchange: a frame has at most 16 KiB.
const INLINE_BYTES_MAX: usize = 12 * 1024;

/// Bytes of answers in one exchange, well under what a body may have. A longer
/// answer goes alone.
const EXCHANGE_BYTES: usize = 512 * 1024;

/// Commands in one exchange: what an engine lets wait unsaved by default.
const EXCHANGE_COMMANDS: usize = 256;

/// How a command goes to the engine, and the engine's word of it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Socket,
    Exchange,
}

/// A command that is not known to be durable.
#[derive(Debug, Clone, PartialEq)]
struct Unsaved {
    ticket: Ticket,
    seq: u64,
    command: Command,
    /// The revision that an answer edited.
    base_rev: Option<u32>,
    /// How it went out, where it is under way.
    sent: Option<Way>,
    /// Whether it went out before, and the word of it may not have come.
    doubtful: bool,
    /// Refused, and so only waiting for the `saved` that covers its number.
    refused: bool,
}

/// A command that was saved or refused, and only the stored answers can tell which.
#[derive(Debug)]
struct Doubt {
    ticket: Ticket,
    /// In the present session; 0: of an earlier one.
    seq: u64,
    command: Command,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    unsaved: VecDeque<Unsaved>,
    doubts: Vec<Doubt>,
    /// Every command of the session up to this number is durable or was refused.
    saved_seq: u64,
    /// Commands that ever got a number in this session.
    counted: u64,
    tickets: Ticket,
    /// Revisions of the record as far as this client knows, its own included.
    revs: HashMap<String, u32>,
}

impl Outbox {
    pub(super) fn know(&mut self, question: &str, rev: u32) {
        self.revs.insert(question.to_owned(), rev);
    }

    pub(super) const fn next_seq(&self) -> u64 {
        self.counted + 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unsaved.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.unsaved.len() + self.doubts.len() < COMMANDS_MAX
    }

    pub(super) fn push(&mut self, command: Command) -> Ticket {
        let base_rev = match &command {
            Command::Answer { question, .. } => {
                let rev = self.revs.entry(question.clone()).or_default();
                // The revision that this answer will make, if it is accepted.
                *rev += 1;
                Some(*rev - 1)
            }
            Command::Flag { .. } | Command::Submit => None,
        };
        self.tickets += 1;
        self.counted += 1;
        self.unsaved.push_back(Unsaved {
            ticket: self.tickets,
            seq: self.counted,
            command,
            base_rev,
            sent: None,
            doubtful: false,
            refused: false,
        });
        self.tickets
    }

    /// Those of the first `window` that did not go out on this connection, up to
    /// one that is too long for a frame.
    pub(super) fn due(&mut self, window: usize) -> Vec<ClientMessage> {
        let sent = self.sent();
        let end = window.min(self.unsaved.len()).max(sent);
        self.unsaved
            .range_mut(sent..end)
            .take_while(|unsaved| !unsaved.is_long())
            .map(|unsaved| {
                unsaved.sent = Some(Way::Socket);
                unsaved.message()
            })
            .collect()
    }

    /// Whether what is due next is too long for a frame.
    pub(super) fn wants_exchange(&self) -> bool {
        self.unsaved.get(self.sent()).is_some_and(Unsaved::is_long)
    }

    /// How many went out on this connection; they are the first ones.
    fn sent(&self) -> usize {
        self.unsaved
            .partition_point(|unsaved| unsaved.sent.is_some())
    }

    /// As many from the first on as one exchange takes; at least one. Nodes may do an
    /// exchange again that begins a session, and say nothing of what was refused at first.
    pub(super) fn exchange(&mut self, begins: bool) -> Vec<ClientMessage> {
        let mut bytes = 0;
        let mut commands = Vec::new();
        for unsaved in self.unsaved.iter_mut().take(EXCHANGE_COMMANDS) {
            bytes += unsaved.size();
            if bytes > EXCHANGE_BYTES && !commands.is_empty() {
                break;
            }
            unsaved.doubtful |= begins || unsaved.sent.is_some();
            unsaved.sent = Some(Way::Exchange);
            commands.push(unsaved.message());
        }
        commands
    }

    /// Everything goes out again; what the engine said of it may be lost.
    pub(super) fn resend(&mut self) {
        for unsaved in &mut self.unsaved {
            unsaved.doubtful |= unsaved.sent.take().is_some();
        }
    }

    /// Numbers everything unsaved from 1, as a new session wants it.
    pub(super) fn renumber(&mut self) {
        // A refused command had its answer; only its number was still needed.
        self.unsaved.retain(|unsaved| !unsaved.refused);
        for (unsaved, seq) in self.unsaved.iter_mut().zip(1..) {
            unsaved.seq = seq;
            unsaved.sent = None;
            unsaved.doubtful = false;
        }
        for doubt in &mut self.doubts {
            doubt.seq = 0;
        }
        self.saved_seq = 0;
        self.counted = self.unsaved.len() as u64;
    }

    /// Everything up to `seq` is durable or was refused, says what came this way.
    pub(super) fn saved(&mut self, seq: u64, way: Way) -> Option<Update> {
        self.saved_seq = self.saved_seq.max(seq);
        let covered = self.unsaved.partition_point(|unsaved| unsaved.seq <= seq);
        let mut tickets = Vec::new();
        for settled in self.unsaved.drain(..covered) {
            if settled.refused {
                continue;
            }
            if settled.doubtful || settled.sent != Some(way) {
                self.doubts.push(Doubt {
                    ticket: settled.ticket,
                    seq: settled.seq,
                    command: settled.command,
                });
                continue;
            }
            tickets.extend(replaced(&mut self.doubts, &settled.command));
            tickets.push(settled.ticket);
        }
        (!tickets.is_empty()).then_some(Update::Saved(tickets))
    }

    /// Whether the stored answers must tell what became of something.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubts
            .iter()
            .any(|doubt| doubt.command != Command::Submit)
    }

    /// The stored answers are here. What is in doubt is among them, or was refused; where
    /// they are older than that, or show what is not durable yet, later ones will tell.
    pub(super) fn recorded(&mut self, stored: &StoredAnswers) -> Vec<Update> {
        if stored.saved_seq < self.saved_seq {
            return Vec::new();
        }
        let mut updates = Vec::new();
        let mut doubts = std::mem::take(&mut self.doubts).into_iter();
        while let Some(doubt) = doubts.next() {
            let stands = |command: &Command| {
                command.takes_the_place_of(&doubt.command) && command.is_in(stored)
            };
            let mut later = doubts.as_slice().iter();
            // Whether an attempt is handed in they do not show.
            if doubt.command == Command::Submit
                || self.unsaved.iter().any(|later| stands(&later.command))
            {
                self.doubts.push(doubt);
            } else if stands(&doubt.command) || later.any(|later| stands(&later.command)) {
                updates.push(Update::Saved(vec![doubt.ticket]));
            } else {
                updates.push(self.unheard(&doubt));
            }
        }
        self.know_stored(stored);
        updates
    }

    /// Takes over the revisions of stored answers that none on its way will change.
    fn know_stored(&mut self, stored: &StoredAnswers) {
        let waiting: HashSet<&String> = self
            .unsaved
            .iter()
            .filter_map(|unsaved| match &unsaved.command {
                Command::Answer { question, .. } => Some(question),
                Command::Flag { .. } | Command::Submit => None,
            })
            .collect();
        for (question, rev) in &mut self.revs {
            if !waiting.contains(question) {
                *rev = stored.answers.get(question).map_or(0, |answer| answer.rev);
            }
        }
    }

    fn unheard(&mut self, doubt: &Doubt) -> Update {
        if let Command::Answer { question, .. } = &doubt.command {
            self.void_revision(0, question);
        }
        Update::Unheard {
            ticket: doubt.ticket,
        }
    }

    /// Whether the attempt is handed in, by this client or not: what is in doubt about
    /// that is settled.
    pub(super) fn handed_in(&mut self, is_handed_in: bool) -> Vec<Update> {
        let submits: Vec<Doubt> = self
            .doubts
            .extract_if(.., |doubt| doubt.command == Command::Submit)
            .collect();
        let settled = submits.iter().map(|doubt| {
            if is_handed_in {
                Update::Saved(vec![doubt.ticket])
            } else {
                self.unheard(doubt)
            }
        });
        settled.collect()
    }

    /// The attempt is over, and these are its answers: what is not among them is void.
    pub(super) fn ended(&mut self, stored: &StoredAnswers) -> Vec<Update> {
        if stored.saved_seq < self.saved_seq {
            return Vec::new();
        }
        for unsaved in self.unsaved.drain(..).filter(|unsaved| !unsaved.refused) {
            self.doubts.push(Doubt {
                ticket: unsaved.ticket,
                seq: unsaved.seq,
                command: unsaved.command,
            });
        }
        let (known, never): (Vec<Doubt>, Vec<Doubt>) = std::mem::take(&mut self.doubts)
            .into_iter()
            .partition(|doubt| doubt.seq <= stored.saved_seq);
        self.doubts = known;
        let mut updates = self.handed_in(true);
        updates.extend(self.recorded(stored));
        updates.extend(never.iter().map(|doubt| self.unheard(doubt)));
        updates
    }

    pub(super) fn refused(&mut self, refused: Refused) -> Option<Update> {
        if refused.code == RefusalCode::Gap {
            // Something before it did not arrive: all of it goes out again.
            self.resend();
            return None;
        }
        let index = self
            .unsaved
            .partition_point(|unsaved| unsaved.seq < refused.seq);
        let Some(unsaved) = self
            .unsaved
            .get_mut(index)
            .filter(|unsaved| unsaved.seq == refused.seq)
        else {
            return self.late_refusal(refused);
        };
        if std::mem::replace(&mut unsaved.refused, true) {
            return None;
        }
        let ticket = unsaved.ticket;
        let Command::Answer { question, value } = &unsaved.command else {
            return Some(Update::Refused { ticket, refused });
        };
        let (question, mine) = (question.clone(), value.clone());
        if refused.code == RefusalCode::Conflict {
            return Some(self.conflict(index, question, mine, &refused));
        }
        self.void_revision(index + 1, &question);
        Some(Update::Refused { ticket, refused })
    }

    /// The refusal of something that a `saved` has covered before, by the other way.
    fn late_refusal(&mut self, refused: Refused) -> Option<Update> {
        // What a conflict is about is for the stored answers to say.
        let index = self
            .doubts
            .iter()
            .position(|doubt| doubt.seq == refused.seq && refused.code != RefusalCode::Conflict)?;
        let Doubt {
            ticket, command, ..
        } = self.doubts.remove(index);
        if let Command::Answer { question, .. } = &command {
            self.void_revision(0, question);
        }
        Some(Update::Refused { ticket, refused })
    }

    /// The revision that a refused answer was to make will not come: answers to the
    /// question from this one on edit the one before.
    fn void_revision(&mut self, first: usize, question: &str) {
        for unsaved in self.unsaved.range_mut(first..) {
            match &unsaved.command {
                Command::Answer {
                    question: other, ..
                } if other == question => {
                    unsaved.base_rev = unsaved.base_rev.map(|rev| rev.saturating_sub(1));
                }
                Command::Answer { .. } | Command::Flag { .. } | Command::Submit => {}
            }
        }
        if let Some(rev) = self.revs.get_mut(question) {
            *rev = rev.saturating_sub(1);
        }
    }

    fn conflict(
        &mut self,
        index: usize,
        question: String,
        mine: Value,
        refused: &Refused,
    ) -> Update {
        let stored = refused.detail.get("value").cloned().unwrap_or_default();
        let rev = refused
            .detail
            .get("rev")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let rev = u32::try_from(rev).unwrap_or(u32::MAX);
        // Its own value, or what this client made of it later.
        let own = self
            .unsaved
            .range(index..)
            .any(|unsaved| match &unsaved.command {
                Command::Answer {
                    question: other,
                    value,
                } => *other == question && *value == stored,
                Command::Flag { .. } | Command::Submit => false,
            });
        let Unsaved {
            ticket, command, ..
        } = self.unsaved[index].clone();
        let known = self.revs.entry(question.clone()).or_default();
        *known = rev.max(*known);
        if own {
            // So have those before it, or they were refused: it has taken their place.
            let mut tickets = replaced(&mut self.doubts, &command);
            let before = self.unsaved.range_mut(..index);
            for earlier in before.filter(|earlier| command.takes_the_place_of(&earlier.command)) {
                if !std::mem::replace(&mut earlier.refused, true) {
                    tickets.push(earlier.ticket);
                }
            }
            tickets.push(ticket);
            return Update::Saved(tickets);
        }
        Update::Conflict {
            ticket,
            question,
            mine,
            stored,
            rev,
        }
    }
}

/// Takes out what is in doubt and a durable command has taken the place of.
fn replaced(doubts: &mut Vec<Doubt>, durable: &Command) -> Vec<Ticket> {
    doubts
        .extract_if(.., |doubt| durable.takes_the_place_of(&doubt.command))
        .map(|doubt| doubt.ticket)
        .collect()
}

impl Command {
    /// Whether it leaves nothing of an earlier command.
    fn takes_the_place_of(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (
                Self::Answer { question, .. },
                Self::Answer {
                    question: other, ..
                },
            )
            | (
                Self::Flag { question, .. },
                Self::Flag {
                    question: other, ..
                },
            ) => question == other,
            (Self::Answer { .. } | Self::Flag { .. } | Self::Submit, _) => false,
        }
    }

    /// Whether the stored answers are as it makes them. That an attempt is handed in they
    /// do not show; the engine says that by itself.
    fn is_in(&self, stored: &StoredAnswers) -> bool {
        match self {
            Self::Answer { question, value } => {
                let answer = stored.answers.get(question);
                answer.map_or(&Value::Null, |answer| &answer.value) == value
            }
            Self::Flag { question, on } => {
                let answer = stored.answers.get(question);
                answer.is_some_and(|answer| answer.flagged) == *on
            }
            Self::Submit => false,
        }
    }
}

impl Unsaved {
    fn message(&self) -> ClientMessage {
        let seq = self.seq;
        match &self.command {
            Command::Answer { question, value } => ClientMessage::Answer(candidate::Answer {
                seq,
                q: question.clone(),
                value: WireValue::Json(value.clone()),
                base_rev: self.base_rev,
                spent_ms: None,
                bad_field: None,
            }),
            Command::Flag { question, on } => ClientMessage::Flag(candidate::Flag {
                seq,
                q: question.clone(),
                on: *on,
            }),
            Command::Submit => ClientMessage::Submit(candidate::Submit { seq }),
        }
    }

    fn is_long(&self) -> bool {
        self.size() > INLINE_BYTES_MAX
    }

    /// About how long it is when it is written.
    fn size(&self) -> usize {
        match &self.command {
            Command::Answer { value, .. } => size_of_json(value),
            Command::Flag { .. } | Command::Submit => 0,
        }
    }
}

/// About how long a value is when it is written. Escapes may double a text.
fn size_of_json(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => {
            text.len()
                + text
                    .bytes()
                    .filter(|byte| *byte < b' ' || b"\"\\".contains(byte))
                    .count()
                + 2
        }
        Value::Array(items) => items.iter().map(|item| size_of_json(item) + 1).sum(),
        Value::Object(map) => map
            .iter()
            .map(|(key, item)| key.len() + size_of_json(item) + 4)
            .sum(),
    }
}

//! Commands that are not known to be durable, in the order of their numbers.
//!
//! A refused command stays until the `saved` that covers its number, so that the
//! numbers have no gap. A conflict with the same value, or with a later one of this
//! client, is no conflict: the command had arrived, only its `saved` was lost.
//!
//! A `saved` also covers refused commands. It proves that a command is durable only if
//! a refusal would have come earlier by the same transport. Other commands that it
//! covers are in doubt until the stored answers show them: those sent on a broken
//! connection, and those sent by one transport while the `saved` came by the other.

use std::collections::{HashMap, HashSet, VecDeque};

use invigil_protocol::{
    candidate::{self, ClientMessage, CommandRefused, WireValue},
    code::RefusalCode,
    paper::RecordedAnswers,
};
use serde_json::Value;

use super::{ClientCommand, ClientUpdate, Ticket};

/// Commands that may wait without a connection: hours of a person's answers.
const COMMANDS_MAX: usize = 4_096;

/// A longer answer goes by exchange: a frame has at most 16 KiB.
const INLINE_BYTES_MAX: usize = 12 * 1024;

/// Bytes of answers in one exchange, well below the limit of a body. A longer answer
/// goes alone.
const EXCHANGE_BYTES: usize = 512 * 1024;

/// Commands in one exchange: an engine's default limit of unsaved commands.
const EXCHANGE_COMMANDS: usize = 256;

/// Transport of a command to the engine, and of the engine's reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommandTransport {
    Socket,
    Exchange,
}

/// A command that is not known to be durable.
#[derive(Debug, Clone, PartialEq)]
struct UnsavedCommand {
    ticket: Ticket,
    seq: u64,
    command: ClientCommand,
    /// Revision that an answer edited.
    base_rev: Option<u32>,
    /// Transport by which it was sent, if it was.
    sent: Option<CommandTransport>,
    /// True if it was sent before and the engine's reply may be lost.
    doubtful: bool,
    /// True if it is refused and only awaits the `saved` that covers its number.
    refused: bool,
}

/// A command that was saved or refused; only the stored answers can show which.
#[derive(Debug)]
struct DoubtfulCommand {
    ticket: Ticket,
    /// Number in the present session; 0 for a command of an earlier one.
    seq: u64,
    command: ClientCommand,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct CommandOutbox {
    unsaved: VecDeque<UnsavedCommand>,
    doubts: Vec<DoubtfulCommand>,
    /// Every command of the session up to this number is durable or was refused.
    saved_seq: u64,
    /// Number of commands numbered in this session.
    counted: u64,
    tickets: Ticket,
    /// Revisions of the record known to this client, those it will make included.
    revs: HashMap<String, u32>,
}

impl CommandOutbox {
    pub(super) fn set_revision(&mut self, question: &str, rev: u32) {
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

    pub(super) fn push_command(&mut self, command: ClientCommand) -> Ticket {
        let base_rev = match &command {
            ClientCommand::Answer { question, .. } => {
                let rev = self.revs.entry(question.clone()).or_default();
                // The revision that this answer makes if it is accepted.
                *rev += 1;
                Some(*rev - 1)
            }
            ClientCommand::Flag { .. } | ClientCommand::Submit => None,
        };
        self.tickets += 1;
        self.counted += 1;
        self.unsaved.push_back(UnsavedCommand {
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

    /// Returns the commands among the first `window` that were not sent on this
    /// connection, up to one that is too long for a frame.
    pub(super) fn due_messages(&mut self, window: usize) -> Vec<ClientMessage> {
        let sent = self.sent_count();
        let end = window.min(self.unsaved.len()).max(sent);
        self.unsaved
            .range_mut(sent..end)
            .take_while(|unsaved| !unsaved.is_long())
            .map(|unsaved| {
                unsaved.sent = Some(CommandTransport::Socket);
                unsaved.to_message()
            })
            .collect()
    }

    /// True if the next command due is too long for a frame.
    pub(super) fn wants_exchange(&self) -> bool {
        self.unsaved
            .get(self.sent_count())
            .is_some_and(UnsavedCommand::is_long)
    }

    /// Number of commands sent on this connection; they are the first ones.
    fn sent_count(&self) -> usize {
        self.unsaved
            .partition_point(|unsaved| unsaved.sent.is_some())
    }

    /// Returns the first commands, as many as fit into one exchange; at least one. Nodes
    /// may repeat an exchange that begins a session, and then omit its first refusals.
    pub(super) fn exchange_commands(&mut self, begins: bool) -> Vec<ClientMessage> {
        let mut bytes = 0;
        let mut commands = Vec::new();
        for unsaved in self.unsaved.iter_mut().take(EXCHANGE_COMMANDS) {
            bytes += unsaved.encoded_size();
            if bytes > EXCHANGE_BYTES && !commands.is_empty() {
                break;
            }
            unsaved.doubtful |= begins || unsaved.sent.is_some();
            unsaved.sent = Some(CommandTransport::Exchange);
            commands.push(unsaved.to_message());
        }
        commands
    }

    /// Marks everything to be sent again; the engine's replies may be lost.
    pub(super) fn resend_all(&mut self) {
        for unsaved in &mut self.unsaved {
            unsaved.doubtful |= unsaved.sent.take().is_some();
        }
    }

    /// Numbers the unsaved commands from 1, for a new session.
    pub(super) fn renumber_all(&mut self) {
        // A refused command is settled; only its number was still needed.
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

    /// Settles the commands up to `seq`: durable or refused, as reported by `way`.
    pub(super) fn settle_saved(&mut self, seq: u64, way: CommandTransport) -> Option<ClientUpdate> {
        self.saved_seq = self.saved_seq.max(seq);
        let covered = self.unsaved.partition_point(|unsaved| unsaved.seq <= seq);
        let mut tickets = Vec::new();
        for settled in self.unsaved.drain(..covered) {
            if settled.refused {
                continue;
            }
            if settled.doubtful || settled.sent != Some(way) {
                self.doubts.push(DoubtfulCommand {
                    ticket: settled.ticket,
                    seq: settled.seq,
                    command: settled.command,
                });
                continue;
            }
            tickets.extend(drain_replaced(&mut self.doubts, &settled.command));
            tickets.push(settled.ticket);
        }
        (!tickets.is_empty()).then_some(ClientUpdate::Saved(tickets))
    }

    /// True if only the stored answers can show the outcome of some command.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubts
            .iter()
            .any(|doubt| doubt.command != ClientCommand::Submit)
    }

    /// Settles commands in doubt by the stored answers: they are among them, or were
    /// refused. If the stored answers are older, or show a command that is not durable
    /// yet, later ones will settle it.
    pub(super) fn settle_recorded(&mut self, stored: &RecordedAnswers) -> Vec<ClientUpdate> {
        if stored.saved_seq < self.saved_seq {
            return Vec::new();
        }
        let mut updates = Vec::new();
        let mut doubts = std::mem::take(&mut self.doubts).into_iter();
        while let Some(doubt) = doubts.next() {
            let stands = |command: &ClientCommand| {
                command.supersedes_earlier(&doubt.command) && command.is_reflected_in(stored)
            };
            let mut later = doubts.as_slice().iter();
            // The stored answers do not show a hand-in.
            if doubt.command == ClientCommand::Submit
                || self.unsaved.iter().any(|later| stands(&later.command))
            {
                self.doubts.push(doubt);
            } else if stands(&doubt.command) || later.any(|later| stands(&later.command)) {
                updates.push(ClientUpdate::Saved(vec![doubt.ticket]));
            } else {
                updates.push(self.void_unheard(&doubt));
            }
        }
        self.adopt_revisions(stored);
        updates
    }

    /// Adopts the revisions of stored answers that no unsaved command will change.
    fn adopt_revisions(&mut self, stored: &RecordedAnswers) {
        let waiting: HashSet<&String> = self
            .unsaved
            .iter()
            .filter_map(|unsaved| match &unsaved.command {
                ClientCommand::Answer { question, .. } => Some(question),
                ClientCommand::Flag { .. } | ClientCommand::Submit => None,
            })
            .collect();
        for (question, rev) in &mut self.revs {
            if !waiting.contains(question) {
                *rev = stored.answers.get(question).map_or(0, |answer| answer.rev);
            }
        }
    }

    fn void_unheard(&mut self, doubt: &DoubtfulCommand) -> ClientUpdate {
        if let ClientCommand::Answer { question, .. } = &doubt.command {
            self.void_revision(0, question);
        }
        ClientUpdate::Unheard {
            ticket: doubt.ticket,
        }
    }

    /// Settles hand-ins in doubt, once it is known whether the attempt is handed in.
    pub(super) fn settle_submits(&mut self, is_handed_in: bool) -> Vec<ClientUpdate> {
        let submits: Vec<DoubtfulCommand> = self
            .doubts
            .extract_if(.., |doubt| doubt.command == ClientCommand::Submit)
            .collect();
        let settled = submits.iter().map(|doubt| {
            if is_handed_in {
                ClientUpdate::Saved(vec![doubt.ticket])
            } else {
                self.void_unheard(doubt)
            }
        });
        settled.collect()
    }

    /// Settles everything once the attempt is over: a command that is not among the
    /// stored answers is void.
    pub(super) fn settle_ended(&mut self, stored: &RecordedAnswers) -> Vec<ClientUpdate> {
        if stored.saved_seq < self.saved_seq {
            return Vec::new();
        }
        for unsaved in self.unsaved.drain(..).filter(|unsaved| !unsaved.refused) {
            self.doubts.push(DoubtfulCommand {
                ticket: unsaved.ticket,
                seq: unsaved.seq,
                command: unsaved.command,
            });
        }
        let (known, never): (Vec<DoubtfulCommand>, Vec<DoubtfulCommand>) =
            std::mem::take(&mut self.doubts)
                .into_iter()
                .partition(|doubt| doubt.seq <= stored.saved_seq);
        self.doubts = known;
        let mut updates = self.settle_submits(true);
        updates.extend(self.settle_recorded(stored));
        updates.extend(never.iter().map(|doubt| self.void_unheard(doubt)));
        updates
    }

    pub(super) fn settle_refused(&mut self, refused: CommandRefused) -> Option<ClientUpdate> {
        if refused.code == RefusalCode::Gap {
            // An earlier command did not arrive: all of them go out again.
            self.resend_all();
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
            return self.settle_late_refusal(refused);
        };
        if std::mem::replace(&mut unsaved.refused, true) {
            return None;
        }
        let ticket = unsaved.ticket;
        let ClientCommand::Answer { question, value } = &unsaved.command else {
            return Some(ClientUpdate::Refused { ticket, refused });
        };
        let (question, mine) = (question.clone(), value.clone());
        if refused.code == RefusalCode::Conflict {
            return Some(self.settle_conflict(index, question, mine, &refused));
        }
        self.void_revision(index + 1, &question);
        Some(ClientUpdate::Refused { ticket, refused })
    }

    /// Settles the refusal of a command that a `saved` covered earlier, by the other
    /// transport.
    fn settle_late_refusal(&mut self, refused: CommandRefused) -> Option<ClientUpdate> {
        // A conflict is settled by the stored answers.
        let index = self
            .doubts
            .iter()
            .position(|doubt| doubt.seq == refused.seq && refused.code != RefusalCode::Conflict)?;
        let DoubtfulCommand {
            ticket, command, ..
        } = self.doubts.remove(index);
        if let ClientCommand::Answer { question, .. } = &command {
            self.void_revision(0, question);
        }
        Some(ClientUpdate::Refused { ticket, refused })
    }

    /// Takes back the revision of a refused answer: later answers to the question edit
    /// the previous revision.
    fn void_revision(&mut self, first: usize, question: &str) {
        for unsaved in self.unsaved.range_mut(first..) {
            match &unsaved.command {
                ClientCommand::Answer {
                    question: other, ..
                } if other == question => {
                    unsaved.base_rev = unsaved.base_rev.map(|rev| rev.saturating_sub(1));
                }
                ClientCommand::Answer { .. }
                | ClientCommand::Flag { .. }
                | ClientCommand::Submit => {}
            }
        }
        if let Some(rev) = self.revs.get_mut(question) {
            *rev = rev.saturating_sub(1);
        }
    }

    fn settle_conflict(
        &mut self,
        index: usize,
        question: String,
        mine: Value,
        refused: &CommandRefused,
    ) -> ClientUpdate {
        let stored = refused.detail.get("value").cloned().unwrap_or_default();
        let rev = refused
            .detail
            .get("rev")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let rev = u32::try_from(rev).unwrap_or(u32::MAX);
        // The value of this command, or a later one of this client.
        let own = self
            .unsaved
            .range(index..)
            .any(|unsaved| match &unsaved.command {
                ClientCommand::Answer {
                    question: other,
                    value,
                } => *other == question && *value == stored,
                ClientCommand::Flag { .. } | ClientCommand::Submit => false,
            });
        let UnsavedCommand {
            ticket, command, ..
        } = self.unsaved[index].clone();
        let known = self.revs.entry(question.clone()).or_default();
        *known = rev.max(*known);
        if own {
            // Earlier ones arrived too, or were refused: this one supersedes them.
            let mut tickets = drain_replaced(&mut self.doubts, &command);
            let before = self.unsaved.range_mut(..index);
            for earlier in before.filter(|earlier| command.supersedes_earlier(&earlier.command)) {
                if !std::mem::replace(&mut earlier.refused, true) {
                    tickets.push(earlier.ticket);
                }
            }
            tickets.push(ticket);
            return ClientUpdate::Saved(tickets);
        }
        ClientUpdate::Conflict {
            ticket,
            question,
            mine,
            stored,
            rev,
        }
    }
}

/// Removes commands in doubt that a durable command supersedes.
fn drain_replaced(doubts: &mut Vec<DoubtfulCommand>, durable: &ClientCommand) -> Vec<Ticket> {
    doubts
        .extract_if(.., |doubt| durable.supersedes_earlier(&doubt.command))
        .map(|doubt| doubt.ticket)
        .collect()
}

impl ClientCommand {
    /// True if it replaces an earlier command entirely.
    fn supersedes_earlier(&self, earlier: &Self) -> bool {
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

    /// True if the stored answers reflect it. They do not show a hand-in, which the engine
    /// reports by itself.
    fn is_reflected_in(&self, stored: &RecordedAnswers) -> bool {
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

impl UnsavedCommand {
    fn to_message(&self) -> ClientMessage {
        let seq = self.seq;
        match &self.command {
            ClientCommand::Answer { question, value } => {
                ClientMessage::Answer(candidate::AnswerCommand {
                    seq,
                    q: question.clone(),
                    value: WireValue::Json(value.clone()),
                    base_rev: self.base_rev,
                    spent_ms: None,
                    bad_field: None,
                })
            }
            ClientCommand::Flag { question, on } => ClientMessage::Flag(candidate::FlagCommand {
                seq,
                q: question.clone(),
                on: *on,
            }),
            ClientCommand::Submit => ClientMessage::Submit(candidate::SubmitCommand { seq }),
        }
    }

    fn is_long(&self) -> bool {
        self.encoded_size() > INLINE_BYTES_MAX
    }

    /// Approximate length when encoded.
    fn encoded_size(&self) -> usize {
        match &self.command {
            ClientCommand::Answer { value, .. } => size_of_json(value),
            ClientCommand::Flag { .. } | ClientCommand::Submit => 0,
        }
    }
}

/// Approximate length of a value as JSON. Escapes may double a text.
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

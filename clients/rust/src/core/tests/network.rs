//! The core against a model of the engine, over a network that breaks.
//!
//! Whatever happens to connections, sessions and acknowledgements: a command that the
//! client reports as saved is stored, the last answer to a question is stored in the
//! end, and every command is settled correctly and once, even if its refusal is lost.

use std::collections::{BTreeMap, BTreeSet};

use invigil_protocol::{
    candidate::{ClientMessage, CommandRefused, CommandsSaved, ServerMessage},
    code::RefusalCode,
    paper::{RecordedAnswer, RecordedAnswers},
};
use proptest::{collection, prelude::*};
use serde_json::{Value, json};

use super::{answer_command, welcome_message};
use crate::core::{ClientCommand, ClientCore, ClientUpdate, Ticket};

#[derive(Debug, Clone, Copy)]
enum NetworkStep {
    /// The person answers; every value is unique.
    Answer(u8),
    Flag(u8),
    /// An answer that the engine refuses.
    Nonsense,
    /// The client sends its due messages, of which this many arrive.
    Send(usize),
    /// The same, and the engine's replies are lost.
    SendUnheard(usize),
    /// A client in doubt gets the stored answers.
    Record,
    /// The store commits, and `saved` arrives or is lost.
    Commit {
        heard: bool,
    },
    /// The connection breaks, and the session survives or is lost.
    Break {
        session_lost: bool,
    },
}

fn any_step() -> impl Strategy<Value = NetworkStep> {
    prop_oneof![
        4 => (0..3_u8).prop_map(NetworkStep::Answer),
        1 => (0..3_u8).prop_map(NetworkStep::Flag),
        1 => Just(NetworkStep::Nonsense),
        4 => (0..6_usize).prop_map(NetworkStep::Send),
        1 => (0..6_usize).prop_map(NetworkStep::SendUnheard),
        2 => Just(NetworkStep::Record),
        3 => any::<bool>().prop_map(|heard| NetworkStep::Commit { heard }),
        2 => any::<bool>().prop_map(|session_lost| NetworkStep::Break { session_lost }),
    ]
}

/// A model of the engine's half of the protocol.
#[derive(Default)]
struct EngineModel {
    session: u32,
    applied_seq: u64,
    /// Every command up to this number is durable.
    saved_seq: u64,
    /// Value and revision, by question.
    stored: BTreeMap<String, (Value, u32)>,
    flagged: BTreeSet<String>,
}

impl EngineModel {
    fn receive_message(&mut self, message: ClientMessage) -> Option<ServerMessage> {
        let seq = message.seq()?;
        if seq <= self.applied_seq {
            return None;
        }
        if seq > self.applied_seq + 1 {
            let gap = CommandRefused::for_gap(seq, self.applied_seq + 1, None);
            return Some(ServerMessage::Refused(gap));
        }
        self.applied_seq = seq;
        let answer = match message {
            ClientMessage::Answer(answer) => answer,
            ClientMessage::Flag(flag) => {
                self.flagged.insert(flag.q);
                return None;
            }
            ClientMessage::Hello(_)
            | ClientMessage::Submit(_)
            | ClientMessage::Heartbeat(_)
            | ClientMessage::Event(_)
            | ClientMessage::NoticeAck(_) => return None,
        };
        let value = answer.value.into_json()?;
        if value == json!("nonsense") {
            let refused = CommandRefused::new(seq, RefusalCode::BadValue, Some(answer.q));
            return Some(ServerMessage::Refused(refused));
        }
        let (stored, rev) = self.stored.get(&answer.q).cloned().unwrap_or_default();
        if answer.base_rev.is_some_and(|base| base < rev) {
            let conflict = CommandRefused::for_conflict(seq, answer.q, rev, stored);
            return Some(ServerMessage::Refused(conflict));
        }
        self.stored.insert(answer.q, (value, rev + 1));
        None
    }

    fn welcome_client(&mut self, core: &ClientCore) -> ServerMessage {
        let known = core
            .hello_message("token")
            .resume
            .map(|resume| resume.session);
        let resumed = known == Some(self.session.to_string());
        if !resumed {
            self.session += 1;
            self.applied_seq = 0;
            self.saved_seq = 0;
        }
        welcome_message(&self.session.to_string(), resumed, self.saved_seq, 4)
    }

    fn stored_answers(&self) -> RecordedAnswers {
        let questions: BTreeSet<&String> = self.stored.keys().chain(&self.flagged).collect();
        let answers = questions.into_iter().map(|question| {
            let (value, rev) = self.stored.get(question).cloned().unwrap_or_default();
            let flagged = self.flagged.contains(question);
            let answer = RecordedAnswer {
                value,
                flagged,
                rev,
            };
            (question.clone(), answer)
        });
        RecordedAnswers {
            session: Some(self.session.to_string()),
            saved_seq: self.saved_seq,
            answers: answers.collect(),
        }
    }
}

/// Commands that the client reported as settled.
#[derive(Default)]
struct SettledTickets {
    saved: BTreeSet<Ticket>,
    refused: BTreeSet<Ticket>,
}

impl SettledTickets {
    fn note_updates(&mut self, updates: Vec<ClientUpdate>) {
        for update in updates {
            match update {
                ClientUpdate::Saved(tickets) => {
                    for ticket in tickets {
                        assert!(self.saved.insert(ticket), "saved twice: {ticket}");
                    }
                }
                ClientUpdate::Refused { ticket, .. } | ClientUpdate::Unheard { ticket } => {
                    assert!(self.refused.insert(ticket), "refused twice: {ticket}");
                }
                ClientUpdate::Conflict { ticket, .. } => {
                    panic!("no other client answers: {ticket}")
                }
                ClientUpdate::Entered(_)
                | ClientUpdate::Timing { .. }
                | ClientUpdate::Open { .. }
                | ClientUpdate::Message(_)
                | ClientUpdate::Submitted(_)
                | ClientUpdate::Closed { .. } => {}
            }
        }
        assert!(self.saved.is_disjoint(&self.refused));
    }
}

/// A client, an engine, and the network between them.
struct NetworkRun {
    core: ClientCore,
    engine: EngineModel,
    settled: SettledTickets,
    answers: BTreeMap<Ticket, (String, Value)>,
    nonsense: BTreeSet<Ticket>,
    commands: u64,
}

impl NetworkRun {
    fn new() -> Self {
        let mut run = Self {
            core: ClientCore::new(),
            engine: EngineModel::default(),
            settled: SettledTickets::default(),
            answers: BTreeMap::new(),
            nonsense: BTreeSet::new(),
            commands: 0,
        };
        run.reconnect();
        run
    }

    fn reconnect(&mut self) {
        let welcome = self.engine.welcome_client(&self.core);
        self.settled.note_updates(self.core.handle_message(welcome));
    }

    /// Sends the due messages. Returns true if all arrived and the replies came back.
    fn send_due(&mut self, arriving: usize, heard: bool) -> bool {
        let due = self.core.due_messages();
        let all = due.len() <= arriving;
        for message in due.into_iter().take(arriving) {
            if let Some(reply) = self.engine.receive_message(message)
                && heard
            {
                self.settled.note_updates(self.core.handle_message(reply));
            }
        }
        all && heard
    }

    fn deliver_record(&mut self) {
        if self.core.is_in_doubt() {
            let record = self.engine.stored_answers();
            self.settled.note_updates(self.core.apply_record(&record));
        }
    }

    fn commit_store(&mut self, heard: bool) {
        self.engine.saved_seq = self.engine.applied_seq;
        if heard {
            let saved = ServerMessage::Saved(CommandsSaved {
                seq: self.engine.saved_seq,
            });
            self.settled.note_updates(self.core.handle_message(saved));
        }
    }

    fn apply_step(&mut self, step: NetworkStep) {
        match step {
            NetworkStep::Answer(question) => {
                self.commands += 1;
                let (question, value) = (format!("q{question}"), json!(self.commands));
                let ticket = self
                    .core
                    .push_command(answer_command(&question, value.clone()));
                self.answers.insert(ticket, (question, value));
            }
            NetworkStep::Flag(question) => {
                self.commands += 1;
                self.core.push_command(ClientCommand::Flag {
                    question: format!("q{question}"),
                    on: true,
                });
            }
            NetworkStep::Nonsense => {
                self.commands += 1;
                self.nonsense.insert(
                    self.core
                        .push_command(answer_command("q9", json!("nonsense"))),
                );
            }
            // Messages that do not arrive are lost with the connection.
            NetworkStep::Send(arriving) => {
                if !self.send_due(arriving, true) {
                    self.break_off();
                }
            }
            NetworkStep::SendUnheard(arriving) => {
                self.send_due(arriving, false);
                self.break_off();
            }
            NetworkStep::Record => self.deliver_record(),
            NetworkStep::Commit { heard } => self.commit_store(heard),
            NetworkStep::Break { session_lost } => {
                if session_lost {
                    self.engine.session += 1;
                }
                self.break_off();
            }
        }
    }

    fn break_off(&mut self) {
        self.core.mark_disconnected();
        self.reconnect();
    }

    fn settle_all(&mut self) {
        for _ in 0..=self.commands {
            self.send_due(usize::MAX, true);
            self.commit_store(true);
            self.deliver_record();
        }
        assert!(self.core.is_clean());
    }
}

proptest! {
    #[test]
    fn whatever_breaks_everything_is_settled_and_the_last_answers_are_stored(
        steps in collection::vec(any_step(), 0..60),
    ) {
        let mut run = NetworkRun::new();
        for step in steps {
            run.apply_step(step);
        }
        run.settle_all();
        prop_assert_eq!(&run.settled.refused, &run.nonsense);
        prop_assert_eq!((run.settled.saved.len() + run.settled.refused.len()) as u64, run.commands);
        let mut last = BTreeMap::new();
        for (question, value) in run.answers.into_values() {
            last.insert(question, value);
        }
        let stored: BTreeMap<String, Value> =
            run.engine.stored.into_iter().map(|(question, (value, _))| (question, value)).collect();
        prop_assert_eq!(stored, last);
    }
}

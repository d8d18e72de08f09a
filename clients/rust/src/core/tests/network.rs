//! The core against a model of the engine, over a network that breaks.
//!
//! Whatever happens to connections, sessions and acknowledgements: what the
//! client calls saved is stored, the last answer to a question is what is stored
//! in the end, and every command is settled once, rightly where its refusal is lost.

use std::collections::{BTreeMap, BTreeSet};

use invigil_protocol::{
    candidate::{ClientMessage, Refused, Saved, ServerMessage},
    code::RefusalCode,
    paper::{StoredAnswer, StoredAnswers},
};
use proptest::{collection, prelude::*};
use serde_json::{Value, json};

use super::{answer, welcome};
use crate::core::{Command, Core, Ticket, Update};

#[derive(Debug, Clone, Copy)]
enum Step {
    /// The person answers; every value is another.
    Answer(u8),
    Flag(u8),
    /// An answer that the engine refuses.
    Nonsense,
    /// What is due goes out, of which so many messages arrive.
    Send(usize),
    /// The same, and nothing of what the engine says to it comes back.
    SendUnheard(usize),
    /// Whoever is in doubt gets the stored answers.
    Record,
    /// The store commits, and the client hears of it or not.
    Commit {
        heard: bool,
    },
    /// The connection breaks, with the engine's memory or without.
    Break {
        session_lost: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3_u8).prop_map(Step::Answer),
        1 => (0..3_u8).prop_map(Step::Flag),
        1 => Just(Step::Nonsense),
        4 => (0..6_usize).prop_map(Step::Send),
        1 => (0..6_usize).prop_map(Step::SendUnheard),
        2 => Just(Step::Record),
        3 => any::<bool>().prop_map(|heard| Step::Commit { heard }),
        2 => any::<bool>().prop_map(|session_lost| Step::Break { session_lost }),
    ]
}

/// The engine's half, as the protocol has it.
#[derive(Default)]
struct Engine {
    session: u32,
    applied_seq: u64,
    /// Up to here it is durable.
    saved_seq: u64,
    /// Value and revision, by question.
    stored: BTreeMap<String, (Value, u32)>,
    flagged: BTreeSet<String>,
}

impl Engine {
    fn receive(&mut self, message: ClientMessage) -> Option<ServerMessage> {
        let seq = message.seq()?;
        if seq <= self.applied_seq {
            return None;
        }
        if seq > self.applied_seq + 1 {
            let gap = Refused::gap(seq, self.applied_seq + 1, None);
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
            let refused = Refused::new(seq, RefusalCode::BadValue, Some(answer.q));
            return Some(ServerMessage::Refused(refused));
        }
        let (stored, rev) = self.stored.get(&answer.q).cloned().unwrap_or_default();
        if answer.base_rev.is_some_and(|base| base < rev) {
            let conflict = Refused::conflict(seq, answer.q, rev, stored);
            return Some(ServerMessage::Refused(conflict));
        }
        self.stored.insert(answer.q, (value, rev + 1));
        None
    }

    fn welcome(&mut self, core: &Core) -> ServerMessage {
        let known = core.hello("token").resume.map(|resume| resume.session);
        let resumed = known == Some(self.session.to_string());
        if !resumed {
            self.session += 1;
            self.applied_seq = 0;
            self.saved_seq = 0;
        }
        welcome(&self.session.to_string(), resumed, self.saved_seq, 4)
    }

    fn record(&self) -> StoredAnswers {
        let questions: BTreeSet<&String> = self.stored.keys().chain(&self.flagged).collect();
        let answers = questions.into_iter().map(|question| {
            let (value, rev) = self.stored.get(question).cloned().unwrap_or_default();
            let flagged = self.flagged.contains(question);
            let answer = StoredAnswer {
                value,
                flagged,
                rev,
            };
            (question.clone(), answer)
        });
        StoredAnswers {
            session: Some(self.session.to_string()),
            saved_seq: self.saved_seq,
            answers: answers.collect(),
        }
    }
}

/// What the client was told of its commands.
#[derive(Default)]
struct Told {
    saved: BTreeSet<Ticket>,
    refused: BTreeSet<Ticket>,
}

impl Told {
    fn note(&mut self, updates: Vec<Update>) {
        for update in updates {
            match update {
                Update::Saved(tickets) => {
                    for ticket in tickets {
                        assert!(self.saved.insert(ticket), "saved twice: {ticket}");
                    }
                }
                Update::Refused { ticket, .. } | Update::Unheard { ticket } => {
                    assert!(self.refused.insert(ticket), "refused twice: {ticket}");
                }
                Update::Conflict { ticket, .. } => panic!("nobody else answers: {ticket}"),
                Update::Entered(_)
                | Update::Timing { .. }
                | Update::Open { .. }
                | Update::Message(_)
                | Update::Submitted(_)
                | Update::Closed { .. } => {}
            }
        }
        assert!(self.saved.is_disjoint(&self.refused));
    }
}

/// A client, an engine, and what lies between them.
struct Run {
    core: Core,
    engine: Engine,
    told: Told,
    answers: BTreeMap<Ticket, (String, Value)>,
    nonsense: BTreeSet<Ticket>,
    commands: u64,
}

impl Run {
    fn new() -> Self {
        let mut run = Self {
            core: Core::new(),
            engine: Engine::default(),
            told: Told::default(),
            answers: BTreeMap::new(),
            nonsense: BTreeSet::new(),
            commands: 0,
        };
        run.connect();
        run
    }

    fn connect(&mut self) {
        let welcome = self.engine.welcome(&self.core);
        self.told.note(self.core.receive(welcome));
    }

    /// Whether all that was due arrived, and was answered.
    fn send(&mut self, arriving: usize, heard: bool) -> bool {
        let due = self.core.due();
        let all = due.len() <= arriving;
        for message in due.into_iter().take(arriving) {
            if let Some(reply) = self.engine.receive(message)
                && heard
            {
                self.told.note(self.core.receive(reply));
            }
        }
        all && heard
    }

    fn record(&mut self) {
        if self.core.is_in_doubt() {
            let record = self.engine.record();
            self.told.note(self.core.recorded(&record));
        }
    }

    fn commit(&mut self, heard: bool) {
        self.engine.saved_seq = self.engine.applied_seq;
        if heard {
            let saved = ServerMessage::Saved(Saved {
                seq: self.engine.saved_seq,
            });
            self.told.note(self.core.receive(saved));
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Answer(question) => {
                self.commands += 1;
                let (question, value) = (format!("q{question}"), json!(self.commands));
                let ticket = self.core.push(answer(&question, value.clone()));
                self.answers.insert(ticket, (question, value));
            }
            Step::Flag(question) => {
                self.commands += 1;
                self.core.push(Command::Flag {
                    question: format!("q{question}"),
                    on: true,
                });
            }
            Step::Nonsense => {
                self.commands += 1;
                self.nonsense
                    .insert(self.core.push(answer("q9", json!("nonsense"))));
            }
            // What does not arrive is lost with the connection.
            Step::Send(arriving) => {
                if !self.send(arriving, true) {
                    self.break_off();
                }
            }
            Step::SendUnheard(arriving) => {
                self.send(arriving, false);
                self.break_off();
            }
            Step::Record => self.record(),
            Step::Commit { heard } => self.commit(heard),
            Step::Break { session_lost } => {
                if session_lost {
                    self.engine.session += 1;
                }
                self.break_off();
            }
        }
    }

    fn break_off(&mut self) {
        self.core.disconnected();
        self.connect();
    }

    fn finish(&mut self) {
        for _ in 0..=self.commands {
            self.send(usize::MAX, true);
            self.commit(true);
            self.record();
        }
        assert!(self.core.is_clean());
    }
}

proptest! {
    #[test]
    fn whatever_breaks_everything_is_settled_and_the_last_answers_are_stored(
        steps in collection::vec(step(), 0..60),
    ) {
        let mut run = Run::new();
        for step in steps {
            run.step(step);
        }
        run.finish();
        prop_assert_eq!(&run.told.refused, &run.nonsense);
        prop_assert_eq!((run.told.saved.len() + run.told.refused.len()) as u64, run.commands);
        let mut last = BTreeMap::new();
        for (question, value) in run.answers.into_values() {
            last.insert(question, value);
        }
        let stored: BTreeMap<String, Value> =
            run.engine.stored.into_iter().map(|(question, (value, _))| (question, value)).collect();
        prop_assert_eq!(stored, last);
    }
}

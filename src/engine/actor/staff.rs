//! What staff do to an attempt, and what a look at it shows.

use std::sync::Arc;

use super::{
    Actor, After,
    message::{Look, Reply, StaffRefusal},
};
use crate::{
    domain::attempt::{
        Command, Refusal,
        command::{Action, CommandKey},
    },
    engine::slot::Change,
};

impl Actor {
    /// Does a staff command once; the answer follows the commit.
    pub(super) fn staff(
        &mut self,
        key: CommandKey,
        action: Action,
        reply: Reply<(), StaffRefusal>,
    ) {
        let now = self.shared.clock.now();
        let command = Command::Staff {
            key: key.clone(),
            action,
        };
        match self.perform(now, &command, Change::default()) {
            Ok(()) => self.after_all(now, After::Staff(key, reply)),
            Err(refusal) => self.refuse(now, reply, refusal_of(refusal)),
        }
    }

    /// The attempt as it is in memory.
    pub(super) fn look(&self) -> Look {
        let plan = self.attempt.plan();
        Look {
            identity: Arc::clone(self.attempt.identity()),
            control: self.attempt.control().clone(),
            version: self.attempt.version(),
            session: self.slot.durable().session,
            saved_seq: self.saved_seq(),
            answers: self
                .attempt
                .answers()
                .iter()
                .map(|(number, answer)| (plan.question(number).id.clone(), answer.clone()))
                .collect(),
        }
    }
}

const fn refusal_of(refusal: Refusal) -> StaffRefusal {
    match refusal {
        Refusal::NotPaused => StaffRefusal::NotPaused,
        Refusal::AlreadyPaused => StaffRefusal::AlreadyPaused,
        Refusal::NotStarted => StaffRefusal::NotStarted,
        Refusal::UnknownIncident => StaffRefusal::UnknownIncident,
        Refusal::AfterHandIn | Refusal::Closed | Refusal::AnotherDevice | Refusal::Gap { .. } => {
            StaffRefusal::Closed
        }
    }
}

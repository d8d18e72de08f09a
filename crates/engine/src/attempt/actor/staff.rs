//! Staff commands on an attempt, and its snapshot.

use std::sync::Arc;

use super::AttemptActor;
use crate::{
    attempt::{
        journal::DeferredEffect,
        mailbox::{AttemptSnapshot, ReplySender, StaffRefusal},
    },
    commit::write_buffer::AttemptChanges,
};
use invigil_domain::attempt::{
    AttemptCommand, DecideError,
    command::{CommandKey, StaffAction},
};

impl AttemptActor {
    /// Applies a staff command once; the reply follows the commit.
    pub(super) fn handle_staff_command(
        &mut self,
        key: CommandKey,
        action: StaffAction,
        reply: ReplySender<(), StaffRefusal>,
    ) {
        let now = self.shared.clock.now();
        let command = AttemptCommand::Staff {
            key: key.clone(),
            action,
        };
        match self.perform_command(now, &command, AttemptChanges::default()) {
            Ok(()) => self.defer_until_durable(now, DeferredEffect::Staff(key, reply)),
            Err(refusal) => self.refuse_after_commit(now, reply, refusal_of(refusal)),
        }
    }

    /// Snapshot of the attempt.
    pub(super) fn build_snapshot(&self) -> AttemptSnapshot {
        let plan = self.attempt.indexed_exam();
        AttemptSnapshot {
            identity: Arc::clone(self.attempt.identity()),
            control: self.attempt.control().clone(),
            version: self.attempt.version(),
            session: self.journal.durable_session(),
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

const fn refusal_of(refusal: DecideError) -> StaffRefusal {
    match refusal {
        DecideError::NotPaused => StaffRefusal::NotPaused,
        DecideError::AlreadyPaused => StaffRefusal::AlreadyPaused,
        DecideError::NotStarted => StaffRefusal::NotStarted,
        DecideError::UnknownIncident => StaffRefusal::UnknownIncident,
        DecideError::AfterHandIn
        | DecideError::Closed
        | DecideError::AnotherDevice
        | DecideError::Gap { .. } => StaffRefusal::Closed,
    }
}

//! Whom a command reached.
//!
//! Counted in memory, for the consoles that are there: a command's effect is
//! durable, who has seen it is not.

use std::collections::{BTreeMap, HashSet, VecDeque};

use invigil_protocol::proctor::Receipt;

use crate::domain::{
    attempt::command::CommandKey,
    id::{AttemptId, PersonId},
};

/// Commands that are remembered. An exam has few; older ones are settled.
const COMMANDS_MAX: usize = 200;

/// The commands of an exam, and whom they reached.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    commands: BTreeMap<CommandKey, Reached>,
    order: VecDeque<CommandKey>,
}

#[derive(Debug, Default)]
struct Reached {
    total: u32,
    delivered: HashSet<AttemptId>,
    acknowledged: HashSet<AttemptId>,
    changed: bool,
}

impl Receipts {
    /// A command begins.
    pub(super) fn expect(&mut self, key: &CommandKey, total: u32) {
        if let Some(known) = self.commands.get_mut(key) {
            known.changed = true;
            return;
        }
        let reached = Reached {
            total,
            ..Reached::default()
        };
        self.commands.insert(key.clone(), reached);
        self.order.push_back(key.clone());
        if self.order.len() > COMMANDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.commands.remove(&oldest);
        }
    }

    pub(super) fn delivered(&mut self, key: &CommandKey, attempt: AttemptId) {
        if let Some(reached) = self.commands.get_mut(key) {
            reached.changed |= reached.delivered.insert(attempt);
        }
    }

    pub(super) fn acknowledged(&mut self, key: &CommandKey, attempt: AttemptId) {
        if let Some(reached) = self.commands.get_mut(key) {
            reached.changed |= reached.acknowledged.insert(attempt);
        }
    }

    /// What changed since the last time, and whose command it was.
    pub(super) fn take_changed(&mut self) -> Vec<(PersonId, Receipt)> {
        let count = |set: &HashSet<AttemptId>| u32::try_from(set.len()).unwrap_or(u32::MAX);
        let mut changed = Vec::new();
        for (key, reached) in &mut self.commands {
            if std::mem::take(&mut reached.changed) {
                let receipt = Receipt {
                    id: key.command.clone(),
                    delivered: count(&reached.delivered),
                    acknowledged: count(&reached.acknowledged),
                    total: reached.total,
                };
                changed.push((PersonId::from(key.person.as_str()), receipt));
            }
        }
        changed
    }
}

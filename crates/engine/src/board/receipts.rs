//! Deliveries of staff commands to candidates.
//!
//! Counted in memory, for the consoles that are connected: the effect of a command is
//! durable, the count of its deliveries is not.

use std::collections::{BTreeMap, HashSet, VecDeque};

use invigil_protocol::proctor::NoticeDelivery;

use invigil_domain::{
    attempt::command::CommandKey,
    id::{AttemptId, PersonId},
};

/// Commands that are counted. An exam has few; older ones are settled.
const COMMANDS_MAX: usize = 200;

/// The commands of an exam, with the attempts that they reached.
#[derive(Debug, Default)]
pub(super) struct CommandReceipts {
    commands: BTreeMap<CommandKey, DeliveryCounts>,
    order: VecDeque<CommandKey>,
}

#[derive(Debug, Default)]
struct DeliveryCounts {
    total: u32,
    delivered: HashSet<AttemptId>,
    acknowledged: HashSet<AttemptId>,
    changed: bool,
}

impl CommandReceipts {
    /// Begins to count a command's deliveries.
    pub(super) fn track_command(&mut self, key: &CommandKey, total: u32) {
        if let Some(known) = self.commands.get_mut(key) {
            known.changed = true;
            return;
        }
        let reached = DeliveryCounts {
            total,
            ..DeliveryCounts::default()
        };
        self.commands.insert(key.clone(), reached);
        self.order.push_back(key.clone());
        if self.order.len() > COMMANDS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.commands.remove(&oldest);
        }
    }

    pub(super) fn note_delivered(&mut self, key: &CommandKey, attempt: AttemptId) {
        if let Some(reached) = self.commands.get_mut(key) {
            reached.changed |= reached.delivered.insert(attempt);
        }
    }

    pub(super) fn note_acknowledged(&mut self, key: &CommandKey, attempt: AttemptId) {
        if let Some(reached) = self.commands.get_mut(key) {
            reached.changed |= reached.acknowledged.insert(attempt);
        }
    }

    /// Takes the counts that changed since the last call, with the person who gave the command.
    pub(super) fn take_changed(&mut self) -> Vec<(PersonId, NoticeDelivery)> {
        let count = |set: &HashSet<AttemptId>| u32::try_from(set.len()).unwrap_or(u32::MAX);
        let mut changed = Vec::new();
        for (key, reached) in &mut self.commands {
            if std::mem::take(&mut reached.changed) {
                let receipt = NoticeDelivery {
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

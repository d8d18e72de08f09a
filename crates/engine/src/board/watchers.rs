//! The consoles that watch an exam, and the attempts that they inspect.

use std::collections::{BTreeMap, BTreeSet};

use invigil_protocol::proctor::{ExamWatcher, ProctorPresence};

use crate::peers::messages::WatchingConsole;
use invigil_domain::{
    id::{AttemptId, ExamCode, PersonId},
    person::{CandidateScope, RosterPerson},
};

/// The consoles of an exam.
#[derive(Debug, Default)]
pub(super) struct BoardWatchers {
    consoles: BTreeMap<u64, WatchingConsole>,
    last_number: u64,
}

impl BoardWatchers {
    /// Returns every console of this node.
    pub(super) fn consoles(&self) -> Vec<WatchingConsole> {
        self.consoles.values().cloned().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.consoles.is_empty()
    }

    /// Adds a console, and returns its number.
    pub(super) fn add_console(&mut self, person: &RosterPerson) -> u64 {
        self.last_number += 1;
        let console = WatchingConsole {
            person: person.id.clone(),
            name: person.name.clone(),
            scope: person.candidate_scope(),
            inspects: BTreeSet::new(),
        };
        self.consoles.insert(self.last_number, console);
        self.last_number
    }

    /// Returns true if a console has exactly this scope.
    pub(super) fn has_scope(&self, scope: &CandidateScope) -> bool {
        self.consoles
            .values()
            .any(|console| console.scope == *scope)
    }

    /// Changes the scope of a console, and returns the attempts that it inspects.
    pub(super) fn set_scope(
        &mut self,
        console: u64,
        scope: &CandidateScope,
    ) -> BTreeSet<AttemptId> {
        let Some(console) = self.consoles.get_mut(&console) else {
            return BTreeSet::new();
        };
        console.scope = scope.clone();
        console.inspects.clone()
    }

    /// Removes a console, and returns the attempts that it inspected.
    pub(super) fn remove_console(&mut self, console: u64) -> BTreeSet<AttemptId> {
        let removed = self.consoles.remove(&console);
        removed.map_or_else(BTreeSet::new, |console| console.inspects)
    }

    /// Begins or ends an inspection. Returns true if that changed anything.
    pub(super) fn set_inspecting(&mut self, console: u64, attempt: AttemptId, on: bool) -> bool {
        self.consoles.get_mut(&console).is_some_and(|console| {
            if on {
                console.inspects.insert(attempt)
            } else {
                console.inspects.remove(&attempt)
            }
        })
    }

    /// Returns all watchers, with those of other nodes, by person: two consoles of one
    /// person are one proctor. Only attempts that are `is_known` are named.
    pub(super) fn presence_message<'a>(
        &'a self,
        elsewhere: impl Iterator<Item = &'a WatchingConsole>,
        exam: &ExamCode,
        is_known: impl Fn(AttemptId) -> bool,
    ) -> ProctorPresence {
        let mut people: BTreeMap<&PersonId, (&str, BTreeSet<AttemptId>)> = BTreeMap::new();
        for console in self.consoles.values().chain(elsewhere) {
            let (_, inspects) = people
                .entry(&console.person)
                .or_insert_with(|| (&console.name, BTreeSet::new()));
            inspects.extend(&console.inspects);
        }
        let proctors = people
            .into_iter()
            .map(|(id, (name, inspects))| ExamWatcher {
                id: id.to_string(),
                name: name.to_owned(),
                inspects: inspects
                    .into_iter()
                    .filter(|attempt| is_known(*attempt))
                    .map(|attempt| attempt.to_string())
                    .collect(),
            });
        ProctorPresence {
            exam: exam.to_string(),
            proctors: proctors.collect(),
        }
    }
}

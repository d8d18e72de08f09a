//! Who watches an exam, and whom.

use std::collections::{BTreeMap, BTreeSet};

use invigil_protocol::proctor::{Presence, Watcher};
use serde::{Deserialize, Serialize};

use crate::domain::{
    id::{AttemptId, ExamCode, PersonId},
    person::{CandidateScope, Person},
};

/// The consoles of an exam.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    consoles: BTreeMap<u64, Console>,
    last: u64,
}

/// A console, and what it looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Console {
    person: PersonId,
    name: String,
    scope: CandidateScope,
    inspects: BTreeSet<AttemptId>,
}

impl Console {
    /// The attempts that it looks at.
    pub(super) const fn inspected(&self) -> &BTreeSet<AttemptId> {
        &self.inspects
    }

    /// Whether it looks at an attempt.
    pub(super) fn inspects(&self, attempt: AttemptId) -> bool {
        self.inspects.contains(&attempt)
    }
}

impl Watchers {
    /// Every console.
    pub(super) fn consoles(&self) -> Vec<Console> {
        self.consoles.values().cloned().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.consoles.is_empty()
    }

    /// Adds a console; the number names it.
    pub(super) fn add(&mut self, person: &Person) -> u64 {
        self.last += 1;
        let console = Console {
            person: person.id.clone(),
            name: person.name.clone(),
            scope: person.candidates(),
            inspects: BTreeSet::new(),
        };
        self.consoles.insert(self.last, console);
        self.last
    }

    /// Whether a console sees just these candidates.
    pub(super) fn watch_with(&self, scope: &CandidateScope) -> bool {
        self.consoles
            .values()
            .any(|console| console.scope == *scope)
    }

    /// A console sees other candidates; the attempts are those that it inspects.
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

    /// Removes a console; the attempts are those that it inspected.
    pub(super) fn remove(&mut self, console: u64) -> BTreeSet<AttemptId> {
        let removed = self.consoles.remove(&console);
        removed.map_or_else(BTreeSet::new, |console| console.inspects)
    }

    /// Whether that changed anything.
    pub(super) fn inspect(&mut self, console: u64, attempt: AttemptId, on: bool) -> bool {
        self.consoles.get_mut(&console).is_some_and(|console| {
            if on {
                console.inspects.insert(attempt)
            } else {
                console.inspects.remove(&attempt)
            }
        })
    }

    /// Everybody, those at other nodes too, by person: two consoles of one person are
    /// one proctor. With the attempts that whoever is told may know of.
    pub(super) fn presence<'a>(
        &'a self,
        elsewhere: impl Iterator<Item = &'a Console>,
        exam: &ExamCode,
        is_known: impl Fn(AttemptId) -> bool,
    ) -> Presence {
        let mut people: BTreeMap<&PersonId, (&str, BTreeSet<AttemptId>)> = BTreeMap::new();
        for console in self.consoles.values().chain(elsewhere) {
            let (_, inspects) = people
                .entry(&console.person)
                .or_insert_with(|| (&console.name, BTreeSet::new()));
            inspects.extend(&console.inspects);
        }
        let proctors = people.into_iter().map(|(id, (name, inspects))| Watcher {
            id: id.to_string(),
            name: name.to_owned(),
            inspects: inspects
                .into_iter()
                .filter(|attempt| is_known(*attempt))
                .map(|attempt| attempt.to_string())
                .collect(),
        });
        Presence {
            exam: exam.to_string(),
            proctors: proctors.collect(),
        }
    }
}

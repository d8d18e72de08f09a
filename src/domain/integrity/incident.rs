//! Incidents: what a person should look at, grouped by kind.

use serde::{Deserialize, Serialize};

use super::Integrity;
use crate::domain::{
    exam::{Consequence, Severity},
    time::Timestamp,
};

/// The most incidents that an attempt keeps. One is opened only while none of
/// its kind is open, so more than this takes a person who closes hundreds.
const INCIDENTS_MAX: usize = 500;

/// Something that a person should look at. While it is open, every further
/// event of its kind is a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Unique within the attempt.
    pub id: String,
    /// The kind of event that led to it.
    pub kind: String,
    /// The worst so far.
    pub severity: Severity,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Its newest event.
    pub last_at: Timestamp,
    /// How many events it stands for.
    pub events: u32,
    /// The gravest that followed.
    pub then: Consequence,
    /// What the person who opened it wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who opened it by hand; none: a rule did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<String>,
    /// Who looks after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_to: Option<String>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<Closed>,
}

/// How an incident ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// When.
    pub at: Timestamp,
    /// The person.
    pub by: String,
    /// What the person found, such as `confirmed` or `dismissed`.
    pub verdict: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The verdict that takes an incident's part out of the risk.
pub const DISMISSED: &str = "dismissed";

/// The verdict that an attempt is not cleared of.
const CONFIRMED: &str = "confirmed";

impl Incident {
    /// Whether it still waits for a person.
    pub const fn is_open(&self) -> bool {
        self.closed.is_none()
    }
}

/// What opens an incident, or adds to the open one of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// The kind of event.
    pub kind: String,
    /// How bad.
    pub severity: Severity,
    /// When.
    pub at: Timestamp,
    /// Events that led to it, where it is opened.
    pub events: u32,
    /// What follows.
    pub then: Consequence,
    /// What the person who opened it wrote.
    pub note: Option<String>,
    /// Who opened it by hand.
    pub by: Option<String>,
}

impl Integrity {
    /// All incidents, oldest first.
    pub fn incidents(&self) -> &[Incident] {
        &self.incidents
    }

    /// Whether no incident waits for a person, and none was confirmed by one.
    pub fn is_clear(&self) -> bool {
        self.incidents.iter().all(|incident| {
            let closed = incident.closed.as_ref();
            closed.is_some_and(|closed| closed.verdict != CONFIRMED)
        })
    }

    /// The incident of this id.
    pub fn incident(&self, id: &str) -> Option<&Incident> {
        self.incidents.iter().find(|incident| incident.id == id)
    }

    /// The incident of a kind that is open.
    pub(super) fn open_incident(&mut self, kind: &str) -> Option<&mut Incident> {
        let mut open = self.incidents.iter_mut().rev();
        open.find(|incident| incident.kind == kind && incident.is_open())
    }

    /// Opens an incident, or makes the open one of the kind graver.
    pub(in crate::domain) fn raise(&mut self, id: String, raised: &Raised) {
        if let Some(open) = self.open_incident(&raised.kind) {
            open.severity = open.severity.max(raised.severity);
            open.then = open.then.max(raised.then);
            open.last_at = open.last_at.max(raised.at);
            if raised.note.is_some() {
                open.note.clone_from(&raised.note);
            }
            return;
        }
        if self.incidents.len() >= INCIDENTS_MAX {
            self.incidents.remove(0);
        }
        self.incidents.push(Incident {
            id,
            kind: raised.kind.clone(),
            severity: raised.severity,
            opened_at: raised.at,
            last_at: raised.at,
            events: raised.events,
            then: raised.then,
            note: raised.note.clone(),
            opened_by: raised.by.clone(),
            assigned_to: None,
            closed: None,
        });
    }

    /// Closes an incident. What turned out to be nothing is taken out of the risk.
    pub(in crate::domain) fn close(&mut self, id: &str, closed: &Closed) {
        let Some(incident) = self.incidents.iter_mut().find(|incident| incident.id == id) else {
            return;
        };
        incident.closed = Some(closed.clone());
        if closed.verdict == DISMISSED {
            self.shares.remove(&incident.kind);
        }
    }

    /// Gives an incident to somebody, or to nobody.
    pub(in crate::domain) fn assign(&mut self, id: &str, to: Option<&str>) {
        if let Some(incident) = self.incidents.iter_mut().find(|incident| incident.id == id) {
            incident.assigned_to = to.map(str::to_owned);
        }
    }
}

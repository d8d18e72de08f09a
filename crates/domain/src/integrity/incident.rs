//! Incidents: integrity events that a person should review, grouped by kind.

use serde::{Deserialize, Serialize};

use super::IntegrityState;
use crate::{
    exam::{EventSeverity, RuleConsequence},
    time::Timestamp,
};

/// The most incidents that an attempt keeps. A kind has one open incident at most,
/// so only a person who closes hundreds can exceed this.
const INCIDENTS_MAX: usize = 500;

/// A matter that a person should review. While it is open, all further events of
/// its kind belong to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Unique within the attempt.
    pub id: String,
    /// Kind of the event that opened it.
    pub kind: String,
    /// The highest severity so far.
    pub severity: EventSeverity,
    /// Time of the first event.
    pub opened_at: Timestamp,
    /// Time of the newest event.
    pub last_at: Timestamp,
    /// Number of its events.
    pub events: u32,
    /// The gravest consequence so far.
    pub then: RuleConsequence,
    /// Note of the person who opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The person who opened it by hand; `None` if a rule did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_by: Option<String>,
    /// The person to whom it is assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_to: Option<String>,
    /// Verdict, if it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<IncidentClosure>,
}

/// The verdict on an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentClosure {
    /// Time of the verdict.
    pub at: Timestamp,
    /// Id of the person who closed it.
    pub by: String,
    /// Finding, such as `confirmed` or `dismissed`.
    pub verdict: String,
    /// Remarks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The verdict that removes an incident's share from the risk.
pub const DISMISSED: &str = "dismissed";

/// The verdict after which an attempt is not clear.
const CONFIRMED: &str = "confirmed";

impl Incident {
    /// Returns true if it still waits for a person.
    pub const fn is_open(&self) -> bool {
        self.closed.is_none()
    }
}

/// Cause that opens an incident, or adds to the open one of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentTrigger {
    /// Kind of the event.
    pub kind: String,
    /// Severity of the event.
    pub severity: EventSeverity,
    /// Time of the event.
    pub at: Timestamp,
    /// Number of events that caused it, if it opens an incident.
    pub events: u32,
    /// Consequence for the candidate.
    pub then: RuleConsequence,
    /// Note of the person who opened it.
    pub note: Option<String>,
    /// The person who opened it by hand.
    pub by: Option<String>,
}

impl IntegrityState {
    /// All incidents, oldest first.
    pub fn incidents(&self) -> &[Incident] {
        &self.incidents
    }

    /// Returns true if all incidents are closed, and none was confirmed.
    pub fn is_clear(&self) -> bool {
        self.incidents.iter().all(|incident| {
            let closed = incident.closed.as_ref();
            closed.is_some_and(|closed| closed.verdict != CONFIRMED)
        })
    }

    /// Returns the incident with this id.
    pub fn incident(&self, id: &str) -> Option<&Incident> {
        self.incidents.iter().find(|incident| incident.id == id)
    }

    /// Returns the open incident of a kind.
    pub(super) fn open_incident(&mut self, kind: &str) -> Option<&mut Incident> {
        let mut open = self.incidents.iter_mut().rev();
        open.find(|incident| incident.kind == kind && incident.is_open())
    }

    /// Opens an incident, or makes the open one of its kind more severe.
    pub(crate) fn raise_incident(&mut self, id: String, raised: &IncidentTrigger) {
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

    /// Closes an incident. A dismissed one no longer counts in the risk.
    pub(crate) fn close_incident(&mut self, id: &str, closed: &IncidentClosure) {
        let Some(incident) = self.incidents.iter_mut().find(|incident| incident.id == id) else {
            return;
        };
        incident.closed = Some(closed.clone());
        if closed.verdict == DISMISSED {
            self.shares.remove(&incident.kind);
        }
    }

    /// Assigns an incident to a person, or removes the assignment.
    pub(crate) fn assign_incident(&mut self, id: &str, to: Option<&str>) {
        if let Some(incident) = self.incidents.iter_mut().find(|incident| incident.id == id) {
            incident.assigned_to = to.map(str::to_owned);
        }
    }
}

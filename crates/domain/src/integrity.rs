//! Integrity of an attempt: events, their judgement by the exam's rules, and the risk.
//!
//! Pure, like the whole domain. [`IntegrityState::judge_event`] applies the rules to
//! an event and returns an [`EventJudgement`] with all changes to the state. The
//! state therefore follows from the events alone, and an attempt that is replayed
//! under other rules is the same again. This module guarantees three things: a rule
//! voids an attempt only if the exam says `cancel`; a lost heartbeat never does more
//! than warn; and no input of a client makes the state grow without bound.
//!
//! The risk is the sum of one share for each kind of event, and each share halves
//! every [`HALF_LIFE`]. It is computed in whole thousandths of a point, so that all
//! machines get the same result.

pub mod detection;
mod incident;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::incident::{DISMISSED, Incident, IncidentClosure, IncidentTrigger};
use crate::{
    exam::{EventSeverity, IntegrityRule, ProctoringPolicy, RuleConsequence},
    id::SessionId,
    time::{Timestamp, duration_ms},
};

/// Judged events that are remembered. A session leaves few unconfirmed ones.
const REMEMBERED_MAX: usize = 16;

/// Time after which an event counts half.
pub const HALF_LIFE: Duration = Duration::from_mins(15);

/// The highest risk.
pub const RISK_MAX: u8 = 100;

/// Thousandths of a point of risk.
type RiskMilli = u32;

/// Kinds of detection: event kind, by which rules name it, and usual severity.
pub const DETECTIONS: [(Detection, &str, EventSeverity); 6] = [
    (
        Detection::HeartbeatLost,
        "heartbeat_lost",
        EventSeverity::Low,
    ),
    (
        Detection::SessionTakenOver,
        "session_taken_over",
        EventSeverity::Medium,
    ),
    (
        Detection::AddressChanged,
        "address_changed",
        EventSeverity::Medium,
    ),
    (
        Detection::ClockSkewed,
        "clock_skewed",
        EventSeverity::Medium,
    ),
    (
        Detection::AnswerTooFast,
        "answer_too_fast",
        EventSeverity::Low,
    ),
    (
        Detection::DeviceShared,
        "device_shared",
        EventSeverity::High,
    ),
];

/// A kind of event that the engine itself detects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detection {
    /// The candidate was absent for longer than a short network failure lasts.
    HeartbeatLost,
    /// Another device entered while one was connected.
    SessionTakenOver,
    /// The client's address or device changed during the exam.
    AddressChanged,
    /// The client's clock jumped relative to the engine's.
    ClockSkewed,
    /// Answers came faster than the questions can be read.
    AnswerTooFast,
    /// Another candidate of the exam uses the same device.
    DeviceShared,
}

impl Detection {
    /// Event kind of the detection.
    pub fn as_str(self) -> &'static str {
        let known = DETECTIONS.iter().find(|(one, ..)| *one == self);
        known.map_or("", |(_, name, _)| name)
    }

    fn from_kind(kind: &str) -> Option<(Self, EventSeverity)> {
        let known = DETECTIONS.iter().find(|(_, name, _)| *name == kind);
        known.map(|&(detection, _, severity)| (detection, severity))
    }
}

/// Returns the severity of an event without a rule; `None` if it is harmless by
/// itself.
pub fn usual_severity(kind: &str) -> Option<EventSeverity> {
    Some(match kind {
        "focus_gained" | "page_visible" | "offline" => return None,
        "focus_lost" | "page_hidden" | "fullscreen_exit" | "copy" | "cut" | "paste"
        | "context_menu" | "print" | "face_absent" | "voice" => EventSeverity::Low,
        "screenshot" | "devtools" | "second_screen" | "screen_share_stopped" => {
            EventSeverity::Medium
        }
        "face_multiple" | "phone" | "virtual_machine" => EventSeverity::High,
        "face_mismatch" => EventSeverity::Critical,
        other => return Detection::from_kind(other).map(|(_, severity)| severity),
    })
}

/// Returns the risk that one event of a severity adds.
const fn risk_weight(severity: EventSeverity) -> RiskMilli {
    match severity {
        EventSeverity::Low => 2_000,
        EventSeverity::Medium => 8_000,
        EventSeverity::High => 25_000,
        EventSeverity::Critical => 60_000,
    }
}

/// Integrity state of an attempt, stored with its control state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IntegrityState {
    /// Share of each kind of event in the risk, at the time of its last event.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    shares: BTreeMap<String, RiskShare>,
    /// Events that count towards the limits of rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tallies: Vec<RuleTally>,
    /// Incidents, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    incidents: Vec<Incident>,
    /// Number of times that a rule acted.
    #[serde(skip_serializing_if = "is_zero")]
    violations: u32,
    /// The highest risk so far.
    peak: u8,
    /// Origin of the candidate's last connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<ConnectionOrigin>,
    /// The newest judged events: a client that got no acknowledgement repeats them in
    /// its next session, with other numbers.
    #[serde(skip_serializing_if = "VecDeque::is_empty")]
    judged: VecDeque<(SessionId, String, Timestamp)>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Origin of a candidate's connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionOrigin {
    /// The network address.
    pub address: String,
    /// Name that the client gives its device, if any.
    pub device: Option<String>,
}

/// The share of one kind of event in the risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct RiskShare {
    milli: RiskMilli,
    at: Timestamp,
}

impl RiskShare {
    /// Returns the rest of the share at `now`.
    fn remaining_at(self, now: Timestamp) -> RiskMilli {
        let half = HALF_LIFE.as_millis();
        let elapsed = now.since(self.at).as_millis();
        let Ok(halvings) = u32::try_from(elapsed / half) else {
            return 0;
        };
        let whole = self.milli.checked_shr(halvings).unwrap_or(0);
        // Linear between two halvings: within 6 % of the exponential curve.
        let part = u128::from(whole) * (elapsed % half) / (2 * half);
        whole - u32::try_from(part).unwrap_or(whole)
    }
}

/// Events that one rule has counted since its last action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RuleTally {
    rule: RuleKey,
    /// Number of all events.
    count: u32,
    /// Times of the events, oldest first; only for a rule with a window.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    at: Vec<Timestamp>,
}

/// Identity of a rule by its content: rules have no names, and may be changed during
/// an exam.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleKey {
    kind: String,
    limit: u32,
    within_ms: Option<u64>,
    then: String,
}

impl RuleKey {
    fn of_rule(rule: &IntegrityRule) -> Self {
        Self {
            kind: rule.kind.clone(),
            limit: rule.limit,
            within_ms: rule.within.map(crate::timing::whole_ms),
            then: rule.then.as_str().to_owned(),
        }
    }
}

/// Judgement of an event under the current rules; the default has no effect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventJudgement {
    /// Severity; `None` for a harmless event.
    pub severity: Option<EventSeverity>,
    /// Risk that it adds.
    milli: RiskMilli,
    /// The rules that count it, each with true if the event makes it act.
    rules: Vec<(RuleKey, bool)>,
    /// Consequences of the rules that act, mildest first, each once.
    pub consequences: Vec<RuleConsequence>,
    /// Events that the acting rules have counted, with this one.
    pub events: u32,
}

impl EventJudgement {
    /// Returns a judgement with the usual severity and without consequences.
    pub fn without_rules(kind: &str) -> Self {
        Self {
            severity: usual_severity(kind),
            ..Self::default()
        }
    }

    /// Returns true if the event changes the integrity state.
    pub const fn changes_anything(&self) -> bool {
        self.milli > 0 || !self.rules.is_empty() || !self.consequences.is_empty()
    }
}

impl IntegrityState {
    /// Returns true if an event was judged in an earlier session.
    pub fn was_judged_before(&self, session: &SessionId, kind: &str, client_at: Timestamp) -> bool {
        let mut judged = self.judged.iter();
        judged.any(|(other, what, at)| other != session && what == kind && *at == client_at)
    }

    /// Moves a remembered event to the session that repeated it.
    pub(super) fn move_to_session(
        &mut self,
        session: &SessionId,
        kind: &str,
        client_at: Timestamp,
    ) {
        let mut judged = self.judged.iter_mut();
        let known = judged.find(|(other, what, at)| {
            other != session && what.as_str() == kind && *at == client_at
        });
        if let Some((other, ..)) = known {
            *other = session.clone();
        }
    }

    /// Remembers a judged event.
    pub(super) fn remember_judged(
        &mut self,
        session: &SessionId,
        kind: &str,
        client_at: Timestamp,
    ) {
        if self.judged.len() >= REMEMBERED_MAX {
            self.judged.pop_front();
        }
        self.judged
            .push_back((session.clone(), kind.to_owned(), client_at));
    }

    /// Returns true if there is no state to store.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Judges an event of a kind at `now`.
    pub fn judge_event(
        &self,
        proctoring: &ProctoringPolicy,
        kind: &str,
        now: Timestamp,
    ) -> EventJudgement {
        if !proctoring.enabled {
            return EventJudgement::default();
        }
        let rules = || proctoring.rules.iter().filter(|rule| rule.kind == kind);
        let detected = Detection::from_kind(kind);
        let named = rules().map(|rule| rule.severity).max();
        let mut judgement = EventJudgement {
            severity: named.or_else(|| usual_severity(kind)),
            ..EventJudgement::default()
        };
        let harmless = matches!(detected, Some((Detection::HeartbeatLost, _)));
        if let Some(severity) = judgement.severity.filter(|_| !harmless) {
            judgement.milli = risk_weight(severity);
        }
        for rule in rules() {
            let key = RuleKey::of_rule(rule);
            let counted = self.count_in_window(&key, now) + 1;
            let acts = counted >= rule.limit;
            if acts {
                let most = if harmless {
                    RuleConsequence::Warn
                } else {
                    RuleConsequence::Cancel
                };
                judgement.consequences.push(rule.then.min(most));
                judgement.events = judgement.events.max(counted);
            }
            judgement.rules.push((key, acts));
        }
        if detected.is_some() && judgement.rules.is_empty() {
            // Detections of the engine are shown to people even without a rule.
            judgement.consequences.push(RuleConsequence::Note);
            judgement.events = 1;
        }
        judgement.consequences.sort_unstable();
        judgement.consequences.dedup();
        judgement
    }

    /// Returns the number of events that a rule has counted within its window.
    fn count_in_window(&self, key: &RuleKey, now: Timestamp) -> u32 {
        let Some(tally) = self.tallies.iter().find(|tally| tally.rule == *key) else {
            return 0;
        };
        match key.within_ms {
            None => tally.count,
            Some(within) => {
                let begin = now - Duration::from_millis(within);
                let inside = tally.at.iter().filter(|at| **at > begin).count();
                u32::try_from(inside).unwrap_or(u32::MAX)
            }
        }
    }

    /// Adds a judged event to the state.
    pub(super) fn record_event(&mut self, kind: &str, at: Timestamp, judgement: &EventJudgement) {
        if judgement.milli > 0 {
            let share = self
                .shares
                .entry(kind.to_owned())
                .or_insert(RiskShare { milli: 0, at });
            let most = u32::from(RISK_MAX) * 1_000;
            let milli = share
                .remaining_at(at)
                .saturating_add(judgement.milli)
                .min(most);
            *share = RiskShare {
                milli,
                at: share.at.max(at),
            };
        }
        self.peak = self.peak.max(self.risk(at));
        for (key, acts) in &judgement.rules {
            if *acts {
                self.tallies.retain(|tally| tally.rule != *key);
                self.violations = self.violations.saturating_add(1);
            } else {
                self.count_event(key, at);
            }
        }
        if judgement.changes_anything()
            && let Some(open) = self.open_incident(kind)
        {
            open.events = open.events.saturating_add(1);
            open.last_at = open.last_at.max(at);
        }
    }

    fn count_event(&mut self, key: &RuleKey, at: Timestamp) {
        let known = self.tallies.iter().position(|tally| tally.rule == *key);
        let index = known.unwrap_or_else(|| {
            self.tallies.push(RuleTally {
                rule: key.clone(),
                count: 0,
                at: Vec::new(),
            });
            self.tallies.len() - 1
        });
        let tally = &mut self.tallies[index];
        tally.count = tally.count.saturating_add(1);
        if let Some(within) = key.within_ms {
            let begin = at - Duration::from_millis(within);
            tally.at.retain(|one| *one > begin);
            tally.at.push(at);
        }
    }

    /// Sets the origin of the candidate's connection.
    pub(super) fn set_origin(&mut self, origin: ConnectionOrigin) {
        self.origin = Some(origin);
    }

    /// Origin of the candidate's last connection.
    pub const fn origin(&self) -> Option<&ConnectionOrigin> {
        self.origin.as_ref()
    }

    /// The risk at `now`, 0 to 100.
    pub fn risk(&self, now: Timestamp) -> u8 {
        let milli: u64 = self
            .shares
            .values()
            .map(|share| u64::from(share.remaining_at(now)))
            .sum();
        u8::try_from(milli / 1_000)
            .unwrap_or(RISK_MAX)
            .min(RISK_MAX)
    }

    /// Returns the parts of the risk at `now`: points by kind of event, most first.
    pub fn risk_by_kind(&self, now: Timestamp) -> Vec<(&str, u32)> {
        let mut parts: Vec<(&str, u32)> = self
            .shares
            .iter()
            .map(|(kind, share)| (kind.as_str(), share.remaining_at(now).div_ceil(1_000)))
            .filter(|(_, points)| *points > 0)
            .collect();
        parts.sort_by_key(|(_, points)| std::cmp::Reverse(*points));
        parts
    }

    /// Returns about when the risk will be less by a whole point.
    pub fn fades_at(&self, now: Timestamp) -> Option<Timestamp> {
        (self.risk(now) > 0).then(|| {
            let step = duration_ms(HALF_LIFE) / i64::from(self.risk(now)).max(1);
            now + Duration::from_millis(u64::try_from(step).unwrap_or(1))
        })
    }

    /// The highest risk so far.
    pub const fn peak_risk(&self) -> u8 {
        self.peak
    }

    /// Number of times that a rule acted.
    pub const fn violations(&self) -> u32 {
        self.violations
    }
}

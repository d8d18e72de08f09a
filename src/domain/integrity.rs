//! Integrity: what events say about an attempt, and what the exam's rules make of it.
//!
//! Pure, like all of the domain. [`Integrity::judge`] reads the rules and says
//! what an event means, as a [`Judgement`] that holds everything there is to
//! change: so the state follows from the events alone, and an attempt that is
//! replayed under other rules comes out as it was. Three promises are kept here:
//! a rule voids an attempt only where the exam says `cancel`; a lost heartbeat
//! never does more than warn; and nothing that a client invents makes the state
//! grow without bound.
//!
//! Risk is the sum of what each kind of event added, each part halved every
//! [`HALF_LIFE`]. Whole thousandths of a point, so that it is the same on every
//! machine.

mod incident;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::incident::{Closed, DISMISSED, Incident, Raised};
use super::{
    exam::{Consequence, IntegrityRule, Proctoring, Severity},
    id::SessionId,
    time::{Timestamp, duration_ms},
};

/// Judged events that are remembered. A session that ends leaves few unconfirmed.
const JUDGED_MAX: usize = 16;

/// After this time an event counts half.
pub const HALF_LIFE: Duration = Duration::from_mins(15);

/// The highest risk.
pub const RISK_MAX: u8 = 100;

/// Thousandths of a point of risk.
type Milli = u32;

/// What the engine itself notices. Rules name them like a client's events.
pub const DETECTIONS: [(Detection, &str, Severity); 6] = [
    (Detection::HeartbeatLost, "heartbeat_lost", Severity::Low),
    (
        Detection::SessionTakenOver,
        "session_taken_over",
        Severity::Medium,
    ),
    (
        Detection::AddressChanged,
        "address_changed",
        Severity::Medium,
    ),
    (Detection::ClockSkewed, "clock_skewed", Severity::Medium),
    (Detection::AnswerTooFast, "answer_too_fast", Severity::Low),
    (Detection::DeviceShared, "device_shared", Severity::High),
];

/// A kind of event that the engine itself notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detection {
    /// The candidate was away for longer than a network needs to come back.
    HeartbeatLost,
    /// Another device entered while one was connected.
    SessionTakenOver,
    /// The client's address or device is another than before, in mid-exam.
    AddressChanged,
    /// The client's clock jumped against the engine's.
    ClockSkewed,
    /// Answers came faster than their questions can be read.
    AnswerTooFast,
    /// Another candidate of the exam uses the same device.
    DeviceShared,
}

impl Detection {
    /// Its event kind.
    pub fn as_str(self) -> &'static str {
        let known = DETECTIONS.iter().find(|(one, ..)| *one == self);
        known.map_or("", |(_, name, _)| name)
    }

    fn from_kind(kind: &str) -> Option<(Self, Severity)> {
        let known = DETECTIONS.iter().find(|(_, name, _)| *name == kind);
        known.map(|&(detection, _, severity)| (detection, severity))
    }
}

/// How bad an event is where no rule says it. None: it means nothing by itself.
pub fn usual_severity(kind: &str) -> Option<Severity> {
    Some(match kind {
        "focus_gained" | "page_visible" | "offline" => return None,
        "focus_lost" | "page_hidden" | "fullscreen_exit" | "copy" | "cut" | "paste"
        | "context_menu" | "print" | "face_absent" | "voice" => Severity::Low,
        "screenshot" | "devtools" | "second_screen" | "screen_share_stopped" => Severity::Medium,
        "face_multiple" | "phone" | "virtual_machine" => Severity::High,
        "face_mismatch" => Severity::Critical,
        other => return Detection::from_kind(other).map(|(_, severity)| severity),
    })
}

/// What one event of a severity adds to the risk.
const fn weight(severity: Severity) -> Milli {
    match severity {
        Severity::Low => 2_000,
        Severity::Medium => 8_000,
        Severity::High => 25_000,
        Severity::Critical => 60_000,
    }
}

/// What is known of an attempt's integrity. A part of its stored state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Integrity {
    /// What each kind of event added to the risk, as of when it was added last.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    shares: BTreeMap<String, Share>,
    /// Events that rules count towards their limit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tallies: Vec<Tally>,
    /// Oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    incidents: Vec<Incident>,
    /// How often a rule acted.
    #[serde(skip_serializing_if = "is_zero")]
    violations: u32,
    /// The highest risk that there was.
    peak: u8,
    /// Where the candidate was last connected from.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
    /// The newest events that meant something: a client that did not hear of their
    /// being stored repeats them in its next session, under other numbers.
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

/// Where a candidate connects from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The network address.
    pub address: String,
    /// What the client calls its device; none: it does not say.
    pub device: Option<String>,
}

/// A part of the risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Share {
    milli: Milli,
    at: Timestamp,
}

impl Share {
    /// What is left of it at `now`.
    fn at(self, now: Timestamp) -> Milli {
        let half = HALF_LIFE.as_millis();
        let elapsed = now.since(self.at).as_millis();
        let Ok(halvings) = u32::try_from(elapsed / half) else {
            return 0;
        };
        let whole = self.milli.checked_shr(halvings).unwrap_or(0);
        // Between two halvings a straight line: within 6 % of the curve.
        let part = u128::from(whole) * (elapsed % half) / (2 * half);
        whole - u32::try_from(part).unwrap_or(whole)
    }
}

/// Events that one rule has counted since it acted last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Tally {
    rule: RuleKey,
    /// All there were.
    count: u32,
    /// Where the rule has a window: when they were, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    at: Vec<Timestamp>,
}

/// Which rule: rules have no names, and may be changed during an exam.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleKey {
    kind: String,
    limit: u32,
    within_ms: Option<u64>,
    then: String,
}

impl RuleKey {
    fn of(rule: &IntegrityRule) -> Self {
        Self {
            kind: rule.kind.clone(),
            limit: rule.limit,
            within_ms: rule.within.map(super::timing::whole_ms),
            then: rule.then.as_str().to_owned(),
        }
    }
}

/// What an event means under the rules as they are. Nothing: the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    /// How bad it is; none: it means nothing.
    pub severity: Option<Severity>,
    /// What it adds to the risk.
    milli: Milli,
    /// The rules that count it, and whether it makes each act.
    rules: Vec<(RuleKey, bool)>,
    /// What the rules that act lead to, mildest first, each once.
    pub consequences: Vec<Consequence>,
    /// Events that the rules which act have counted, with this one.
    pub events: u32,
}

impl Judgement {
    /// As bad as such events usually are, and nothing follows.
    pub fn usual(kind: &str) -> Self {
        Self {
            severity: usual_severity(kind),
            ..Self::default()
        }
    }

    /// Whether the event changes what is known of the attempt.
    pub const fn changes_anything(&self) -> bool {
        self.milli > 0 || !self.rules.is_empty() || !self.consequences.is_empty()
    }
}

impl Integrity {
    /// Whether an event was judged in an earlier session.
    pub fn was_judged_before(&self, session: &SessionId, kind: &str, client_at: Timestamp) -> bool {
        let mut judged = self.judged.iter();
        judged.any(|(other, what, at)| other != session && what == kind && *at == client_at)
    }

    /// One that was judged in an earlier session has come in this one.
    pub(super) fn recognise(&mut self, session: &SessionId, kind: &str, client_at: Timestamp) {
        let mut judged = self.judged.iter_mut();
        let known = judged.find(|(other, what, at)| {
            other != session && what.as_str() == kind && *at == client_at
        });
        if let Some((other, ..)) = known {
            *other = session.clone();
        }
    }

    /// Remembers that an event was judged.
    pub(super) fn remember(&mut self, session: &SessionId, kind: &str, client_at: Timestamp) {
        if self.judged.len() >= JUDGED_MAX {
            self.judged.pop_front();
        }
        self.judged
            .push_back((session.clone(), kind.to_owned(), client_at));
    }

    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Says what an event of a kind means at `now`.
    pub fn judge(&self, proctoring: &Proctoring, kind: &str, now: Timestamp) -> Judgement {
        if !proctoring.enabled {
            return Judgement::default();
        }
        let rules = || proctoring.rules.iter().filter(|rule| rule.kind == kind);
        let detected = Detection::from_kind(kind);
        let named = rules().map(|rule| rule.severity).max();
        let mut judgement = Judgement {
            severity: named.or_else(|| usual_severity(kind)),
            ..Judgement::default()
        };
        let harmless = matches!(detected, Some((Detection::HeartbeatLost, _)));
        if let Some(severity) = judgement.severity.filter(|_| !harmless) {
            judgement.milli = weight(severity);
        }
        for rule in rules() {
            let key = RuleKey::of(rule);
            let counted = self.counted(&key, now) + 1;
            let acts = counted >= rule.limit;
            if acts {
                let most = if harmless {
                    Consequence::Warn
                } else {
                    Consequence::Cancel
                };
                judgement.consequences.push(rule.then.min(most));
                judgement.events = judgement.events.max(counted);
            }
            judgement.rules.push((key, acts));
        }
        if detected.is_some() && judgement.rules.is_empty() {
            // What the engine sees itself is shown to people, rule or none.
            judgement.consequences.push(Consequence::Note);
            judgement.events = 1;
        }
        judgement.consequences.sort_unstable();
        judgement.consequences.dedup();
        judgement
    }

    /// Events that a rule has counted and that are still in its window.
    fn counted(&self, key: &RuleKey, now: Timestamp) -> u32 {
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

    /// Takes an event in, as it was judged.
    pub(super) fn take(&mut self, kind: &str, at: Timestamp, judgement: &Judgement) {
        if judgement.milli > 0 {
            let share = self
                .shares
                .entry(kind.to_owned())
                .or_insert(Share { milli: 0, at });
            let most = u32::from(RISK_MAX) * 1_000;
            let milli = share.at(at).saturating_add(judgement.milli).min(most);
            *share = Share {
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
                self.count(key, at);
            }
        }
        if judgement.changes_anything()
            && let Some(open) = self.open_incident(kind)
        {
            open.events = open.events.saturating_add(1);
            open.last_at = open.last_at.max(at);
        }
    }

    fn count(&mut self, key: &RuleKey, at: Timestamp) {
        let known = self.tallies.iter().position(|tally| tally.rule == *key);
        let index = known.unwrap_or_else(|| {
            self.tallies.push(Tally {
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

    /// Remembers where the candidate is connected from.
    pub(super) fn arrive(&mut self, origin: Origin) {
        self.origin = Some(origin);
    }

    /// Where the candidate was last connected from.
    pub const fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// The risk at `now`, 0 to 100.
    pub fn risk(&self, now: Timestamp) -> u8 {
        let milli: u64 = self
            .shares
            .values()
            .map(|share| u64::from(share.at(now)))
            .sum();
        u8::try_from(milli / 1_000)
            .unwrap_or(RISK_MAX)
            .min(RISK_MAX)
    }

    /// What the risk is made of at `now`: points by kind of event, most first.
    pub fn explain(&self, now: Timestamp) -> Vec<(&str, u32)> {
        let mut parts: Vec<(&str, u32)> = self
            .shares
            .iter()
            .map(|(kind, share)| (kind.as_str(), share.at(now).div_ceil(1_000)))
            .filter(|(_, points)| *points > 0)
            .collect();
        parts.sort_by_key(|(_, points)| std::cmp::Reverse(*points));
        parts
    }

    /// When the risk is next less by a whole point, about.
    pub fn fades_at(&self, now: Timestamp) -> Option<Timestamp> {
        (self.risk(now) > 0).then(|| {
            let step = duration_ms(HALF_LIFE) / i64::from(self.risk(now)).max(1);
            now + Duration::from_millis(u64::try_from(step).unwrap_or(1))
        })
    }

    /// The highest risk that there was.
    pub const fn peak(&self) -> u8 {
        self.peak
    }

    /// How often a rule acted.
    pub const fn violations(&self) -> u32 {
        self.violations
    }
}

//! The time ledger: what an attempt's time is made of, and the instants that follow.
//!
//! Every instant here is a pure function of the [`Allowance`] (the exam's rules
//! for this candidate) and the [`Ledger`] (what happened): nothing is counted
//! down, so an attempt that was away for an hour, or on another node, has the
//! same deadline as one that stayed. Two rules that may surprise: the window's
//! end caps everything that is owed by rule, but not what staff add by
//! [`Adjustment::Extended`], which is meant to move the deadline; and a
//! candidate who is away while the exam compensates it is handed in only once
//! the compensation is used up.

use std::time::Duration;

use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::{Deserialize, Serialize};

use super::{
    exam::Exam,
    time::{Timestamp, duration_ms},
};

/// What the exam grants this candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// The exam's duration times the candidate's factor, plus extra time.
    pub duration: Duration,
    /// Nothing owed by rule runs past it; none where a full duration is owed.
    pub window_end: Option<Timestamp>,
    /// After the deadline, answers still count for this long, marked late.
    pub grace: Duration,
    /// The most that time without a connection is given back.
    pub compensate_up_to: Duration,
    /// The sections with a time limit, in order: index in the exam, and limit
    /// times the candidate's factor.
    pub sections: Vec<(u16, Duration)>,
}

impl Allowance {
    /// The allowance of a candidate with these accommodations.
    pub fn new(exam: &Exam, time_factor: Decimal, extra_time: Duration) -> Self {
        let sections = (0..).zip(&exam.sections);
        Self {
            duration: stretch(exam.duration, time_factor) + extra_time,
            window_end: exam
                .available_until
                .filter(|_| !exam.full_duration_after_close),
            grace: exam.grace_period,
            compensate_up_to: exam.compensate_up_to.unwrap_or_default(),
            sections: sections
                .filter_map(|(index, section)| {
                    Some((index, stretch(section.time_limit?, time_factor)))
                })
                .collect(),
        }
    }
}

/// A duration times a factor, rounded up to whole milliseconds, in the candidate's favor.
fn stretch(duration: Duration, factor: Decimal) -> Duration {
    let ms = (Decimal::from(duration_ms(duration)) * factor)
        .ceil()
        .to_u64();
    Duration::from_millis(ms.unwrap_or(u64::MAX))
}

/// Whole milliseconds of a duration, as the ledger keeps them.
pub fn whole_ms(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Why time was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The candidate's own connection was away.
    Network,
    /// No node of the engine was alive.
    Outage,
}

/// One change to an attempt's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Adjustment {
    /// Staff stopped the clock.
    Paused {
        /// When it stopped.
        from: Timestamp,
        /// When it went on.
        until: Timestamp,
    },
    /// Staff moved the deadline.
    Extended {
        /// When.
        at: Timestamp,
        /// By how much.
        ms: u64,
    },
    /// An interruption was given back.
    Compensated {
        /// When the interruption began; an outage is compensated once by it.
        from: Timestamp,
        /// By how much.
        ms: u64,
        /// Why.
        cause: Cause,
    },
}

impl Adjustment {
    const fn begins_at(self) -> Timestamp {
        match self {
            Self::Paused { from, .. } | Self::Compensated { from, .. } => from,
            Self::Extended { at, .. } => at,
        }
    }

    fn length(self) -> Duration {
        match self {
            Self::Paused { from, until } => until.since(from),
            Self::Extended { ms, .. } | Self::Compensated { ms, .. } => Duration::from_millis(ms),
        }
    }
}

/// What happened to an attempt's time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// When the clock began.
    pub entered_at: Option<Timestamp>,
    /// In the order in which they were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjustments: Vec<Adjustment>,
    /// Since when the clock stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<Timestamp>,
    /// Since when the candidate is not connected; kept only where the exam
    /// compensates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away_since: Option<Timestamp>,
    /// Rises with every change of the deadline, so that clients can tell the
    /// newer of two.
    pub timing_rev: u64,
}

impl Ledger {
    /// Adds a change that moves the deadline.
    pub fn adjust(&mut self, adjustment: Adjustment) {
        self.adjustments.push(adjustment);
        self.timing_rev += 1;
    }

    /// End of the candidate's time, as it would be if a stopped clock went on
    /// at `now`. None while nobody has entered.
    pub fn deadline(&self, allowance: &Allowance, now: Timestamp) -> Option<Timestamp> {
        self.deadline_with(allowance, now, Duration::ZERO)
    }

    /// Time left at `now`; the whole allowance while nobody has entered.
    pub fn remaining(&self, allowance: &Allowance, now: Timestamp) -> Duration {
        self.deadline(allowance, now)
            .map_or(allowance.duration, |deadline| deadline.since(now))
    }

    /// When the engine hands in by itself; none while the clock does not run.
    pub fn hand_in_at(&self, allowance: &Allowance) -> Option<Timestamp> {
        if self.paused_since.is_some() {
            return None;
        }
        let deadline = self.deadline_with(allowance, Timestamp::default(), Duration::ZERO)?;
        let credit = match self.away_since {
            Some(since) if since < deadline => self.compensation_left(allowance),
            Some(_) | None => Duration::ZERO,
        };
        let deadline = self.deadline_with(allowance, Timestamp::default(), credit)?;
        Some(deadline + allowance.grace)
    }

    /// What is given back to a candidate who returns at `now`.
    pub fn absence_credit(&self, allowance: &Allowance, now: Timestamp) -> Duration {
        let (Some(since), None) = (self.away_since, self.paused_since) else {
            return Duration::ZERO;
        };
        match self.deadline(allowance, now) {
            Some(deadline) if since < deadline => {
                now.since(since).min(self.compensation_left(allowance))
            }
            Some(_) | None => Duration::ZERO,
        }
    }

    /// What is given back for an interval in which no node was alive: the part
    /// of it in which this clock ran. Zero where it was given back before.
    pub fn outage_credit(
        &self,
        allowance: &Allowance,
        from: Timestamp,
        until: Timestamp,
    ) -> Duration {
        let (Some(entered), None) = (self.entered_at, self.paused_since) else {
            return Duration::ZERO;
        };
        let begins = from.max(entered);
        let ran = self.hand_in_at(allowance).is_some_and(|end| begins < end);
        let known = self.adjustments.iter().any(|adjustment| {
            matches!(adjustment,
                Adjustment::Compensated { from, cause: Cause::Outage, .. } if *from == begins)
        });
        if ran && !known {
            until.since(begins)
        } else {
            Duration::ZERO
        }
    }

    /// The time-limited section that runs at `now`, and what is left of it.
    pub fn section(&self, allowance: &Allowance, now: Timestamp) -> Option<(u16, Duration)> {
        let at = self.paused_since.unwrap_or(now);
        self.section_ends(allowance)
            .find(|&(_, _, end)| at < end)
            .map(|(section, _, end)| (section, end.since(at)))
    }

    /// Whether answers to a section count at `now`: always, where it has no limit.
    pub fn section_is_open(&self, allowance: &Allowance, section: u16, now: Timestamp) -> bool {
        self.section_ends(allowance)
            .find(|&(index, ..)| index == section)
            .is_none_or(|(_, begin, end)| begin <= now && now < end)
    }

    /// When a time-limited section ends; none while the clock does not run.
    pub fn section_end(&self, allowance: &Allowance, section: u16) -> Option<Timestamp> {
        if self.paused_since.is_some() {
            return None;
        }
        self.section_ends(allowance)
            .find(|&(index, ..)| index == section)
            .map(|(_, _, end)| end)
    }

    /// Each time-limited section with its begin and end. Time given back while
    /// a section ran belongs to it, and moves those after it.
    fn section_ends<'a>(
        &'a self,
        allowance: &'a Allowance,
    ) -> impl Iterator<Item = (u16, Timestamp, Timestamp)> + 'a {
        let mut adjustments: Vec<Adjustment> = self.adjustments.clone();
        adjustments.sort_by_key(|adjustment| adjustment.begins_at());
        let mut adjustments = adjustments.into_iter().peekable();
        let mut begin = self.entered_at.unwrap_or_default();
        allowance.sections.iter().map(move |&(index, limit)| {
            let mut end = begin + limit;
            while let Some(adjustment) = adjustments.next_if(|next| next.begins_at() < end) {
                end = end + adjustment.length();
            }
            (index, std::mem::replace(&mut begin, end), end)
        })
    }

    fn deadline_with(
        &self,
        allowance: &Allowance,
        now: Timestamp,
        credit: Duration,
    ) -> Option<Timestamp> {
        let mut owed = allowance.duration + credit;
        let mut extended = Duration::ZERO;
        for adjustment in &self.adjustments {
            match adjustment {
                Adjustment::Extended { .. } => extended += adjustment.length(),
                Adjustment::Paused { .. } | Adjustment::Compensated { .. } => {
                    owed += adjustment.length();
                }
            }
        }
        if let Some(since) = self.paused_since {
            owed += now.since(since);
        }
        let owed = self.entered_at? + owed;
        Some(allowance.window_end.map_or(owed, |end| end.min(owed)) + extended)
    }

    fn compensation_left(&self, allowance: &Allowance) -> Duration {
        let used: Duration = self
            .adjustments
            .iter()
            .filter(|adjustment| {
                matches!(
                    adjustment,
                    Adjustment::Compensated {
                        cause: Cause::Network,
                        ..
                    }
                )
            })
            .map(|adjustment| adjustment.length())
            .sum();
        allowance.compensate_up_to.saturating_sub(used)
    }
}

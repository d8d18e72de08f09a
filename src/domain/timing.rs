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
    /// The sections with a time limit, in order: index in the exam, and the
    /// limit, stretched as the whole duration is.
    pub sections: Vec<(u16, Duration)>,
}

impl Allowance {
    /// The allowance of a candidate with these accommodations.
    pub fn new(exam: &Exam, time_factor: Decimal, extra_time: Duration) -> Self {
        let sections = (0..).zip(&exam.sections);
        let duration = stretch(exam.duration, time_factor) + extra_time;
        Self {
            duration,
            window_end: exam
                .available_until
                .filter(|_| !exam.full_duration_after_close),
            grace: exam.grace_period,
            compensate_up_to: exam.compensate_up_to.unwrap_or_default(),
            sections: sections
                .filter_map(|(index, section)| {
                    Some((index, share(section.time_limit?, duration, exam.duration)))
                })
                .collect(),
        }
    }
}

/// The part of `whole` that `part` is of `of`, rounded up to whole milliseconds.
/// So extra time helps in an exam that is all sections with limits, too.
fn share(part: Duration, whole: Duration, of: Duration) -> Duration {
    let product = part.as_millis().saturating_mul(whole.as_millis());
    let ms = product.div_ceil(of.as_millis().max(1));
    Duration::from_millis(ms.try_into().unwrap_or(u64::MAX))
}

/// A duration times a factor, rounded up to whole milliseconds, in the candidate's favor.
fn stretch(duration: Duration, factor: Decimal) -> Duration {
    let ms = Decimal::from(duration_ms(duration)).checked_mul(factor);
    let ms = ms.and_then(|ms| ms.ceil().to_u64());
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

    const fn stops_the_clock(self) -> bool {
        match self {
            Self::Paused { .. } => true,
            Self::Compensated { cause, .. } => matches!(cause, Cause::Outage),
            Self::Extended { .. } => false,
        }
    }

    fn length(self) -> Duration {
        match self {
            Self::Paused { from, until } => until.since(from),
            Self::Extended { ms, .. } | Self::Compensated { ms, .. } => Duration::from_millis(ms),
        }
    }
}

/// Later than every instant of an attempt.
const NEVER: Timestamp = Timestamp::from_ms(i64::MAX);

/// When a section with a time limit may be worked on.
struct LimitedSection {
    /// Its index in the exam.
    index: u16,
    begin: Timestamp,
    /// The end of its time.
    end: Timestamp,
    /// The end of its answers; [`NEVER`] where the hand-in ends them.
    closes: Timestamp,
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

    /// Gives an interruption back. The candidate's own in one section become one
    /// entry: whoever comes and goes all the time does not make the ledger grow.
    pub fn give_back(
        &mut self,
        allowance: &Allowance,
        from: Timestamp,
        by: Duration,
        cause: Cause,
    ) {
        let new = whole_ms(by);
        let index = |at| self.section_at(allowance, at).map(|section| section.index);
        let joins = match self.adjustments.last() {
            Some(Adjustment::Compensated {
                from: first,
                cause: Cause::Network,
                ..
            }) => cause == Cause::Network && index(*first) == index(from),
            Some(_) | None => false,
        };
        match self.adjustments.last_mut() {
            Some(Adjustment::Compensated { ms, .. }) if joins => {
                *ms = ms.saturating_add(new);
                self.timing_rev += 1;
            }
            Some(_) | None => self.adjust(Adjustment::Compensated {
                from,
                ms: new,
                cause,
            }),
        }
    }

    /// Lets a stopped clock go on: the time that it stood is given back.
    pub fn end_pause(&mut self, until: Timestamp) {
        if let Some(from) = self.paused_since.take() {
            self.adjust(Adjustment::Paused { from, until });
        }
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
        match (self.away_since, self.deadline(allowance, now)) {
            (Some(since), Some(deadline)) if since < deadline => {
                let until = self.paused_since.map_or(now, |paused| paused.min(now));
                let left = self.compensation_left(allowance);
                self.ran_between(since, until).min(left)
            }
            (Some(_) | None, Some(_) | None) => Duration::ZERO,
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
            self.ran_between(begins, until)
        } else {
            Duration::ZERO
        }
    }

    /// How much of an interval was neither paused nor given back as an outage.
    fn ran_between(&self, from: Timestamp, until: Timestamp) -> Duration {
        let stood: Duration = self
            .adjustments
            .iter()
            .filter(|adjustment| adjustment.stops_the_clock())
            .map(|adjustment| {
                let begin = adjustment.begins_at();
                let end = begin + adjustment.length();
                end.min(until).since(begin.max(from))
            })
            .sum();
        until.since(from).saturating_sub(stood)
    }

    /// The time-limited section that runs at `now`, and what is left of it.
    pub fn section(&self, allowance: &Allowance, now: Timestamp) -> Option<(u16, Duration)> {
        let at = self.paused_since.unwrap_or(now);
        self.section_at(allowance, at)
            .map(|section| (section.index, section.end.since(at)))
    }

    fn section_at(&self, allowance: &Allowance, at: Timestamp) -> Option<LimitedSection> {
        self.sections(allowance)
            .into_iter()
            .find(|section| at < section.closes)
    }

    /// Whether answers to a section count at `now`: always, where it has no limit.
    pub fn section_is_open(&self, allowance: &Allowance, section: u16, now: Timestamp) -> bool {
        let at = self.paused_since.unwrap_or(now);
        self.sections(allowance)
            .into_iter()
            .find(|limited| limited.index == section)
            .is_none_or(|limited| limited.begin <= at && at < limited.closes)
    }

    /// When a time-limited section ends; none while the clock does not run, and
    /// where only the hand-in ends it.
    pub fn section_end(&self, allowance: &Allowance, section: u16) -> Option<Timestamp> {
        if self.paused_since.is_some() {
            return None;
        }
        self.sections(allowance)
            .into_iter()
            .find(|limited| limited.index == section)
            .map(|limited| limited.closes)
            .filter(|closes| *closes < NEVER)
    }

    /// The time-limited sections. Time given back while a section ran belongs to
    /// it, and moves those after it. The section in which the deadline falls is
    /// the last one: it stays open in the grace.
    fn sections(&self, allowance: &Allowance) -> Vec<LimitedSection> {
        let mut adjustments = self.adjustments.clone();
        adjustments.sort_by_key(|adjustment| adjustment.begins_at());
        let mut adjustments = adjustments.into_iter().peekable();
        let mut so_far = Self {
            entered_at: self.entered_at,
            ..Self::default()
        };
        let mut begin = self.entered_at.unwrap_or_default();
        let mut sections = Vec::with_capacity(allowance.sections.len());
        for &(index, limit) in &allowance.sections {
            let mut end = begin + limit;
            let mut deadline = so_far.deadline(allowance, begin).unwrap_or_default();
            while let Some(adjustment) =
                adjustments.next_if(|next| deadline <= end || next.begins_at() < end)
            {
                end = end + adjustment.length();
                so_far.adjustments.push(adjustment);
                deadline = so_far.deadline(allowance, begin).unwrap_or_default();
            }
            let closes = if deadline <= end { NEVER } else { end };
            sections.push(LimitedSection {
                index,
                begin,
                end: end.min(deadline),
                closes,
            });
            begin = closes;
        }
        sections
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

#[cfg(test)]
mod tests;

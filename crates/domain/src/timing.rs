//! The time ledger: the account of an attempt's time, and the instants that follow
//! from it.
//!
//! Every instant is a pure function of the [`TimeAllowance`] (the exam's rules for
//! this candidate) and the [`TimeLedger`] (the past of the attempt). There is no
//! countdown, so an attempt that was unloaded for an hour, or moved to another
//! node, keeps its deadline. Two rules may surprise: the window's end limits all
//! time granted by rule, but not the extra time of [`TimeAdjustment::Extended`],
//! which is meant to move the deadline; and if the exam compensates absence, the
//! attempt of an absent candidate is handed in only after the compensation is used
//! up.

use std::time::Duration;

use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::{Deserialize, Serialize};

use crate::{
    exam::Exam,
    time::{Timestamp, duration_ms},
};

/// Time that an exam grants one candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeAllowance {
    /// The exam's duration times the candidate's factor, plus extra time.
    pub duration: Duration,
    /// Limit of all time granted by rule; `None` if a late starter has the full
    /// duration.
    pub window_end: Option<Timestamp>,
    /// Time after the deadline in which answers still count, marked late.
    pub grace: Duration,
    /// The most time without a connection that is given back.
    pub compensate_up_to: Duration,
    /// The sections with a time limit, in order: index in the exam, and the limit,
    /// scaled like the whole duration.
    pub sections: Vec<(u16, Duration)>,
}

impl TimeAllowance {
    /// Returns the allowance of a candidate with these accommodations.
    pub fn new(exam: &Exam, time_factor: Decimal, extra_time: Duration) -> Self {
        let sections = (0..).zip(&exam.sections);
        let duration = scale_duration(exam.duration, time_factor) + extra_time;
        Self {
            duration,
            window_end: exam
                .available_until
                .filter(|_| !exam.full_duration_after_close),
            grace: exam.grace_period,
            compensate_up_to: exam.compensate_up_to.unwrap_or_default(),
            sections: sections
                .filter_map(|(index, section)| {
                    Some((
                        index,
                        scale_limit(section.time_limit?, duration, exam.duration),
                    ))
                })
                .collect(),
        }
    }
}

/// Returns `whole * part / of`, rounded up to whole milliseconds. With it, extra
/// time also helps in an exam that has only sections with limits.
fn scale_limit(part: Duration, whole: Duration, of: Duration) -> Duration {
    let product = part.as_millis().saturating_mul(whole.as_millis());
    let ms = product.div_ceil(of.as_millis().max(1));
    Duration::from_millis(ms.try_into().unwrap_or(u64::MAX))
}

/// Returns a duration times a factor, rounded up to whole milliseconds, in favor
/// of the candidate.
fn scale_duration(duration: Duration, factor: Decimal) -> Duration {
    let ms = Decimal::from(duration_ms(duration)).checked_mul(factor);
    let ms = ms.and_then(|ms| ms.ceil().to_u64());
    Duration::from_millis(ms.unwrap_or(u64::MAX))
}

/// Returns the whole milliseconds of a duration, as the ledger stores them.
pub fn whole_ms(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Cause of an interruption whose time is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompensationCause {
    /// The candidate's own connection was lost.
    Network,
    /// No node of the engine was alive.
    Outage,
}

/// A change to an attempt's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum TimeAdjustment {
    /// The clock was paused.
    Paused {
        /// Begin of the pause.
        from: Timestamp,
        /// End of the pause.
        until: Timestamp,
    },
    /// Staff moved the deadline.
    Extended {
        /// Time of the extension.
        at: Timestamp,
        /// Extra time in milliseconds.
        ms: u64,
    },
    /// The time of an interruption was given back.
    Compensated {
        /// Begin of the interruption, by which an outage is compensated only once.
        from: Timestamp,
        /// Time given back, in milliseconds.
        ms: u64,
        /// Cause of the interruption.
        cause: CompensationCause,
    },
}

impl TimeAdjustment {
    const fn begins_at(self) -> Timestamp {
        match self {
            Self::Paused { from, .. } | Self::Compensated { from, .. } => from,
            Self::Extended { at, .. } => at,
        }
    }

    const fn stops_the_clock(self) -> bool {
        match self {
            Self::Paused { .. } => true,
            Self::Compensated { cause, .. } => matches!(cause, CompensationCause::Outage),
            Self::Extended { .. } => false,
        }
    }

    fn time_added(self) -> Duration {
        match self {
            Self::Paused { from, until } => until.since(from),
            Self::Extended { ms, .. } | Self::Compensated { ms, .. } => Duration::from_millis(ms),
        }
    }
}

/// An instant later than all instants of an attempt.
const NEVER: Timestamp = Timestamp::from_ms(i64::MAX);

/// Times of a section with a time limit.
struct LimitedSection {
    /// Index of the section in the exam.
    index: u16,
    begin: Timestamp,
    /// The end of its time.
    end: Timestamp,
    /// The end of its answers; [`NEVER`] if the hand-in ends them.
    closes: Timestamp,
}

/// Account of an attempt's time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TimeLedger {
    /// Start of the clock.
    pub entered_at: Option<Timestamp>,
    /// All adjustments, in the order in which they were made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adjustments: Vec<TimeAdjustment>,
    /// Begin of the current pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_since: Option<Timestamp>,
    /// Begin of the candidate's current absence; stored only if the exam compensates
    /// absence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away_since: Option<Timestamp>,
    /// Revision of the deadline, from which clients can tell the newer of two.
    pub timing_rev: u64,
}

impl TimeLedger {
    /// Adds an adjustment, which moves the deadline.
    pub fn push_adjustment(&mut self, adjustment: TimeAdjustment) {
        self.adjustments.push(adjustment);
        self.timing_rev += 1;
    }

    /// Gives back the time of an interruption. The candidate's own interruptions in
    /// one section become one entry, so a bad connection does not make the ledger grow.
    pub fn give_back(
        &mut self,
        allowance: &TimeAllowance,
        from: Timestamp,
        by: Duration,
        cause: CompensationCause,
    ) {
        let new = whole_ms(by);
        let index = |at| self.section_at(allowance, at).map(|section| section.index);
        let joins = match self.adjustments.last() {
            Some(TimeAdjustment::Compensated {
                from: first,
                cause: CompensationCause::Network,
                ..
            }) => cause == CompensationCause::Network && index(*first) == index(from),
            Some(_) | None => false,
        };
        match self.adjustments.last_mut() {
            Some(TimeAdjustment::Compensated { ms, .. }) if joins => {
                *ms = ms.saturating_add(new);
                self.timing_rev += 1;
            }
            Some(_) | None => self.push_adjustment(TimeAdjustment::Compensated {
                from,
                ms: new,
                cause,
            }),
        }
    }

    /// Starts a paused clock again and gives back the time of the pause.
    pub fn end_pause(&mut self, until: Timestamp) {
        if let Some(from) = self.paused_since.take() {
            self.push_adjustment(TimeAdjustment::Paused { from, until });
        }
    }

    /// Returns the end of the candidate's time, as if a paused clock started again at
    /// `now`. `None` before the first entry.
    pub fn deadline(&self, allowance: &TimeAllowance, now: Timestamp) -> Option<Timestamp> {
        self.deadline_with(allowance, now, Duration::ZERO)
    }

    /// Returns the time left at `now`; the whole allowance before the first entry.
    pub fn remaining_time(&self, allowance: &TimeAllowance, now: Timestamp) -> Duration {
        self.deadline(allowance, now)
            .map_or(allowance.duration, |deadline| deadline.since(now))
    }

    /// Returns when the engine hands in by itself; `None` while the clock does not run.
    pub fn hand_in_at(&self, allowance: &TimeAllowance) -> Option<Timestamp> {
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

    /// Returns the time given back to a candidate who returns at `now`.
    pub fn absence_credit(&self, allowance: &TimeAllowance, now: Timestamp) -> Duration {
        match (self.away_since, self.deadline(allowance, now)) {
            (Some(since), Some(deadline)) if since < deadline => {
                let until = self.paused_since.map_or(now, |paused| paused.min(now));
                let left = self.compensation_left(allowance);
                self.ran_between(since, until).min(left)
            }
            (Some(_) | None, Some(_) | None) => Duration::ZERO,
        }
    }

    /// Returns the time given back for an interval in which no node was alive: the
    /// part in which this clock ran. Zero if it was already given back.
    pub fn outage_credit(
        &self,
        allowance: &TimeAllowance,
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
                TimeAdjustment::Compensated {
                    from,
                    cause: CompensationCause::Outage,
                    ..
                } if *from == begins
            )
        });
        if ran && !known {
            self.ran_between(begins, until)
        } else {
            Duration::ZERO
        }
    }

    /// Returns the part of an interval that was neither paused nor given back as an
    /// outage.
    fn ran_between(&self, from: Timestamp, until: Timestamp) -> Duration {
        let stood: Duration = self
            .adjustments
            .iter()
            .filter(|adjustment| adjustment.stops_the_clock())
            .map(|adjustment| {
                let begin = adjustment.begins_at();
                let end = begin + adjustment.time_added();
                end.min(until).since(begin.max(from))
            })
            .sum();
        until.since(from).saturating_sub(stood)
    }

    /// Returns the time-limited section that runs at `now`, and its time left.
    pub fn running_section(
        &self,
        allowance: &TimeAllowance,
        now: Timestamp,
    ) -> Option<(u16, Duration)> {
        let at = self.paused_since.unwrap_or(now);
        self.section_at(allowance, at)
            .map(|section| (section.index, section.end.since(at)))
    }

    fn section_at(&self, allowance: &TimeAllowance, at: Timestamp) -> Option<LimitedSection> {
        self.limited_sections(allowance)
            .into_iter()
            .find(|section| at < section.closes)
    }

    /// Returns true if answers to a section count at `now`: always, if it has no limit.
    pub fn section_is_open(&self, allowance: &TimeAllowance, section: u16, now: Timestamp) -> bool {
        let at = self.paused_since.unwrap_or(now);
        self.limited_sections(allowance)
            .into_iter()
            .find(|limited| limited.index == section)
            .is_none_or(|limited| limited.begin <= at && at < limited.closes)
    }

    /// Returns when a time-limited section ends; `None` while the clock does not run,
    /// or if only the hand-in ends it.
    pub fn section_end(&self, allowance: &TimeAllowance, section: u16) -> Option<Timestamp> {
        if self.paused_since.is_some() {
            return None;
        }
        self.limited_sections(allowance)
            .into_iter()
            .find(|limited| limited.index == section)
            .map(|limited| limited.closes)
            .filter(|closes| *closes < NEVER)
    }

    /// Returns the time-limited sections. Time given back while a section ran extends
    /// that section, and moves the later ones. The section in which the deadline falls
    /// is the last one: it stays open in the grace.
    fn limited_sections(&self, allowance: &TimeAllowance) -> Vec<LimitedSection> {
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
                end = end + adjustment.time_added();
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
        allowance: &TimeAllowance,
        now: Timestamp,
        credit: Duration,
    ) -> Option<Timestamp> {
        let mut owed = allowance.duration + credit;
        let mut extended = Duration::ZERO;
        for adjustment in &self.adjustments {
            match adjustment {
                TimeAdjustment::Extended { .. } => extended += adjustment.time_added(),
                TimeAdjustment::Paused { .. } | TimeAdjustment::Compensated { .. } => {
                    owed += adjustment.time_added();
                }
            }
        }
        if let Some(since) = self.paused_since {
            owed += now.since(since);
        }
        let owed = self.entered_at? + owed;
        Some(allowance.window_end.map_or(owed, |end| end.min(owed)) + extended)
    }

    fn compensation_left(&self, allowance: &TimeAllowance) -> Duration {
        let used: Duration = self
            .adjustments
            .iter()
            .filter(|adjustment| {
                matches!(
                    adjustment,
                    TimeAdjustment::Compensated {
                        cause: CompensationCause::Network,
                        ..
                    }
                )
            })
            .map(|adjustment| adjustment.time_added())
            .sum();
        allowance.compensate_up_to.saturating_sub(used)
    }
}

#[cfg(test)]
mod tests;

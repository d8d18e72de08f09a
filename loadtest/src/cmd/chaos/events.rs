//! Integrity events of a candidate: those sent, and those acknowledged by the engine.
//! Every event has a unique name, `c17-e4` for the 4th of candidate 17, so that a
//! timeline identifies it.
//!
//! The engine may drop events for their rate and reports how many, not which; and a
//! client that must begin a new session cannot know whether the old session's events
//! arrived. The check allows for both.

use std::collections::BTreeMap;

/// Kinds of events that no rule of the exam acts on.
pub(crate) const KINDS: [&str; 8] = [
    "focus_lost",
    "focus_gained",
    "page_hidden",
    "page_visible",
    "copy",
    "paste",
    "fullscreen_exit",
    "x-chaos",
];

/// Missing events that a violation names.
const NAMED: usize = 5;

/// The sent events of a candidate; see the module.
#[derive(Debug)]
pub(crate) struct SentEvents {
    number: usize,
    /// Number of the last event sent.
    sent: u64,
    /// Number of the last event acknowledged.
    acknowledged: u64,
    /// Number of the event before the session's event 1.
    base: u64,
    dropped: u64,
    /// Events after the first number and up to the second, which may be stored twice: a
    /// session ended before their acknowledgement.
    twice: Vec<(u64, u64)>,
}

impl SentEvents {
    pub(crate) const fn new(number: usize) -> Self {
        Self {
            number,
            sent: 0,
            acknowledged: 0,
            base: 0,
            dropped: 0,
            twice: Vec::new(),
        }
    }

    /// Returns kind and name of the next event.
    pub(crate) fn next_event(&mut self) -> (&'static str, String) {
        let kinds = (0..).zip(KINDS);
        let nth = self.sent % KINDS.len() as u64;
        let kind = kinds.into_iter().find(|(index, _)| *index == nth);
        self.sent += 1;
        (
            kind.map_or(KINDS[0], |(_, kind)| kind),
            self.event_name(self.sent),
        )
    }

    /// Notes that the client has entered. In a new session the events that are not
    /// acknowledged are numbered from 1.
    pub(crate) fn note_entered(&mut self, resumed: bool) {
        if !resumed {
            self.base = self.acknowledged;
            if self.sent > self.acknowledged {
                self.twice.push((self.acknowledged, self.sent));
            }
        }
    }

    pub(crate) fn note_ack(&mut self, n: u64, dropped: Option<u64>) {
        self.acknowledged = self.acknowledged.max(self.base + n);
        self.dropped += dropped.unwrap_or(0);
    }

    pub(crate) const fn sent_count(&self) -> u64 {
        self.sent
    }

    pub(crate) const fn acknowledged_up_to(&self) -> u64 {
        self.acknowledged
    }

    pub(crate) const fn dropped_count(&self) -> u64 {
        self.dropped
    }

    /// Compares with a timeline: the number of entries by name.
    pub(crate) fn check_timeline(&self, stored: &BTreeMap<String, u64>) -> Vec<String> {
        let mut wrong = Vec::new();
        let (mut missing, mut known) = (Vec::new(), 0);
        for event in 1..=self.sent {
            let name = self.event_name(event);
            let count = stored.get(&name).copied().unwrap_or(0);
            known += usize::from(count > 0);
            if count == 0 && event <= self.acknowledged {
                missing.push(name);
            } else if count > 1 && !self.may_be_there_twice(event) {
                wrong.push(format!("event {name} is {count} times in the timeline"));
            }
        }
        if missing.len() as u64 > self.dropped {
            let (count, dropped) = (missing.len(), self.dropped);
            missing.truncate(NAMED);
            wrong.push(format!(
                "{count} events that were acknowledged are not in the timeline, {dropped} of them \
                 dropped: {}",
                missing.join(" ")
            ));
        }
        if known < stored.len() {
            let sent: Vec<String> = (1..=self.sent)
                .map(|event| self.event_name(event))
                .collect();
            let strange = stored.keys().filter(|name| !sent.contains(name));
            wrong.extend(
                strange.map(|name| format!("event {name} is in the timeline, and was never sent")),
            );
        }
        if self.acknowledged > self.sent {
            wrong.push(format!(
                "event {} was acknowledged, and {} were sent",
                self.acknowledged, self.sent
            ));
        }
        wrong
    }

    fn may_be_there_twice(&self, event: u64) -> bool {
        let mut twice = self.twice.iter();
        twice.any(|&(after, up_to)| event > after && event <= up_to)
    }

    fn event_name(&self, event: u64) -> String {
        format!("c{}-e{event}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three events, two of them acknowledged.
    fn three_events() -> SentEvents {
        let mut events = SentEvents::new(7);
        for _ in 0..3 {
            events.next_event();
        }
        events.note_ack(2, None);
        events
    }

    fn stored_counts(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        let counts = counts.iter();
        counts
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    #[test]
    fn every_acknowledged_event_must_be_there_once() {
        let events = three_events();
        for right in [
            &[("c7-e1", 1), ("c7-e2", 1)][..],
            &[("c7-e1", 1), ("c7-e2", 1), ("c7-e3", 1)],
        ] {
            assert_eq!(
                events.check_timeline(&stored_counts(right)),
                Vec::<String>::new()
            );
        }
        let wrong = events.check_timeline(&stored_counts(&[("c7-e1", 2), ("c7-e4", 1)]));
        let expected = [
            "event c7-e1 is 2 times in the timeline",
            "1 events that were acknowledged are not in the timeline, 0 of them dropped: c7-e2",
            "event c7-e4 is in the timeline, and was never sent",
        ];
        assert_eq!(wrong, expected);
    }

    #[test]
    fn what_was_dropped_may_be_missing() {
        let mut events = three_events();
        events.note_ack(3, Some(1));
        assert!(
            events
                .check_timeline(&stored_counts(&[("c7-e1", 1), ("c7-e3", 1)]))
                .is_empty()
        );
        assert_eq!(
            events.check_timeline(&stored_counts(&[("c7-e1", 1)])).len(),
            1
        );
    }

    #[test]
    fn a_new_session_counts_anew_what_was_not_acknowledged() {
        let mut events = three_events();
        events.note_entered(false);
        events.note_ack(1, None);
        assert_eq!(events.acknowledged_up_to(), 3);
        let twice = stored_counts(&[("c7-e1", 1), ("c7-e2", 1), ("c7-e3", 2)]);
        assert!(events.check_timeline(&twice).is_empty());
        let twice = stored_counts(&[("c7-e1", 1), ("c7-e2", 2), ("c7-e3", 1)]);
        assert_eq!(events.check_timeline(&twice).len(), 1);
    }
}

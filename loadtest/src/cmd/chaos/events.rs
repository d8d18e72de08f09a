//! Integrity events of a candidate: which were sent, and which the engine said that
//! it has. Every event carries a name of its own, `c17-e4` for the 4th of candidate
//! 17, so that a timeline tells which it is.
//!
//! The engine may drop events for their rate and says how many, not which; and a
//! client that has to begin a new session cannot know whether the old one's came
//! through. Both are allowed for here.

use std::collections::BTreeMap;

/// Kinds that no rule of the exam acts upon.
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

/// Missing ones that are named.
const NAMED: usize = 5;

/// See the module.
#[derive(Debug)]
pub(crate) struct Events {
    number: usize,
    /// Events are 1 to this.
    sent: u64,
    /// Every one up to it was acknowledged.
    acknowledged: u64,
    /// What the session counts as its event 1 comes after this one.
    base: u64,
    dropped: u64,
    /// After the first and up to the second, a session ended without a word of them.
    twice: Vec<(u64, u64)>,
}

impl Events {
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

    /// The next event: its kind and its name.
    pub(crate) fn next(&mut self) -> (&'static str, String) {
        let kinds = (0..).zip(KINDS);
        let nth = self.sent % KINDS.len() as u64;
        let kind = kinds.into_iter().find(|(index, _)| *index == nth);
        self.sent += 1;
        (
            kind.map_or(KINDS[0], |(_, kind)| kind),
            self.name(self.sent),
        )
    }

    /// The client is in, with the session that it had or with a new one, in which
    /// what is not acknowledged is counted from 1.
    pub(crate) fn entered(&mut self, resumed: bool) {
        if !resumed {
            self.base = self.acknowledged;
            if self.sent > self.acknowledged {
                self.twice.push((self.acknowledged, self.sent));
            }
        }
    }

    pub(crate) fn acknowledge(&mut self, n: u64, dropped: Option<u64>) {
        self.acknowledged = self.acknowledged.max(self.base + n);
        self.dropped += dropped.unwrap_or(0);
    }

    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    pub(crate) const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Compares with a timeline: how often each name stands there.
    pub(crate) fn check(&self, stored: &BTreeMap<String, u64>) -> Vec<String> {
        let mut wrong = Vec::new();
        let (mut missing, mut known) = (Vec::new(), 0);
        for event in 1..=self.sent {
            let name = self.name(event);
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
            let sent: Vec<String> = (1..=self.sent).map(|event| self.name(event)).collect();
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

    fn name(&self, event: u64) -> String {
        format!("c{}-e{event}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three events, of which two were acknowledged.
    fn events() -> Events {
        let mut events = Events::new(7);
        for _ in 0..3 {
            events.next();
        }
        events.acknowledge(2, None);
        events
    }

    fn stored(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
        let counts = counts.iter();
        counts
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    #[test]
    fn every_acknowledged_event_must_be_there_once() {
        let events = events();
        for right in [
            &[("c7-e1", 1), ("c7-e2", 1)][..],
            &[("c7-e1", 1), ("c7-e2", 1), ("c7-e3", 1)],
        ] {
            assert_eq!(events.check(&stored(right)), Vec::<String>::new());
        }
        let wrong = events.check(&stored(&[("c7-e1", 2), ("c7-e4", 1)]));
        let expected = [
            "event c7-e1 is 2 times in the timeline",
            "1 events that were acknowledged are not in the timeline, 0 of them dropped: c7-e2",
            "event c7-e4 is in the timeline, and was never sent",
        ];
        assert_eq!(wrong, expected);
    }

    #[test]
    fn what_was_dropped_may_be_missing() {
        let mut events = events();
        events.acknowledge(3, Some(1));
        assert!(
            events
                .check(&stored(&[("c7-e1", 1), ("c7-e3", 1)]))
                .is_empty()
        );
        assert_eq!(events.check(&stored(&[("c7-e1", 1)])).len(), 1);
    }

    #[test]
    fn a_new_session_counts_anew_what_was_not_acknowledged() {
        let mut events = events();
        events.entered(false);
        events.acknowledge(1, None);
        assert_eq!(events.acknowledged(), 3);
        let twice = stored(&[("c7-e1", 1), ("c7-e2", 1), ("c7-e3", 2)]);
        assert!(events.check(&twice).is_empty());
        let twice = stored(&[("c7-e1", 1), ("c7-e2", 2), ("c7-e3", 1)]);
        assert_eq!(events.check(&twice).len(), 1);
    }
}

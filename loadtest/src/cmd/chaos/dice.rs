//! Random choices that a seed repeats.

use std::time::Duration;

/// `SplitMix64`: small, and good enough to choose faults.
#[derive(Debug, Clone)]
pub(crate) struct SeededRandom(u64);

impl SeededRandom {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `count`, which is not 0.
    pub(crate) fn pick_below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next_u64() % count).unwrap_or(0)
    }

    /// Returns a duration between the two, both included.
    pub(crate) fn duration_between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(0);
        least + Duration::from_millis(self.next_u64() % (span + 1))
    }

    /// Returns the list in random order.
    pub(crate) fn shuffled<T: Copy>(&mut self, list: &[T]) -> Vec<T> {
        let mut list = list.to_vec();
        for end in (1..list.len()).rev() {
            list.swap(end, self.pick_below(end + 1));
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_order_of_everything() {
        let all: Vec<usize> = (0..20).collect();
        let order = |seed| SeededRandom::new(seed).shuffled(&all);
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
        let mut sorted = order(7);
        sorted.sort_unstable();
        assert_eq!(sorted, all);
    }

    #[test]
    fn durations_stay_in_their_bounds() {
        let (least, most) = (Duration::from_millis(5), Duration::from_millis(9));
        let mut dice = SeededRandom::new(1);
        assert!((0..100).all(|_| (least..=most).contains(&dice.duration_between(least, most))));
    }
}

//! How often something happened within the last minute.

/// Seconds that are looked back over.
const SPAN: u64 = 60;

/// A count for each second of the last minute. Time is given as seconds since any fixed start.
#[derive(Clone, Debug)]
pub struct LastMinute {
    counts: [u32; SPAN as usize],
    newest: u64,
}

impl Default for LastMinute {
    fn default() -> Self {
        Self { counts: [0; SPAN as usize], newest: 0 }
    }
}

impl LastMinute {
    /// Counts what happened in a second. One that is older than a minute is passed over.
    pub fn add(&mut self, count: usize, second: u64) {
        self.forget_before(second);
        if second + SPAN > self.newest {
            let slot = &mut self.counts[slot(second)];
            *slot = slot.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    /// How often it happened in the minute that ends with this second.
    pub fn total(&mut self, second: u64) -> u64 {
        self.forget_before(second);
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// Empties the places of seconds that nothing was counted for yet.
    fn forget_before(&mut self, second: u64) {
        let from = (self.newest + 1).max((second + 1).saturating_sub(SPAN));
        (from..=second).for_each(|second| self.counts[slot(second)] = 0);
        self.newest = self.newest.max(second);
    }
}

fn slot(second: u64) -> usize {
    usize::try_from(second % SPAN).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_minute_counts() {
        let mut rate = LastMinute::default();
        assert_eq!(rate.total(1_000), 0);
        rate.add(2, 1_000);
        rate.add(3, 1_000);
        rate.add(4, 1_030);
        assert_eq!(rate.total(1_030), 9);
        assert_eq!([1_059, 1_060, 1_089, 1_090].map(|second| rate.total(second)), [9, 4, 4, 0]);
        // A clock that was set back a little, and one that was set back far.
        rate.add(1, 1_080);
        rate.add(1, 900);
        assert_eq!(rate.total(1_090), 1);
        assert_eq!(rate.total(9_000), 0);
    }
}

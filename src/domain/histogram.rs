//! How long things take, counted: any number of threads add to a histogram without waiting for one another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A histogram with fixed buckets.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds in seconds, rising; what is longer than the last one has a bucket of its own.
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    sum_us: AtomicU64,
}

/// What a histogram holds at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// All that was observed, added up.
    pub sum: Duration,
    /// How much was observed in each bucket, by its upper bound in seconds; the last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// A histogram of these upper bounds, in seconds and rising.
    pub fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum_us: AtomicU64::new(0) }
    }

    /// Adds an observation.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    /// What it holds now. An observation that is under way may be in the sum and not yet in a bucket, or the other way.
    pub fn read(&self) -> Observed {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Observed {
            sum: Duration::from_micros(self.sum_us.load(Ordering::Relaxed)),
            buckets: bounds.zip(counts).collect(),
        }
    }
}

impl Observed {
    /// How many observations there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }

    /// The mean of the observations; nothing where there are none.
    pub fn mean(&self) -> Option<Duration> {
        let count = self.count();
        (count > 0).then(|| self.sum.div_f64(count as f64))
    }

    /// How many took longer than one of the bounds, in seconds.
    pub fn longer_than(&self, bound: f64) -> u64 {
        self.buckets.iter().filter(|(upper, _)| *upper > bound).map(|(_, count)| count).sum()
    }

    /// What was added since an earlier look at the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |at: usize| earlier.buckets.get(at).map_or(0, |(_, count)| *count);
        let buckets = self.buckets.iter().enumerate();
        Self {
            sum: self.sum.saturating_sub(earlier.sum),
            buckets: buckets.map(|(at, (bound, count))| (*bound, count.saturating_sub(before(at)))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn an_observation_falls_into_the_first_bucket_that_holds_it() {
        let histogram = Histogram::new(&[0.1, 0.5]);
        for took in [MS(0), MS(100), MS(101), MS(500), MS(501), Duration::MAX.min(MS(3_600_000))] {
            histogram.observe(took);
        }
        let observed = histogram.read();
        assert_eq!(observed.buckets, [(0.1, 2), (0.5, 2), (f64::INFINITY, 2)]);
        assert_eq!((observed.count(), observed.longer_than(0.1), observed.longer_than(0.5)), (6, 4, 2));
        assert_eq!(observed.sum, MS(3_601_202));
    }

    #[test]
    fn the_mean_is_of_what_was_added_since() {
        let histogram = Histogram::new(&[0.1]);
        assert_eq!(histogram.read().mean(), None);
        histogram.observe(MS(10));
        let earlier = histogram.read();
        histogram.observe(MS(200));
        histogram.observe(MS(400));
        let since = histogram.read().since(&earlier);
        assert_eq!((since.mean(), since.longer_than(0.1)), (Some(MS(300)), 2));
        assert_eq!(histogram.read().since(&Observed::default()), histogram.read());
    }
}

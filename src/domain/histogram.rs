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

    /// The longest, in seconds, if so many that were longer are left aside; nothing where there are no more. As far as the
    /// buckets tell: it lies in the right one, and of what is longer than the last bound nothing but that is known.
    pub fn longest_but(&self, left_aside: u64) -> Option<f64> {
        let mut longer = 0;
        for (at, (upper, count)) in self.buckets.iter().enumerate().rev() {
            if longer + count > left_aside {
                let lower =
                    at.checked_sub(1).and_then(|below| self.buckets.get(below)).map_or(0.0, |(bound, _)| *bound);
                let part = 1.0 - (left_aside - longer) as f64 / *count as f64;
                return Some(if upper.is_finite() { lower + (upper - lower) * part } else { lower });
            }
            longer += count;
        }
        None
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
    fn what_was_added_since_is_what_differs() {
        let histogram = Histogram::new(&[0.1]);
        histogram.observe(MS(10));
        let earlier = histogram.read();
        histogram.observe(MS(200));
        histogram.observe(MS(400));
        let since = histogram.read().since(&earlier);
        assert_eq!((since.sum, since.count(), since.longer_than(0.1)), (MS(600), 2, 2));
        assert_eq!(histogram.read().since(&Observed::default()), histogram.read());
    }

    #[test]
    fn the_longest_but_some_lies_in_its_bucket() {
        let histogram = Histogram::new(&[0.1, 0.5, 1.0]);
        assert_eq!(histogram.read().longest_but(0), None);
        for took in [1, 2, 3, 4, 200, 300, 700, 9_000].map(MS) {
            histogram.observe(took);
        }
        let observed = histogram.read();
        let in_ms = |aside| (observed.longest_but(aside).expect("there are more") * 1000.0).round();
        assert_eq!([0, 1, 2, 3, 4, 7].map(in_ms), [1000.0, 1000.0, 500.0, 300.0, 100.0, 25.0]);
        assert_eq!(observed.longest_but(8), None);
    }
}

//! How long things took, counted in buckets: the same ones at any time, so that counts can be added up.
//!
//! The buckets are those of an exponential histogram with four of them for each doubling (OpenTelemetry's data model calls
//! that scale 2), in milliseconds: the n-th ends at 2^((n+1)/4) ms. A quantile is off by less than a fifth, whatever its
//! size, and a few rows hold what any number of tasks took.

use std::collections::BTreeMap;

/// Buckets for each doubling.
pub const PER_DOUBLING: i16 = 4;

/// Times, as far as buckets keep them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    counts: BTreeMap<i16, u64>,
    count: u64,
    sum_ms: f64,
}

impl Distribution {
    /// Adds so many times of one bucket, with their sum.
    pub fn add(&mut self, bucket: i16, count: u64, sum_ms: f64) {
        *self.counts.entry(bucket).or_default() += count;
        self.count += count;
        self.sum_ms += sum_ms;
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean, in milliseconds; none of nothing.
    pub fn mean_ms(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_ms / self.count as f64)
    }

    /// The time that a share of all did not exceed, in milliseconds; none of nothing. Within a bucket the times are taken
    /// to be spread evenly.
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        let rank = (share.clamp(0.0, 1.0) * self.count as f64).max(f64::MIN_POSITIVE);
        let mut before = 0.0;
        for (bucket, count) in &self.counts {
            let count = *count as f64;
            if before + count >= rank {
                let (from, to) = bounds_ms(*bucket);
                return Some(from + (to - from) * ((rank - before) / count));
            }
            before += count;
        }
        None
    }
}

/// From where to where a bucket goes, in milliseconds.
fn bounds_ms(bucket: i16) -> (f64, f64) {
    let end = |bucket: i16| 2f64.powf(f64::from(bucket) / f64::from(PER_DOUBLING));
    (if bucket <= 0 { 0.0 } else { end(bucket) }, end(bucket + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(ms: f64) -> i16 {
        (f64::from(PER_DOUBLING) * ms.max(1.0).log2()).floor() as i16
    }

    #[test]
    fn quantiles_are_off_by_less_than_a_fifth() {
        let times: Vec<f64> = (1..=10_000).map(|n| 3.0 + f64::from(n * n) / 500.0).collect();
        let mut histogram = Distribution::default();
        times.iter().for_each(|ms| histogram.add(bucket(*ms), 1, *ms));
        for (share, index) in [(0.01, 99), (0.5, 4_999), (0.95, 9_499), (0.99, 9_899), (1.0, 9_999)] {
            let (told, right) = (histogram.quantile_ms(share).expect("some"), times[index]);
            assert!((told / right - 1.0).abs() < 0.19, "{share}: {told} instead of {right}");
        }
        let mean = times.iter().sum::<f64>() / 10_000.0;
        assert!((histogram.mean_ms().expect("some") - mean).abs() < 1e-6);
    }

    #[test]
    fn nothing_has_no_figures() {
        let nothing = Distribution::default();
        assert_eq!((nothing.count(), nothing.mean_ms(), nothing.quantile_ms(0.5)), (0, None, None));
    }

    #[test]
    fn the_first_bucket_begins_at_nothing() {
        let mut histogram = Distribution::default();
        histogram.add(0, 4, 0.0);
        assert_eq!(histogram.quantile_ms(0.0).map(f64::round), Some(0.0));
        assert!(histogram.quantile_ms(1.0).is_some_and(|ms| ms < 1.2));
    }
}

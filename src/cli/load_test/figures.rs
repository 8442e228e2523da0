//! Figures of a load test: percentiles, and a rate over time as a line of bars.

use std::time::Duration;

use serde_json::{Value, json};

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Durations, sorted.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Durations(Vec<Duration>);

impl Durations {
    pub(super) fn of(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut sorted: Vec<Duration> = durations.into_iter().collect();
        sorted.sort_unstable();
        Self(sorted)
    }

    /// The least duration that so many percent do not pass (the nearest rank); none where there are no durations.
    fn percentile(&self, percent: usize) -> Option<Duration> {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied()
    }

    fn named(&self) -> [(&'static str, Option<Duration>); 4] {
        let [p50, p95, p99, max] = [50, 95, 99, 100].map(|percent| self.percentile(percent));
        [("p50", p50), ("p95", p95), ("p99", p99), ("max", max)]
    }

    /// `p50 12 ms, p95 ...`; nothing where there are no durations.
    pub(super) fn in_words(&self) -> String {
        let words = self.named().into_iter().filter_map(|(name, value)| Some(format!("{name} {}", short(value?))));
        words.collect::<Vec<_>>().join(", ")
    }

    /// In milliseconds.
    pub(super) fn in_json(&self) -> Value {
        self.named().into_iter().map(|(name, value)| (name.to_owned(), json!(value.map(millis)))).collect()
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}

fn short(duration: Duration) -> String {
    if duration < Duration::from_secs(10) {
        format!("{:.0} ms", duration.as_secs_f64() * 1000.0)
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// How many moments fall into each of `width` equal parts of the time from the start to the last of them, as bars; the
/// highest is full. And how long a part is.
pub(super) fn bars(moments: &[Duration], width: usize) -> Option<(String, Duration)> {
    let last = moments.iter().max()?;
    // A part of no length would hold nothing.
    let part = last.div_f64(width as f64).max(Duration::from_millis(1));
    let mut counts = vec![0usize; width];
    for moment in moments {
        let at = (moment.as_secs_f64() / part.as_secs_f64()) as usize;
        counts[at.min(width - 1)] += 1;
    }
    let most = counts.iter().copied().max().filter(|most| *most > 0)?;
    let bar = |count: usize| if count == 0 { ' ' } else { BARS[(count * BARS.len()).div_ceil(most) - 1] };
    Some((counts.into_iter().map(bar).collect(), part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(values: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        values.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let durations = Durations::of(ms((1..=100).rev()));
        assert_eq!(durations.in_words(), "p50 50 ms, p95 95 ms, p99 99 ms, max 100 ms");
        assert_eq!(durations.in_json(), json!({"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}));
        assert_eq!(Durations::of(ms([7])).in_words(), "p50 7 ms, p95 7 ms, p99 7 ms, max 7 ms");
        assert_eq!(Durations::of(ms([12_345])).in_words(), "p50 12.3 s, p95 12.3 s, p99 12.3 s, max 12.3 s");
        assert_eq!(Durations::default().in_words(), "");
        assert_eq!(Durations::default().in_json()["p50"], Value::Null);
    }

    #[test]
    fn bars_rise_with_the_rate() {
        assert_eq!(bars(&ms([0, 0, 0, 0, 10, 10, 20, 30]), 3), Some(("█▄▄".to_owned(), Duration::from_millis(10))));
        assert_eq!(bars(&ms([5, 100]), 4), Some(("█  █".to_owned(), Duration::from_millis(25))));
        assert_eq!(bars(&[], 4), None);
        assert!(bars(&ms([0, 0]), 4).is_some(), "all at once");
    }
}

//! How fast tasks come and go: made of what two answers count.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use super::reading::{Ended, Statistics};

/// Most samples that are kept: more than the widest terminal shows.
const KEPT: usize = 600;
/// What a rate by the second is taken over, so that it does not flicker.
const SHORT_S: f64 = 5.0;
/// What a rate by the minute is taken over.
const LONG_S: f64 = 60.0;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Submitted,
    Completed,
    Failed,
}

/// What happened between two answers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    seconds: f64,
    submitted: u64,
    ended: Ended,
}

impl Sample {
    fn count(&self, event: Event) -> u64 {
        match event {
            Event::Submitted => self.submitted,
            Event::Completed => self.ended.completed,
            Event::Failed => self.ended.failed,
        }
    }
}

/// What happened since `top` was started, by sample.
#[derive(Debug, Default)]
pub(super) struct Rates {
    last: Option<Statistics>,
    samples: VecDeque<Sample>,
}

impl Rates {
    /// When the latest answer was; what comes next is counted from there.
    pub(super) fn counted_until(&self) -> Option<DateTime<Utc>> {
        self.last.as_ref().map(|last| last.until)
    }

    /// Takes an answer over, and how many tasks were submitted since the one before.
    pub(super) fn take(&mut self, now: Statistics, submitted: u64) {
        if let Some(sample) = self.last.as_ref().and_then(|last| sample(last, &now, submitted)) {
            if self.samples.len() == KEPT {
                self.samples.pop_front();
            }
            self.samples.push_back(sample);
        }
        self.last = Some(now);
    }

    /// So many a second, lately; none before there are two answers.
    pub(super) fn per_second(&self, event: Event) -> Option<f64> {
        self.over(SHORT_S, event)
    }

    /// So many a minute; made of less than a minute while `top` has not seen one.
    pub(super) fn per_minute(&self, event: Event) -> Option<f64> {
        self.over(LONG_S, event).map(|rate| rate * 60.0)
    }

    fn over(&self, seconds: f64, event: Event) -> Option<f64> {
        let (mut time, mut count) = (0.0, 0);
        for sample in self.samples.iter().rev() {
            time += sample.seconds;
            count += sample.count(event);
            if time >= seconds {
                break;
            }
        }
        (time > 0.0).then(|| count as f64 / time)
    }

    /// The rates of the latest samples by the second, the oldest first; at most so many.
    pub(super) fn history(&self, event: Event, most: usize) -> Vec<f64> {
        let skipped = self.samples.len().saturating_sub(most);
        self.samples.iter().skip(skipped).map(|sample| sample.count(event) as f64 / sample.seconds).collect()
    }

    /// The latest answer.
    pub(super) fn statistics(&self) -> Option<&Statistics> {
        self.last.as_ref()
    }
}

/// What happened between two answers; nothing where no time passed, or so much that they have no minute in common.
fn sample(before: &Statistics, after: &Statistics, submitted: u64) -> Option<Sample> {
    let time = after.until - before.until;
    if time <= TimeDelta::zero() || before.until < after.from {
        return None;
    }
    let mut ended = Ended::default();
    for point in &after.series {
        // Ends are also added to minutes that are over: those whose outcome was stored late.
        let known =
            before.series.iter().find(|known| known.at == point.at).map(|known| known.tasks).unwrap_or_default();
        ended.completed += point.tasks.completed.saturating_sub(known.completed);
        ended.failed += point.tasks.failed.saturating_sub(known.failed);
    }
    Some(Sample { seconds: time.as_seconds_f64(), submitted, ended })
}

#[cfg(test)]
mod tests {
    use super::super::reading::Point;
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    /// The figures at a second, with what ended by minute.
    fn told(second: i64, minutes: &[(i64, u64, u64)]) -> Statistics {
        let point = |(minute, completed, failed): &(i64, u64, u64)| Point {
            at: at(minute * 60),
            tasks: Ended { completed: *completed, failed: *failed },
        };
        Statistics {
            from: at(second - 3600),
            until: at(second),
            series: minutes.iter().map(point).collect(),
            ..Statistics::default()
        }
    }

    #[test]
    fn a_rate_is_what_two_answers_differ_in() {
        let mut rates = Rates::default();
        rates.take(told(118, &[(0, 50, 1), (1, 10, 0)]), 0);
        assert_eq!((rates.per_second(Event::Completed), rates.counted_until()), (None, Some(at(118))));
        // Six more in the minute that was, four and a failure in the one that began.
        rates.take(told(123, &[(0, 50, 1), (1, 16, 0), (2, 4, 1)]), 20);
        assert_eq!(rates.per_second(Event::Completed), Some(2.0));
        assert_eq!(rates.per_second(Event::Submitted), Some(4.0));
        assert_eq!(rates.per_minute(Event::Failed), Some(12.0));
    }

    #[test]
    fn rates_by_the_second_are_of_lately_and_those_by_the_minute_of_longer() {
        let mut rates = Rates::default();
        rates.take(told(0, &[(0, 0, 0)]), 0);
        rates.take(told(50, &[(0, 100, 0)]), 0);
        rates.take(told(55, &[(0, 100, 0)]), 0);
        assert_eq!(rates.per_second(Event::Completed), Some(0.0));
        assert_eq!(rates.per_minute(Event::Completed).map(f64::round), Some(109.0));
        assert_eq!(rates.history(Event::Completed, 9), [2.0, 0.0]);
        assert_eq!(rates.history(Event::Completed, 1), [0.0]);
    }

    #[test]
    fn what_can_not_be_compared_is_no_rate() {
        let mut rates = Rates::default();
        rates.take(told(0, &[(0, 9, 0)]), 0);
        rates.take(told(0, &[(0, 9, 0)]), 0);
        assert_eq!(rates.per_second(Event::Completed), None, "no time passed");
        rates.take(told(4000, &[(66, 9, 0)]), 0);
        assert_eq!(rates.per_second(Event::Completed), None, "an hour is missing");
    }

    #[test]
    fn figures_that_shrink_are_no_negative_rate() {
        let mut rates = Rates::default();
        rates.take(told(0, &[(0, 9, 9)]), 0);
        rates.take(told(2, &[(0, 0, 9)]), 0);
        assert_eq!(rates.per_second(Event::Completed), Some(0.0));
    }

    #[test]
    fn samples_are_bounded() {
        let mut rates = Rates::default();
        for second in 0..1000 {
            rates.take(told(second, &[(0, 0, 0)]), 1);
        }
        assert_eq!(rates.history(Event::Submitted, usize::MAX).len(), KEPT);
    }
}

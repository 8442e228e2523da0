//! Metrics of values that are read at the moment of the scrape.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::dispatch::figures::Measured;
use crate::domain::histogram::Observed;

/// What was measured longer ago than this is not told any more: its server is away, and that has a metric of its own.
const STALE: TimeDelta = TimeDelta::minutes(5);

/// Names and values of labels.
pub(super) type Labels = Vec<(&'static str, String)>;

/// A value.
#[derive(Debug)]
enum Value {
    Gauge(f64),
    Counter(f64),
    Histogram(Observed),
}

/// The series of one metric.
#[derive(Debug)]
struct Series {
    kind: MetricType,
    samples: Vec<(Labels, Value)>,
}

impl EncodeMetric for Series {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        for (labels, value) in &self.samples {
            // The family of no labels is the metric itself.
            if labels.is_empty() {
                write(&mut encoder, value)
            } else {
                write(&mut encoder.encode_family(labels)?, value)
            }?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.kind
    }

    fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}

fn write(encoder: &mut MetricEncoder, value: &Value) -> fmt::Result {
    match value {
        Value::Gauge(number) => match as_whole(*number) {
            Some(whole) => encoder.encode_gauge(&whole),
            None => encoder.encode_gauge(number),
        },
        Value::Counter(number) => match as_whole(*number) {
            Some(whole) => encoder.encode_counter::<NoLabelSet, u64, u64>(&whole.unsigned_abs(), None),
            None => encoder.encode_counter::<NoLabelSet, f64, u64>(number, None),
        },
        Value::Histogram(observed) => encoder.encode_histogram::<NoLabelSet>(
            observed.sum.as_secs_f64(),
            observed.count(),
            &observed.buckets,
            None,
        ),
    }
}

/// A whole number is written as one.
fn as_whole(number: f64) -> Option<i64> {
    // Up to here every whole number has its own f64.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
}

/// Adds a metric that goes up and down.
pub(super) fn gauge(registry: &mut Registry, name: &str, help: &str, value: f64) {
    gauges(registry, name, help, [(Labels::new(), value)]);
}

/// Adds a metric that goes up and down, by labels.
pub(super) fn gauges(registry: &mut Registry, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, f64)>) {
    let samples = values.into_iter().map(|(labels, value)| (labels, Value::Gauge(value))).collect();
    registry.register(name, help, Series { kind: MetricType::Gauge, samples });
}

/// Adds a metric that only goes up; its name gets the ending `_total`.
pub(super) fn counter(registry: &mut Registry, name: &str, help: &str, value: f64) {
    counters(registry, name, help, [(Labels::new(), value)]);
}

/// Adds a metric that only goes up, by labels; its name gets the ending `_total`.
pub(super) fn counters(
    registry: &mut Registry,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Labels, f64)>,
) {
    let samples = values.into_iter().map(|(labels, value)| (labels, Value::Counter(value))).collect();
    registry.register(name, help, Series { kind: MetricType::Counter, samples });
}

/// Adds a histogram of seconds, by labels.
pub(super) fn histograms(
    registry: &mut Registry,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = (Labels, Observed)>,
) {
    let samples = values.into_iter().map(|(labels, value)| (labels, Value::Histogram(value))).collect();
    registry.register(name, help, Series { kind: MetricType::Histogram, samples });
}

/// What was measured, unless that was too long ago.
pub(super) fn fresh<T>(measured: &Measured<T>, now: DateTime<Utc>) -> Option<&T> {
    (now - measured.at < STALE).then_some(&measured.value)
}

/// Seconds from a moment until now.
pub(super) fn age(since: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    (now - since).as_seconds_f64().max(0.0)
}

/// A moment as Prometheus counts them.
pub(super) fn timestamp(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::domain::histogram::Histogram;

    #[test]
    fn each_kind_is_written_as_prometheus_reads_it() {
        let mut registry = Registry::default();
        gauges(&mut registry, "depth", "Waiting", [(vec![("queue", "a\"b".to_owned())], 3.0)]);
        gauge(&mut registry, "ratio", "Part", 0.25);
        counter(&mut registry, "done", "Done", 7.0);
        let histogram = Histogram::new(&[0.5]);
        histogram.observe(Duration::from_millis(100));
        histogram.observe(Duration::from_secs(2));
        histograms(&mut registry, "wait_seconds", "Waits", [(vec![("queue", "a".to_owned())], histogram.read())]);
        gauges(&mut registry, "nothing", "Not there", []);
        let mut text = String::new();
        encode(&mut text, &registry).expect("a String takes any text");
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                r#"depth{queue="a\"b"} 3"#,
                "ratio 0.25",
                "done_total 7",
                r#"wait_seconds_sum{queue="a"} 2.1"#,
                r#"wait_seconds_count{queue="a"} 2"#,
                r#"wait_seconds_bucket{le="0.5",queue="a"} 1"#,
                r#"wait_seconds_bucket{le="+Inf",queue="a"} 2"#,
            ]
        );
        assert!(!text.contains("nothing"), "{text}");
    }

    #[test]
    fn what_is_old_is_not_told() {
        let now = crate::domain::clock::now();
        let measured = Measured { at: now - TimeDelta::minutes(6), value: 1 };
        assert_eq!(fresh(&measured, now), None);
        assert_eq!(fresh(&Measured { at: now, value: 1 }, now), Some(&1));
    }
}

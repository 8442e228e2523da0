//! How long tasks wait and run on this node, and how they end; what beat makes of schedules.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use prometheus_client::registry::Registry;

use super::series::{Labels, age, counter, counters, fresh, gauge, gauges, histograms};
use crate::dispatch::Dispatch;
use crate::dispatch::stats::attempts::LABELS;
use crate::dispatch::stats::by_label::ByLabel;
use crate::domain::attempt::AttemptStatus;
use crate::domain::histogram::{Histogram, Observed};

/// Everything about attempts and tasks.
pub(super) fn all(registry: &mut Registry, dispatch: &Dispatch) {
    let stats = &dispatch.stats().attempts;
    let times = [
        ("task_wait_seconds", "From when a task might start until an attempt of it did", by("queue", &stats.waits)),
        ("attempt_run_seconds", "How long attempts ran that came to an end, by source", by("source", &stats.runs)),
        (
            "task_total_seconds",
            "From when a task was made until it was completed or failed, retries and delays included",
            by("queue", &stats.totals),
        ),
    ];
    for (name, help, observed) in times {
        histograms(registry, name, help, observed);
    }
    let (mut attempts, mut unknown, mut finished) = (Vec::new(), Vec::new(), Vec::new());
    for (queue, sources) in stats.ends.read() {
        for (source, ends) in sources.read() {
            let labels: Labels = vec![("queue", queue.clone()), ("source", source)];
            let and =
                |name, value: &str| -> Labels { labels.iter().cloned().chain([(name, value.to_owned())]).collect() };
            let by_outcome = |status: AttemptStatus| (and("outcome", status.as_str()), ends.attempts(status) as f64);
            attempts.extend(AttemptStatus::ALL.map(by_outcome));
            finished.push((and("status", "completed"), ends.completed() as f64));
            finished.push((and("status", "failed"), ends.failed() as f64));
            unknown.push((labels, ends.unknown() as f64));
        }
    }
    counters(registry, "attempts", "Attempts that ended, by queue, source and outcome", attempts);
    counters(registry, "tasks_finished", "Tasks that were completed or failed for good", finished);
    counters(
        registry,
        "attempts_outcome_unknown",
        "Attempts of which it is unknown whether the source ran the flow",
        unknown,
    );
    let failures = stats.failures.read().into_iter().flat_map(|(source, codes)| {
        codes.read().into_iter().map(move |(code, count)| {
            (vec![("source", source.clone()), ("code", code)], count.load(Ordering::Relaxed) as f64)
        })
    });
    counters(registry, "attempt_failures", "Attempts that did not succeed, by source and code", failures);
}

fn by(name: &'static str, times: &ByLabel<Histogram>) -> Vec<(Labels, Observed)> {
    times.read().into_iter().map(|(label, histogram)| (vec![(name, label)], histogram.read())).collect()
}

/// Sources that are left alone; 0 for those that this node has called and that are not.
pub(super) fn sources(registry: &mut Registry, dispatch: &Dispatch, now: DateTime<Utc>) {
    let measured = dispatch.figures().sources_away();
    let Some(away) = measured.as_deref().and_then(|measured| fresh(measured, now)) else { return };
    let called = dispatch.stats().attempts.runs.read().into_iter().map(|(source, _)| (source, 0.0));
    let mut times: BTreeMap<String, f64> = called.collect();
    times.extend(away.iter().take(LABELS).map(|(name, circuit)| (name.clone(), f64::from(circuit.openings))));
    let help = "How often in a row a source was found down or asked to be left alone; 0 is called as always";
    let times = times.into_iter().map(|(name, times)| (vec![("source", name)], times));
    gauges(registry, "source_times_away", help, times);
}

/// How late schedules are.
pub(super) fn schedules(registry: &mut Registry, dispatch: &Dispatch, now: DateTime<Utc>) {
    let stats = &dispatch.stats().schedules;
    let lateness = [(Labels::new(), stats.lateness.read())];
    let help = "How late occurrences were when this node stored their tasks";
    histograms(registry, "schedule_lateness_seconds", help, lateness);
    counter(registry, "schedule_skips", "Occurrences that this node noted as skipped", stats.skipped() as f64);
    let measured = dispatch.figures().server();
    if let Some(server) = measured.as_deref().and_then(|measured| fresh(measured, now)) {
        let overdue = server.due_since.map_or(0.0, |due| age(due, now));
        let help = "How long the schedule is overdue that has been due for longest; 0 where none is due";
        gauge(registry, "schedule_overdue_seconds", help, overdue);
    }
}

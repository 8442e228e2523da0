//! What waits and runs, by queue. The figures are PostgreSQL's, so every node tells the same: take the greatest, not the
//! sum.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use prometheus_client::registry::Registry;

use super::series::{Labels, age, fresh, gauges};
use crate::dispatch::Dispatch;
use crate::dispatch::stats::attempts::LABELS;
use crate::dispatch::stats::by_label::OTHER;
use crate::store::queue::QueueRecord;

/// A queue, or all those that are not told apart.
#[derive(Debug, Default, PartialEq)]
struct Queue {
    depth: i64,
    delayed: i64,
    running: i64,
    retrying: i64,
    oldest_pending_at: Option<DateTime<Utc>>,
    oldest_started_at: Option<DateTime<Utc>>,
}

impl Queue {
    fn add(&mut self, record: &QueueRecord) {
        self.depth += record.depth;
        self.delayed += record.delayed;
        self.running += record.running;
        self.retrying += record.retrying;
        let earlier = |one: Option<DateTime<Utc>>, other| one.into_iter().chain(other).min();
        self.oldest_pending_at = earlier(self.oldest_pending_at, record.oldest_pending_at);
        self.oldest_started_at = earlier(self.oldest_started_at, record.oldest_started_at);
    }
}

/// The depth under the name that Celery's exporters give it, for alerts and panels that know it.
pub(super) fn celery(registry: &mut Registry, dispatch: &Dispatch, now: DateTime<Utc>) {
    let depths = told_apart(dispatch, now).into_iter().map(|(name, queue)| (label(name), queue.depth as f64));
    gauges(registry, "celery_queue_length", "Tasks that may start and wait, by queue", depths);
}

/// Everything about queues.
pub(super) fn all(registry: &mut Registry, dispatch: &Dispatch, now: DateTime<Utc>) {
    let queues = told_apart(dispatch, now);
    type Count = fn(&Queue) -> i64;
    let counts: [(&str, &str, Count); 4] = [
        ("queue_depth", "Tasks that may start and wait, by queue", |queue| queue.depth),
        ("queue_delayed", "Tasks that may not start yet, by queue", |queue| queue.delayed),
        ("tasks_running", "Tasks that run, by queue, on all nodes", |queue| queue.running),
        ("tasks_retrying", "Tasks that failed and wait for their next attempt, by queue", |queue| queue.retrying),
    ];
    for (name, help, count) in counts {
        gauges(registry, name, help, queues.iter().map(|(name, queue)| (label(name.clone()), count(queue) as f64)));
    }
    type Since = fn(&Queue) -> Option<DateTime<Utc>>;
    let ages: [(&str, &str, Since); 2] = [
        ("queue_oldest_age_seconds", "How long the oldest waiting task waits; 0 where none does", |queue| {
            queue.oldest_pending_at
        }),
        ("tasks_running_oldest_age_seconds", "How long the oldest running task runs; 0 where none does", |queue| {
            queue.oldest_started_at
        }),
    ];
    for (name, help, since) in ages {
        let oldest = |queue| since(queue).map_or(0.0, |since| age(since, now));
        gauges(registry, name, help, queues.iter().map(|(name, queue)| (label(name.clone()), oldest(queue))));
    }
    let paused = dispatch.paused().borrow().iter().take(LABELS).map(|queue| (label(queue.to_string()), 1.0)).collect();
    let paused: Vec<_> = paused;
    gauges(registry, "queue_paused", "Queues from which nothing is started; always 1", paused);
}

fn label(queue: String) -> Labels {
    vec![("queue", queue)]
}

/// The queues that this node serves, whatever is in them, and others that have something.
fn told_apart(dispatch: &Dispatch, now: DateTime<Utc>) -> BTreeMap<String, Queue> {
    let Some(measured) = dispatch.figures().queues() else { return BTreeMap::new() };
    let served = dispatch.roster().pools().into_iter().flat_map(|pool| pool.queues).map(|queue| queue.to_string());
    fresh(&measured, now).map_or_else(BTreeMap::new, |records| fold(served, records))
}

fn fold(served: impl Iterator<Item = String>, records: &[QueueRecord]) -> BTreeMap<String, Queue> {
    let mut queues: BTreeMap<String, Queue> = served.take(LABELS).map(|name| (name, Queue::default())).collect();
    for record in records {
        let name = if queues.len() < LABELS || queues.contains_key(&record.name) { &record.name } else { OTHER };
        queues.entry(name.to_owned()).or_default().add(record);
    }
    queues
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock;

    fn record(name: &str, depth: i64, oldest: DateTime<Utc>) -> QueueRecord {
        QueueRecord {
            name: name.to_owned(),
            depth,
            parked: 0,
            delayed: 0,
            oldest_pending_at: Some(oldest),
            running: 0,
            oldest_started_at: None,
            retrying: 0,
            paused_at: None,
        }
    }

    #[test]
    fn a_served_queue_is_told_though_it_is_empty() {
        let queues = fold(["celery".to_owned(), "direct".to_owned()].into_iter(), &[record("celery", 3, clock::now())]);
        assert_eq!((queues["celery"].depth, queues["direct"].depth), (3, 0));
    }

    #[test]
    fn queues_beyond_the_limit_are_told_as_one() {
        let now = clock::now();
        let many: Vec<QueueRecord> = (0..LABELS + 3)
            .map(|number| record(&format!("q{number:03}"), 2, now - chrono::TimeDelta::seconds(number as i64)))
            .collect();
        let queues = fold(std::iter::empty(), &many);
        assert_eq!((queues.len(), queues[OTHER].depth), (LABELS + 1, 6));
        assert_eq!(queues[OTHER].oldest_pending_at, many.last().and_then(|last| last.oldest_pending_at));
    }
}

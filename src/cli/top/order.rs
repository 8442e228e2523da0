//! In which order the lines of a panel stand.

use std::cmp::{Ordering, Reverse};

use super::reading::{Finding, Pool, Queue, Source, Task, Worker};

/// A name for it, and which of two comes first.
pub(super) type Order<T> = (&'static str, fn(&T, &T) -> Ordering);

/// The first of them is also what decides between equals.
pub(super) const QUEUES: &[Order<Queue>] = &[
    ("name", |one, other| one.name.cmp(&other.name)),
    ("waiting", |one, other| other.depth.cmp(&one.depth)),
    ("oldest", |one, other| most(one.oldest_age_s, other.oldest_age_s)),
    ("rate", |one, other| other.rate_per_min.cmp(&one.rate_per_min)),
];

pub(super) const POOLS: &[Order<Pool>] = &[
    ("name", |one, other| one.name.cmp(&other.name)),
    ("load", |one, other| load(other).total_cmp(&load(one))),
    ("restarts", |one, other| restarts(other).cmp(&restarts(one))),
];

pub(super) const WORKERS: &[Order<Worker>] = &[
    ("pool", |one, other| one.pool.cmp(&other.pool).then(one.id.cmp(&other.id))),
    ("memory", |one, other| other.rss_kb.cmp(&one.rss_kb)),
    ("busy", |one, other| other.active_attempts.cmp(&one.active_attempts)),
    ("tasks", |one, other| other.tasks_done.cmp(&one.tasks_done)),
    ("processor", |one, other| most(one.cpu_percent, other.cpu_percent)),
];

pub(super) const RUNNING: &[Order<Task>] = &[
    ("age", |one, other| (one.started_at, &one.id).cmp(&(other.started_at, &other.id))),
    ("queue", |one, other| one.queue.cmp(&other.queue)),
    ("attempt", |one, other| other.tries.cmp(&one.tries)),
];

pub(super) const SOURCES: &[Order<Source>] = &[
    ("trouble", |one, other| {
        let key =
            |source: &Source| (Reverse((source.is_troubled(), source.circuit.failures)), source.label().to_owned());
        key(one).cmp(&key(other))
    }),
    ("name", |one, other| one.label().cmp(other.label())),
];

pub(super) const CHECKS: &[Order<Finding>] = &[
    // Equals stay as the service has them: what matters most comes first there.
    ("level", |one, other| other.severity().cmp(&one.severity())),
    ("name", |one, other| one.check.cmp(&other.check)),
];

/// The entries in the order that was chosen.
pub(super) fn sorted<'a, T>(items: &'a [T], orders: &[Order<T>], chosen: usize) -> Vec<&'a T> {
    let mut sorted: Vec<&T> = items.iter().collect();
    if let (Some((_, first)), Some((_, order))) = (orders.first(), orders.get(chosen)) {
        sorted.sort_by(|one, other| order(one, other).then_with(|| first(one, other)));
    }
    sorted
}

/// How much of a pool is in use.
pub(super) fn load(pool: &Pool) -> f64 {
    if pool.ready_slots == 0 { 0.0 } else { pool.active as f64 / pool.ready_slots as f64 }
}

/// How many of its executors went.
pub(super) fn restarts(pool: &Pool) -> u64 {
    pool.restarts.values().sum()
}

/// What is not known comes last.
fn most(one: Option<f64>, other: Option<f64>) -> Ordering {
    other.unwrap_or(-1.0).total_cmp(&one.unwrap_or(-1.0))
}

#[cfg(test)]
mod tests {
    use super::super::reading::Circuit;
    use super::*;

    fn names<T>(items: &[T], orders: &[Order<T>], by: &str, name: impl Fn(&T) -> &str) -> Vec<String> {
        let chosen = orders.iter().position(|(order, _)| *order == by).expect("an order of that name");
        sorted(items, orders, chosen).into_iter().map(|item| name(item).to_owned()).collect()
    }

    #[test]
    fn queues_stand_by_name_or_by_what_is_most() {
        let queue = |name: &str, depth, oldest_age_s, rate_per_min| Queue {
            name: name.to_owned(),
            depth,
            oldest_age_s,
            rate_per_min,
            ..Queue::default()
        };
        let queues = [queue("b", 1, Some(9.0), 7), queue("c", 5, None, 7), queue("a", 1, Some(0.5), 8)];
        let by = |by| names(&queues, QUEUES, by, |queue| &queue.name).concat();
        assert_eq!([by("name"), by("waiting"), by("oldest"), by("rate")], ["abc", "cab", "bac", "abc"]);
    }

    #[test]
    fn a_source_that_is_left_alone_comes_first() {
        let source = |name: &str, state: &str, failures| Source {
            name: Some(name.to_owned()),
            circuit: Circuit { state: state.to_owned(), failures, ..Circuit::default() },
            ..Source::default()
        };
        let sources = [source("a", "closed", 0), source("b", "open", 5), source("c", "closed", 2)];
        let by = |by| names(&sources, SOURCES, by, Source::label).concat();
        assert_eq!([by("trouble"), by("name")], ["bca", "abc"]);
    }

    #[test]
    fn checks_stand_as_the_service_has_them_but_the_worst_first() {
        let check = |name: &str, level: &str| Finding { check: name.into(), level: level.into(), ..Finding::default() };
        let checks = [check("b", "ok"), check("a", "ok"), check("d", "warning"), check("c", "critical")];
        let by = |by| names(&checks, CHECKS, by, |check| &check.check).concat();
        assert_eq!([by("level"), by("name")], ["cdba", "abcd"]);
    }
}

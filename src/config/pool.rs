//! `[[pools]]`: which queues are served, in which order and by how many.

use std::time::Duration;

use config::ValueKind;

use super::error::Problem;
use super::raw::{flatten, origin};
use super::read::Reader;
use crate::domain::pool::{LEAST_CHILD_KB, THREADS, WORKERS};
use crate::domain::queue::{DEFAULT_QUEUE, QueueName};
use crate::domain::recycle::RecycleLimits;
use crate::domain::turns::ServedQueues;

/// A pool: a supervisor and its executors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Its name, unique, of the characters of a queue's name.
    pub name: String,
    /// The queues it serves.
    pub queues: ServedQueues,
    /// Child processes.
    pub workers: u32,
    /// Attempts that each runs at the same time.
    pub threads: u32,
    /// Tasks taken from Redis for each free thread.
    pub prefetch_multiplier: u32,
    /// When a child is replaced.
    pub recycle: RecycleLimits,
    /// When an attempt is cancelled.
    pub soft_time_limit: Duration,
    /// When the child of an attempt is killed.
    pub time_limit: Duration,
}

/// How much one queue may count beside another.
const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=1_000;

/// What a pool says of its queues.
const SERVED: [&str; 3] = ["name", "queues", "weights"];

/// What a pool may set for itself; the rest of its numbers are those of `[worker]`.
const OWN: [&str; 7] = [
    "workers",
    "threads",
    "prefetch_multiplier",
    "max_tasks_per_child",
    "max_memory_per_child_kb",
    "soft_time_limit_s",
    "time_limit_s",
];

pub(super) fn read(reader: &mut Reader, works: bool) -> Vec<PoolConfig> {
    let value = reader.values.get("pools").cloned();
    let tables = value.as_ref().and_then(|value| match &value.kind {
        ValueKind::Array(items) if !items.is_empty() => Some(items.clone()),
        _ => None,
    });
    let Some(tables) = tables else {
        reader.problem("pools", "must be a list of at least one pool: write [[pools]] with a name and queues");
        return Vec::new();
    };
    let place = value.as_ref().map_or("default", origin);
    let mut pools: Vec<PoolConfig> = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let path = format!("pools[{index}]");
        flatten(&mut reader.values, path.clone(), table, place);
        let Some(pool) = read_one(reader, &path, place) else { continue };
        if pools.iter().any(|other| other.name == pool.name) {
            reader.wrong(&format!("{path}.name"), "another name than the pools before it have");
        }
        pools.push(pool);
    }
    if works && !pools.iter().flat_map(|pool| &pool.queues.names).any(|queue| queue.as_str() == DEFAULT_QUEUE) {
        reader.warnings.push(format!(
            "no pool ({place}) serves the queue `{DEFAULT_QUEUE}`: tasks that name no queue wait for another node"
        ));
    }
    pools
}

fn read_one(reader: &mut Reader, path: &str, place: &str) -> Option<PoolConfig> {
    check_keys(reader, path, place);
    let name_key = format!("{path}.name");
    let queues_key = format!("{path}.queues");
    if !require(reader, &name_key, place) | !require(reader, &queues_key, place) {
        return None;
    }
    let name = reader.text(&name_key);
    if QueueName::new(name.as_str()).is_err() {
        reader.wrong(&name_key, "1 to 64 characters of a-z, A-Z, 0-9, '_', '-' and '.'");
    }
    let names = queues(reader, &queues_key);
    let weights = weights(reader, &format!("{path}.weights"), names.len());
    let key = |reader: &Reader, name: &str| {
        let own = format!("{path}.{name}");
        if reader.values.contains_key(&own) { own } else { format!("worker.{name}") }
    };
    let [workers, threads, prefetch, tasks, memory, soft, hard] = OWN.map(|name| key(reader, name));
    let pool = PoolConfig {
        name,
        queues: ServedQueues { names, weights },
        workers: reader.whole(&workers, WORKERS),
        threads: reader.whole(&threads, THREADS),
        prefetch_multiplier: reader.whole(&prefetch, 1..=1),
        recycle: RecycleLimits {
            max_tasks_per_child: reader.whole(&tasks, 1..=1_000_000_000),
            max_memory_per_child_kb: reader.whole(&memory, LEAST_CHILD_KB..=1_000_000_000),
        },
        soft_time_limit: reader.duration(&soft, 0.05..=604_800.0),
        time_limit: reader.duration(&hard, 0.05..=604_800.0),
    };
    if reader.is_sound(&[&soft, &hard]) && pool.time_limit <= pool.soft_time_limit {
        let other = reader.origin(&soft).to_owned();
        let seconds = pool.soft_time_limit.as_secs_f64();
        reader.wrong(&hard, &format!("greater than {soft}, which is {seconds} ({other})"));
    }
    Some(pool)
}

fn require(reader: &mut Reader, key: &str, place: &str) -> bool {
    let is_there = reader.values.contains_key(key);
    if !is_there {
        add(reader, key, place, "is missing");
    }
    is_there
}

fn check_keys(reader: &mut Reader, path: &str, place: &str) {
    let prefix = format!("{path}.");
    let written: Vec<String> =
        reader.values.keys().filter_map(|key| key.strip_prefix(&prefix)).map(str::to_owned).collect();
    for name in written.iter().filter(|name| !SERVED.contains(&name.as_str()) && !OWN.contains(&name.as_str())) {
        let hint = super::load::closest(name, OWN.into_iter().chain(SERVED));
        let hint = hint.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
        add(reader, &format!("{prefix}{name}"), place, &format!("a pool has no such key{hint}"));
    }
}

/// Notes a problem with something that has no value.
fn add(reader: &mut Reader, key: &str, place: &str, message: &str) {
    reader.problems.push(Problem { key: key.to_owned(), origin: place.to_owned(), message: message.to_owned() });
}

fn queues(reader: &mut Reader, key: &str) -> Vec<QueueName> {
    let names = reader.list(key);
    let mut queues: Vec<QueueName> = Vec::new();
    for name in names {
        match QueueName::new(name.as_str()) {
            Ok(queue) if queues.contains(&queue) => reader.problem(key, format!("names the queue `{name}` twice")),
            Ok(queue) => queues.push(queue),
            Err(error) => reader.problem(key, format!("`{name}` can't be a queue: {error}")),
        }
    }
    if queues.is_empty() && reader.is_sound(&[key]) {
        reader.problem(key, "must name at least one queue");
    }
    queues
}

/// The share of each queue; none where the order is strict.
fn weights(reader: &mut Reader, key: &str, queues: usize) -> Option<Vec<u32>> {
    if !reader.values.contains_key(key) {
        return None;
    }
    let weights: Option<Vec<u32>> = reader.list(key).iter().map(|text| text.parse().ok()).collect();
    let weights = weights.filter(|weights| weights.iter().all(|weight| WEIGHTS.contains(weight)));
    if weights.as_ref().is_none_or(|weights| weights.len() != queues) && reader.is_sound(&[key]) {
        let (least, most) = (WEIGHTS.start(), WEIGHTS.end());
        reader.problem(key, format!("must hold a whole number from {least} to {most} for each of the pool's queues"));
    }
    weights
}

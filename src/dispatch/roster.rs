//! The executors of this node as others may see them. Supervisors publish, the API and the heartbeat read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::ids::ExecutorId;
use crate::domain::queue::QueueName;
use crate::domain::recycle::RecycleLimits;

/// Events that a pool's history keeps at most.
const HISTORY_LIMIT: usize = 2_000;

/// A pool at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct PoolView {
    /// The pool's name.
    pub name: String,
    /// The queues it serves, in order.
    pub queues: Vec<QueueName>,
    /// The share of each; none where the order is strict.
    pub weights: Option<Vec<u32>>,
    /// Executors it should have.
    pub workers: usize,
    /// Slots of each.
    pub threads: usize,
    /// Executors, and slots of each, that the configuration gives it.
    pub configured: (usize, usize),
    /// What one of its children may use before it is replaced.
    pub recycle: RecycleLimits,
    /// Whether its children crash too often.
    pub failed: bool,
    /// Its executors, in the order of their start.
    pub executors: Vec<ExecutorView>,
}

/// An executor at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct ExecutorView {
    /// Its number in the pool.
    pub id: ExecutorId,
    /// Its child's process id; none until the child runs.
    pub pid: Option<u32>,
    /// `starting`, `ready`, `spare` or `draining`.
    pub state: &'static str,
    /// Attempts it was given so far.
    pub tasks_done: u64,
    /// Attempts it runs now.
    pub active: usize,
    /// Resident memory of the child in KB (1024 bytes), as last sampled.
    pub rss_kb: Option<u64>,
    /// Processor time of the child in percent of one core, as last sampled.
    pub cpu_percent: Option<f32>,
    /// When it was started.
    pub started_at: DateTime<Utc>,
}

/// Something that happened to an executor.
#[derive(Clone, Debug, Serialize)]
pub struct ExecutorEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// Its pool.
    pub pool: String,
    /// Which one.
    pub executor: ExecutorId,
    /// `started`, `ready`, `draining`, `killed` or `exited`.
    pub event: &'static str,
    /// Why, where there is a reason: `max_tasks`, `max_memory`, `crashed`, `shutdown`, ...
    pub reason: Option<&'static str>,
    /// Attempts it was given until then.
    pub tasks_done: u64,
    /// Slots of the pool's ready executors after the event: a dip below `workers * threads` is lost capacity.
    pub ready_slots: usize,
}

/// What the supervisors published last.
#[derive(Debug, Default)]
pub struct Roster {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    pools: BTreeMap<String, PoolView>,
    history: BTreeMap<String, VecDeque<ExecutorEvent>>,
    /// How often executors were replaced since the start, by pool and reason.
    replaced: BTreeMap<(String, &'static str), u64>,
    /// Executors whose child was killed and whose end is still to come.
    killed: BTreeSet<(String, ExecutorId)>,
}

impl Inner {
    /// Counts each executor that goes once, under the first reason there is. One that ends for nobody's reason crashed.
    fn count(&mut self, event: &ExecutorEvent) {
        let executor = (event.pool.clone(), event.executor);
        let counts = match (event.event, event.reason) {
            ("draining", Some(_)) => true,
            ("killed", Some(_)) => self.killed.insert(executor),
            ("exited", reason) => !self.killed.remove(&executor) && reason == Some("crashed"),
            _ => false,
        };
        if let Some(reason) = event.reason.filter(|reason| counts && *reason != "shutdown") {
            *self.replaced.entry((event.pool.clone(), reason)).or_default() += 1;
        }
    }
}

impl Roster {
    /// Replaces what is known of a pool.
    pub fn publish(&self, pool: PoolView) {
        self.lock().pools.insert(pool.name.clone(), pool);
    }

    /// Adds to a pool's history; the oldest events are forgotten.
    pub fn record(&self, event: ExecutorEvent) {
        let mut inner = self.lock();
        inner.count(&event);
        let history = inner.history.entry(event.pool.clone()).or_default();
        if history.len() == HISTORY_LIMIT {
            history.pop_front();
        }
        history.push_back(event);
    }

    /// The pools of this node, by name.
    pub fn pools(&self) -> Vec<PoolView> {
        self.lock().pools.values().cloned().collect()
    }

    /// What happened to executors, by pool, oldest first.
    pub fn history(&self) -> Vec<ExecutorEvent> {
        self.lock().history.values().flatten().cloned().collect()
    }

    /// How often executors went since the start, by pool and reason: `max_tasks`, `max_memory`, `memory_wall`,
    /// `scaled_down`, `crashed`.
    pub fn replaced(&self) -> Vec<(String, &'static str, u64)> {
        let inner = self.lock();
        inner.replaced.iter().map(|((pool, reason), count)| (pool.clone(), *reason, *count)).collect()
    }

    /// The data is whole after any panic: every change is one insert.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock;

    #[test]
    fn each_executor_that_goes_is_counted_once() {
        let roster = Roster::default();
        let events = [
            (1, "started", None),
            (1, "draining", Some("max_tasks")),
            (1, "exited", Some("retired")),
            (2, "killed", Some("memory_wall")),
            (2, "killed", Some("memory_wall")),
            (2, "exited", Some("crashed")),
            (3, "exited", Some("crashed")),
            (4, "draining", Some("shutdown")),
        ];
        for (id, event, reason) in events {
            let (pool, at) = ("celery".to_owned(), clock::now());
            let executor = ExecutorId(id);
            roster.record(ExecutorEvent { at, pool, executor, event, reason, tasks_done: 0, ready_slots: 0 });
        }
        let replaced = roster.replaced();
        let counts: Vec<_> = replaced.iter().map(|(_, reason, count)| (*reason, *count)).collect();
        assert_eq!(counts, [("crashed", 1), ("max_tasks", 1), ("memory_wall", 1)]);
    }
}

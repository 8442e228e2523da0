//! Puts together what this node knows of itself and of the servers for [`crate::domain::diagnosis`]. No IO.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::Dispatch;
use super::figures::Measured;
use super::roster::PoolView;
use crate::domain::attempt::AttemptStatus;
use crate::domain::circuit::Circuit;
use crate::domain::clock;
use crate::domain::diagnosis::{Figures, QueueFigures, Recent, RedisMemory, SourceAway};
use crate::domain::histogram::Observed;
use crate::store::queue::QueueRecord;

/// What was measured longer ago than this says nothing of this moment: longer than the monitor waits between two looks.
const STALE: TimeDelta = TimeDelta::minutes(5);
/// How far back children count that were replaced for their memory.
const REPLACED_WITHIN: TimeDelta = TimeDelta::minutes(15);

impl Dispatch {
    /// The figures of this moment. `redis_memory_bytes` is what Redis may use if it has no limit of its own.
    pub fn diagnosis_figures(&self, redis_memory_bytes: u64) -> Figures {
        let (now, figures, pools) = (clock::now(), self.figures(), self.roster().pools());
        let (server, pool) = (fresh(figures.server(), now), self.store().pool_figures());
        let queues = fresh(figures.queues(), now);
        let redis = fresh(figures.redis(), now);
        let process = fresh(figures.process(), now);
        let away = fresh(figures.sources_away(), now);
        let cpu = pools.iter().flat_map(|pool| &pool.executors).filter_map(|executor| executor.cpu_percent);
        Figures {
            database_up: self.health().database_ok(),
            redis_up: self.health().redis_ok(),
            // As old as they were when they were looked at: they may have started since.
            queues: queues.map(|looked| looked.value.iter().map(|record| queue(record, &pools, looked.at)).collect()),
            recent: self.counted().since(&figures.counted_before()),
            child_cpu: cpu.map(|percent| f64::from(percent) / 100.0).reduce(f64::max),
            machine_cpu: process.map(|measured| measured.value.machine_cpu),
            child_memory: pools.iter().filter_map(fullest).reduce(f64::max),
            replaced_for_memory: self.replaced(now, &["max_memory", "memory_wall"]),
            killed_for_memory: self.replaced(now, &["memory_wall"]),
            connections: server.as_ref().map(|looked| (looked.value.connections, looked.value.max_connections)),
            pool: (pool.in_use.into(), pool.max.into()),
            pool_waiting: pool.waiting,
            queries: self.store().query_times().since(&figures.queries_before()),
            oldest_query_s: self.store().oldest_query().unwrap_or_default().as_secs_f64(),
            redis: redis.map(|measured| RedisMemory {
                used_bytes: measured.value.used_bytes,
                limit_bytes: measured.value.max_bytes.unwrap_or(redis_memory_bytes),
                policy: measured.value.policy.clone(),
            }),
            sources_away: away.map(|looked| looked.value.iter().map(source).collect()),
            overdue_s: server.map(|looked| looked.value.due_since.map_or(0.0, |due| age(due, looked.at))),
        }
    }

    /// What this node has counted since it started.
    pub(super) fn counted(&self) -> Recent {
        let (stats, mut counted) = (&self.stats().attempts, Recent::default());
        for (_, ends) in stats.ends.read().iter().flat_map(|(_, sources)| sources.read()) {
            counted.completed += ends.completed();
            counted.failed += ends.failed();
            counted.timed_out += ends.attempts(AttemptStatus::TimedOut);
        }
        for (_, runs) in stats.runs.read() {
            let runs: Observed = runs.read();
            counted.attempts += runs.count();
            counted.over_5_min += runs.longer_than(300.0);
            counted.over_10_min += runs.longer_than(600.0);
        }
        counted.pool_timeouts = self.store().pool_figures().timed_out;
        counted
    }

    /// Children that went for one of these reasons, each once: a child that is replaced for its memory may be killed then.
    fn replaced(&self, now: DateTime<Utc>, reasons: &[&str]) -> u64 {
        let history = self.roster().history();
        let gone = history.iter().filter(|event| {
            matches!(event.event, "draining" | "killed")
                && now - event.at < REPLACED_WITHIN
                && event.reason.is_some_and(|reason| reasons.contains(&reason))
        });
        gone.map(|event| (event.pool.as_str(), event.executor)).collect::<BTreeSet<_>>().len() as u64
    }
}

/// The memory of a pool's fullest child, as a share of its ceiling.
fn fullest(pool: &PoolView) -> Option<f64> {
    let rss_kb = pool.executors.iter().filter_map(|executor| executor.rss_kb).max()?;
    Some(rss_kb as f64 / pool.recycle.max_memory_per_child_kb.max(1) as f64)
}

fn source((name, circuit): &(String, Circuit)) -> SourceAway {
    let reason = circuit.reason.clone().unwrap_or_default();
    SourceAway { name: name.clone(), times: circuit.openings, reason }
}

fn queue(record: &QueueRecord, pools: &[PoolView], at: DateTime<Utc>) -> QueueFigures {
    let serve = || pools.iter().filter(|pool| pool.queues.iter().any(|queue| queue.as_str() == record.name));
    let slots: usize = serve().map(|pool| pool.workers * pool.threads).sum();
    let active: usize = serve().flat_map(|pool| &pool.executors).map(|executor| executor.active).sum();
    QueueFigures {
        name: record.name.clone(),
        waiting: u64::try_from(record.depth).unwrap_or(0),
        parked: u64::try_from(record.parked).unwrap_or(0),
        oldest_wait_s: record.oldest_pending_at.map_or(0.0, |since| age(since, at)),
        oldest_run_s: record.oldest_started_at.map_or(0.0, |since| age(since, at)),
        paused: record.paused_at.is_some(),
        slots: slots as u64,
        free_slots: slots.saturating_sub(active) as u64,
    }
}

fn age(since: DateTime<Utc>, at: DateTime<Utc>) -> f64 {
    (at - since).as_seconds_f64().max(0.0)
}

fn fresh<T>(measured: Option<Arc<Measured<T>>>, now: DateTime<Utc>) -> Option<Arc<Measured<T>>> {
    measured.filter(|measured| now - measured.at < STALE)
}

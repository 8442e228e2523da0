//! Pools and their executors, on this node.

use prometheus_client::registry::Registry;

use super::series::{Labels, counters, gauges};
use crate::dispatch::Dispatch;
use crate::dispatch::roster::{ExecutorView, PoolView};

/// Why executors go, as [`crate::dispatch::roster::Roster::replaced`] counts them.
const REASONS: [&str; 5] = ["max_tasks", "max_memory", "memory_wall", "scaled_down", "crashed"];

/// Everything about executors. Single ones have no series: they come and go by the minute.
pub(super) fn all(registry: &mut Registry, dispatch: &Dispatch) {
    let pools = dispatch.roster().pools();
    let states = ["starting", "ready", "spare", "draining"];
    let executors = pools.iter().flat_map(|pool| {
        states.map(|state| {
            let count = pool.executors.iter().filter(|executor| executor.state == state).count();
            (vec![("pool", pool.name.clone()), ("state", state.to_owned())], count as f64)
        })
    });
    gauges(registry, "executors", "Executors by pool and state", executors);
    type Figure = fn(&PoolView) -> f64;
    let figures: [(&str, &str, Figure); 7] = [
        ("pool_slots", "Slots that a pool should have", |pool| (pool.workers * pool.threads) as f64),
        ("pool_slots_active", "Slots in which an attempt runs", |pool| {
            pool.executors.iter().map(|executor| executor.active).sum::<usize>() as f64
        }),
        ("pool_failed", "Whether a pool's children crash too often", |pool| f64::from(u8::from(pool.failed))),
        ("executors_cpu_cores", "Processor time of a pool's children together, in processors", |pool| {
            pool.executors.iter().map(cores).sum()
        }),
        ("executor_cpu_cores_max", "Processor time of a pool's busiest child; one can use one processor", |pool| {
            pool.executors.iter().map(cores).fold(0.0, f64::max)
        }),
        ("executors_memory_bytes", "Resident memory of a pool's children together", |pool| {
            pool.executors.iter().map(memory).sum()
        }),
        ("executor_memory_max_bytes", "Resident memory of a pool's largest child", |pool| {
            pool.executors.iter().map(memory).fold(0.0, f64::max)
        }),
    ];
    for (name, help, figure) in figures {
        gauges(registry, name, help, pools.iter().map(|pool| (label(pool), figure(pool))));
    }
    let replaced = dispatch.roster().replaced();
    // All of them from the start: what Prometheus first sees at 1 has not risen for it.
    let restarts = pools.iter().flat_map(|pool| {
        let replaced = &replaced;
        REASONS.iter().map(move |reason| {
            let found = replaced.iter().find(|(name, why, _)| *name == pool.name && why == reason);
            let labels = vec![("pool", pool.name.clone()), ("reason", (*reason).to_owned())];
            (labels, found.map_or(0.0, |(_, _, count)| *count as f64))
        })
    });
    counters(registry, "executor_restarts", "Executors that went, by pool and reason", restarts);
}

fn label(pool: &PoolView) -> Labels {
    vec![("pool", pool.name.clone())]
}

fn cores(executor: &ExecutorView) -> f64 {
    executor.cpu_percent.map_or(0.0, |percent| f64::from(percent) / 100.0)
}

fn memory(executor: &ExecutorView) -> f64 {
    executor.rss_kb.map_or(0.0, |kb| kb as f64 * 1024.0)
}

//! `/api/v1/workers` and `/api/v1/queues`: what this node runs, and what waits.

use actix_web::web::{Data, Json};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::Error;
use super::state::ApiState;
use crate::dispatch::roster::{ExecutorEvent, PoolView, Roster};
use crate::domain::clock;
use crate::domain::ids::ExecutorId;
use crate::store::queue::QueueRecord;

/// What runs tasks on this node.
#[derive(Debug, Serialize, ToSchema)]
pub struct Workers {
    /// Each executor.
    items: Vec<Executor>,
    /// How many there are.
    total: usize,
    /// The pools that they belong to.
    pools: Vec<Pool>,
}

/// A supervisor and what it should have.
#[derive(Debug, Serialize, ToSchema)]
pub struct Pool {
    /// The pool's name.
    #[schema(example = "celery")]
    name: String,
    /// The queues it serves, in order.
    queues: Vec<String>,
    /// Executors it should have.
    workers: usize,
    /// Slots of each.
    threads: usize,
    /// Whether its children crash too often.
    failed: bool,
}

/// A child process and the actor that owns it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Executor {
    /// Its number in its pool.
    #[schema(value_type = u64)]
    id: ExecutorId,
    /// Its pool.
    #[schema(example = "celery")]
    pool: String,
    /// The queues it serves, in order.
    queues: Vec<String>,
    /// Its child's process id.
    pid: Option<u32>,
    /// `starting`, `ready`, `spare` or `draining`.
    #[schema(example = "ready")]
    state: &'static str,
    /// Attempts it was given so far.
    tasks_done: u64,
    /// Attempts it runs now.
    active_attempts: usize,
    /// Resident memory of the child, in KB.
    rss_kb: Option<u64>,
    /// Processor time of the child in percent of one core.
    cpu_percent: Option<f32>,
    /// When it was started.
    started_at: DateTime<Utc>,
    /// Why its pool last replaced an executor: `max_tasks`, `max_memory`, `memory_wall`.
    last_recycle_reason: Option<&'static str>,
}

/// What happened to the executors of a node; the oldest events are forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub struct History {
    /// Each event.
    items: Vec<HistoryEvent>,
    /// How many there are.
    total: usize,
}

/// Something that happened to an executor.
#[derive(Debug, Serialize, ToSchema)]
pub struct HistoryEvent {
    /// When.
    at: DateTime<Utc>,
    /// Its pool.
    #[schema(example = "celery")]
    pool: String,
    /// Its number in the pool.
    #[schema(value_type = u64)]
    executor: ExecutorId,
    /// `started`, `ready`, `draining`, `killed` or `exited`.
    #[schema(example = "draining")]
    event: &'static str,
    /// Why: `max_tasks`, `max_memory`, `memory_wall`, `shutdown`, `crashed` or `retired`.
    #[schema(example = "max_tasks")]
    reason: Option<&'static str>,
    /// Attempts it was given until then.
    tasks_done: u64,
    /// Slots of the pool's ready executors after the event; fewer than `workers * threads` is lost capacity.
    ready_slots: usize,
}

/// The queues in which tasks wait or run.
#[derive(Debug, Serialize, ToSchema)]
pub struct Queues {
    /// Each queue.
    items: Vec<Queue>,
    /// How many there are.
    total: usize,
}

/// A name that tasks wait under.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct Queue {
    /// The queue.
    #[schema(example = "celery")]
    name: String,
    /// Tasks that may start and wait.
    depth: i64,
    /// Tasks that may not start yet.
    delayed: i64,
    /// How long the oldest of them has waited.
    oldest_age_s: Option<f64>,
    /// Tasks that run.
    running: i64,
    /// Pools of this node that serve it.
    pools: Vec<String>,
}

/// Show the pools and executors of this node.
#[utoipa::path(
    get, path = "/api/v1/workers", tag = "operations",
    responses((status = 200, description = "The pools", body = Workers))
)]
pub(super) async fn workers(state: Data<ApiState>) -> Json<Workers> {
    Json(show(state.dispatch.roster()))
}

/// Show what happened to this node's executors: starts, replacements with their reason, ends. Oldest first by pool.
#[utoipa::path(
    get, path = "/api/v1/workers/history", tag = "operations",
    responses((status = 200, description = "The events", body = History))
)]
pub(super) async fn history(state: Data<ApiState>) -> Json<History> {
    let items: Vec<HistoryEvent> = state.dispatch.roster().history().into_iter().map(HistoryEvent::from).collect();
    let total = items.len();
    Json(History { items, total })
}

/// Show what waits and runs, by queue.
#[utoipa::path(
    get, path = "/api/v1/queues", tag = "operations",
    responses((status = 200, description = "The queues", body = Queues))
)]
pub(super) async fn queues(state: Data<ApiState>) -> Result<Json<Queues>, Error> {
    let live = state.store.queues().await?;
    let items = merge(live, &state.dispatch.roster().pools(), clock::now());
    let total = items.len();
    Ok(Json(Queues { items, total }))
}

fn show(roster: &Roster) -> Workers {
    let history = roster.history();
    let last_recycle = |pool: &str| {
        let recycled = |event: &&ExecutorEvent| event.pool == pool && matches!(event.event, "draining" | "killed");
        history.iter().rev().find(recycled).and_then(|event| event.reason)
    };
    let (mut items, mut pools) = (Vec::new(), Vec::new());
    for pool in roster.pools() {
        let queues: Vec<String> = pool.queues.iter().map(ToString::to_string).collect();
        let reason = last_recycle(&pool.name);
        items.extend(pool.executors.into_iter().map(|executor| Executor {
            id: executor.id,
            pool: pool.name.clone(),
            queues: queues.clone(),
            pid: executor.pid,
            state: executor.state,
            tasks_done: executor.tasks_done,
            active_attempts: executor.active,
            rss_kb: executor.rss_kb,
            cpu_percent: executor.cpu_percent,
            started_at: executor.started_at,
            last_recycle_reason: reason,
        }));
        let (workers, threads, failed) = (pool.workers, pool.threads, pool.failed);
        pools.push(Pool { name: pool.name, queues, workers, threads, failed });
    }
    Workers { total: items.len(), items, pools }
}

impl From<ExecutorEvent> for HistoryEvent {
    fn from(event: ExecutorEvent) -> Self {
        Self {
            at: event.at,
            pool: event.pool,
            executor: event.executor,
            event: event.event,
            reason: event.reason,
            tasks_done: event.tasks_done,
            ready_slots: event.ready_slots,
        }
    }
}

/// Queues with live tasks, and those that a pool serves though nothing is in them.
fn merge(live: Vec<QueueRecord>, pools: &[PoolView], now: DateTime<Utc>) -> Vec<Queue> {
    let serving = |name: &str| {
        let serves = |pool: &&PoolView| pool.queues.iter().any(|queue| queue.as_str() == name);
        pools.iter().filter(serves).map(|pool| pool.name.clone()).collect()
    };
    let age = |since: DateTime<Utc>| ((now - since).as_seconds_f64() * 1000.0).round().max(0.0) / 1000.0;
    let mut queues: Vec<Queue> = live
        .into_iter()
        .map(|queue| Queue {
            pools: serving(&queue.name),
            depth: queue.depth,
            delayed: queue.delayed,
            oldest_age_s: queue.oldest_pending_at.map(age),
            running: queue.running,
            name: queue.name,
        })
        .collect();
    for name in pools.iter().flat_map(|pool| &pool.queues).map(ToString::to_string) {
        if !queues.iter().any(|queue| queue.name == name) {
            queues.push(Queue { pools: serving(&name), depth: 0, delayed: 0, oldest_age_s: None, running: 0, name });
        }
    }
    queues.sort_by(|one, other| one.name.cmp(&other.name));
    queues
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::queue::QueueName;

    #[test]
    fn a_served_queue_is_shown_though_it_is_empty() {
        let queue = |name| QueueName::new(name).expect("a name");
        let pool = PoolView {
            name: "celery".into(),
            queues: vec![queue("celery"), queue("direct")],
            workers: 1,
            threads: 1,
            failed: false,
            executors: vec![],
        };
        let now = clock::now();
        let live = QueueRecord {
            name: "celery".into(),
            depth: 2,
            delayed: 0,
            oldest_pending_at: Some(now - chrono::TimeDelta::milliseconds(1500)),
            running: 1,
        };
        let shown = merge(vec![live], &[pool], now);
        assert_eq!(shown.iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>(), ["celery", "direct"]);
        assert_eq!((shown[0].oldest_age_s, shown[1].depth), (Some(1.5), 0));
        assert_eq!(shown[1].pools, ["celery"]);
    }
}

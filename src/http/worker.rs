//! `/api/v1/workers`: what runs tasks on this node, and what happened to it.

use actix_web::web::{Data, Json};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::pool::Pool;
use super::state::ApiState;
use crate::dispatch::roster::{ExecutorEvent, Roster};
use crate::domain::ids::ExecutorId;

/// What runs tasks on this node.
#[derive(Debug, Serialize, ToSchema)]
pub struct Workers {
    /// Each executor.
    pub(super) items: Vec<Executor>,
    /// How many there are.
    pub(super) total: usize,
    /// The pools that they belong to.
    pub(super) pools: Vec<Pool>,
}

/// A child process and the actor that owns it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Executor {
    /// Its number in its pool.
    #[schema(value_type = u64)]
    pub(super) id: ExecutorId,
    /// Its pool.
    #[schema(example = "celery")]
    pub(super) pool: String,
    /// The queues it serves, in order.
    pub(super) queues: Vec<String>,
    /// Its child's process id.
    pub(super) pid: Option<u32>,
    /// `starting`, `ready`, `spare` or `draining`.
    #[schema(example = "ready")]
    pub(super) state: &'static str,
    /// Attempts it was given so far.
    pub(super) tasks_done: u64,
    /// Attempts it runs now.
    pub(super) active_attempts: usize,
    /// Resident memory of the child, in KB.
    pub(super) rss_kb: Option<u64>,
    /// Processor time of the child in percent of one core.
    pub(super) cpu_percent: Option<f32>,
    /// When it was started.
    pub(super) started_at: DateTime<Utc>,
    /// Why its pool last replaced an executor: `max_tasks`, `max_memory`, `memory_wall`.
    pub(super) last_recycle_reason: Option<&'static str>,
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
    /// Why: `max_tasks`, `max_memory`, `memory_wall`, `scaled_down`, `shutdown`, `crashed` or `retired`.
    #[schema(example = "max_tasks")]
    reason: Option<&'static str>,
    /// Attempts it was given until then.
    tasks_done: u64,
    /// Slots of the pool's ready executors after the event; fewer than `workers * threads` is lost capacity.
    ready_slots: usize,
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

/// The pools and executors of this node.
pub(super) fn show(roster: &Roster) -> Workers {
    let history = roster.history();
    let last_recycle = |pool: &str| {
        let recycled = |event: &&ExecutorEvent| {
            // One that was too many was not replaced.
            let is_replaced = event.reason != Some("scaled_down") && matches!(event.event, "draining" | "killed");
            event.pool == pool && is_replaced
        };
        history.iter().rev().find(recycled).and_then(|event| event.reason)
    };
    let mut items = Vec::new();
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
    }
    Workers { total: items.len(), items, pools: Pool::all(roster) }
}

impl Workers {
    /// Room for attempts, as configured.
    pub(super) fn slots(&self) -> usize {
        self.pools.iter().map(Pool::slots).sum()
    }

    /// The resident memory in KB above which an executor of a pool is replaced.
    pub(super) fn memory_ceiling_kb(&self, pool: &str) -> Option<u64> {
        self.pools.iter().find(|other| other.name == pool).map(|pool| pool.max_memory_per_child_kb)
    }

    /// Executors that take attempts.
    pub(super) fn ready(&self) -> usize {
        self.items.iter().filter(|executor| executor.state == "ready").count()
    }
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

//! `/api/v1/pools`: the pools of this node, and how large they are.

use std::collections::BTreeMap;

use actix_web::web::{Data, Json, Path};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Error, ErrorBody, Problem, ValidationBody};
use super::state::ApiState;
use crate::dispatch::resize::{self, Resize};
use crate::dispatch::roster::{PoolView, Roster};
use crate::domain::ids::NodeId;

/// The pools of a node.
#[derive(Debug, Serialize, ToSchema)]
pub struct Pools {
    /// Each pool.
    items: Vec<Pool>,
    /// How many there are.
    total: usize,
    /// The node that answers; each has pools of its own.
    #[schema(value_type = uuid::Uuid)]
    node: NodeId,
}

/// A supervisor with its executors.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct Pool {
    /// The pool's name.
    #[schema(example = "celery")]
    pub(super) name: String,
    /// The queues it serves, in order.
    queues: Vec<String>,
    /// The share of each in the tasks that are started while all have some; null where the order is strict.
    weights: Option<Vec<u32>>,
    /// Executors it should have.
    workers: usize,
    /// Slots of each.
    threads: usize,
    /// Executors that serve. While it is less than `workers`, others are starting; while it is more, some are about to
    /// be drained.
    ready: usize,
    /// Executors that start.
    starting: usize,
    /// Executors that wait to replace another.
    spare: usize,
    /// Executors that finish what they run, then end.
    draining: usize,
    /// Slots of the executors that serve.
    ready_slots: usize,
    /// Attempts that run.
    active: usize,
    /// What the configuration gives it.
    configured: PoolSize,
    /// Whether a restart or a reload keeps its size: both bring back what the configuration says.
    kept_on_restart: bool,
    /// Attempts after which one of its children is replaced.
    max_tasks_per_child: u64,
    /// Resident memory in KB (1024 bytes) above which one of its children is replaced; at twice this it is killed.
    pub(super) max_memory_per_child_kb: u64,
    /// Executors that went since the node was started, by reason: `max_tasks`, `max_memory`, `memory_wall`,
    /// `scaled_down`, `crashed`.
    restarts: BTreeMap<&'static str, u64>,
    /// Whether its children crash too often.
    failed: bool,
}

/// How large a pool is.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub struct PoolSize {
    /// Executors.
    workers: usize,
    /// Slots of each.
    threads: usize,
}

/// A pool after an order, and the node that carries it out.
#[derive(Debug, Serialize, ToSchema)]
pub struct ResizedPool {
    /// The pool.
    #[serde(flatten)]
    pool: Pool,
    /// The node whose pool it is; the pools of other nodes stay as they are.
    #[schema(value_type = uuid::Uuid)]
    node: NodeId,
}

/// Another size for a pool; at least one of both.
#[derive(Debug, Deserialize, ToSchema)]
pub struct PoolPatch {
    /// Executors, 1 to 1000, and no more than the machine has memory for.
    #[schema(minimum = 1, maximum = 1000)]
    workers: Option<i64>,
    /// Slots of each, 1 to 1024.
    #[schema(minimum = 1, maximum = 1024)]
    threads: Option<i64>,
}

/// Show the pools of this node.
#[utoipa::path(
    get, path = "/api/v1/pools", tag = "operations",
    responses((status = 200, description = "The pools", body = Pools))
)]
pub(super) async fn list(state: Data<ApiState>) -> Json<Pools> {
    let items = Pool::all(state.dispatch.roster());
    Json(Pools { total: items.len(), items, node: state.dispatch.node() })
}

/// Change the size of a pool of this node while it runs. Nothing that runs is interrupted: what is too much finishes
/// first, what is missing is starting when this is answered. It lasts until the next restart or reload.
#[utoipa::path(
    patch, path = "/api/v1/pools/{name}", tag = "operations", params(("name" = String, Path)),
    request_body = PoolPatch,
    responses(
        (status = 200, description = "The pool as it is now", body = ResizedPool),
        (status = 404, description = "Pool not found on this node", body = ErrorBody),
        (status = 422, description = "The pool can't have this size", body = ValidationBody),
    )
)]
pub(super) async fn patch(state: Data<ApiState>, name: Path<String>, body: Body) -> Result<Json<ResizedPool>, Error> {
    let PoolPatch { workers, threads } = body.json()?;
    if workers.is_none() && threads.is_none() {
        let msg = "name `workers`, `threads` or both".to_owned();
        return Err(Error::invalid(Problem { loc: vec!["body".into()], msg, kind: "missing".to_owned() }));
    }
    let view = state.dispatch.resize(&name, Resize { workers, threads }).await?;
    let pool = Pool::new(&view, &state.dispatch.roster().replaced());
    Ok(Json(ResizedPool { pool, node: state.dispatch.node() }))
}

impl Pool {
    /// The pools of this node.
    pub(super) fn all(roster: &Roster) -> Vec<Self> {
        let replaced = roster.replaced();
        roster.pools().iter().map(|view| Self::new(view, &replaced)).collect()
    }

    /// Room for attempts, once all its executors serve.
    pub(super) fn slots(&self) -> usize {
        self.workers * self.threads
    }

    fn new(view: &PoolView, replaced: &[(String, &'static str, u64)]) -> Self {
        let count = |state: &str| view.executors.iter().filter(|executor| executor.state == state).count();
        let (workers, threads) = view.configured;
        let ready = count("ready");
        Self {
            name: view.name.clone(),
            queues: view.queues.iter().map(ToString::to_string).collect(),
            weights: view.weights.clone(),
            workers: view.workers,
            threads: view.threads,
            ready,
            starting: count("starting"),
            spare: count("spare"),
            draining: count("draining"),
            ready_slots: ready * view.threads,
            active: view.executors.iter().map(|executor| executor.active).sum(),
            configured: PoolSize { workers, threads },
            kept_on_restart: (view.workers, view.threads) == view.configured,
            max_tasks_per_child: view.recycle.max_tasks_per_child,
            max_memory_per_child_kb: view.recycle.max_memory_per_child_kb,
            restarts: replaced.iter().filter(|(pool, ..)| *pool == view.name).map(|(_, why, n)| (*why, *n)).collect(),
            failed: view.failed,
        }
    }
}

impl From<resize::Error> for Error {
    fn from(error: resize::Error) -> Self {
        match error {
            resize::Error::Unknown => Self::NotFound("Pool"),
            resize::Error::OutOfRange(refused) => {
                Self::Invalid(refused.into_iter().map(|refused| Problem::body(refused.field, refused.reason)).collect())
            }
            resize::Error::Busy => Self::PoolBusy,
        }
    }
}

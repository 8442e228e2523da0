//! `/api/v1/queues`: what waits and runs, and what is paused.

use std::collections::HashMap;

use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{Error, ErrorBody, Problem, ValidationBody};
use super::state::ApiState;
use crate::dispatch::roster::PoolView;
use crate::domain::clock;
use crate::domain::queue::QueueName;
use crate::store::pause::Paused;
use crate::store::queue::QueueRecord;

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
    pub(super) name: String,
    /// Tasks that may start and wait.
    pub(super) depth: i64,
    /// Those of them that wait at a limit of their source or workflow, or because their source is left alone.
    pub(super) limited: i64,
    /// Tasks that may not start yet.
    pub(super) delayed: i64,
    /// How long the oldest of those that may start has waited.
    pub(super) oldest_age_s: Option<f64>,
    /// Tasks that run.
    pub(super) running: i64,
    /// Attempts that ended on this node within the last minute.
    pub(super) rate_per_min: u64,
    /// Whether nothing is started from it.
    pub(super) paused: bool,
    /// Since when.
    pub(super) paused_at: Option<DateTime<Utc>>,
    /// Pools of this node that serve it.
    pub(super) pools: Vec<String>,
}

/// Show what waits and runs, by queue.
#[utoipa::path(
    get, path = "/api/v1/queues", tag = "operations",
    responses((status = 200, description = "The queues", body = Queues))
)]
pub(super) async fn list(state: Data<ApiState>) -> Result<Json<Queues>, Error> {
    let items = all(&state).await?;
    let total = items.len();
    Ok(Json(Queues { items, total }))
}

/// Start nothing from a queue, on no node, until it is resumed. What runs goes on, and tasks are accepted and wait. The
/// queue need not have any tasks yet.
#[utoipa::path(
    post, path = "/api/v1/queues/{queue}/pause", tag = "operations", params(("queue" = String, Path)),
    responses(
        (status = 200, description = "The queue", body = Queue),
        (status = 400, description = "Too many queues are paused", body = ErrorBody),
        (status = 422, description = "That can't be the name of a queue", body = ValidationBody),
    )
)]
pub(super) async fn pause(state: Data<ApiState>, queue: Path<String>) -> Result<Json<Queue>, Error> {
    let queue = name(queue.into_inner())?;
    match state.dispatch.pause(&queue).await? {
        Paused::Done => one(&state, &queue).await,
        Paused::TooMany => {
            Err(Error::refused("too_many_paused", "a thousand queues are paused already; resume some of them"))
        }
    }
}

/// Start tasks of a queue again: on this node at once, on others within some two seconds.
#[utoipa::path(
    post, path = "/api/v1/queues/{queue}/resume", tag = "operations", params(("queue" = String, Path)),
    responses(
        (status = 200, description = "The queue", body = Queue),
        (status = 422, description = "That can't be the name of a queue", body = ValidationBody),
    )
)]
pub(super) async fn resume(state: Data<ApiState>, queue: Path<String>) -> Result<Json<Queue>, Error> {
    let queue = name(queue.into_inner())?;
    state.dispatch.resume(&queue).await?;
    one(&state, &queue).await
}

fn name(text: String) -> Result<QueueName, Error> {
    QueueName::new(text).map_err(|error| {
        let loc = vec!["path".into(), "queue".into()];
        Error::invalid(Problem { loc, msg: error.to_string(), kind: "value_error".to_owned() })
    })
}

/// Every queue.
pub(super) async fn all(state: &ApiState) -> Result<Vec<Queue>, Error> {
    let live = state.store.queues().await?;
    Ok(merge(live, &state.dispatch.roster().pools(), &state.dispatch.rates().per_minute(), clock::now()))
}

async fn one(state: &ApiState, queue: &QueueName) -> Result<Json<Queue>, Error> {
    let found = all(state).await?.into_iter().find(|other| other.name == queue.as_str());
    Ok(Json(found.unwrap_or_else(|| Queue::empty(queue.to_string()))))
}

impl Queue {
    fn empty(name: String) -> Self {
        Self {
            name,
            depth: 0,
            limited: 0,
            delayed: 0,
            oldest_age_s: None,
            running: 0,
            rate_per_min: 0,
            paused: false,
            paused_at: None,
            pools: Vec::new(),
        }
    }
}

/// Queues with live tasks or a pause, and those that a pool serves though nothing is in them.
fn merge(
    live: Vec<QueueRecord>,
    pools: &[PoolView],
    rates: &HashMap<QueueName, u64>,
    now: DateTime<Utc>,
) -> Vec<Queue> {
    let age = |since: DateTime<Utc>| ((now - since).as_seconds_f64() * 1000.0).round().max(0.0) / 1000.0;
    let mut queues: Vec<Queue> = live
        .into_iter()
        .map(|queue| Queue {
            depth: queue.depth,
            limited: queue.parked,
            delayed: queue.delayed,
            oldest_age_s: queue.oldest_pending_at.map(age),
            running: queue.running,
            paused: queue.paused_at.is_some(),
            paused_at: queue.paused_at,
            ..Queue::empty(queue.name)
        })
        .collect();
    for name in pools.iter().flat_map(|pool| &pool.queues).chain(rates.keys()).map(ToString::to_string) {
        if !queues.iter().any(|queue| queue.name == name) {
            queues.push(Queue::empty(name));
        }
    }
    for queue in &mut queues {
        let serves = |pool: &&PoolView| pool.queues.iter().any(|served| served.as_str() == queue.name);
        queue.pools = pools.iter().filter(serves).map(|pool| pool.name.clone()).collect();
        let rate = rates.iter().find(|(name, _)| name.as_str() == queue.name);
        queue.rate_per_min = rate.map_or(0, |(_, rate)| *rate);
    }
    queues.sort_by(|one, other| one.name.cmp(&other.name));
    queues
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::recycle::RecycleLimits;

    #[test]
    fn a_served_queue_is_shown_though_it_is_empty() {
        let queue = |name| QueueName::new(name).expect("a name");
        let pool = PoolView {
            name: "celery".into(),
            queues: vec![queue("celery"), queue("direct")],
            weights: None,
            workers: 1,
            threads: 1,
            configured: (1, 1),
            recycle: RecycleLimits { max_tasks_per_child: 100, max_memory_per_child_kb: 200_000 },
            failed: false,
            executors: vec![],
        };
        let now = clock::now();
        let live = QueueRecord {
            name: "celery".into(),
            depth: 2,
            parked: 1,
            delayed: 0,
            oldest_pending_at: Some(now - chrono::TimeDelta::milliseconds(1500)),
            running: 1,
            oldest_started_at: Some(now),
            retrying: 0,
            paused_at: Some(now),
        };
        let rates = HashMap::from([(queue("direct"), 7), (queue("gone"), 1)]);
        let shown = merge(vec![live], &[pool], &rates, now);
        assert_eq!(shown.iter().map(|queue| queue.name.as_str()).collect::<Vec<_>>(), ["celery", "direct", "gone"]);
        assert_eq!((shown[0].oldest_age_s, shown[1].depth), (Some(1.5), 0));
        assert_eq!(shown[0].pools, ["celery"]);
        assert_eq!(shown.iter().map(|queue| queue.rate_per_min).collect::<Vec<_>>(), [0, 7, 1]);
        assert_eq!(shown.iter().map(|queue| queue.paused).collect::<Vec<_>>(), [true, false, false]);
    }
}

//! `/health`, `/health/live`, `/health/ready` and `/`. Nothing here does IO: what the monitor saw last is answered, so
//! that health is told in time while a server hangs.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::dashboard;
use super::state::ApiState;
use crate::dispatch::Dispatch;
use crate::dispatch::health::{Health, Phase};
use crate::dispatch::roster::PoolView;
use crate::domain::clock;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Beat goes round at least once a second; after so long without it, it hangs.
const BEAT_SILENCE: TimeDelta = TimeDelta::seconds(20);

/// How the service and its parts are.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthReport {
    /// `healthy`, or `degraded` where a part is not.
    #[schema(example = "healthy")]
    status: &'static str,
    /// When this was said.
    timestamp: DateTime<Utc>,
    /// Each part.
    services: Services,
}

/// The parts of the service.
#[derive(Debug, Serialize, ToSchema)]
pub struct Services {
    /// The API.
    api: ApiHealth,
    /// The executors of this node.
    worker: WorkerHealth,
    /// What makes tasks of schedules and retries.
    beat: PartHealth,
    /// Redis.
    redis: RedisHealth,
    /// PostgreSQL.
    database: PartHealth,
}

/// How the API is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiHealth {
    /// `healthy`.
    status: &'static str,
    /// The version of the service.
    version: &'static str,
}

/// How the executors are.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkerHealth {
    /// `healthy`, `unhealthy` where none is ready or a pool has failed, `disabled` where this node has no pool.
    status: &'static str,
    /// Executors that are ready.
    active_workers: usize,
    /// What they can run.
    available_tasks: Vec<&'static str>,
    /// Queues that somebody paused: nothing is started from them, on any node. That is no fault.
    paused_queues: Vec<String>,
}

/// How a part is.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartHealth {
    /// `healthy`, `unhealthy`, or `disabled` where this node has no such part.
    status: &'static str,
}

/// How Redis is.
#[derive(Debug, Serialize, ToSchema)]
pub struct RedisHealth {
    /// `healthy` or `unhealthy`.
    status: &'static str,
    /// What to change there: it is full, or may throw mailboxes away.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// Whether the service can be used.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready`, or why it is not: `starting`, `draining`, `no_database`, or `pool_failed` where the children of a pool keep
    /// crashing. `alive` where only that is asked.
    #[schema(example = "ready")]
    status: &'static str,
}

/// What this is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Greeting {
    /// `online`.
    status: &'static str,
    /// `Spark API`.
    service: &'static str,
    /// What it does.
    message: &'static str,
    /// Its version.
    version: &'static str,
    /// The time here.
    server_time: DateTime<Utc>,
    /// Its documentation.
    docs_url: String,
    /// Its documentation, for reading.
    redoc_url: String,
    /// The description of the API.
    openapi_url: String,
}

/// Tell how the service and its parts are.
#[utoipa::path(
    get, path = "/health", tag = "meta",
    responses((status = 200, description = "How it is, also where it is not well", body = HealthReport))
)]
pub(super) async fn report(state: Data<ApiState>) -> Json<HealthReport> {
    let dispatch = &state.dispatch;
    let paused = dispatch.paused().borrow().iter().map(ToString::to_string).collect();
    Json(judge(dispatch.health(), &dispatch.roster().pools(), paused, clock::now()))
}

/// Tell that the process lives.
#[utoipa::path(
    get, path = "/health/live", tag = "meta",
    responses((status = 200, description = "It lives", body = Readiness))
)]
pub(super) async fn live() -> Json<Readiness> {
    Json(Readiness { status: "alive" })
}

/// Tell whether the service can be used.
#[utoipa::path(
    get, path = "/health/ready", tag = "meta",
    responses(
        (status = 200, description = "It can", body = Readiness),
        (status = 503, description = "It starts, drains, lacks its database, or its children keep crashing",
            body = Readiness),
    )
)]
pub(super) async fn ready(state: Data<ApiState>) -> HttpResponse {
    let status = readiness(state.dispatch.health(), &state.dispatch.roster().pools());
    if status == "ready" {
        HttpResponse::Ok().json(Readiness { status })
    } else {
        HttpResponse::ServiceUnavailable().insert_header(("Retry-After", 2)).json(Readiness { status })
    }
}

/// Tell what this is.
#[utoipa::path(
    get, path = "/", tag = "meta",
    responses(
        (status = 200, description = "What this is", body = Greeting),
        (status = 303, description = "A browser is sent to a page"),
    )
)]
pub(super) async fn root(request: HttpRequest) -> HttpResponse {
    let info = request.connection_info();
    let base = format!("{}://{}", info.scheme(), info.host());
    HttpResponse::Ok().json(Greeting {
        status: "online",
        service: "Spark API",
        message: "Spark schedules AI workflows and runs them durably",
        version: VERSION,
        server_time: clock::now(),
        docs_url: format!("{base}/api/v1/docs"),
        redoc_url: format!("{base}/api/v1/redoc"),
        openapi_url: format!("{base}/api/v1/openapi.json"),
    })
}

/// Sends a browser to the pages for people.
pub(super) async fn to_home_page() -> HttpResponse {
    HttpResponse::SeeOther().insert_header(("Location", dashboard::HOME)).finish()
}

fn judge(health: &Health, pools: &[PoolView], paused_queues: Vec<String>, now: DateTime<Utc>) -> HealthReport {
    let word = |ok: Option<bool>| match ok {
        Some(true) => "healthy",
        Some(false) => "unhealthy",
        None => "disabled",
    };
    let ready = |pool: &PoolView| pool.executors.iter().filter(|executor| executor.state == "ready").count();
    let active_workers: usize = pools.iter().map(ready).sum();
    let worker = (!pools.is_empty()).then(|| active_workers > 0 && !pools.iter().any(|pool| pool.failed));
    let beat = health.beat_at().map(|at| now - at < BEAT_SILENCE);
    let parts = [worker, beat, Some(health.redis_ok()), Some(health.database_ok())];
    let is_well = health.phase() == Phase::Ready && !parts.contains(&Some(false));
    HealthReport {
        status: if is_well { "healthy" } else { "degraded" },
        timestamp: now,
        services: Services {
            api: ApiHealth { status: "healthy", version: VERSION },
            worker: WorkerHealth {
                status: word(worker),
                active_workers,
                available_tasks: if active_workers > 0 { vec!["run_workflow"] } else { vec![] },
                paused_queues,
            },
            beat: PartHealth { status: word(beat) },
            redis: RedisHealth { status: word(Some(health.redis_ok())), warning: health.redis_warning() },
            database: PartHealth { status: word(Some(health.database_ok())) },
        },
    }
}

/// Whether the service can be used.
pub(super) fn is_ready(dispatch: &Dispatch) -> bool {
    readiness(dispatch.health(), &dispatch.roster().pools()) == "ready"
}

fn readiness(health: &Health, pools: &[PoolView]) -> &'static str {
    match health.phase() {
        Phase::Starting => "starting",
        Phase::Draining => "draining",
        Phase::Ready if !health.database_ok() => "no_database",
        Phase::Ready if pools.iter().any(|pool| pool.failed) => "pool_failed",
        Phase::Ready => "ready",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::roster::ExecutorView;
    use crate::domain::ids::ExecutorId;
    use crate::domain::recycle::RecycleLimits;

    fn pool(state: &'static str, failed: bool) -> PoolView {
        let executor = ExecutorView {
            id: ExecutorId(1),
            pid: Some(1),
            state,
            tasks_done: 0,
            active: 0,
            rss_kb: None,
            cpu_percent: None,
            started_at: clock::now(),
        };
        PoolView {
            name: "celery".into(),
            queues: vec![],
            weights: None,
            workers: 1,
            threads: 1,
            configured: (1, 1),
            recycle: RecycleLimits { max_tasks_per_child: 100, max_memory_per_child_kb: 200_000 },
            failed,
            executors: vec![executor],
        }
    }

    fn well(now: DateTime<Utc>) -> Health {
        let health = Health::default();
        health.enter(Phase::Ready);
        health.set_database(true);
        health.set_redis(true);
        health.set_beat_at(now);
        health
    }

    #[test]
    fn one_part_that_is_not_well_degrades_the_service() {
        let now = clock::now();
        let status = |health: &Health, pool, at| judge(health, &[pool], vec!["celery".to_owned()], at).status;
        assert_eq!(status(&well(now), pool("ready", false), now), "healthy");
        assert_eq!(status(&well(now), pool("starting", false), now), "degraded");
        assert_eq!(status(&well(now), pool("ready", true), now), "degraded");
        assert_eq!(status(&well(now), pool("ready", false), now + TimeDelta::minutes(1)), "degraded");
        let no_redis = well(now);
        no_redis.set_redis(false);
        assert_eq!(status(&no_redis, pool("ready", false), now), "degraded");
    }

    #[test]
    fn a_part_that_this_node_does_not_have_is_no_fault() {
        let now = clock::now();
        let health = Health::default();
        assert_eq!(judge(&health, &[], vec![], now).status, "degraded");
        health.enter(Phase::Ready);
        health.set_database(true);
        health.set_redis(true);
        let report = judge(&health, &[], vec![], now);
        assert_eq!(
            (report.status, report.services.worker.status, report.services.beat.status),
            ("healthy", "disabled", "disabled")
        );
    }

    #[test]
    fn readiness_says_what_is_missing() {
        let now = clock::now();
        let health = well(now);
        assert_eq!(readiness(&health, &[pool("ready", false)]), "ready");
        assert_eq!(readiness(&health, &[pool("ready", true)]), "pool_failed");
        // Redis can be rebuilt; without it tasks are accepted all the same.
        health.set_redis(false);
        assert_eq!(readiness(&health, &[]), "ready");
        health.set_database(false);
        assert_eq!(readiness(&health, &[]), "no_database");
        health.enter(Phase::Draining);
        assert_eq!(readiness(&health, &[]), "draining");
        assert_eq!(readiness(&Health::default(), &[]), "starting");
    }
}

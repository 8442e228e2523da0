//! `/metrics`: figures for Prometheus, of what is known without IO.

use actix_web::http::header::ACCEPT;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::state::ApiState;
use crate::dispatch::Dispatch;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stage {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabel {
    pool: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeletedLabel {
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    queue: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExecutorLabel {
    pool: String,
    state: &'static str,
}

/// Give the figures of this node.
#[utoipa::path(
    get, path = "/metrics", tag = "meta",
    responses(
        (status = 200, description = "Prometheus text, or OpenMetrics where the client accepts it",
            content((String = "text/plain"), (String = "application/openmetrics-text"))),
    )
)]
pub(super) async fn scrape(state: Data<ApiState>, request: HttpRequest) -> HttpResponse {
    let accept = request.headers().get(ACCEPT).map(|accept| String::from_utf8_lossy(accept.as_bytes()));
    let open_metrics = accept.is_some_and(|accept| accept.contains("application/openmetrics-text"));
    let registry = registry(&state.dispatch);
    let mut text = String::new();
    let written = if open_metrics { encode(&mut text, &registry) } else { encode_registry(&mut text, &registry) };
    written.expect("a String takes any text");
    HttpResponse::Ok().content_type(if open_metrics { OPEN_METRICS } else { TEXT }).body(text)
}

/// Made anew for each scrape: what it says is read off the node, so that nothing can be forgotten or go stale.
fn registry(dispatch: &Dispatch) -> Registry {
    let mut registry = Registry::with_prefix("automagik_spark");
    let build = Family::<Build, Gauge>::default();
    build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
    registry.register("build_info", "The version of the service; always 1", build);
    let health = dispatch.health();
    for (name, help, ok) in [
        ("database_up", "Whether PostgreSQL answered when last asked", health.database_ok()),
        ("redis_up", "Whether Redis answered when last asked", health.redis_ok()),
    ] {
        let gauge = Gauge::<i64>::default();
        gauge.set(ok.into());
        registry.register(name, help, gauge);
    }
    let streams = Gauge::<i64>::default();
    streams.set(i64::try_from(dispatch.events().streams()).unwrap_or(i64::MAX));
    registry.register("event_streams", "Open event streams", streams);
    let batches = Family::<Stage, Counter>::default();
    let items = Family::<Stage, Counter>::default();
    let stats = dispatch.stats();
    let stages =
        [("submit", &stats.submit), ("feed", &stats.feed), ("claim", &stats.claim), ("outcome", &stats.outcome)];
    for (stage, count) in stages {
        let (batch_count, item_count) = count.read();
        batches.get_or_create(&Stage { stage }).inc_by(batch_count);
        items.get_or_create(&Stage { stage }).inc_by(item_count);
    }
    registry.register("batches", "Batches of the hot path", batches);
    registry.register("batch_items", "Rows and ids in the batches of the hot path", items);
    let deleted = Family::<DeletedLabel, Counter>::default();
    for (what, count) in stats.deleted.read() {
        deleted.get_or_create(&DeletedLabel { what }).inc_by(count);
    }
    registry.register("retention_deleted", "Rows that were old and are deleted", deleted);
    let paused = Family::<QueueLabel, Gauge>::default();
    for queue in dispatch.paused().borrow().iter() {
        paused.get_or_create(&QueueLabel { queue: queue.to_string() }).set(1);
    }
    registry.register("queue_paused", "Queues from which nothing is started; always 1", paused);
    let executors = Family::<ExecutorLabel, Gauge>::default();
    let slots = Family::<PoolLabel, Gauge>::default();
    let active = Family::<PoolLabel, Gauge>::default();
    let failed = Family::<PoolLabel, Gauge>::default();
    for view in dispatch.roster().pools() {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let pool = PoolLabel { pool: view.name.clone() };
        slots.get_or_create(&pool).set(number(view.workers * view.threads));
        active.get_or_create(&pool).set(number(view.executors.iter().map(|executor| executor.active).sum()));
        failed.get_or_create(&pool).set(view.failed.into());
        for state in ["starting", "ready", "spare", "draining"] {
            let count = view.executors.iter().filter(|executor| executor.state == state).count();
            executors.get_or_create(&ExecutorLabel { pool: view.name.clone(), state }).set(number(count));
        }
    }
    registry.register("executors", "Executors by pool and state", executors);
    registry.register("pool_slots", "Slots that a pool should have", slots);
    registry.register("pool_slots_active", "Slots in which an attempt runs", active);
    registry.register("pool_failed", "Whether a pool's children crash too often", failed);
    registry
}

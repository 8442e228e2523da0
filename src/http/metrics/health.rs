//! The service as a whole: its version, its state, its process, its hot path.

use prometheus_client::registry::Registry;

use super::series::{counter, counters, gauge, gauges, timestamp};
use crate::dispatch::Dispatch;
use crate::http::health::is_ready;

/// The figures that every process has, under the names that all programs use.
pub(super) fn process(registry: &mut Registry, dispatch: &Dispatch) {
    let Some(measured) = dispatch.figures().process() else { return };
    let process = &measured.value;
    counter(registry, "process_cpu_seconds", "Processor time of the service, without its executors", process.cpu_s);
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Resident memory of the service, without its executors",
            process.rss_bytes as f64,
        ),
        ("process_open_fds", "Open files and sockets", process.open_files as f64),
        ("process_max_fds", "Most files and sockets that may be open", process.max_files as f64),
        ("process_start_time_seconds", "When the service was started, since 1970", process.started_at_s as f64),
    ] {
        gauge(registry, name, help, value);
    }
}

/// Version and state.
pub(super) fn service(registry: &mut Registry, dispatch: &Dispatch) {
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    gauges(registry, "build_info", "The version of the service; always 1", [(version, 1.0)]);
    let health = dispatch.health();
    for (name, help, ok) in [
        ("ready", "Whether the service can be used, as /health/ready says", is_ready(dispatch)),
        ("database_up", "Whether PostgreSQL answered when last asked", health.database_ok()),
        ("redis_up", "Whether Redis answered when last asked", health.redis_ok()),
    ] {
        gauge(registry, name, help, f64::from(u8::from(ok)));
    }
    if let Some(at) = health.beat_at() {
        let help = "When beat last went round, since 1970; it does so at least every two seconds";
        gauge(registry, "beat_round_timestamp_seconds", help, timestamp(at));
    }
    gauge(registry, "event_streams", "Open event streams", dispatch.events().streams() as f64);
    if let Some(measured) = dispatch.figures().process() {
        let help = "How busy all processors of the machine are, from 0 to 1";
        gauge(registry, "machine_cpu_ratio", help, measured.value.machine_cpu);
    }
}

/// The batches of the hot path: what group commit saves.
pub(super) fn hot_path(registry: &mut Registry, dispatch: &Dispatch) {
    let stats = dispatch.stats();
    let stages =
        [("submit", &stats.submit), ("feed", &stats.feed), ("claim", &stats.claim), ("outcome", &stats.outcome)];
    let counts = stages.map(|(stage, count)| (vec![("stage", stage.to_owned())], count.read()));
    let batches = counts.iter().map(|(labels, (batches, _))| (labels.clone(), *batches as f64));
    counters(registry, "batches", "Batches of the hot path", batches);
    let items = counts.iter().map(|(labels, (_, items))| (labels.clone(), *items as f64));
    counters(registry, "batch_items", "Rows and ids in the batches of the hot path", items);
    let deleted = stats.deleted.read().into_iter().map(|(what, count)| (vec![("what", what.to_owned())], count as f64));
    counters(registry, "retention_deleted", "Rows that were old and are deleted", deleted);
    let (exported, dropped) = dispatch.traces().counts();
    let spans = [("exported", exported), ("dropped", dropped)];
    let spans = spans.map(|(outcome, count)| (vec![("outcome", outcome.to_owned())], count as f64));
    counters(registry, "trace_spans", "Spans that a collector took, and that were given up", spans);
}

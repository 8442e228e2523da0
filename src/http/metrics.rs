//! `/metrics`: figures for Prometheus, of what is known without IO; what needs IO was measured by the monitor. One theme
//! a file.

mod attempts;
mod health;
mod pools;
mod queues;
mod series;
mod servers;

use std::collections::HashSet;

use actix_web::http::header::ACCEPT;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::registry::Registry;

use super::state::ApiState;
use crate::domain::clock;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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
    let registry = registry(&state);
    let mut text = String::new();
    let written = if open_metrics { encode(&mut text, &registry) } else { encode_registry(&mut text, &registry) };
    written.expect("a String takes any text");
    if open_metrics {
        HttpResponse::Ok().content_type(OPEN_METRICS).body(text)
    } else {
        HttpResponse::Ok().content_type(TEXT).body(as_plain_text(&text))
    }
}

/// OpenMetrics describes a counter under its name without `_total`, the older format under the name of its samples.
fn as_plain_text(text: &str) -> String {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let counters: HashSet<&str> = types.filter_map(|described| described.strip_suffix(" counter")).collect();
    let line = |line: &str| {
        let described = ["# HELP ", "# TYPE "].into_iter().find_map(|kind| Some((kind, line.strip_prefix(kind)?)));
        match described.and_then(|(kind, rest)| Some((kind, rest.split_once(' ')?))) {
            Some((kind, (name, rest))) if counters.contains(name) => format!("{kind}{name}_total {rest}\n"),
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(line).collect()
}

/// Made anew for each scrape: what it says is read off the node, so that nothing can be forgotten or go stale.
fn registry(state: &ApiState) -> Registry {
    let (dispatch, now) = (&state.dispatch, clock::now());
    let mut registry = Registry::default();
    health::process(&mut registry, dispatch);
    queues::celery(&mut registry, dispatch, now);
    servers::postgres_exporter(&mut registry, dispatch, now);
    let ours = registry.sub_registry_with_prefix("automagik_spark");
    health::service(ours, dispatch);
    health::hot_path(ours, dispatch);
    queues::all(ours, dispatch, now);
    attempts::all(ours, dispatch);
    attempts::sources(ours, dispatch, now);
    attempts::schedules(ours, dispatch, now);
    pools::all(ours, dispatch);
    servers::database(ours, dispatch, now);
    servers::redis(ours, dispatch, state.options.redis_memory_bytes, now);
    registry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_describes_counters_by_their_whole_name() {
        let text = "# HELP done Done things.\n# TYPE done counter\ndone_total 1\n# HELP depth Waiting.\n# TYPE depth gauge\n\
                    depth 2\n";
        let plain = "# HELP done_total Done things.\n# TYPE done_total counter\ndone_total 1\n# HELP depth Waiting.\n\
                     # TYPE depth gauge\ndepth 2\n";
        assert_eq!(as_plain_text(text), plain);
    }
}

//! Traces: whether they are told, and what sends them.

use crate::actors::exporter::ExporterParts;
use crate::config::Config;
use crate::dispatch::traces::Traces;
use crate::domain::trace::Sampling;
use crate::otlp::Resource;
use crate::sources::HttpClient;
use crate::sources::collector::Collector;
use crate::store::node::NodeRow;

use super::options;

/// Facts that may wait for the exporter: some seconds at the highest rate, a few megabytes.
const FACTS_WAITING: usize = 8_192;

/// What the dispatch is to tell, and who sends it on; nobody, where the configuration names no collector.
pub(super) fn prepare(config: &Config, node: &NodeRow) -> anyhow::Result<(Traces, Option<ExporterParts>)> {
    let tracing = &config.tracing;
    let Some(url) = &tracing.url else { return Ok((Traces::default(), None)) };
    let collector = Collector::new(url, &tracing.headers, HttpClient::new(options::sources(config))?)?;
    let resource = Resource {
        service: tracing.service_name.clone(),
        instance: node.id.to_string(),
        host: node.hostname.clone(),
        environment: config.environment.clone(),
    };
    let (traces, facts) = Traces::told(Sampling::of(tracing.sample_ratio), FACTS_WAITING);
    Ok((traces, Some(ExporterParts { facts, collector, resource })))
}

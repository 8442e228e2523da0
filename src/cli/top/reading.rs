//! What the service answered, as far as `top` shows it. What a service does not tell is nothing, and no error.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

/// A page of entries.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound = "T: Default + Deserialize<'de>")]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// How many there are, on this page and others.
    pub(super) total: u64,
}

/// `/health`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Health {
    pub(super) status: String,
    pub(super) services: Services,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Services {
    pub(super) api: Service,
    pub(super) worker: Service,
    pub(super) beat: Service,
    pub(super) redis: Service,
    pub(super) database: Service,
}

/// A part of the service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Service {
    pub(super) status: String,
    pub(super) version: String,
    pub(super) warning: Option<String>,
}

/// `/api/v1/workers`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Workers {
    pub(super) items: Vec<Worker>,
    pub(super) pools: Vec<Pool>,
}

/// A child.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Worker {
    pub(super) id: u64,
    pub(super) pool: String,
    pub(super) pid: Option<u32>,
    pub(super) state: String,
    pub(super) tasks_done: u64,
    pub(super) active_attempts: u64,
    pub(super) rss_kb: Option<u64>,
    pub(super) cpu_percent: Option<f64>,
    pub(super) started_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) queues: Vec<String>,
    pub(super) workers: u64,
    pub(super) threads: u64,
    pub(super) ready: u64,
    pub(super) ready_slots: u64,
    pub(super) active: u64,
    pub(super) failed: bool,
    pub(super) max_tasks_per_child: Option<u64>,
    pub(super) max_memory_per_child_kb: Option<u64>,
    pub(super) restarts: BTreeMap<String, u64>,
}

/// An entry of `/api/v1/queues`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) depth: u64,
    pub(super) limited: u64,
    pub(super) delayed: u64,
    pub(super) oldest_age_s: Option<f64>,
    pub(super) running: u64,
    pub(super) rate_per_min: u64,
    pub(super) paused: bool,
}

/// An entry of `/api/v1/tasks`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) workflow_id: String,
    pub(super) queue: String,
    pub(super) tries: u64,
    pub(super) max_retries: u64,
    pub(super) started_at: Option<DateTime<Utc>>,
}

/// An entry of `/api/v1/sources`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Source {
    pub(super) name: Option<String>,
    pub(super) url: String,
    pub(super) source_type: String,
    pub(super) status: String,
    pub(super) circuit: Circuit,
    pub(super) max_concurrency: Option<u64>,
    pub(super) rate: Option<String>,
}

/// Whether a source is called.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Circuit {
    pub(super) state: String,
    pub(super) until: Option<DateTime<Utc>>,
    pub(super) reason: Option<String>,
    pub(super) failures: u64,
}

/// An entry of `/api/v1/diagnosis`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Finding {
    pub(super) check: String,
    pub(super) level: String,
    pub(super) figure: Option<f64>,
    pub(super) unit: String,
    pub(super) cause: Option<String>,
    pub(super) advice: Option<String>,
}

/// `/api/v1/stats`: the last hour, by the minute.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Statistics {
    pub(super) from: DateTime<Utc>,
    pub(super) until: DateTime<Utc>,
    pub(super) totals: Figures,
    pub(super) series: Vec<Point>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Figures {
    pub(super) wait_s: Times,
    pub(super) run_s: Times,
}

/// Percentiles, in seconds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Times {
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// What ended within a minute.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Point {
    pub(super) at: DateTime<Utc>,
    pub(super) tasks: Ended,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Ended {
    pub(super) completed: u64,
    pub(super) failed: u64,
}

impl Source {
    /// What to call it.
    pub(super) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.url)
    }

    /// Whether it is left alone for now, or was until this moment.
    pub(super) fn is_troubled(&self) -> bool {
        !matches!(self.circuit.state.as_str(), "" | "closed")
    }
}

impl Finding {
    /// How bad it is, the worst being the greatest.
    pub(super) fn severity(&self) -> u8 {
        match self.level.as_str() {
            "critical" => 3,
            "warning" => 2,
            "unknown" => 1,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_or_new_is_no_error() {
        let workers: Workers =
            serde_json::from_value(json!({"items": [{"id": 1, "pid": null, "later": {}}]})).expect("readable");
        assert_eq!((workers.items[0].id, workers.items[0].pid, workers.pools.len()), (1, None, 0));
        let source: Source = serde_json::from_value(json!({"name": null, "url": "http://h"})).expect("readable");
        assert_eq!((source.label(), source.is_troubled()), ("http://h", false));
    }
}

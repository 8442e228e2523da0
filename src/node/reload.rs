//! Taking over what may change while the node runs: the pools, what `[worker]` says of them, and when sources are left
//! alone.

use super::{Node, options};
use crate::actors::post::tell;
use crate::actors::supervisor::Reshape;
use crate::config::Config;

/// Keys that a reload takes over, or whose consequences are keys of their own.
const LIVE: [&str; 16] = [
    "profile",
    "worker.workers",
    "worker.threads",
    "worker.max_tasks_per_child",
    "worker.max_memory_per_child_kb",
    "worker.soft_time_limit_s",
    "worker.time_limit_s",
    "worker.http_timeout_s",
    "worker.max_restarts",
    "worker.restart_window_s",
    "worker.restart_backoff_ms",
    "worker.restart_backoff_max_s",
    "sources.circuit_max_failures",
    "sources.circuit_wait_s",
    "sources.circuit_max_wait_s",
    "sources.circuit_max_retry_after_s",
];

impl Node {
    /// Takes over what `now` says of the pools and of circuits; `started` is what the node was started with. Whatever
    /// else is different is named in the log: it needs a restart.
    pub fn reload(&self, started: &Config, now: &Config) {
        // In the order of the configuration; none where this node runs nothing.
        for (part, pool) in self.supervisors.iter().zip(&started.pools) {
            if let Some(pool) = now.pools.iter().find(|other| other.name == pool.name) {
                tell(&part.address, Reshape(options::shape(now, pool)));
            }
        }
        self.dispatch.set_circuit(now.circuit);
        let rest = needs_restart(started, now);
        if rest.is_empty() {
            log::info!("the configuration is reloaded");
        } else {
            log::warn!("the configuration is reloaded; what differs in {} takes a restart", rest.join(", "));
        }
    }
}

/// What is different and can't be taken over, by key.
fn needs_restart(started: &Config, now: &Config) -> Vec<String> {
    let names = |config: &Config| config.pools.iter().map(|pool| pool.name.clone()).collect::<Vec<_>>();
    let (before, after) = (names(started), names(now));
    let come = after.iter().filter(|name| !before.contains(name)).map(|name| format!("pools ({name} is new)"));
    let gone = before.iter().filter(|name| !after.contains(name)).map(|name| format!("pools ({name} is gone)"));
    let keys = started.changed_keys(now).into_iter().filter(|key| !LIVE.contains(&key.as_str()));
    keys.chain(come).chain(gone).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, LoadOptions};

    fn config(set: &[(&str, &str)]) -> Config {
        let set = set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let flags = Flags { queues: vec!["celery".to_owned()], set, ..Flags::default() };
        Config::load(&LoadOptions { flags, ..LoadOptions::default() }).expect("a sound configuration")
    }

    #[test]
    fn what_pools_take_over_needs_no_restart_and_the_rest_is_named_without_its_value() {
        let started = config(&[]);
        let live = config(&[
            ("worker.workers", "7"),
            ("worker.time_limit_s", "1000"),
            ("profile", "small"),
            ("sources.circuit_wait_s", "9"),
        ]);
        assert_eq!(needs_restart(&started, &live), [""; 0]);
        let other =
            config(&[("worker.threads", "3"), ("database.url", "postgresql://u:hunter2@h/d"), ("log.level", "warn")]);
        assert_eq!(needs_restart(&started, &other), ["database.url", "log.level"]);
        let large = config(&[("profile", "large")]);
        assert_eq!(needs_restart(&started, &large), ["database.pool_size", "redis.memory_mb"]);
    }

    #[test]
    fn pools_that_come_and_go_need_a_restart() {
        let started = config(&[]);
        let mut now = config(&[("worker.threads", "9")]);
        now.pools[0].name = "other".to_owned();
        assert_eq!(needs_restart(&started, &now), ["pools (other is new)", "pools (celery is gone)"]);
    }
}

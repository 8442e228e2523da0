//! Section `[worker]`: how attempts are run, tried again and limited.

use std::time::Duration;

use super::read::Reader;
use crate::domain::pool::{THREADS, WORKERS};
use crate::domain::retry::RETRIES_MAX;

/// How attempts are run. What a pool may set for itself is in [`super::PoolConfig`].
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Children of a pool that names no number.
    pub workers: u32,
    /// Attempts of a child of a pool that names no number.
    pub threads: u32,
    /// Retries of a task that names no number.
    pub max_retries: u32,
    /// Longest wait between two attempts.
    pub retry_backoff_max: Duration,
    /// How far a wait may stray, as a share of it.
    pub retry_jitter: f64,
    /// Losses after which a task fails.
    pub max_lost: u32,
    /// Longest wait for an answer of a source.
    pub http_timeout: Duration,
    /// Largest answer of a source.
    pub max_answer_bytes: usize,
    /// How long a new child may take to be ready.
    pub child_start_timeout: Duration,
    /// Crashes within the window that a pool survives.
    pub max_restarts: usize,
    /// The window.
    pub restart_window: Duration,
    /// Wait before a restart that follows another crash; doubles with each.
    pub restart_backoff: Duration,
    /// Longest such wait.
    pub restart_backoff_max: Duration,
}

impl WorkerConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let config = Self {
            workers: reader.whole("worker.workers", WORKERS),
            threads: reader.whole("worker.threads", THREADS),
            max_retries: reader.whole("worker.max_retries", 0..=RETRIES_MAX),
            retry_backoff_max: reader.duration("worker.retry_backoff_max_s", 0.0..=604_800.0),
            retry_jitter: reader.number("worker.retry_jitter", 0.0..=1.0, ""),
            max_lost: reader.whole("worker.max_lost", 1..=1000),
            http_timeout: reader.duration("worker.http_timeout_s", 0.1..=3600.0),
            max_answer_bytes: reader.whole::<u32>("worker.max_answer_bytes", 1024..=1 << 30) as usize,
            child_start_timeout: reader.duration("worker.child_start_timeout_s", 0.1..=600.0),
            max_restarts: usize::from(reader.whole::<u16>("worker.max_restarts", 1..=10_000)),
            restart_window: reader.duration("worker.restart_window_s", 0.1..=86_400.0),
            restart_backoff: reader.duration("worker.restart_backoff_ms", 1.0..=600_000.0),
            restart_backoff_max: reader.duration("worker.restart_backoff_max_s", 0.001..=3600.0),
        };
        let keys = ["worker.restart_backoff_ms", "worker.restart_backoff_max_s"];
        if reader.is_sound(&keys) && config.restart_backoff > config.restart_backoff_max {
            let origin = reader.origin(keys[0]).to_owned();
            reader.problem(
                keys[1],
                format!("must not be less than restart_backoff_ms, which is {:?} ({origin})", config.restart_backoff),
            );
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Flags, LoadOptions};

    #[test]
    fn the_default_of_retries_has_the_limit_that_a_request_has() {
        let retries = |retries: u32| {
            let set = vec![("worker.max_retries".to_owned(), retries.to_string())];
            Config::load(&LoadOptions { flags: Flags { set, ..Flags::default() }, ..LoadOptions::default() })
        };
        assert_eq!(retries(RETRIES_MAX).expect("a sound configuration").worker.max_retries, RETRIES_MAX);
        let refused = retries(RETRIES_MAX + 1).expect_err("too many").to_string();
        assert!(refused.contains("worker.max_retries") && refused.contains("100"), "{refused}");
    }
}

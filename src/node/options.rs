//! What the configuration means for each module: below the node nothing takes a whole configuration.

use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;

use super::machine;
use crate::actors::beat::BeatOptions;
use crate::actors::executor::{ExecutorOptions, TimeLimits};
use crate::actors::heartbeat::HeartbeatOptions;
use crate::actors::intake::IntakeOptions;
use crate::actors::janitor::JanitorOptions;
use crate::actors::monitor::MonitorOptions;
use crate::actors::pool::PoolLimits;
use crate::actors::retention::RetentionOptions;
use crate::actors::supervisor::{PoolShape, SupervisorOptions};
use crate::child::frames::StartChild;
use crate::config::{Config, PoolConfig, Role};
use crate::dispatch::DispatchOptions;
use crate::dispatch::backlog::BacklogLimits;
use crate::dispatch::events::EventOptions;
use crate::domain::input::Input;
use crate::domain::restart::RestartOptions;
use crate::domain::retry::RetryOptions;
use crate::domain::task::TaskStatus;
use crate::http::ApiOptions;
use crate::mailbox::MailboxOptions;
use crate::sources::HttpOptions;
use crate::store::PoolOptions;
use crate::store::beat::FireOptions;
use crate::store::retention::Old;

/// Longest time for a connection to a source to open.
const SOURCE_CONNECT: Duration = Duration::from_secs(5);
/// How long a source may take to validate, list or show flows.
const SOURCE_REQUEST: Duration = Duration::from_secs(30);
/// Most rows of one statement of the hot path.
const MAX_BATCH: usize = 500;
/// Submitted tasks that may wait for the database; a second's worth at the highest rate.
const SUBMITS_WAITING: usize = 10_000;
/// Bytes of their inputs: six of the largest, or the full number with 6 kB each.
const WAITING_BYTES: u32 = 64 * 1024 * 1024;
/// Bytes that bodies of requests may take together; two of the largest always fit.
const BODIES_BYTES: usize = 128 * 1024 * 1024;
/// Events kept for streams that are slow or come back: some seconds at the highest rate, about a megabyte.
const EVENTS_KEPT: usize = 4_096;
/// How long an empty mailbox is waited for before PostgreSQL is asked.
const MAILBOX_BLOCK: Duration = Duration::from_secs(1);
/// How often attempts without a node, and nodes without a claim, are looked for.
const ATTEMPTS_EVERY: Duration = Duration::from_secs(1);
/// An occurrence late by no more than this counts as on time: twice the longest poll.
const GRACE_POLLS: u32 = 2;
/// Beat counts as stuck after this.
const BEAT_LIMIT: Duration = Duration::from_secs(20);

/// The limits of stopping.
#[derive(Clone, Copy, Debug)]
pub(super) struct StopOptions {
    pub(super) shutdown_grace: Duration,
    pub(super) http_drain: Duration,
}

pub(super) fn database(config: &Config) -> PoolOptions {
    let database = &config.database;
    PoolOptions {
        url: database.url.clone(),
        max_size: database.max_connections(),
        acquire_timeout: database.pool_timeout,
        statement_timeout: database.statement_timeout,
        recycle: database.pool_recycle,
        pre_ping: database.pool_pre_ping,
    }
}

/// The one connection of the heartbeat and of the monitor's question: a pool that is used up must not cost the lease. No
/// call on it takes so long that the lease runs out meanwhile.
pub(super) fn lease(config: &Config) -> PoolOptions {
    let (all, limit) = (database(config), config.node.lease / 4);
    PoolOptions {
        max_size: 1,
        acquire_timeout: all.acquire_timeout.min(limit),
        statement_timeout: all.statement_timeout.min(limit),
        ..all
    }
}

pub(super) fn mailbox(config: &Config) -> MailboxOptions {
    let redis = &config.redis;
    MailboxOptions {
        url: redis.url.clone(),
        pool_size: redis.pool_size,
        acquire_timeout: Duration::from_secs(2),
        response_timeout: redis.response_timeout,
        key_prefix: redis.key_prefix.clone(),
    }
}

pub(super) fn dispatch(config: &Config) -> DispatchOptions {
    let worker = &config.worker;
    DispatchOptions {
        submits_waiting: SUBMITS_WAITING,
        backlog: BacklogLimits {
            pending: config.api.max_pending,
            pending_per_queue: config.api.max_pending_per_queue,
            waiting_bytes: WAITING_BYTES,
        },
        max_batch: MAX_BATCH,
        circuit: config.circuit,
        retry: RetryOptions {
            backoff_max: worker.retry_backoff_max,
            jitter: worker.retry_jitter,
            max_lost: worker.max_lost,
        },
        children_limit: machine::children(),
        events: EventOptions { streams: config.api.max_streams, kept: EVENTS_KEPT },
    }
}

pub(super) fn executor(config: &Config) -> ExecutorOptions {
    let child = StartChild {
        max_answer_bytes: config.worker.max_answer_bytes,
        connect_timeout: SOURCE_CONNECT,
        adapters: config.adapters.clone(),
    };
    ExecutorOptions { child, start_timeout: config.worker.child_start_timeout }
}

pub(super) fn supervisor(config: &Config, pool: &PoolConfig) -> SupervisorOptions {
    SupervisorOptions {
        name: pool.name.clone(),
        shape: shape(config, pool),
        intake: IntakeOptions {
            block: MAILBOX_BLOCK,
            pending_grace: config.janitor.pending_grace,
            pool: pool.name.as_str().into(),
        },
    }
}

pub(super) fn shape(config: &Config, pool: &PoolConfig) -> PoolShape {
    let worker = &config.worker;
    PoolShape {
        queues: pool.queues.clone(),
        limits: PoolLimits {
            workers: pool.workers as usize,
            threads: pool.threads as usize,
            recycle: pool.recycle,
            restart: RestartOptions {
                max_restarts: worker.max_restarts,
                window: worker.restart_window,
                backoff: worker.restart_backoff,
                backoff_max: worker.restart_backoff_max,
            },
        },
        time_limits: TimeLimits {
            soft: pool.soft_time_limit.min(worker.http_timeout),
            hard_after: pool.time_limit.saturating_sub(pool.soft_time_limit),
        },
    }
}

/// How schedules are fired, by beat and by whoever lets one go on.
fn fire(config: &Config) -> anyhow::Result<FireOptions> {
    let grace = TimeDelta::from_std(config.beat.max_poll * GRACE_POLLS).context("beat.max_poll_ms is too long")?;
    let default_input = Input::text(config.default_input.as_str()).context("default_input can't be used")?;
    Ok(FireOptions {
        batch: config.beat.batch,
        missed_cap: config.beat.missed_cap as usize,
        grace,
        default_input,
        max_retries: config.worker.max_retries,
    })
}

pub(super) fn beat(config: &Config) -> anyhow::Result<BeatOptions> {
    Ok(BeatOptions { max_poll: config.beat.max_poll, batch: config.beat.batch, fire: fire(config)? })
}

pub(super) fn heartbeat(config: &Config) -> HeartbeatOptions {
    HeartbeatOptions { every: config.node.heartbeat, lease: config.node.lease }
}

pub(super) fn janitor(config: &Config) -> JanitorOptions {
    JanitorOptions {
        attempts_every: ATTEMPTS_EVERY.min(config.janitor.sweep),
        mailboxes_every: config.janitor.sweep,
        pending_grace: config.janitor.pending_grace,
        forget_nodes_after: config.node.lease * 10,
    }
}

pub(super) fn retention(config: &Config) -> RetentionOptions {
    let janitor = &config.janitor;
    let kept = [
        (Old::Tasks(TaskStatus::Completed), janitor.completed),
        (Old::Tasks(TaskStatus::Failed), janitor.failed),
        (Old::Tasks(TaskStatus::Cancelled), janitor.cancelled),
        (Old::Skips, janitor.skips),
        (Old::Audit, janitor.audit),
        (Old::Statistics, janitor.statistics),
    ];
    RetentionOptions { kept: kept.into_iter().filter_map(|(old, age)| Some((old, age?))).collect() }
}

pub(super) fn monitor(config: &Config) -> MonitorOptions {
    let beat_limit = config.node.has(Role::Beat).then(|| BEAT_LIMIT.max(config.beat.max_poll * 5));
    MonitorOptions { every: config.monitor.sample, beat_limit }
}

pub(super) fn sources(config: &Config) -> HttpOptions {
    HttpOptions {
        max_answer_bytes: config.worker.max_answer_bytes,
        connect_timeout: SOURCE_CONNECT,
        request_timeout: SOURCE_REQUEST,
    }
}

pub(super) fn api(config: &Config) -> anyhow::Result<ApiOptions> {
    Ok(ApiOptions {
        adapters: config.adapters.clone(),
        missed_policy: config.beat.missed_policy.parse().unwrap_or_default(),
        overlap_policy: config.beat.overlap_policy.parse().unwrap_or_default(),
        api_keys: config.api.keys.clone(),
        cors_origins: config.api.cors_origins.clone(),
        open_metrics: config.api.metrics_open,
        redis_memory_bytes: u64::from(config.redis.memory_mb) * 1024 * 1024,
        max_body_bytes: config.api.max_body_bytes,
        max_bodies_bytes: BODIES_BYTES.max(config.api.max_body_bytes * 2),
        max_connections: machine::connections(config.api.max_connections, config.database.max_connections()),
        fire: fire(config)?,
        timezone: config.timezone,
        shutdown_timeout: config.node.http_drain,
        ..ApiOptions::default()
    })
}

pub(super) fn stop(config: &Config) -> StopOptions {
    StopOptions { shutdown_grace: config.node.shutdown_grace, http_drain: config.node.http_drain }
}

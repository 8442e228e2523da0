//! Sections `[beat]`, `[janitor]`, `[node]`, `[monitor]` and `[log]`.

use std::path::PathBuf;
use std::time::Duration;

use super::read::Reader;

/// How schedules are fired.
#[derive(Clone, Debug)]
pub struct BeatConfig {
    /// Longest sleep when something may be due.
    pub max_poll: Duration,
    /// Schedules and retries of one transaction.
    pub batch: u32,
    /// Most missed occurrences that the policy `all` makes up for.
    pub missed_cap: u32,
    /// `skip`, `last` or `all`.
    pub missed_policy: &'static str,
    /// `allow`, `skip` or `queue-one`.
    pub overlap_policy: &'static str,
}

impl BeatConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let missed = ["skip", "last", "all"].map(|word| (word, word));
        let overlap = ["allow", "skip", "queue-one"].map(|word| (word, word));
        Self {
            max_poll: reader.duration("beat.max_poll_ms", 10.0..=60_000.0),
            batch: reader.whole("beat.batch", 1..=10_000),
            missed_cap: reader.whole("beat.missed_cap", 1..=100_000),
            missed_policy: reader.one_of("beat.missed_policy", &missed),
            overlap_policy: reader.one_of("beat.overlap_policy", &overlap),
        }
    }
}

/// How what was lost is found and what is old is deleted.
#[derive(Clone, Debug)]
pub struct JanitorConfig {
    /// How often.
    pub sweep: Duration,
    /// Age at which a pending task that no mailbox holds is fed again.
    pub pending_grace: Duration,
    /// Age at which completed tasks are deleted; none keeps them.
    pub completed: Option<Duration>,
    /// Age at which failed tasks are deleted; none keeps them.
    pub failed: Option<Duration>,
    /// Age at which cancelled tasks are deleted; none keeps them.
    pub cancelled: Option<Duration>,
    /// Age at which the notes on skipped occurrences are deleted; none keeps them.
    pub skips: Option<Duration>,
    /// Age at which rows of the audit trail are deleted; none keeps them.
    pub audit: Option<Duration>,
    /// Age at which figures of what ended are deleted; none keeps them.
    pub statistics: Option<Duration>,
}

impl JanitorConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let mut retention = |key| Some(reader.duration(key, 0.0..=36_500.0)).filter(|age| !age.is_zero());
        let [completed, failed, cancelled, skips, audit, statistics] = [
            "janitor.completed_days",
            "janitor.failed_days",
            "janitor.cancelled_days",
            "janitor.skips_days",
            "janitor.audit_days",
            "janitor.statistics_days",
        ]
        .map(&mut retention);
        Self {
            sweep: reader.duration("janitor.sweep_s", 0.1..=3600.0),
            pending_grace: reader.duration("janitor.pending_grace_s", 0.1..=3600.0),
            completed,
            failed,
            cancelled,
            skips,
            audit,
            statistics,
        }
    }
}

/// A part of the service that a node may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Serve the API.
    Api,
    /// Fire schedules.
    Beat,
    /// Run tasks.
    Worker,
}

impl Role {
    /// The role's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Beat => "beat",
            Self::Worker => "worker",
        }
    }
}

/// This node's part, and how it lives and dies.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// What it does; at least one thing.
    pub roles: Vec<Role>,
    /// How often it says that it lives.
    pub heartbeat: Duration,
    /// Silence after which it counts as dead.
    pub lease: Duration,
    /// How long a stop waits for running attempts.
    pub shutdown_grace: Duration,
    /// How long a stop waits for open HTTP requests.
    pub http_drain: Duration,
}

impl NodeConfig {
    /// Whether the node does this.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    pub(super) fn read(reader: &mut Reader) -> Self {
        let config = Self {
            roles: roles(reader),
            heartbeat: reader.duration("node.heartbeat_s", 0.05..=3600.0),
            lease: reader.duration("node.lease_s", 0.1..=86_400.0),
            shutdown_grace: reader.duration("node.shutdown_grace_s", 0.0..=86_400.0),
            http_drain: reader.duration("node.http_drain_s", 0.0..=600.0),
        };
        if reader.is_sound(&["node.heartbeat_s", "node.lease_s"]) && config.lease < config.heartbeat * 2 {
            let heartbeat = config.heartbeat.as_secs_f64();
            let origin = reader.origin("node.heartbeat_s").to_owned();
            reader.wrong("node.lease_s", &format!("at least twice node.heartbeat_s, which is {heartbeat} ({origin})"));
        }
        config
    }
}

fn roles(reader: &mut Reader) -> Vec<Role> {
    let words = reader.list("node.roles");
    let mut roles = Vec::new();
    for word in &words {
        match word.to_lowercase().as_str() {
            "api" => roles.push(Role::Api),
            "beat" => roles.push(Role::Beat),
            "worker" => roles.push(Role::Worker),
            "all" => roles.extend([Role::Api, Role::Beat, Role::Worker]),
            _ => reader.wrong("node.roles", "a list of api, beat and worker, or all"),
        }
    }
    if words.is_empty() {
        reader.wrong("node.roles", "a list of api, beat and worker, or all");
    }
    roles.sort_unstable();
    roles.dedup();
    roles
}

/// How things are measured.
#[derive(Clone, Debug)]
pub struct MonitorConfig {
    /// How often.
    pub sample: Duration,
}

impl MonitorConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self { sample: reader.duration("monitor.sample_ms", 50.0..=60_000.0) }
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// What is logged, how and where to.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Least level.
    pub level: log::LevelFilter,
    /// Form.
    pub format: LogFormat,
    /// File to append to; none is standard error.
    pub file: Option<PathBuf>,
}

impl LogConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        use log::LevelFilter::{Debug, Error, Info, Off, Trace, Warn};
        let levels = [
            ("off", Off),
            ("error", Error),
            ("warn", Warn),
            ("info", Info),
            ("debug", Debug),
            ("trace", Trace),
            // Python's names.
            ("warning", Warn),
            ("critical", Error),
            ("fatal", Error),
        ];
        Self {
            level: reader.one_of("log.level", &levels),
            format: reader.one_of("log.format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
            file: Some(reader.text("log.file")).filter(|path| !path.is_empty()).map(PathBuf::from),
        }
    }
}

//! What the figures of a moment mean: what is wrong, the likely cause, and what to do about it.

mod checks;
mod limits;
#[cfg(test)]
mod tests;

pub use limits::Limits;

use super::histogram::Observed;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing to do.
    Ok,
    /// It was not measured, or too long ago.
    Unknown,
    /// Look at it soon.
    Warning,
    /// Look at it now.
    Critical,
}

impl Level {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A queue at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueFigures {
    /// Its name.
    pub name: String,
    /// Tasks that may start and wait.
    pub waiting: u64,
    /// Those of them that wait at a limit, or because their source is left alone.
    pub parked: u64,
    /// How long the oldest of them has waited, in seconds.
    pub oldest_wait_s: f64,
    /// How long the oldest task that runs has run, in seconds.
    pub oldest_run_s: f64,
    /// Whether it is paused.
    pub paused: bool,
    /// Slots of the pools of this node that serve it.
    pub slots: u64,
    /// Those in which nothing runs.
    pub free_slots: u64,
}

/// What was counted within the last minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// Tasks that were completed.
    pub completed: u64,
    /// Tasks that failed for good.
    pub failed: u64,
    /// Attempts that ran until they ended or met their time limit.
    pub attempts: u64,
    /// Attempts that met their time limit.
    pub timed_out: u64,
    /// Attempts that ran for more than five minutes.
    pub over_5_min: u64,
    /// Attempts that ran for more than ten minutes.
    pub over_10_min: u64,
    /// Calls that waited in vain for a connection to PostgreSQL.
    pub pool_timeouts: u64,
}

impl Recent {
    /// What was counted since an earlier look at the same counters.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            completed: self.completed.saturating_sub(earlier.completed),
            failed: self.failed.saturating_sub(earlier.failed),
            attempts: self.attempts.saturating_sub(earlier.attempts),
            timed_out: self.timed_out.saturating_sub(earlier.timed_out),
            over_5_min: self.over_5_min.saturating_sub(earlier.over_5_min),
            over_10_min: self.over_10_min.saturating_sub(earlier.over_10_min),
            pool_timeouts: self.pool_timeouts.saturating_sub(earlier.pool_timeouts),
        }
    }
}

/// Redis at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisMemory {
    /// Memory that it uses, in bytes.
    pub used_bytes: u64,
    /// Memory that it may use, in bytes.
    pub limit_bytes: u64,
    /// What it does when memory is full.
    pub policy: String,
}

/// A source that is left alone because it did not answer, or asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceAway {
    /// Its name, or its url where it has none.
    pub name: String,
    /// How often it was found so in a row: first by attempts, then by the one that is sent after each wait.
    pub times: u32,
    /// What it was that was found.
    pub reason: String,
}

/// The figures of a moment. What is None was not measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Whether PostgreSQL answers.
    pub database_up: bool,
    /// Whether Redis answers.
    pub redis_up: bool,
    /// Queues with tasks.
    pub queues: Option<Vec<QueueFigures>>,
    /// What was counted within the last minutes.
    pub recent: Recent,
    /// Processor time of the busiest child; 1 is a whole processor.
    pub child_cpu: Option<f64>,
    /// How busy all processors of the machine are, from 0 to 1.
    pub machine_cpu: Option<f64>,
    /// Memory of the fullest child, as a share of its ceiling (`max_memory_per_child_kb`).
    pub child_memory: Option<f64>,
    /// Children that were replaced for their memory within the last minutes, those that were killed included.
    pub replaced_for_memory: u64,
    /// Children that were killed for their memory within the last minutes.
    pub killed_for_memory: u64,
    /// Connections to PostgreSQL, and the most it accepts.
    pub connections: Option<(u64, u64)>,
    /// Connections of this node that are in use, and the most it may have.
    pub pool: (u64, u64),
    /// Calls that wait for one of them.
    pub pool_waiting: u64,
    /// What calls of PostgreSQL took that ended within the last minute or so.
    pub queries: Observed,
    /// How long the oldest call of PostgreSQL has taken that has not ended, in seconds.
    pub oldest_query_s: f64,
    /// Redis.
    pub redis: Option<RedisMemory>,
    /// Sources that are left alone.
    pub sources_away: Option<Vec<SourceAway>>,
    /// How long a schedule is overdue, in seconds.
    pub overdue_s: Option<f64>,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Name of the check; it stays the same.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// The figure; none where it was not measured.
    pub figure: Option<f64>,
    /// What it is compared with.
    pub limits: Limits,
    /// What one sees.
    pub symptom: &'static str,
    /// What most likely brings it about.
    pub cause: String,
    /// What to do.
    pub advice: String,
}

/// Judges the figures: a finding for each check, always in the same order.
pub fn diagnose(figures: &Figures) -> Vec<Finding> {
    checks::ALL.iter().map(|check| check(figures)).collect()
}

/// The worst of the findings.
pub fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
}

//! Processor time of processes, from `/proc/PID/stat` (proc(5)): user and system time of the process itself, and of its
//! children that it has waited for.

use std::fs;
use std::ops::Sub;
use std::time::Duration;

/// What each part used.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) service: Duration,
    pub(crate) children: Duration,
    pub(crate) postgres: Duration,
    pub(crate) redis: Duration,
    pub(crate) source: Duration,
    pub(crate) load: Duration,
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            service: self.service.saturating_sub(before.service),
            children: self.children.saturating_sub(before.children),
            postgres: self.postgres.saturating_sub(before.postgres),
            redis: self.redis.saturating_sub(before.redis),
            source: self.source.saturating_sub(before.source),
            load: self.load.saturating_sub(before.load),
        }
    }
}

/// A process' own time.
pub(crate) fn of(pid: u32) -> Duration {
    ticks(pid).map_or(Duration::ZERO, |(own, _)| own)
}

/// A process' own time, and that of its children, living and dead.
pub(crate) fn with_children(pid: u32) -> (Duration, Duration) {
    let (own, dead) = ticks(pid).unwrap_or_default();
    let living: Duration = children(pid).into_iter().map(of_tree).sum();
    (own, dead + living)
}

/// The time of a process and of all below it.
pub(crate) fn of_tree(pid: u32) -> Duration {
    let (own, children) = with_children(pid);
    own + children
}

/// The processes that a process started and that still live.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|line| line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

fn ticks(pid: u32) -> Option<(Duration, Duration)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<u64> =
        stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4).filter_map(|field| field.parse().ok()).collect();
    // Linux has 100 ticks a second on every machine Spark runs on.
    let time = |ticks: u64| Duration::from_millis(ticks * 10);
    Some((time(fields.first()? + fields.get(1)?), time(fields.get(2)? + fields.get(3)?)))
}

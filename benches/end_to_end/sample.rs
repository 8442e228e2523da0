//! What a soak looks at every second.

use std::fs;

use tokio_postgres::Client;

use crate::service::Setup;
use crate::{cpu, load};

type Error = Box<dyn std::error::Error>;

/// A figure, and what it may grow by from the first third of a run to the last: a share of what it was, and so much more.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    share: f64,
    more: f64,
}

impl Figure {
    pub(crate) fn allowed(&self, first: f64) -> f64 {
        first * self.share + self.more
    }
}

const fn figure(name: &'static str, share: f64, more: f64) -> Figure {
    Figure { name, share, more }
}

/// In the order of a sample's values.
pub(crate) const FIGURES: [Figure; 21] = [
    figure("service: memory, MB", 0.03, 0.5),
    figure("service: open files", 0.0, 4.0),
    figure("children", 0.0, 1.0),
    figure("children: memory together, MB", 0.05, 0.0),
    figure("children: memory of the largest, MB", 0.05, 0.0),
    figure("PostgreSQL: connections", 0.0, 1.0),
    figure("Redis: connections", 0.0, 1.0),
    figure("Redis: keys", 0.0, 1.0),
    figure("Redis: memory, MB", 0.05, 0.2),
    figure("tasks that wait", 0.5, 20.0),
    figure("wait, median, ms", 0.5, 20.0),
    figure("wait, 99 of 100, ms", 1.0, 100.0),
    figure("tasks: dead rows", 0.5, 1000.0),
    figure("tasks: MB", 0.1, 2.0),
    figure("task_attempts: dead rows", 0.5, 1000.0),
    figure("task_attempts: MB", 0.1, 2.0),
    figure("statistics: dead rows", 0.5, 1000.0),
    figure("statistics: MB", 0.1, 2.0),
    figure("statistic_ends: dead rows", 0.5, 1000.0),
    figure("statistic_ends: MB", 0.1, 2.0),
    figure("submits behind their time", 0.5, 20.0),
];

/// The values of one second.
pub(crate) type Sample = [f64; FIGURES.len()];

const TABLES: &str = "
    SELECT n_dead_tup::float8, pg_total_relation_size(relid)::float8 / 1e6
      FROM unnest(ARRAY['tasks', 'task_attempts', 'statistics', 'statistic_ends']) WITH ORDINALITY AS t (name, nth)
      JOIN pg_stat_user_tables ON relname = name ORDER BY nth";

const COUNTS: &str = "
    SELECT (SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid())::float8,
           (SELECT count(*) FROM tasks WHERE status = 'pending')::float8";

/// Of the newest thousand that were begun.
const WAITS: &str = "
    SELECT coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY ms), 0)::float8,
           coalesce(percentile_disc(0.99) WITHIN GROUP (ORDER BY ms), 0)::float8
      FROM (SELECT date_part('epoch', started_at - pending_at) * 1000 AS ms
              FROM (SELECT started_at, pending_at FROM tasks ORDER BY created_at DESC, id DESC LIMIT 1000) AS newest
             WHERE started_at >= pending_at) AS waits";

/// Takes one. `behind` is how many submits are late.
pub(crate) async fn take(
    setup: &Setup,
    database: &Client,
    redis: &mut redis::aio::MultiplexedConnection,
    behind: usize,
) -> Result<Sample, Error> {
    let service = setup.service_pid();
    let children: Vec<f64> = cpu::children(service).into_iter().filter_map(resident_mb).collect();
    let counts = database.query_one(COUNTS, &[]).await?;
    let waits = database.query_one(WAITS, &[]).await?;
    let tables = database.query(TABLES, &[]).await?;
    let [tasks, attempts, statistics, ends] = tables.as_slice() else { return Err("a table is missing".into()) };
    let info: String = redis::cmd("INFO").query_async(redis).await?;
    let keys: u64 = redis::cmd("DBSIZE").query_async(redis).await?;
    Ok([
        resident_mb(service).ok_or("the service has ended")?,
        // The service's own word: its descriptors are hidden from its user.
        field(&load::get(setup.address(), "/metrics").await?, "process_open_fds ")?,
        children.len() as f64,
        children.iter().sum(),
        children.iter().copied().fold(0.0, f64::max),
        counts.get(0),
        // One is ours.
        field(&info, "connected_clients:")? - 1.0,
        keys as f64,
        field(&info, "used_memory:")? / 1e6,
        counts.get(1),
        waits.get(0),
        waits.get(1),
        tasks.get(0),
        tasks.get(1),
        attempts.get(0),
        attempts.get(1),
        statistics.get(0),
        statistics.get(1),
        ends.get(0),
        ends.get(1),
        behind as f64,
    ])
}

/// Nothing where the process has ended.
fn resident_mb(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kb: f64 =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok())?;
    Some(kb * 1024.0 / 1e6)
}

fn field(info: &str, name: &str) -> Result<f64, Error> {
    let text = info.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("no {name} is told"))?;
    Ok(text.trim().parse()?)
}

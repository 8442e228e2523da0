//! Queues, as the tasks in them show them.

use chrono::{DateTime, Utc};

use tokio_postgres::types::Type;

use super::{Error, Store};
use crate::domain::clock;

/// What waits and runs under one name.
#[derive(Clone, Debug)]
pub struct QueueRecord {
    /// The queue.
    pub name: String,
    /// Tasks that may start and wait.
    pub depth: i64,
    /// Those of them that wait at a limit, or because their source is left alone.
    pub parked: i64,
    /// Tasks that may not start yet: a delay, a jitter, another task of their schedule.
    pub delayed: i64,
    /// Since when the oldest of them waits.
    pub oldest_pending_at: Option<DateTime<Utc>>,
    /// Tasks that run.
    pub running: i64,
    /// Since when the oldest of them runs.
    pub oldest_started_at: Option<DateTime<Utc>>,
    /// Tasks that failed and wait for their next attempt.
    pub retrying: i64,
    /// Since when it is paused.
    pub paused_at: Option<DateTime<Utc>>,
}

impl Store {
    /// What waits and runs, by queue, and what is paused. Of tasks it reads the three indexes
    /// of live ones only.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn queues(&self) -> Result<Vec<QueueRecord>, Error> {
        let now = clock::now();
        self.run(move |connection| async move {
            let sql = "WITH live AS (
                    SELECT queue, count(*) FILTER (WHERE pending_at <= $1) AS depth,
                           count(*) FILTER (WHERE pending_at <= $1 AND parked) AS parked,
                           count(*) FILTER (WHERE pending_at > $1) AS delayed,
                           min(pending_at) FILTER (WHERE pending_at <= $1) AS oldest, 0::bigint AS running,
                           NULL::timestamptz AS started_at, 0::bigint AS retrying, NULL::timestamptz AS paused_at
                      FROM tasks WHERE status = 'pending' GROUP BY queue
                    UNION ALL
                    SELECT queue, 0, 0, 0, NULL, count(*), min(started_at), 0, NULL
                      FROM tasks WHERE status = 'running' GROUP BY queue
                    UNION ALL
                    SELECT queue, 0, 0, 0, NULL, 0, NULL, count(*), NULL
                      FROM tasks WHERE status = 'retrying' GROUP BY queue
                    UNION ALL
                    SELECT name, 0, 0, 0, NULL, 0, NULL, 0, paused_at FROM paused_queues)
                SELECT queue, sum(depth)::bigint, sum(parked)::bigint, sum(delayed)::bigint, min(oldest),
                       sum(running)::bigint, min(started_at), sum(retrying)::bigint, max(paused_at)
                  FROM live GROUP BY queue ORDER BY queue";
            let rows = connection.query_typed(sql, &[(&now, Type::TIMESTAMPTZ)]).await?;
            let read = |row: &tokio_postgres::Row| {
                Ok(QueueRecord {
                    name: row.try_get(0)?,
                    depth: row.try_get(1)?,
                    parked: row.try_get(2)?,
                    delayed: row.try_get(3)?,
                    oldest_pending_at: row.try_get(4)?,
                    running: row.try_get(5)?,
                    oldest_started_at: row.try_get(6)?,
                    retrying: row.try_get(7)?,
                    paused_at: row.try_get(8)?,
                })
            };
            rows.iter().map(read).collect()
        })
        .await
    }
}

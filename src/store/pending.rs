//! What waits, as PostgreSQL knows it: the measure of what mailboxes must hold. Parked tasks wait in none.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Error, Store};
use crate::domain::ids::TaskId;
use crate::domain::queue::{Priority, QueueName};
use crate::domain::task::PendingTask;

impl Store {
    /// Pending tasks of some queues that wait since before `before`, oldest first, at most `limit`, beginning after
    /// `after` (the time and id of the last one of the page before).
    ///
    /// # Errors
    /// The statement failed.
    pub async fn pending_since(
        &self,
        queues: Vec<QueueName>,
        before: DateTime<Utc>,
        after: Option<(DateTime<Utc>, TaskId)>,
        limit: i64,
    ) -> Result<Vec<PendingTask>, Error> {
        self.run(move |connection| async move {
            let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
            let (time, id) = after.map_or((DateTime::<Utc>::MIN_UTC, Uuid::nil()), |(time, id)| (time, id.0));
            let time = time.max(DateTime::UNIX_EPOCH);
            let statement = "SELECT id, queue, priority, pending_at FROM tasks
                 WHERE status = 'pending' AND NOT parked AND queue = ANY ($1) AND pending_at <= $2 AND (pending_at, id) > ($3, $4)
                 ORDER BY pending_at, id LIMIT $5";
            let rows = connection
                .query_typed(
                    statement,
                    &[
                        (&names, Type::TEXT_ARRAY),
                        (&before, Type::TIMESTAMPTZ),
                        (&time, Type::TIMESTAMPTZ),
                        (&id, Type::UUID),
                        (&limit, Type::INT8),
                    ],
                )
                .await?;
            rows.iter().map(read_pending).collect()
        })
        .await
    }

    /// How many tasks each queue has pending, those included that may not start yet.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn pending_by_queue(&self) -> Result<Vec<(QueueName, u64)>, Error> {
        self.run(|connection| async move {
            let statement = "SELECT queue, count(*) FROM tasks WHERE status = 'pending' GROUP BY queue";
            Ok(read_counts(&connection.query_typed(statement, &[]).await?))
        })
        .await
    }

    /// Those of some tasks that are pending and due.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn pending_of(&self, ids: Vec<TaskId>, now: DateTime<Utc>) -> Result<Vec<PendingTask>, Error> {
        self.run(move |connection| async move {
            let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
            // `expected` keeps the planner from the index of all that are pending, see the statement that stores outcomes.
            let statement =
                "WITH asked AS MATERIALIZED (SELECT id, 'pending' AS expected FROM unnest($1::uuid[]) AS a (id))
                 SELECT t.id, t.queue, t.priority, t.pending_at
                   FROM asked a JOIN tasks t ON t.id = a.id AND t.status = a.expected
                  WHERE t.pending_at <= $2";
            let rows =
                connection.query_typed(statement, &[(&ids, Type::UUID_ARRAY), (&now, Type::TIMESTAMPTZ)]).await?;
            rows.iter().map(read_pending).collect()
        })
        .await
    }

    /// How many tasks each queue has pending since before `before`.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn pending_counts(&self, before: DateTime<Utc>) -> Result<Vec<(QueueName, u64)>, Error> {
        self.run(move |connection| async move {
            let statement = "SELECT queue, count(*) FROM tasks
                 WHERE status = 'pending' AND NOT parked AND pending_at <= $1 GROUP BY queue";
            Ok(read_counts(&connection.query_typed(statement, &[(&before, Type::TIMESTAMPTZ)]).await?))
        })
        .await
    }
}

/// Reads a queue and a count.
fn read_counts(rows: &[Row]) -> Vec<(QueueName, u64)> {
    let read = |row: &Row| {
        let count: i64 = row.get(1);
        Some((QueueName::new(row.get::<_, String>(0)).ok()?, u64::try_from(count).ok()?))
    };
    rows.iter().filter_map(read).collect()
}

/// Reads `id, queue, priority, pending_at`.
pub(super) fn read_pending(row: &Row) -> Result<PendingTask, Error> {
    let queue: String = row.try_get("queue")?;
    Ok(PendingTask {
        id: TaskId(row.try_get("id")?),
        queue: QueueName::new(queue).unwrap_or_default(),
        priority: Priority::new(i64::from(row.try_get::<_, i16>("priority")?)).unwrap_or_default(),
        pending_at: row.try_get("pending_at")?,
    })
}

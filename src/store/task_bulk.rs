//! Many tasks, changed by hand, a batch at a time. Each statement names the states it leaves, and never waits for a
//! row: what somebody else holds is left out, so a change of thousands stands in nobody's way and takes part in no
//! deadlock.

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::pending::read_pending;
use super::task_change::{cancel, retry};
use super::task_filter::{Bound, CONDITIONS, PARAMETERS, TaskFilter};
use super::{Error, Store};
use crate::domain::clock;
use crate::domain::ids::TaskId;
use crate::domain::queue::QueueName;
use crate::domain::task::{PendingTask, TaskStatus};

/// A task, and the status it was seen in; `None` for one that a former version wrote.
pub type Seen = (TaskId, Option<TaskStatus>);

/// A task that was called off or deleted.
#[derive(Clone, Debug)]
pub struct Removed {
    /// The task.
    pub id: TaskId,
    /// Whose mailbox may still hold its id.
    pub queue: QueueName,
    /// The attempt that ran, where one did.
    pub attempt: Option<i32>,
}

/// The rows that are still as they were seen; parameters 2 and 3 are ids and statuses.
const AS_SEEN: &str = "SELECT t.id, t.status, t.tries, t.node_id, t.started_at, t.workflow_id, t.queue
    FROM unnest($2::uuid[], $3::text[]) AS seen (id, status) JOIN tasks t ON t.id = seen.id AND t.status = seen.status
    ORDER BY t.id FOR UPDATE OF t SKIP LOCKED";

impl Store {
    /// The tasks that a filter fits, in the order of their ids: at most `limit`, those after `after`. Says whether more
    /// follow.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn seen_tasks(
        &self,
        filter: TaskFilter,
        after: Option<TaskId>,
        limit: usize,
    ) -> Result<(Vec<Seen>, bool), Error> {
        self.run(move |connection| async move {
            let bound = Bound::new(filter);
            let [after_at, limit_at] = [1, 2].map(|n| PARAMETERS + n);
            let sql = format!(
                "SELECT t.id, t.status FROM tasks t WHERE {CONDITIONS}
                    AND (${after_at}::uuid IS NULL OR t.id > ${after_at}) ORDER BY t.id LIMIT ${limit_at}"
            );
            let after = after.map(|id| id.0);
            // One more tells whether more follow.
            let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
            let mut params = bound.params();
            params.extend([(&after as &(dyn ToSql + Sync), Type::UUID), (&one_more, Type::INT8)]);
            let rows = connection.query_typed(&sql, &params).await?;
            let seen = rows.iter().take(limit).map(|row| {
                let status: &str = row.try_get("status")?;
                Ok((TaskId(row.try_get("id")?), status.parse().ok()))
            });
            Ok((seen.collect::<Result<_, Error>>()?, rows.len() > limit))
        })
        .await
    }

    /// pending | retrying | running -> cancelled, as [`Store::cancel_task`], where a task is as it was seen. Returns
    /// those that were cancelled.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn cancel_tasks(&self, seen: &[Seen]) -> Result<Vec<Removed>, Error> {
        let returning = "t.id, t.queue, CASE WHEN old.status = 'running' THEN t.tries END AS attempt";
        self.change(cancel(AS_SEEN, returning), seen, Removed::from_row).await
    }

    /// failed | cancelled -> pending, as [`Store::retry_task`], where a task is as it was seen. Returns those that are
    /// pending now.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn retry_tasks(&self, seen: &[Seen]) -> Result<Vec<PendingTask>, Error> {
        self.change(retry(AS_SEEN, "t.id, t.queue, t.priority, t.pending_at"), seen, read_pending).await
    }

    /// Deletes tasks that do not run with their attempts and logs, where they are as they were seen. Returns them.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn delete_tasks(&self, seen: &[Seen]) -> Result<Vec<Removed>, Error> {
        // Whoever writes a line of a log changes the task's status with it, so none comes in between.
        let sql = format!(
            "WITH old AS MATERIALIZED ({AS_SEEN}),
             logs AS (DELETE FROM task_logs USING old WHERE task_id = old.id AND old.status <> 'running'),
             attempts AS (DELETE FROM task_attempts USING old WHERE task_id = old.id AND old.status <> 'running')
             DELETE FROM tasks t USING old WHERE t.id = old.id AND t.status = old.status AND t.status <> 'running'
             RETURNING t.id, t.queue, NULL::integer AS attempt"
        );
        self.change(sql, seen, Removed::from_row).await
    }

    /// Runs a statement whose parameters are the time (which not every one needs) and what was seen.
    async fn change<T: Send + 'static>(
        &self,
        sql: String,
        seen: &[Seen],
        read: impl Fn(&Row) -> Result<T, Error> + Send + 'static,
    ) -> Result<Vec<T>, Error> {
        let known = seen.iter().filter_map(|(id, status)| Some((id.0, status.as_ref()?.as_str())));
        let (ids, statuses): (Vec<Uuid>, Vec<&'static str>) = known.unzip();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let now = clock::now();
        self.run(move |connection| async move {
            let params: [(&(dyn ToSql + Sync), Type); 3] =
                [(&now, Type::TIMESTAMPTZ), (&ids, Type::UUID_ARRAY), (&statuses, Type::TEXT_ARRAY)];
            let rows = connection.query_typed(&sql, &params).await?;
            rows.iter().map(read).collect()
        })
        .await
    }
}

impl Removed {
    fn from_row(row: &Row) -> Result<Self, Error> {
        let queue: String = row.try_get("queue")?;
        Ok(Self {
            id: TaskId(row.try_get("id")?),
            queue: QueueName::new(queue).unwrap_or_default(),
            attempt: row.try_get("attempt")?,
        })
    }
}

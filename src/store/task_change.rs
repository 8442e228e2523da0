//! Tasks, changed by hand. Each statement names the states it leaves.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::tally::tally_cancelled;
use super::task_read::{COLUMNS, TaskRecord};
use super::{Error, Store, pool};
use crate::domain::clock;
use crate::domain::ids::TaskId;

/// A change that fits a task's state, or does not.
#[derive(Clone, Debug)]
pub enum Changed<T> {
    /// It was made.
    Done(Box<T>),
    /// The task is in a state that it does not leave this way.
    Refused(Box<TaskRecord>),
    /// There is no such task.
    Unknown,
}

/// A task that was cancelled.
#[derive(Clone, Debug)]
pub struct Cancelled {
    /// The task as it is now.
    pub task: TaskRecord,
    /// Whether an attempt of it was running, so that its executor has to be told.
    pub was_running: bool,
}

/// A task that became pending.
#[derive(Clone, Debug)]
pub struct Repended {
    /// The task as it is now.
    pub task: TaskRecord,
    /// Since when it waits.
    pub pending_at: DateTime<Utc>,
}

/// One task, held until the statement ends; parameter 2 is its id.
const ONE: &str = "SELECT t.id, t.status, t.tries, t.node_id, t.started_at, t.workflow_id, t.queue
    FROM tasks t WHERE t.id = $2 FOR UPDATE";

// Both statements name the states that they leave where they take the locks. The update itself must not name them again:
// it looks rows up as they were when the statement began, and one that moved on while its lock was waited for would be
// passed over, though its log and its history tell of the change already. They are named where the rows are locked, in a
// step of its own: within the other they would lead the planner to the index of all that failed or were cancelled.

/// Calls off those of the tasks that `old` selects that have not ended, at the time that is parameter 1. What nothing
/// else tells of goes into the log.
pub(super) fn cancel(old: &str, returning: &str) -> String {
    let tallied = tally_cancelled("old", "$1::timestamptz");
    format!(
        "WITH held AS MATERIALIZED ({old}),
        old AS MATERIALIZED (SELECT * FROM held WHERE status IN ('pending', 'retrying', 'running')),
        tallied AS ({tallied}),
        ended AS (
            INSERT INTO task_attempts
                (task_id, attempt, status, code, error, outcome_unknown, node_id, started_at, finished_at)
            SELECT id, tries, 'cancelled', 'cancelled', 'The task was cancelled while the attempt ran.',
                   true, node_id, coalesce(started_at, $1), $1
              FROM old WHERE status = 'running'
            ON CONFLICT (task_id, attempt) DO NOTHING),
        noted AS (
            INSERT INTO task_logs (id, task_id, level, message, created_at)
            SELECT gen_random_uuid(), id, 'info', 'Cancelled by hand while it was ' || status || '.', $1 FROM old)
        UPDATE tasks t SET status = 'cancelled', finished_at = $1, updated_at = $1, next_retry_at = NULL, node_id = NULL
          FROM old WHERE t.id = old.id
        RETURNING {returning}"
    )
}

/// Makes those of the tasks that `old` selects pending that failed or were cancelled, at the time that is parameter 1.
pub(super) fn retry(old: &str, returning: &str) -> String {
    format!(
        "WITH held AS MATERIALIZED ({old}),
        old AS MATERIALIZED (SELECT * FROM held WHERE status IN ('failed', 'cancelled')),
        noted AS (
            INSERT INTO task_logs (id, task_id, level, message, created_at)
            SELECT gen_random_uuid(), id, 'info', 'Made pending by hand; it was ' || status || '.', $1 FROM old)
        UPDATE tasks t SET status = 'pending', parked = false, failures = 0, lost = 0, pending_at = $1, updated_at = $1, error = NULL,
               next_retry_at = NULL, started_at = NULL, finished_at = NULL, node_id = NULL, expires_at = NULL
          FROM old WHERE t.id = old.id
        RETURNING {returning}"
    )
}

impl Store {
    /// pending | retrying | running -> cancelled. The attempt that runs ends here, too: its own outcome will find the
    /// task gone on and be ignored, so its history is written by the same statement.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn cancel_task(&self, id: TaskId) -> Result<Changed<Cancelled>, Error> {
        let returning = format!("{COLUMNS}, old.status = 'running' AS was_running");
        let read =
            |row: &Row| Ok(Cancelled { task: TaskRecord::from_row(row)?, was_running: row.try_get("was_running")? });
        let done = self.change_one(cancel(ONE, &returning), id, read).await?;
        self.changed(id, done).await
    }

    /// failed | cancelled -> pending. Its retries start afresh and its attempts are numbered on.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn retry_task(&self, id: TaskId) -> Result<Changed<Repended>, Error> {
        let returning = format!("{COLUMNS}, t.pending_at");
        let read =
            |row: &Row| Ok(Repended { task: TaskRecord::from_row(row)?, pending_at: row.try_get("pending_at")? });
        let done = self.change_one(retry(ONE, &returning), id, read).await?;
        self.changed(id, done).await
    }

    /// Deletes a task that does not run, with its attempts and its log.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn delete_task(&self, id: TaskId) -> Result<Changed<TaskRecord>, Error> {
        let done = self
            .run(move |mut connection| async move {
                let transaction = pool::begin(&mut connection).await?;
                // The lock keeps out a claim, and lines of the log that come late.
                let sql = format!("SELECT {COLUMNS} FROM tasks t WHERE t.id = $1 AND t.status <> 'running' FOR UPDATE");
                let Some(row) = transaction.query_typed_opt(&sql, &[(&id.0, Type::UUID)]).await? else {
                    return Ok(None);
                };
                let task = TaskRecord::from_row(&row)?;
                for sql in [
                    "DELETE FROM task_logs WHERE task_id = $1",
                    "DELETE FROM task_attempts WHERE task_id = $1",
                    "DELETE FROM tasks WHERE id = $1",
                ] {
                    transaction.execute_typed(sql, &[(&id.0, Type::UUID)]).await?;
                }
                transaction.commit().await?;
                Ok(Some(task))
            })
            .await?;
        self.changed(id, done).await
    }

    /// Runs a statement whose parameters are the time and a task, and reads the row that it changed.
    async fn change_one<T: Send + 'static>(
        &self,
        sql: String,
        id: TaskId,
        read: impl Fn(&Row) -> Result<T, Error> + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let now = clock::now();
        self.run(move |connection| async move {
            let params = [(&now as _, Type::TIMESTAMPTZ), (&id.0 as _, Type::UUID)];
            connection.query_typed_opt(&sql, &params).await?.as_ref().map(read).transpose()
        })
        .await
    }

    /// Tells "refused" from "unknown" where a change was not made.
    async fn changed<T>(&self, id: TaskId, done: Option<T>) -> Result<Changed<T>, Error> {
        Ok(match done {
            Some(done) => Changed::Done(Box::new(done)),
            None => self.task(id).await?.map_or(Changed::Unknown, |task| Changed::Refused(Box::new(task))),
        })
    }
}

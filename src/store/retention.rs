//! Deleting what is old, in batches, so that no statement holds many locks or makes a long transaction.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::{Error, Store};
use crate::domain::task::TaskStatus;

/// The age is that of the task's making, which an index has; it must have ended before that time too.
const DELETE_TASKS: &str = "
WITH old AS (
    SELECT id FROM tasks
    WHERE created_at < $2 AND finished_at < $2 AND status = ANY ($1)
    ORDER BY created_at LIMIT $3
    FOR UPDATE SKIP LOCKED
), logs AS (
    DELETE FROM task_logs USING old WHERE task_id = old.id
), attempts AS (
    DELETE FROM task_attempts USING old WHERE task_id = old.id
)
DELETE FROM tasks USING old WHERE tasks.id = old.id";

impl Store {
    /// Deletes finished tasks of some statuses, with their history, made and ended before a time; the oldest first, at
    /// most `batch`. Returns how many.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn delete_finished(
        &self,
        statuses: &'static [TaskStatus],
        before: DateTime<Utc>,
        batch: i64,
    ) -> Result<u64, Error> {
        self.run(move |connection| async move {
            let statuses: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
            let params: [_; 3] =
                [(&statuses as _, Type::TEXT_ARRAY), (&before as _, Type::TIMESTAMPTZ), (&batch as _, Type::INT8)];
            Ok(connection.execute_typed(DELETE_TASKS, &params).await?)
        })
        .await
    }

    /// Deletes idempotency keys made before a time.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn delete_idempotency_keys(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        self.delete_before("DELETE FROM idempotency_keys WHERE created_at < $1", before).await
    }

    /// Deletes notes on skipped occurrences made before a time.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn delete_skips(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        self.delete_before("DELETE FROM schedule_skips WHERE created_at < $1", before).await
    }

    /// Deletes rows of the audit trail of before a time.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn delete_audit(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        self.delete_before("DELETE FROM audit WHERE at < $1", before).await
    }

    async fn delete_before(&self, statement: &'static str, before: DateTime<Utc>) -> Result<u64, Error> {
        self.run(move |connection| async move {
            Ok(connection.execute_typed(statement, &[(&before, Type::TIMESTAMPTZ)]).await?)
        })
        .await
    }
}

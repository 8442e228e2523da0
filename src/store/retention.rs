//! Deleting what is old, in batches, so that no statement holds many locks or makes a long transaction. Nothing waits for
//! a row that somebody else holds.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::{Error, Store};
use crate::domain::statistics::LADDER;
use crate::domain::task::TaskStatus;

/// What grows old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Old {
    /// Tasks that ended this way, with their attempts and logs.
    Tasks(TaskStatus),
    /// Keys under which tasks were asked for.
    IdempotencyKeys,
    /// Notes on occurrences that made no task.
    Skips,
    /// Rows of the audit trail.
    Audit,
    /// Figures of what ended.
    Statistics,
    /// The log of what was told to whom.
    Deliveries,
}

/// What a batch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// How many.
    pub count: u64,
    /// When the newest of them was made, if they were tasks: where the next batch begins.
    pub up_to: Option<DateTime<Utc>>,
}

impl Old {
    /// What it is called in the log and in figures.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tasks(TaskStatus::Completed) => "completed tasks",
            Self::Tasks(TaskStatus::Failed) => "failed tasks",
            Self::Tasks(TaskStatus::Cancelled) => "cancelled tasks",
            Self::Tasks(_) => "unfinished tasks",
            Self::IdempotencyKeys => "idempotency keys",
            Self::Skips => "occurrence notes",
            Self::Audit => "audit rows",
            Self::Statistics => "statistics rows",
            Self::Deliveries => "notification deliveries",
        }
    }

    /// Deletes what is older than parameter 1, at most parameter 2 of it, and says what that came to. Of tasks only those
    /// not made before parameter 3.
    fn statement(self) -> String {
        let (table, age) = match self {
            Self::Tasks(status) => return delete_tasks(status),
            Self::IdempotencyKeys => ("idempotency_keys", "created_at".to_owned()),
            Self::Deliveries => ("notification_deliveries", "created_at".to_owned()),
            Self::Skips => ("schedule_skips", "created_at".to_owned()),
            Self::Audit => ("audit", "at".to_owned()),
            // Its index begins with the rung.
            Self::Statistics => {
                let rungs = LADDER.map(|(minutes, _)| minutes.to_string()).join(", ");
                ("statistics", format!("minutes IN ({rungs}) AND at"))
            }
        };
        format!(
            "WITH gone AS (
                DELETE FROM {table}
                 WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {age} < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))
                RETURNING 1
             ) SELECT count(*), NULL::timestamptz FROM gone"
        )
    }
}

/// The age is that of the task's making, which an index has; it must have ended before that time too. The status is part
/// of the text: so the planner knows that the index of what did not complete will do. A batch begins where the former ended:
/// tasks that are kept longer, because they ended otherwise, are not walked past again.
fn delete_tasks(status: TaskStatus) -> String {
    format!(
        "WITH old AS (
            SELECT id FROM tasks
            WHERE created_at < $1 AND finished_at < $1 AND status = '{status}'
              AND ($3::timestamptz IS NULL OR created_at >= $3)
            ORDER BY created_at LIMIT $2
            FOR UPDATE SKIP LOCKED
        ), logs AS (
            DELETE FROM task_logs USING old WHERE task_id = old.id
        ), attempts AS (
            DELETE FROM task_attempts USING old WHERE task_id = old.id
        ), gone AS (
            DELETE FROM tasks USING old WHERE tasks.id = old.id RETURNING tasks.created_at
        ) SELECT count(*), max(created_at) FROM gone"
    )
}

impl Store {
    /// Deletes what is older than a time, at most `batch` of it; of tasks those made and ended before it, the oldest
    /// first, beginning with those made at `from`.
    ///
    /// # Errors
    /// The statement failed.
    pub async fn delete_old(
        &self,
        old: Old,
        before: DateTime<Utc>,
        from: Option<DateTime<Utc>>,
        batch: i64,
    ) -> Result<Deleted, Error> {
        self.run(move |connection| async move {
            let params =
                [(&before as _, Type::TIMESTAMPTZ), (&batch as _, Type::INT8), (&from as _, Type::TIMESTAMPTZ)];
            let row = connection.query_typed_one(&old.statement(), &params).await?;
            Ok(Deleted { count: row.try_get::<_, i64>(0)?.unsigned_abs(), up_to: row.try_get(1)? })
        })
        .await
    }
}

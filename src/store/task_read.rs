//! Tasks, read.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::task_filter::{Bound, CONDITIONS, PARAMETERS, TaskFilter};
use super::{Error, Store, page};
use crate::domain::ids::{ScheduleId, TaskId, WorkflowId};
use crate::domain::task::TaskStatus;

/// A task as it is stored.
#[derive(Clone, Debug)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// What it runs.
    pub workflow_id: WorkflowId,
    /// What made it, if a schedule did.
    pub schedule_id: Option<ScheduleId>,
    /// A [`TaskStatus`], or whatever a former version wrote.
    pub status: String,
    /// The input, JSON.
    pub input: Option<String>,
    /// The source's whole answer, JSON.
    pub output: Option<String>,
    /// The answer's text.
    pub result: Option<String>,
    /// Why the newest attempt did not succeed.
    pub error: Option<String>,
    /// Attempts made.
    pub tries: i32,
    /// Most retries.
    pub max_retries: i32,
    /// When a retrying task becomes pending.
    pub next_retry_at: Option<DateTime<Utc>>,
    /// Where it waits.
    pub queue: String,
    /// How urgent it is there.
    pub priority: i16,
    /// When the newest attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When the task ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Since when it may be started, or when it may be.
    pub pending_at: DateTime<Utc>,
    /// When it was asked for.
    pub created_at: Option<DateTime<Utc>>,
    /// When its row last changed.
    pub updated_at: Option<DateTime<Utc>>,
}

/// The columns of a [`TaskRecord`], of a table or alias `t`.
pub(super) const COLUMNS: &str = "t.id, t.workflow_id, t.schedule_id, t.status, t.input_data::text AS input, \
     t.output_data::text AS output, t.result, t.error, t.tries, t.max_retries, t.next_retry_at, t.queue, t.priority, \
     t.pending_at, t.started_at, t.finished_at, t.created_at, t.updated_at";

impl TaskRecord {
    pub(super) fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: TaskId(row.try_get("id")?),
            workflow_id: WorkflowId(row.try_get("workflow_id")?),
            schedule_id: row.try_get::<_, Option<_>>("schedule_id")?.map(ScheduleId),
            status: row.try_get("status")?,
            input: row.try_get("input")?,
            output: row.try_get("output")?,
            result: row.try_get("result")?,
            error: row.try_get("error")?,
            tries: row.try_get("tries")?,
            max_retries: row.try_get("max_retries")?,
            next_retry_at: row.try_get("next_retry_at")?,
            queue: row.try_get("queue")?,
            priority: row.try_get("priority")?,
            started_at: row.try_get("started_at")?,
            finished_at: row.try_get("finished_at")?,
            pending_at: row.try_get("pending_at")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }

    /// Whether the task has ended.
    pub fn is_final(&self) -> bool {
        self.status.parse::<TaskStatus>().is_ok_and(TaskStatus::is_final)
    }
}

/// Where a page of a list begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// After so many rows.
    Offset(i64),
    /// After the row of this time and id; no page shifts while new rows come in.
    After(DateTime<Utc>, Uuid),
}

impl Store {
    /// One task.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn task(&self, id: TaskId) -> Result<Option<TaskRecord>, Error> {
        self.run(move |connection| async move {
            let sql = format!("SELECT {COLUMNS} FROM tasks t WHERE t.id = $1");
            let row = connection.query_typed_opt(&sql, &[(&id.0, Type::UUID)]).await?;
            row.as_ref().map(TaskRecord::from_row).transpose()
        })
        .await
    }

    /// Tasks, newest first: at most `limit`, and how many the filter fits in all.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn tasks(&self, filter: TaskFilter, start: Start, limit: i64) -> Result<(Vec<TaskRecord>, i64), Error> {
        self.run(move |connection| async move {
            let bound = Bound::new(filter);
            let count = format!("SELECT count(*) FROM tasks t WHERE {CONDITIONS}");
            let total = connection.query_typed_one(&count, &bound.params()).await?.try_get(0)?;
            let (offset, after_time, after_id) = match start {
                Start::Offset(offset) => (offset, None, None),
                Start::After(time, id) => (0, Some(time), Some(id)),
            };
            let [time, id, limit_at, offset_at] = [1, 2, 3, 4].map(|n| PARAMETERS + n);
            let sql = format!(
                "SELECT {COLUMNS} FROM tasks t WHERE {CONDITIONS} \
                 AND (${time}::timestamptz IS NULL OR (t.created_at, t.id) < (${time}, ${id}::uuid)) \
                 ORDER BY t.created_at DESC, t.id DESC LIMIT ${limit_at} OFFSET ${offset_at}"
            );
            let mut params = bound.params();
            params.extend([
                (&after_time as &(dyn ToSql + Sync), Type::TIMESTAMPTZ),
                (&after_id, Type::UUID),
                (&limit, Type::INT8),
                (&offset, Type::INT8),
            ]);
            Ok((page::read(&connection, &sql, params, TaskRecord::from_row).await?, total))
        })
        .await
    }
}

//! The small facts of tasks, read for those who watch.

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::task_read::TaskRecord;
use super::{Error, Store};
use crate::domain::event::TaskEvent;
use crate::domain::ids::{ScheduleId, TaskId, WorkflowId};

impl TaskRecord {
    /// What is told of the task as it stands.
    pub fn event(&self) -> TaskEvent {
        let event = TaskEvent {
            id: self.id,
            workflow_id: self.workflow_id,
            schedule_id: self.schedule_id,
            status: self.status.clone(),
            attempt: self.tries,
            queue: self.queue.clone(),
            at: self.updated_at.or(self.created_at).unwrap_or_default(),
            error: self.error.clone(),
        };
        event.settled()
    }
}

impl Store {
    /// The states of tasks as they are now, in no order; those that are not there are left out. One lookup by key each.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn task_events(&self, ids: Vec<TaskId>) -> Result<Vec<TaskEvent>, Error> {
        self.run(move |connection| async move {
            let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
            let sql =
                "SELECT id, workflow_id, schedule_id, status, tries, queue, coalesce(updated_at, created_at) AS at,
                              left(error, 1000) AS error
                         FROM tasks WHERE id = ANY ($1)";
            let rows = connection.query_typed(sql, &[(&ids, Type::UUID_ARRAY)]).await?;
            let read = |row: &tokio_postgres::Row| {
                let event = TaskEvent {
                    id: TaskId(row.try_get("id")?),
                    workflow_id: WorkflowId(row.try_get("workflow_id")?),
                    schedule_id: row.try_get::<_, Option<_>>("schedule_id")?.map(ScheduleId),
                    status: row.try_get("status")?,
                    attempt: row.try_get("tries")?,
                    queue: row.try_get("queue")?,
                    at: row.try_get::<_, Option<DateTime<Utc>>>("at")?.unwrap_or_default(),
                    error: row.try_get("error")?,
                };
                Ok(event.settled())
            };
            rows.iter().map(read).collect()
        })
        .await
    }
}

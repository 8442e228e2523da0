//! Making tasks.

use std::collections::HashSet;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Error, Store};
use crate::domain::ids::TaskId;
use crate::domain::task::NewTask;

/// A task of a workflow that is not there makes no row, and thereby no error for the others of its batch.
const INSERT: &str = "
INSERT INTO tasks (id, workflow_id, schedule_id, status, input_data, queue, priority, max_retries, session_id,
                   timeout_s, created_at, updated_at, pending_at)
SELECT n.id, n.workflow_id, n.schedule_id, 'pending', n.input::json, n.queue, n.priority, n.max_retries, n.session_id,
       n.timeout_s, n.created_at, n.created_at, n.pending_at
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::int2[], $7::int4[], $8::text[],
            $9::int4[], $10::timestamptz[], $11::timestamptz[])
     AS n (id, workflow_id, schedule_id, input, queue, priority, max_retries, session_id, timeout_s, created_at,
           pending_at)
JOIN workflows w ON w.id = n.workflow_id
RETURNING id";

impl Store {
    /// Makes tasks in one statement, all or none. Returns those whose workflow exists.
    ///
    /// # Errors
    /// The statement failed; no task was made.
    pub async fn insert_tasks(&self, tasks: Vec<NewTask>) -> Result<HashSet<TaskId>, Error> {
        self.run(|connection| async move {
            let column = |get: fn(&NewTask) -> Uuid| tasks.iter().map(get).collect::<Vec<_>>();
            let ids = column(|task| task.id.0);
            let workflows = column(|task| task.workflow_id.0);
            let schedules: Vec<_> = tasks.iter().map(|task| task.schedule_id.map(|id| id.0)).collect();
            let inputs: Vec<_> = tasks.iter().map(|task| &*task.input).collect();
            let queues: Vec<_> = tasks.iter().map(|task| task.queue.as_str()).collect();
            let priorities: Vec<_> = tasks.iter().map(|task| i16::from(task.priority.get())).collect();
            let max_retries: Vec<_> = tasks.iter().map(|task| clamp(task.max_retries)).collect();
            let sessions: Vec<_> = tasks.iter().map(|task| task.session_id.as_deref()).collect();
            let timeouts: Vec<_> = tasks.iter().map(|task| task.timeout_s.map(clamp)).collect();
            let created: Vec<_> = tasks.iter().map(|task| task.created_at).collect();
            let pending: Vec<_> = tasks.iter().map(|task| task.pending_at).collect();
            let rows = connection
                .query_typed(
                    INSERT,
                    &[
                        (&ids, Type::UUID_ARRAY),
                        (&workflows, Type::UUID_ARRAY),
                        (&schedules, Type::UUID_ARRAY),
                        (&inputs, Type::TEXT_ARRAY),
                        (&queues, Type::TEXT_ARRAY),
                        (&priorities, Type::INT2_ARRAY),
                        (&max_retries, Type::INT4_ARRAY),
                        (&sessions, Type::TEXT_ARRAY),
                        (&timeouts, Type::INT4_ARRAY),
                        (&created, Type::TIMESTAMPTZ_ARRAY),
                        (&pending, Type::TIMESTAMPTZ_ARRAY),
                    ],
                )
                .await?;
            Ok(rows.iter().map(|row| TaskId(row.get(0))).collect())
        })
        .await
    }
}

fn clamp(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

//! What happened to a task: its attempts, read.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::{Error, Store};
use crate::domain::ids::{NodeId, TaskId};

/// An attempt as it is stored; a running one is read off its task.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// From 1.
    pub attempt: i32,
    /// How it ended, or `running`.
    pub status: String,
    /// Stable name of the reason.
    pub code: Option<String>,
    /// The reason, for people.
    pub error: Option<String>,
    /// Whether the source may have run the flow without our knowing.
    pub outcome_unknown: bool,
    /// The node that ran it.
    pub node_id: Option<NodeId>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The row of the attempt that runs is written when it ends; until then the task knows about it. `OFFSET 0`
/// has it found by its id, not in the index of all that run.
const HISTORY: &str = "SELECT attempt, status, code, error, outcome_unknown, node_id, started_at, finished_at \
       FROM task_attempts WHERE task_id = $1 \
     UNION ALL \
     SELECT tries, 'running', NULL, NULL, false, node_id, started_at, NULL \
       FROM (SELECT * FROM tasks WHERE id = $1 OFFSET 0) AS t WHERE status = 'running'";

impl Store {
    /// Attempts of a task, the first first, and how many there are; `None` where there is no such task.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn attempts(
        &self,
        task: TaskId,
        offset: i64,
        limit: i64,
    ) -> Result<Option<(Vec<AttemptRecord>, i64)>, Error> {
        self.run(move |connection| async move {
            let head = format!(
                "SELECT EXISTS (SELECT FROM tasks WHERE id = $1), (SELECT count(*) FROM ({HISTORY}) AS all_of_them)"
            );
            let head = connection.query_typed_one(&head, &[(&task.0, Type::UUID)]).await?;
            if !head.try_get::<_, bool>(0)? {
                return Ok(None);
            }
            let page = format!("{HISTORY} ORDER BY attempt LIMIT $2 OFFSET $3");
            let params = [(&task.0 as _, Type::UUID), (&limit as _, Type::INT8), (&offset as _, Type::INT8)];
            let rows = connection.query_typed(&page, &params).await?;
            Ok(Some((rows.iter().map(AttemptRecord::from_row).collect::<Result<_, _>>()?, head.try_get(1)?)))
        })
        .await
    }
}

impl AttemptRecord {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            attempt: row.try_get("attempt")?,
            status: row.try_get("status")?,
            code: row.try_get("code")?,
            error: row.try_get("error")?,
            outcome_unknown: row.try_get("outcome_unknown")?,
            node_id: row.try_get::<_, Option<_>>("node_id")?.map(NodeId),
            started_at: row.try_get("started_at")?,
            finished_at: row.try_get("finished_at")?,
        })
    }
}

//! What happened to a task: its attempts and its log, read.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Connection, Error, Store};
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

/// A line of a task's log.
#[derive(Clone, Debug)]
pub struct LogRecord {
    /// Its id.
    pub id: Uuid,
    /// `debug`, `info`, `warning`, `error`.
    pub level: String,
    /// The line.
    pub message: String,
    /// The component of the flow it is about.
    pub component_id: Option<String>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

/// The row of the attempt that runs is written when it ends; until then the task knows about it.
const HISTORY: &str = "SELECT attempt, status, code, error, outcome_unknown, node_id, started_at, finished_at \
       FROM task_attempts WHERE task_id = $1 \
     UNION ALL \
     SELECT tries, 'running', NULL, NULL, false, node_id, started_at, NULL \
       FROM tasks WHERE id = $1 AND status = 'running'";

const LOG: &str = "SELECT id, level, message, component_id, created_at FROM task_logs WHERE task_id = $1";

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
            let found = part(&connection, HISTORY, "attempt", task, offset, limit).await?;
            let Some((rows, total)) = found else { return Ok(None) };
            Ok(Some((rows.iter().map(AttemptRecord::from_row).collect::<Result<_, _>>()?, total)))
        })
        .await
    }

    /// Lines of a task's log, the oldest first, and how many there are; `None` where there is no such task.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn logs(&self, task: TaskId, offset: i64, limit: i64) -> Result<Option<(Vec<LogRecord>, i64)>, Error> {
        self.run(move |connection| async move {
            let found = part(&connection, LOG, "created_at, id", task, offset, limit).await?;
            let Some((rows, total)) = found else { return Ok(None) };
            Ok(Some((rows.iter().map(LogRecord::from_row).collect::<Result<_, _>>()?, total)))
        })
        .await
    }
}

/// A part of what `sql` says of a task, and the size of the whole.
async fn part(
    connection: &Connection,
    sql: &str,
    order: &str,
    task: TaskId,
    offset: i64,
    limit: i64,
) -> Result<Option<(Vec<Row>, i64)>, Error> {
    let size = format!("SELECT count(*) FROM ({sql}) AS part");
    let head = format!("SELECT EXISTS (SELECT FROM tasks WHERE id = $1), ({size})");
    let head = connection.query_typed_one(&head, &[(&task.0, Type::UUID)]).await?;
    if !head.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let page = format!("{sql} ORDER BY {order} LIMIT $2 OFFSET $3");
    let rows =
        connection.query_typed(&page, &[(&task.0, Type::UUID), (&limit, Type::INT8), (&offset, Type::INT8)]).await?;
    Ok(Some((rows, head.try_get(1)?)))
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

impl LogRecord {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get("id")?,
            level: row.try_get("level")?,
            message: row.try_get("message")?,
            component_id: row.try_get("component_id")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

//! The log of a task: the lines that were stored about it among what its history tells.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{Error, Store};
use crate::domain::ids::TaskId;
use crate::domain::task_log::{LogLevel, TaskEvent};

/// A line of a task's log.
#[derive(Clone, Debug)]
pub struct LogRecord {
    /// Its id, if it is stored as a line.
    pub id: Option<Uuid>,
    /// `debug`, `info`, `warning`, `error`, or what a former version wrote.
    pub level: String,
    /// What happened.
    pub event: TaskEvent,
    /// The attempt it is about.
    pub attempt: Option<i32>,
    /// The component of the flow it is about.
    pub component_id: Option<String>,
    /// When it happened.
    pub created_at: DateTime<Utc>,
}

/// One row an event; parameter 1 is the task. The attempt that runs has no row of its own yet, its task knows of it. Nor
/// has an end that no attempt brought: a task that expired while it waited, or a former version's. (Who cancels one leaves a line.)
/// `OFFSET 0`: the task is found by its id before its status is compared, for which there are indexes, too.
const EVENTS: &str = "
    SELECT 'said' AS kind, created_at AS at, level, id, message AS said, component_id, NULL::integer AS attempt,
           NULL::text AS status, NULL::text AS code, false AS outcome_unknown, NULL::timestamptz AS other_time
      FROM task_logs WHERE task_id = $1
    UNION ALL
    SELECT 'made', created_at, 'info', NULL, queue, NULL, NULL, NULL, NULL, false, scheduled_for
      FROM tasks WHERE id = $1 AND created_at IS NOT NULL
    UNION ALL
    SELECT 'began', a.started_at, 'info', NULL, coalesce(n.hostname, a.node_id::text), NULL, a.attempt, NULL, NULL, false,
           NULL
      FROM (SELECT attempt, started_at, node_id FROM task_attempts WHERE task_id = $1
            UNION ALL
            SELECT tries, started_at, node_id FROM (SELECT * FROM tasks WHERE id = $1 OFFSET 0) AS t
             WHERE status = 'running' AND started_at IS NOT NULL) AS a
      LEFT JOIN nodes n ON n.id = a.node_id
    UNION ALL
    SELECT 'ended', a.finished_at,
           CASE WHEN a.status IN ('completed', 'cancelled', 'released') THEN 'info'
                WHEN t.status = 'failed' AND t.tries = a.attempt THEN 'error' ELSE 'warning' END,
           NULL, a.error, NULL, a.attempt, a.status, a.code, a.outcome_unknown, a.started_at
      FROM task_attempts a JOIN tasks t ON t.id = a.task_id WHERE a.task_id = $1
    UNION ALL
    SELECT 'over', t.finished_at, CASE t.status WHEN 'failed' THEN 'error' ELSE 'info' END, NULL, t.error, NULL, NULL, t.status,
           NULL, false, NULL
      FROM tasks t WHERE t.id = $1 AND t.status IN ('completed', 'failed', 'cancelled') AND NOT EXISTS (
           SELECT FROM task_attempts a WHERE a.task_id = t.id AND a.attempt = t.tries AND a.finished_at = t.finished_at)
       AND NOT EXISTS (SELECT FROM task_logs l WHERE l.task_id = t.id AND l.created_at = t.finished_at)
       AND t.finished_at IS NOT NULL
    UNION ALL
    SELECT 'waits', coalesce(updated_at, created_at), 'info', NULL, NULL, NULL, tries, NULL, NULL, false, next_retry_at
      FROM (SELECT * FROM tasks WHERE id = $1 OFFSET 0) AS t
     WHERE status = 'retrying' AND next_retry_at IS NOT NULL AND created_at IS NOT NULL";

/// Parameter 2 is the least grave level as a number.
const GRAVE_ENOUGH: &str = "CASE lower(level) WHEN 'debug' THEN 0 WHEN 'warning' THEN 2 WHEN 'warn' THEN 2 WHEN 'error' THEN 3 \
     WHEN 'critical' THEN 3 ELSE 1 END >= $2";

impl Store {
    /// Lines of a task's log that are at least so grave, the oldest first, and how many there are; `None` where there
    /// is no such task.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn logs(
        &self,
        task: TaskId,
        least: LogLevel,
        offset: i64,
        limit: i64,
    ) -> Result<Option<(Vec<LogRecord>, i64)>, Error> {
        self.run(move |connection| async move {
            let least = least as i32;
            let mut params: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&task.0, Type::UUID), (&least, Type::INT4)];
            let head = format!(
                "SELECT EXISTS (SELECT FROM tasks WHERE id = $1),
                        (SELECT count(*) FROM ({EVENTS}) AS e WHERE {GRAVE_ENOUGH})"
            );
            let head = connection.query_typed_one(&head, &params).await?;
            if !head.try_get::<_, bool>(0)? {
                return Ok(None);
            }
            let page = format!(
                "SELECT * FROM ({EVENTS}) AS e WHERE {GRAVE_ENOUGH}
                  ORDER BY at, coalesce(attempt, 0), kind IN ('ended', 'over'), kind = 'waits', id LIMIT $3 OFFSET $4"
            );
            params.extend([(&limit as &(dyn ToSql + Sync), Type::INT8), (&offset, Type::INT8)]);
            let rows = connection.query_typed(&page, &params).await?;
            Ok(Some((rows.iter().map(LogRecord::from_row).collect::<Result<_, _>>()?, head.try_get(1)?)))
        })
        .await
    }
}

impl LogRecord {
    fn from_row(row: &Row) -> Result<Self, Error> {
        let at: DateTime<Utc> = row.try_get("at")?;
        let said: Option<String> = row.try_get("said")?;
        let other_time: Option<DateTime<Utc>> = row.try_get("other_time")?;
        let event = match row.try_get::<_, &str>("kind")? {
            "made" => TaskEvent::Made { queue: said.unwrap_or_default(), scheduled_for: other_time },
            "began" => TaskEvent::Began { node: said },
            "ended" => TaskEvent::Ended {
                status: row.try_get("status")?,
                code: row.try_get("code")?,
                error: said,
                outcome_unknown: row.try_get("outcome_unknown")?,
                took: at - other_time.unwrap_or(at),
            },
            "over" => TaskEvent::Over { status: row.try_get("status")?, error: said },
            "waits" => TaskEvent::Waits { until: other_time.unwrap_or(at) },
            _ => TaskEvent::Said(said.unwrap_or_default()),
        };
        Ok(Self {
            id: row.try_get("id")?,
            level: row.try_get("level")?,
            event,
            attempt: row.try_get("attempt")?,
            component_id: row.try_get("component_id")?,
            created_at: at,
        })
    }
}

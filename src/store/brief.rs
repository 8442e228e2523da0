//! Tasks and workflows in brief, for people who look through many: what fits a line, and reads that stay quick
//! however many tasks there are.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::task_filter::{Bound, CONDITIONS, PARAMETERS, TaskFilter};
use super::{Error, Store};
use crate::domain::ids::{ScheduleId, SourceId, TaskId, WorkflowId};

/// Tasks that one page looks at, where no index finds those that a filter fits.
pub const WINDOW: i64 = 20_000;

/// A task in a line.
#[derive(Clone, Debug)]
pub struct TaskBrief {
    /// Its id.
    pub id: TaskId,
    /// What it runs.
    pub workflow_id: WorkflowId,
    /// The name of that.
    pub workflow: Option<String>,
    /// The schedule that made it.
    pub schedule_id: Option<ScheduleId>,
    /// A [`TaskStatus`](crate::domain::task::TaskStatus), or whatever a former version wrote.
    pub status: String,
    /// The beginning of its error, or of its result.
    pub text: Option<String>,
    /// Attempts made.
    pub tries: i32,
    /// Where it waits.
    pub queue: String,
    /// When the newest attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
}

/// Where a list goes on.
pub type Place = (DateTime<Utc>, Uuid);

/// Part of a list of tasks.
#[derive(Clone, Debug)]
pub struct TaskBriefs {
    /// The tasks.
    pub items: Vec<TaskBrief>,
    /// After which row to go on; none at the end of the list.
    pub next: Option<Place>,
    /// Whether the search ended before the list was full: [`WINDOW`] tasks were looked at.
    pub is_cut: bool,
}

/// A workflow in a line.
#[derive(Clone, Debug)]
pub struct WorkflowBrief {
    /// Its id.
    pub id: WorkflowId,
    /// Shown to people.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// Its id in its source.
    pub remote_flow_id: String,
    /// Its source.
    pub source_id: Option<SourceId>,
    /// The name of that, or its url.
    pub source: Option<String>,
    /// The status of its newest task.
    pub latest: Option<String>,
    /// When that was asked for.
    pub latest_at: Option<DateTime<Utc>>,
    /// When it was last synced.
    pub updated_at: Option<DateTime<Utc>>,
}

/// A schedule that waits for its next occurrence, in a line.
#[derive(Clone, Debug)]
pub struct UpcomingSchedule {
    /// Its id.
    pub id: ScheduleId,
    /// The name of its workflow.
    pub workflow: String,
    /// A [`ScheduleKind`](crate::domain::schedule::ScheduleKind).
    pub kind: String,
    /// When it runs.
    pub expr: String,
    /// The zone of its expression.
    pub timezone: String,
    /// Its next occurrence.
    pub next_run_at: DateTime<Utc>,
}

/// What indexes find: parameters of the filter, and where to go on.
fn scanned() -> String {
    let [time, id] = [1, 2].map(|n| PARAMETERS + n);
    format!(
        "($1::uuid IS NULL OR t.workflow_id = $1) AND ($4::text IS NULL OR t.status = $4) \
         AND ($6::timestamptz IS NULL OR t.created_at >= $6) AND ($7::timestamptz IS NULL OR t.created_at < $7) \
         AND ($9::uuid IS NULL OR t.id BETWEEN $9 AND $10) \
         AND (${time}::timestamptz IS NULL OR (t.created_at, t.id) < (${time}, ${id}::uuid)) \
         AND t.created_at IS NOT NULL"
    )
}

impl TaskBrief {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: TaskId(row.try_get("id")?),
            workflow_id: WorkflowId(row.try_get("workflow_id")?),
            workflow: row.try_get("workflow")?,
            schedule_id: row.try_get::<_, Option<_>>("schedule_id")?.map(ScheduleId),
            status: row.try_get("status")?,
            text: row.try_get("text")?,
            tries: row.try_get("tries")?,
            queue: row.try_get("queue")?,
            started_at: row.try_get("started_at")?,
            finished_at: row.try_get("finished_at")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

const WORKFLOWS: &str = "SELECT w.id, w.name, w.description, w.remote_flow_id, s.id, coalesce(s.name, s.url), latest.status, \
            latest.created_at, w.updated_at \
       FROM workflows w LEFT JOIN workflow_sources s ON s.id = w.workflow_source_id \
       LEFT JOIN LATERAL (SELECT status, created_at FROM tasks WHERE workflow_id = w.id \
                           ORDER BY created_at DESC, id DESC LIMIT 1) latest ON true";

impl WorkflowBrief {
    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: WorkflowId(row.try_get(0)?),
            name: row.try_get(1)?,
            description: row.try_get(2)?,
            remote_flow_id: row.try_get(3)?,
            source_id: row.try_get::<_, Option<_>>(4)?.map(SourceId),
            source: row.try_get(5)?,
            latest: row.try_get(6)?,
            latest_at: row.try_get(7)?,
            updated_at: row.try_get(8)?,
        })
    }
}

impl Store {
    /// Tasks in brief, newest first, at most `limit` of them, from the newest or after a row. They are not counted, and
    /// of those that no index tells apart not more are looked at than [`WINDOW`].
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn task_briefs(
        &self,
        filter: TaskFilter,
        after: Option<Place>,
        limit: usize,
    ) -> Result<TaskBriefs, Error> {
        self.run(move |connection| async move {
            let bound = Bound::new(filter);
            let (after_time, after_id) = after.unzip();
            let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
            let mut params = bound.params();
            params.extend([(&after_time as &(dyn ToSql + Sync), Type::TIMESTAMPTZ), (&after_id, Type::UUID)]);
            let scan = format!("FROM tasks t WHERE {} ORDER BY t.created_at DESC, t.id DESC", scanned());
            let window_end = format!("SELECT t.created_at, t.id {scan} OFFSET {} LIMIT 1", WINDOW - 1);
            let sql = format!(
                "SELECT t.id, t.workflow_id, w.name AS workflow, t.schedule_id, t.status, \
                        left(coalesce(t.error, t.result), 200) AS text, t.tries, t.queue, t.started_at, t.finished_at, \
                        t.created_at \
                   FROM (SELECT t.* {scan} LIMIT {WINDOW}) t LEFT JOIN workflows w ON w.id = t.workflow_id \
                  WHERE {CONDITIONS} ORDER BY t.created_at DESC, t.id DESC LIMIT {wanted}"
            );
            let rows = connection.query_typed(&sql, &params).await?;
            let mut items = rows.iter().map(TaskBrief::from_row).collect::<Result<Vec<_>, _>>()?;
            if items.len() > limit {
                items.truncate(limit);
                let next = items.last().map(|task| (task.created_at, task.id.0));
                return Ok(TaskBriefs { items, next, is_cut: false });
            }
            let end = connection.query_typed_opt(&window_end, &params).await?;
            let next = end.map(|row| Ok::<_, Error>((row.try_get(0)?, row.try_get(1)?))).transpose()?;
            Ok(TaskBriefs { items, next, is_cut: next.is_some() })
        })
        .await
    }

    /// Workflows in brief, by name: all, or those of a source, at most `limit`.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn workflow_briefs(&self, source: Option<SourceId>, limit: i64) -> Result<Vec<WorkflowBrief>, Error> {
        self.run(move |connection| async move {
            let sql = format!(
                "{WORKFLOWS} WHERE ($1::uuid IS NULL OR w.workflow_source_id = $1) ORDER BY lower(w.name), w.id LIMIT $2"
            );
            let source = source.map(|id| id.0);
            let rows = connection.query_typed(&sql, &[(&source, Type::UUID), (&limit, Type::INT8)]).await?;
            rows.iter().map(WorkflowBrief::from_row).collect()
        })
        .await
    }

    /// A workflow in brief.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn workflow_brief(&self, id: WorkflowId) -> Result<Option<WorkflowBrief>, Error> {
        self.run(move |connection| async move {
            let sql = format!("{WORKFLOWS} WHERE w.id = $1");
            let row = connection.query_typed_opt(&sql, &[(&id.0, Type::UUID)]).await?;
            row.as_ref().map(WorkflowBrief::from_row).transpose()
        })
        .await
    }

    /// Active schedules by their next occurrence, at most `limit`.
    ///
    /// # Errors
    /// The database can't be reached.
    pub async fn upcoming_schedules(&self, before: DateTime<Utc>, limit: i64) -> Result<Vec<UpcomingSchedule>, Error> {
        self.run(move |connection| async move {
            let sql = "SELECT s.id, w.name, s.schedule_type, s.schedule_expr, s.timezone, s.next_run_at
                         FROM schedules s JOIN workflows w ON w.id = s.workflow_id
                        WHERE s.status = 'active' AND s.next_run_at < $1 ORDER BY s.next_run_at, s.id LIMIT $2";
            let rows = connection.query_typed(sql, &[(&before, Type::TIMESTAMPTZ), (&limit, Type::INT8)]).await?;
            let read = |row: &Row| {
                Ok(UpcomingSchedule {
                    id: ScheduleId(row.try_get(0)?),
                    workflow: row.try_get(1)?,
                    kind: row.try_get(2)?,
                    expr: row.try_get(3)?,
                    timezone: row.try_get(4)?,
                    next_run_at: row.try_get(5)?,
                })
            };
            rows.iter().map(read).collect()
        })
        .await
    }
}

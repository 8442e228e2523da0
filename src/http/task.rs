//! `/api/v1/tasks`.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::error::{Error, ErrorBody, ValidationBody};
use super::page::{Page, read_cursor, write_cursor};
use super::query::Query;
use super::shown;
use super::state::ApiState;
use crate::dispatch::change;
use crate::domain::ids::{NodeId, ScheduleId, SourceId, TaskId, WorkflowId};
use crate::domain::queue::QueueName;
use crate::domain::task::{HELD, NewTask, TaskStatus};
use crate::store::history::AttemptRecord;
use crate::store::task_filter::TaskFilter;
use crate::store::task_read::{Start, TaskRecord};

/// One requested run of a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub struct Task {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: TaskId,
    /// What it runs.
    #[schema(value_type = Uuid)]
    pub workflow_id: WorkflowId,
    /// The schedule that made it.
    #[schema(value_type = Option<Uuid>)]
    pub schedule_id: Option<ScheduleId>,
    /// `pending`, `running`, `completed`, `failed`, `retrying` or `cancelled`.
    #[schema(example = "pending")]
    pub status: String,
    /// What the workflow is given; text is shown as `{"value": text}`.
    #[schema(value_type = Option<Object>, example = json!({"value": "Hello"}))]
    pub input_data: Option<Box<RawValue>>,
    /// The source's whole answer.
    #[schema(value_type = Option<serde_json::Value>)]
    pub output_data: Option<Box<RawValue>>,
    /// The answer's text.
    pub result: Option<String>,
    /// Why the newest attempt did not succeed.
    pub error: Option<String>,
    /// Attempts made.
    pub tries: i32,
    /// Most retries.
    pub max_retries: i32,
    /// When a retrying task is tried again.
    pub next_retry_at: Option<DateTime<Utc>>,
    /// Where it waits.
    pub queue: String,
    /// How urgent it is there: 0 to 9, 9 first.
    pub priority: i16,
    /// Since when it may be started, or when it may be if that is later; none while it waits for the end of another task of
    /// its schedule.
    pub pending_at: Option<DateTime<Utc>>,
    /// When the newest attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When the task ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// When it was asked for.
    pub created_at: Option<DateTime<Utc>>,
    /// When it last changed.
    pub updated_at: Option<DateTime<Utc>>,
}

impl From<TaskRecord> for Task {
    fn from(task: TaskRecord) -> Self {
        let output_data = shown::output(task.output);
        let result = task.result.or_else(|| shown::result(output_data.as_deref()));
        Self {
            id: task.id,
            workflow_id: task.workflow_id,
            schedule_id: task.schedule_id,
            status: task.status,
            input_data: shown::input(task.input),
            output_data,
            result,
            error: task.error,
            tries: task.tries,
            max_retries: task.max_retries,
            next_retry_at: task.next_retry_at,
            queue: task.queue,
            priority: task.priority,
            pending_at: Some(task.pending_at).filter(|at| *at != HELD),
            started_at: task.started_at,
            finished_at: task.finished_at,
            created_at: task.created_at,
            updated_at: task.updated_at,
        }
    }
}

impl From<NewTask> for Task {
    /// What a task looks like the moment it was stored, without reading it back.
    fn from(task: NewTask) -> Self {
        Self {
            id: task.id,
            workflow_id: task.workflow_id,
            schedule_id: task.schedule_id,
            status: TaskStatus::Pending.as_str().to_owned(),
            input_data: shown::input(Some(task.input.to_string())),
            output_data: None,
            result: None,
            error: None,
            tries: 0,
            max_retries: i32::try_from(task.max_retries).unwrap_or(i32::MAX),
            next_retry_at: None,
            queue: task.queue.as_str().to_owned(),
            priority: task.priority.get().into(),
            pending_at: Some(task.pending_at),
            started_at: None,
            finished_at: None,
            created_at: Some(task.created_at),
            updated_at: Some(task.created_at),
        }
    }
}

/// One try of a task.
#[derive(Debug, Serialize, ToSchema)]
pub struct Attempt {
    /// From 1.
    pub attempt: i32,
    /// `running`, `completed`, `failed`, `timed_out`, `cancelled`, `lost` or `released`.
    pub status: String,
    /// Stable name of the reason.
    pub code: Option<String>,
    /// The reason.
    pub error: Option<String>,
    /// Whether the source may have run the flow without our knowing.
    pub outcome_unknown: bool,
    /// The node that ran it.
    #[schema(value_type = Option<Uuid>)]
    pub node_id: Option<NodeId>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

impl From<AttemptRecord> for Attempt {
    fn from(attempt: AttemptRecord) -> Self {
        Self {
            attempt: attempt.attempt,
            status: attempt.status,
            code: attempt.code,
            error: attempt.error,
            outcome_unknown: attempt.outcome_unknown,
            node_id: attempt.node_id,
            started_at: attempt.started_at,
            finished_at: attempt.finished_at,
        }
    }
}

/// List tasks, newest first.
#[utoipa::path(
    get, path = "/api/v1/tasks", tag = "tasks",
    params(
        ("workflow_id" = Option<Uuid>, Query), ("schedule_id" = Option<Uuid>, Query),
        ("source_id" = Option<Uuid>, Query),
        ("status" = Option<String>, Query, description = "A status; `success` means `completed`"),
        ("queue" = Option<String>, Query),
        ("created_after" = Option<DateTime<Utc>>, Query), ("created_before" = Option<DateTime<Utc>>, Query),
        ("q" = Option<String>, Query, description = "Text in the id, input, result or error"),
        ("id_prefix" = Option<String>, Query, description = "Beginning of the id"),
        ("delayed" = Option<bool>, Query,
            description = "Only pending ones: `true` those that are to start later, `false` those that may start"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100), ("offset" = Option<i64>, Query, minimum = 0),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, instead of an offset"),
    ),
    responses(
        (status = 200, description = "A page of tasks", body = Page<Task>),
        (status = 400, description = "The page is too large to be held in memory", body = ErrorBody),
        (status = 422, description = "Parts of the query can't be used", body = ValidationBody),
    )
)]
pub(super) async fn list(state: Data<ApiState>, request: HttpRequest) -> Result<Json<Page<Task>>, Error> {
    let mut query = Query::of(&request);
    let span = query.span();
    let filter = read_filter(&mut query);
    let after = read_start(&mut query);
    query.finish()?;
    let start = after.map_or(Start::Offset(span.offset), |(time, id)| Start::After(time, id));
    // One more than asked for tells whether more follow, also after a cursor.
    let (mut tasks, total) = state.store.tasks(filter, start, span.limit + 1).await?;
    let has_more = i64::try_from(tasks.len()).is_ok_and(|found| found > span.limit);
    tasks.truncate(usize::try_from(span.limit).unwrap_or(usize::MAX));
    let last = tasks.last().filter(|_| has_more);
    let next_cursor = last.and_then(|task| Some(write_cursor(task.created_at?, task.id.0)));
    let items = tasks.into_iter().map(Task::from).collect();
    Ok(Json(Page { has_more, next_cursor, ..Page::new(items, total, span) }))
}

/// Show a task.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}", tag = "tasks", params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The task", body = Task),
        (status = 404, description = "Task not found", body = ErrorBody),
    )
)]
pub(super) async fn get(state: Data<ApiState>, id: Path<String>) -> Result<Json<Task>, Error> {
    Ok(Json(state.store.task(parse_id(&id)?).await?.ok_or(NOT_FOUND)?.into()))
}

/// Delete a task with its attempts and its log. A running one is cancelled first.
#[utoipa::path(
    delete, path = "/api/v1/tasks/{id}", tag = "tasks", params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The task that was deleted", body = Task),
        (status = 404, description = "Task not found", body = ErrorBody),
        (status = 409, description = "It is started again and again meanwhile", body = ErrorBody),
    )
)]
pub(super) async fn delete(state: Data<ApiState>, id: Path<String>) -> Result<Json<Task>, Error> {
    Ok(Json(change::delete(&state.store, &state.dispatch, parse_id(&id)?).await?.into()))
}

/// Call a task off.
#[utoipa::path(
    post, path = "/api/v1/tasks/{id}/cancel", tag = "tasks", params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The task", body = Task),
        (status = 400, description = "It has ended", body = ErrorBody),
        (status = 404, description = "Task not found", body = ErrorBody),
    )
)]
pub(super) async fn cancel(state: Data<ApiState>, id: Path<String>) -> Result<Json<Task>, Error> {
    Ok(Json(change::cancel(&state.store, &state.dispatch, parse_id(&id)?).await?.into()))
}

/// Run a failed or cancelled task again.
#[utoipa::path(
    post, path = "/api/v1/tasks/{id}/retry", tag = "tasks", params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The task, pending", body = Task),
        (status = 400, description = "It is in another state", body = ErrorBody),
        (status = 404, description = "Task not found", body = ErrorBody),
    )
)]
pub(super) async fn retry(state: Data<ApiState>, id: Path<String>) -> Result<Json<Task>, Error> {
    Ok(Json(change::retry(&state.store, &state.dispatch, parse_id(&id)?).await?.into()))
}

/// Show the attempts of a task, the first first.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/attempts", tag = "tasks",
    params(
        ("id" = Uuid, Path),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100), ("offset" = Option<i64>, Query, minimum = 0),
    ),
    responses(
        (status = 200, description = "A page of attempts", body = Page<Attempt>),
        (status = 404, description = "Task not found", body = ErrorBody),
        (status = 422, description = "Parts of the query can't be used", body = ValidationBody),
    )
)]
pub(super) async fn attempts(
    state: Data<ApiState>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Page<Attempt>>, Error> {
    let mut query = Query::of(&request);
    let span = query.span();
    query.finish()?;
    let found = state.store.attempts(parse_id(&id)?, span.offset, span.limit).await?;
    let (attempts, total) = found.ok_or(NOT_FOUND)?;
    Ok(Json(Page::new(attempts.into_iter().map(Attempt::from).collect(), total, span)))
}

/// Which tasks a query asks for.
pub(super) fn read_filter(query: &mut Query) -> TaskFilter {
    TaskFilter {
        workflow_id: query.id("workflow_id").map(WorkflowId),
        schedule_id: query.id("schedule_id").map(ScheduleId),
        source_id: query.id("source_id").map(SourceId),
        status: query.read("status"),
        queue: query.text("queue").and_then(|name| match QueueName::new(name) {
            Ok(name) => Some(name.as_str().to_owned()),
            Err(error) => {
                query.refuse("queue", error.to_string());
                None
            }
        }),
        created_after: query.time("created_after"),
        created_before: query.time("created_before"),
        text: query.text("q"),
        id_prefix: query.read("id_prefix"),
        delayed: query.flag("delayed"),
        ids: None,
    }
}

/// After which row a query's `cursor` asks to begin.
pub(super) fn read_start(query: &mut Query) -> Option<(DateTime<Utc>, uuid::Uuid)> {
    let cursor = query.text("cursor")?;
    let after = read_cursor(&cursor);
    if after.is_none() {
        query.refuse("cursor", "cursor must be the next_cursor of another page");
    }
    after
}

/// A task that is not there.
pub(super) const NOT_FOUND: Error = Error::NotFound("Task");

/// The id of a path.
pub(super) fn parse_id(text: &str) -> Result<TaskId, Error> {
    text.parse().map_err(|_| NOT_FOUND)
}

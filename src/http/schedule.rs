//! `/api/v1/schedules`. (`schedule_body.rs` says what may be written, `preview.rs` shows occurrences.)

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Error, ErrorBody, ValidationBody};
use super::page::Page;
use super::query::Query;
use super::schedule_body::{ScheduleBody, as_it_stands, blank, settle};
use super::shown;
use super::state::ApiState;
use super::task::Task;
use super::workflow::{NOT_FOUND as NO_WORKFLOW, resolve};
use crate::domain::clock;
use crate::domain::ids::{ScheduleId, TaskId, WorkflowId};
use crate::domain::queue::{Priority, QueueName};
use crate::domain::schedule::ScheduleStatus;
use crate::domain::task::NewTask;
use crate::store::schedule::{ScheduleDraft, ScheduleFilter, ScheduleRecord, Written};

/// A rule that makes tasks of a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub struct Schedule {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: ScheduleId,
    /// What it runs.
    #[schema(value_type = Uuid)]
    pub workflow_id: WorkflowId,
    /// `cron`, `interval` or `one-time`.
    #[schema(example = "cron")]
    pub schedule_type: String,
    /// When it runs.
    #[schema(example = "0 9 * * MON-FRI")]
    pub schedule_expr: String,
    /// The input of its tasks; the configured default where there is none.
    #[schema(value_type = Option<Object>)]
    pub input_value: Option<Box<RawValue>>,
    /// Whatever the user keeps there.
    #[schema(value_type = Option<serde_json::Value>)]
    pub params: Option<Box<RawValue>>,
    /// `active`, `paused` or `completed`.
    #[schema(example = "active")]
    pub status: String,
    /// Why it is in that status, where nobody chose it: its rule can't be read, or its time had passed.
    pub status_reason: Option<String>,
    /// The zone of the expression.
    #[schema(example = "UTC")]
    pub timezone: String,
    /// What becomes of missed occurrences: `skip`, `last` or `all`.
    pub missed_policy: String,
    /// What becomes of occurrences that overlap: `allow`, `skip` or `queue-one`.
    pub overlap_policy: String,
    /// Tasks start up to so many seconds later.
    pub jitter_s: i32,
    /// A missed occurrence older than so many seconds is not made up for.
    pub expires_s: Option<i32>,
    /// Where its tasks wait.
    pub queue: String,
    /// How urgent they are there.
    pub priority: i16,
    /// The next occurrence.
    pub next_run_at: Option<DateTime<Utc>>,
    /// The newest occurrence that made a task.
    pub last_run_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: Option<DateTime<Utc>>,
    /// When it last changed.
    pub updated_at: Option<DateTime<Utc>>,
}

impl From<ScheduleRecord> for Schedule {
    fn from(schedule: ScheduleRecord) -> Self {
        Self {
            id: schedule.id,
            workflow_id: schedule.workflow_id,
            schedule_type: schedule.kind,
            schedule_expr: schedule.expr,
            input_value: shown::value(schedule.input),
            params: shown::json(schedule.params),
            status: schedule.status,
            status_reason: schedule.status_reason,
            timezone: schedule.timezone,
            missed_policy: schedule.missed_policy,
            overlap_policy: schedule.overlap_policy,
            jitter_s: schedule.jitter_s,
            expires_s: schedule.expires_s,
            queue: schedule.queue,
            priority: schedule.priority,
            next_run_at: schedule.next_run_at,
            last_run_at: schedule.last_run_at,
            created_at: schedule.created_at,
            updated_at: schedule.updated_at,
        }
    }
}

/// Make a schedule.
#[utoipa::path(
    post, path = "/api/v1/schedules", tag = "schedules",
    request_body(content = ref("#/components/schemas/NewSchedule")),
    responses(
        (status = 201, description = "The schedule", body = Schedule),
        (status = 400, description = "Its time has passed", body = ErrorBody),
        (status = 404, description = "Workflow not found", body = ErrorBody),
        (status = 422, description = "Parts of the body can't be used", body = ValidationBody),
    )
)]
pub(super) async fn create(state: Data<ApiState>, body: Body) -> Result<HttpResponse, Error> {
    let new: ScheduleBody = body.json()?;
    let workflow_id = resolve(&state, new.complete()?).await?;
    let draft = settle(new.over(blank(workflow_id, &state.options), None)?, None, clock::now())?;
    let schedule = state.store.add_schedule(draft).await?.ok_or(NO_WORKFLOW)?;
    state.dispatch.wake_beat();
    Ok(HttpResponse::Created().json(Schedule::from(schedule)))
}

/// List schedules, newest first.
#[utoipa::path(
    get, path = "/api/v1/schedules", tag = "schedules",
    params(
        ("workflow_id" = Option<Uuid>, Query), ("status" = Option<String>, Query),
        ("id_prefix" = Option<String>, Query, description = "Beginning of the id"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100), ("offset" = Option<i64>, Query, minimum = 0),
    ),
    responses(
        (status = 200, description = "A page of schedules", body = Page<Schedule>),
        (status = 400, description = "The page is too large to be held in memory", body = ErrorBody),
        (status = 422, description = "Parts of the query can't be used", body = ValidationBody),
    )
)]
pub(super) async fn list(state: Data<ApiState>, request: HttpRequest) -> Result<Json<Page<Schedule>>, Error> {
    let mut query = Query::of(&request);
    let span = query.span();
    let filter = ScheduleFilter {
        workflow_id: query.id("workflow_id").map(WorkflowId),
        status: query.read("status"),
        id_prefix: query.read("id_prefix"),
    };
    query.finish()?;
    let (schedules, total) = state.store.schedules(filter, span.offset, span.limit).await?;
    Ok(Json(Page::new(schedules.into_iter().map(Schedule::from).collect(), total, span)))
}

/// Show a schedule.
#[utoipa::path(
    get, path = "/api/v1/schedules/{id}", tag = "schedules", params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The schedule", body = Schedule),
        (status = 404, description = "Schedule not found", body = ErrorBody),
    )
)]
pub(super) async fn get(state: Data<ApiState>, id: Path<String>) -> Result<Json<Schedule>, Error> {
    Ok(Json(find(&state, &id).await?.into()))
}

/// Replace a schedule. What is absent gets its default, but a paused schedule stays paused unless `status` says otherwise. An
/// active one gets its next occurrence anew, also with the same rule.
#[utoipa::path(
    put, path = "/api/v1/schedules/{id}", tag = "schedules", params(("id" = Uuid, Path)),
    request_body(content = ref("#/components/schemas/NewSchedule")),
    responses(
        (status = 200, description = "The schedule", body = Schedule),
        (status = 400, description = "Its time has passed", body = ErrorBody),
        (status = 404, description = "Schedule or workflow not found", body = ErrorBody),
        (status = 422, description = "Parts of the body can't be used", body = ValidationBody),
    )
)]
pub(super) async fn put(state: Data<ApiState>, id: Path<String>, body: Body) -> Result<Json<Schedule>, Error> {
    let id = parse_id(&id)?;
    let new: ScheduleBody = body.json()?;
    let keeps_status = !new.names_status();
    let workflow_id = resolve(&state, new.complete()?).await?;
    let draft = new.over(blank(workflow_id, &state.options), None)?;
    let now = clock::now();
    change(&state, id, move |former| {
        let was_paused = former.status == ScheduleStatus::Paused.as_str();
        let status = if keeps_status && was_paused { ScheduleStatus::Paused } else { draft.status };
        let draft = ScheduleDraft { status, ..draft };
        // What can't be read may be replaced; a schedule that stays paused by the same rule remembers where it stopped.
        let former = as_it_stands(former).ok().filter(|_| status == ScheduleStatus::Paused);
        settle(draft, former.as_ref(), now)
    })
    .await
}

/// Change parts of a schedule; what is absent stays.
#[utoipa::path(
    patch, path = "/api/v1/schedules/{id}", tag = "schedules", params(("id" = Uuid, Path)),
    request_body = ScheduleBody,
    responses(
        (status = 200, description = "The schedule", body = Schedule),
        (status = 400, description = "Its time has passed", body = ErrorBody),
        (status = 404, description = "Schedule or workflow not found", body = ErrorBody),
        (status = 422, description = "Parts of the body can't be used", body = ValidationBody),
    )
)]
pub(super) async fn patch(state: Data<ApiState>, id: Path<String>, body: Body) -> Result<Json<Schedule>, Error> {
    let id = parse_id(&id)?;
    let patch: ScheduleBody = body.json()?;
    let workflow_id = match patch.workflow() {
        Some(workflow) => Some(resolve(&state, workflow).await?),
        None => None,
    };
    let now = clock::now();
    change(&state, id, move |former| {
        let former = as_it_stands(former)?;
        settle(patch.over(former.clone(), workflow_id)?, Some(&former), now)
    })
    .await
}

/// Delete a schedule; its tasks stay.
#[utoipa::path(
    delete, path = "/api/v1/schedules/{id}", tag = "schedules", params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The schedule that was deleted", body = Schedule),
        (status = 404, description = "Schedule not found", body = ErrorBody),
    )
)]
pub(super) async fn delete(state: Data<ApiState>, id: Path<String>) -> Result<Json<Schedule>, Error> {
    let schedule = state.store.delete_schedule(parse_id(&id)?).await?.ok_or(NOT_FOUND)?;
    state.dispatch.wake_beat();
    Ok(Json(schedule.into()))
}

/// Let a paused schedule run again. What was missed meanwhile is made up for or noted, as its missed policy says.
#[utoipa::path(
    post, path = "/api/v1/schedules/{id}/enable", tag = "schedules", params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The schedule", body = Schedule),
        (status = 400, description = "It is completed, or never had a time that is to come", body = ErrorBody),
        (status = 404, description = "Schedule not found", body = ErrorBody),
    )
)]
pub(super) async fn enable(state: Data<ApiState>, id: Path<String>) -> Result<Json<Schedule>, Error> {
    let now = clock::now();
    change(&state, parse_id(&id)?, move |former| {
        if former.status == ScheduleStatus::Completed.as_str() {
            let detail = "Schedule is completed; give it a new time instead";
            return Err(Error::refused("schedule_completed", detail));
        }
        let former = as_it_stands(former)?;
        settle(ScheduleDraft { status: ScheduleStatus::Active, ..former.clone() }, Some(&former), now)
    })
    .await
}

/// Pause a schedule. Its tasks that have not started are cancelled.
#[utoipa::path(
    post, path = "/api/v1/schedules/{id}/disable", tag = "schedules", params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The schedule", body = Schedule),
        (status = 400, description = "It is completed", body = ErrorBody),
        (status = 404, description = "Schedule not found", body = ErrorBody),
    )
)]
pub(super) async fn disable(state: Data<ApiState>, id: Path<String>) -> Result<Json<Schedule>, Error> {
    let now = clock::now();
    change(&state, parse_id(&id)?, move |former| {
        if former.status == ScheduleStatus::Completed.as_str() {
            return Err(Error::refused("schedule_completed", "Schedule is completed; there is nothing to pause"));
        }
        let former = as_it_stands(former)?;
        settle(ScheduleDraft { status: ScheduleStatus::Paused, ..former.clone() }, Some(&former), now)
    })
    .await
}

/// Where a schedule is triggered.
const TRIGGER: &str = "/api/v1/schedules/{id}/trigger";

/// Run the schedule's workflow once, now; its next occurrence stays.
#[utoipa::path(
    post, path = TRIGGER, tag = "schedules", params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The task", body = Task),
        (status = 404, description = "Schedule not found", body = ErrorBody),
        (status = 429, description = "As many tasks are pending as may be", body = ErrorBody),
    )
)]
pub(super) async fn trigger(
    state: Data<ApiState>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Task>, Error> {
    let schedule = find(&state, &id).await?;
    let now = clock::now().trunc_subsecs(6);
    let default_input = || state.options.fire.default_input.to_stored();
    let task = NewTask {
        id: TaskId::generate(),
        workflow_id: schedule.workflow_id,
        schedule_id: Some(schedule.id),
        input: schedule.input.unwrap_or_else(default_input).into(),
        // What an older version stored may fit no queue of ours.
        queue: QueueName::new(schedule.queue).unwrap_or_default(),
        priority: Priority::new(schedule.priority.into()).unwrap_or_default(),
        max_retries: state.options.fire.max_retries,
        session_id: None,
        timeout_s: None,
        created_at: now,
        pending_at: now,
    };
    state.dispatch.submit(task.clone(), state.origin(&request, TRIGGER)).await?;
    Ok(Json(task.into()))
}

const NOT_FOUND: Error = Error::NotFound("Schedule");

fn parse_id(text: &str) -> Result<ScheduleId, Error> {
    text.parse().map_err(|_| NOT_FOUND)
}

/// A schedule of the store.
pub(super) async fn find(state: &ApiState, id: &str) -> Result<ScheduleRecord, Error> {
    state.store.schedule(parse_id(id)?).await?.ok_or(NOT_FOUND)
}

async fn change(
    state: &ApiState,
    id: ScheduleId,
    redraft: impl FnOnce(&ScheduleRecord) -> Result<ScheduleDraft, Error> + Send + 'static,
) -> Result<Json<Schedule>, Error> {
    let began = clock::now();
    match state.store.update_schedule(id, state.options.fire.clone(), redraft).await? {
        Written::Done(schedule, fired, cancelled) => {
            state.dispatch.events().publish_by_id(cancelled).await;
            state.dispatch.fired(*fired, began).await;
            state.dispatch.wake_beat();
            Ok(Json((*schedule).into()))
        }
        Written::Unknown => Err(NOT_FOUND),
        Written::NoSuchWorkflow => Err(NO_WORKFLOW),
        Written::Refused(error) => Err(error),
    }
}

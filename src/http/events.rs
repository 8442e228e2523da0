//! Event streams: `/api/v1/tasks/{id}/events` and `/api/v1/events`.

use std::collections::VecDeque;

use actix_web::http::header::HeaderMap;
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use utoipa::ToSchema;

use super::auth::Caller;
use super::error::{Error, ErrorBody, ValidationBody};
use super::query::Query;
use super::session::Session;
use super::sse::{self, Source};
use super::state::ApiState;
use super::task::Task;
use crate::dispatch;
use crate::dispatch::events::{Event, Follow, GapReason, Sighting, Watch};
use crate::domain::event::{Position, TaskEvent};
use crate::domain::ids::{KeyId, ScheduleId, TaskId, WorkflowId};
use crate::domain::queue::QueueName;
use crate::domain::task::TaskStatus;
use crate::store::task_read::TaskRecord;

/// Events that are put into one piece: a piece is what a slow client makes us hold.
const PIECE: usize = 64;

/// The data of an event `task`: the state that a task entered.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskChange {
    /// The task's id.
    #[schema(value_type = Uuid)]
    id: TaskId,
    /// What it runs.
    #[schema(value_type = Uuid)]
    workflow_id: WorkflowId,
    /// The schedule that made it.
    #[schema(value_type = Option<Uuid>)]
    schedule_id: Option<ScheduleId>,
    /// `pending`, `running`, `completed`, `failed`, `retrying` or `cancelled`.
    #[schema(example = "running")]
    status: String,
    /// Attempts made, `tries` of the task.
    attempt: i32,
    /// Where it waits or waited.
    queue: String,
    /// When it entered the state.
    at: DateTime<Utc>,
    /// Why it has failed or is tried again, cut after 200 characters.
    error: Option<String>,
    /// The whole task, in the last event of a stream of one task.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Task>,
}

impl TaskChange {
    fn new(event: TaskEvent, task: Option<Task>) -> Self {
        let TaskEvent { id, workflow_id, schedule_id, status, attempt, queue, at, error } = event;
        Self { id, workflow_id, schedule_id, status, attempt, queue, at, error, task }
    }
}

/// Watch a task until it has ended.
///
/// The first event tells the present state, the last one also has the whole task. A state that lasted for a moment only may
/// be left out, the end never is. Events: `task`; `deleted` when the task is deleted; `shutdown` when the service stops.
/// A stream also ends with its key or its session.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/events", tag = "tasks",
    params(
        ("id" = Uuid, Path),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event of a stream that broke off"),
    ),
    responses(
        (status = 200, description = "Server-sent events; the data of `task` is a TaskChange", body = TaskChange,
            content_type = "text/event-stream"),
        (status = 204, description = "The event of Last-Event-ID was the last one; browsers do not come again"),
        (status = 404, description = "Task not found", body = ErrorBody),
        (status = 503, description = "Too many streams are open, the database is away, or the service stops; try again \
            after Retry-After seconds", body = ErrorBody),
    )
)]
pub(super) async fn of_task(
    state: Data<ApiState>,
    caller: Caller,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Error> {
    let id: TaskId = id.parse().map_err(|_| NOT_FOUND)?;
    let line = Line::open(&state, &caller)?;
    // Watched first, then read: nothing can happen in between.
    let watch = state.dispatch.events().watch(id);
    let task = state.store.task(id).await?.ok_or(NOT_FOUND)?;
    let is_known = last_event_id(request.headers()) == Some(&task.event().position().to_string());
    if is_known && task.is_final() {
        return Ok(HttpResponse::NoContent().finish());
    }
    let mut stream = TaskStream { line, watch, id, told: None, is_over: false };
    let mut start = sse::start();
    if is_known {
        stream.told = Some(task.event().position());
    } else {
        start.extend(stream.show(task));
    }
    stream.line.pieces.push_back(start);
    Ok(sse::answer(stream))
}

/// Follow all tasks.
///
/// Best effort: an event `gap` says that some were missed, because the client was slower than they came, was away for too
/// long, or other nodes could not be heard; load anew what you show, then go on. Events of different nodes may come in
/// another order than they happened; `attempt` and `at` tell which is newer. Events: `task`, `gap`, `shutdown`. A stream
/// also ends with its key or its session.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "tasks",
    params(
        ("workflow_id" = Option<Uuid>, Query), ("schedule_id" = Option<Uuid>, Query), ("queue" = Option<String>, Query),
        ("status" = Option<String>, Query, description = "Only tasks that enter this status"),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event of a stream that broke off"),
    ),
    responses(
        (status = 200, description = "Server-sent events; the data of `task` is a TaskChange", body = TaskChange,
            content_type = "text/event-stream"),
        (status = 422, description = "Parts of the query can't be used", body = ValidationBody),
        (status = 503, description = "Too many streams are open, or the service stops; try again after Retry-After \
            seconds", body = ErrorBody),
    )
)]
pub(super) async fn of_all(state: Data<ApiState>, caller: Caller, request: HttpRequest) -> Result<HttpResponse, Error> {
    let mut query = Query::of(&request);
    let filter = Filter {
        workflow: query.id("workflow_id").map(WorkflowId),
        schedule: query.id("schedule_id").map(ScheduleId),
        status: query.read("status"),
        queue: query
            .text("queue")
            .and_then(|name| QueueName::new(name).map_err(|error| query.refuse("queue", error.to_string())).ok()),
    };
    query.finish()?;
    let mut line = Line::open(&state, &caller)?;
    let follow = state.dispatch.events().follow(last_event_id(request.headers())).await;
    // With its place, so that a stream that breaks off before its first event is gone on with as well.
    line.pieces.push_back(sse::start() + &sse::heartbeat(Some(&follow.place(follow.number()))));
    Ok(sse::answer(AllStream { line, follow, filter, is_over: false }))
}

const NOT_FOUND: Error = Error::NotFound("Task");

fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    headers.get("Last-Event-ID")?.to_str().ok().filter(|id| !id.is_empty())
}

/// What both kinds of streams have.
struct Line {
    state: Data<ApiState>,
    /// The stored key that opened it, and the session: it ends with them, for what somebody may not ask for any more they
    /// are not told either.
    key: Option<KeyId>,
    session: Option<Session>,
    /// What is to be sent next.
    pieces: VecDeque<String>,
    heartbeat: Interval,
    _permit: OwnedSemaphorePermit,
}

impl Line {
    fn open(state: &Data<ApiState>, caller: &Caller) -> Result<Self, Error> {
        let events = state.dispatch.events();
        if events.is_closed() {
            return Err(dispatch::Error::Stopping.into());
        }
        let permit = events.open_stream().ok_or_else(|| Error::TooManyStreams(events.most_streams()))?;
        let every = state.options.heartbeat;
        let mut heartbeat = interval_at(Instant::now() + every, every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let Caller { key_id: key, session, .. } = *caller;
        Ok(Self { state: state.clone(), key, session, pieces: VecDeque::new(), heartbeat, _permit: permit })
    }
}

fn shutdown() -> String {
    sse::event("shutdown", None, &json!({ "detail": "the service stops; connect again in a moment" }))
}

/// One task, to its end.
struct TaskStream {
    line: Line,
    watch: Watch,
    id: TaskId,
    /// The state that was told last.
    told: Option<Position>,
    is_over: bool,
}

impl TaskStream {
    /// What a task that was read looks like, unless it was told before.
    fn show(&mut self, task: TaskRecord) -> Option<String> {
        let event = task.event();
        if !task.is_final() {
            return self.show_event(event);
        }
        self.is_over = true;
        let id = event.position().to_string();
        Some(sse::event("task", Some(&id), &TaskChange::new(event, Some(task.into()))))
    }

    fn show_event(&mut self, event: TaskEvent) -> Option<String> {
        let position = event.position();
        if self.told.is_some_and(|told| told >= position) {
            return None;
        }
        self.told = Some(position);
        Some(sse::event("task", Some(&position.to_string()), &TaskChange::new(event, None)))
    }

    /// What is to be told of a sighting. An end is one only if PostgreSQL says so.
    async fn tell(&mut self, sighting: Sighting) -> Option<String> {
        if !sighting.is_end() {
            let Sighting::Moved(event) = sighting else { return None };
            return self.show_event(event);
        }
        match self.line.state.store.task(self.id).await {
            Ok(Some(task)) => self.show(task),
            Ok(None) => {
                self.is_over = true;
                Some(sse::event("deleted", None, &json!({ "id": self.id })))
            }
            Err(error) => {
                // It is seen again within a second of PostgreSQL's return.
                log::debug!("the end of task {} can't be shown yet: {error}", self.id);
                None
            }
        }
    }
}

impl Source for TaskStream {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(piece) = self.line.pieces.pop_front() {
                return Some(piece);
            }
            if self.is_over {
                return None;
            }
            tokio::select! {
                // What is known goes before the end of the service.
                biased;
                () = self.line.state.keyring.gone(self.line.key, self.line.session) => return None,
                sighting = self.watch.next() => {
                    let told = self.tell(sighting).await;
                    self.line.pieces.extend(told);
                }
                () = self.line.state.dispatch.events().closed() => {
                    self.is_over = true;
                    return Some(shutdown());
                }
                _ = self.line.heartbeat.tick() => return Some(sse::heartbeat(None)),
            }
        }
    }
}

/// Every task that fits.
struct AllStream {
    line: Line,
    follow: Follow,
    filter: Filter,
    is_over: bool,
}

impl AllStream {
    fn read(&mut self) -> String {
        let mut piece = String::new();
        for (number, event) in self.follow.read(PIECE) {
            let id = || self.follow.place(number);
            match &*event {
                Event::Task(task) if self.filter.fits(task) => {
                    piece += &sse::event("task", Some(&id()), &TaskChange::new(task.clone(), None));
                }
                Event::Task(_) => {}
                Event::Gap { reason } => piece += &sse::event("gap", Some(&id()), &gap(*reason)),
            }
        }
        piece
    }
}

impl Source for AllStream {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(piece) = self.line.pieces.pop_front() {
                return Some(piece);
            }
            if self.is_over {
                return None;
            }
            tokio::select! {
                // First: where events come without a pause, nothing behind them is ever looked at.
                biased;
                () = self.line.state.keyring.gone(self.line.key, self.line.session) => return None,
                () = self.follow.ready() => {
                    let piece = self.read();
                    self.line.pieces.extend(Some(piece).filter(|piece| !piece.is_empty()));
                }
                () = self.line.state.dispatch.events().closed() => {
                    self.is_over = true;
                    return Some(shutdown());
                }
                _ = self.line.heartbeat.tick() => {
                    return Some(sse::heartbeat(Some(&self.follow.place(self.follow.number()))));
                }
            }
        }
    }
}

fn gap(reason: GapReason) -> serde_json::Value {
    let detail = match reason {
        GapReason::Slow => "events came faster than they were read, or while nobody read them; load anew what you show",
        GapReason::Unheard => "other nodes could not be heard for a while; load anew what you show",
    };
    json!({ "reason": reason, "detail": detail })
}

/// Which tasks; what is `None` does not narrow.
#[derive(Clone, Debug, Default)]
struct Filter {
    workflow: Option<WorkflowId>,
    schedule: Option<ScheduleId>,
    queue: Option<QueueName>,
    status: Option<TaskStatus>,
}

impl Filter {
    fn fits(&self, task: &TaskEvent) -> bool {
        self.workflow.is_none_or(|id| id == task.workflow_id)
            && self.schedule.is_none_or(|id| Some(id) == task.schedule_id)
            && self.queue.as_ref().is_none_or(|queue| queue.as_str() == task.queue)
            && self.status.is_none_or(|status| status.as_str() == task.status)
    }
}

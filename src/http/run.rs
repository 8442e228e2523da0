//! `POST /api/v1/workflows/{id}/run`: the hot path. Nothing is read before the task is stored.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use actix_web::rt::time::sleep;
use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Error, ErrorBody, Problem, ValidationBody};
use super::query::{Query, read_time};
use super::state::{ApiOptions, ApiState};
use super::task::Task;
use super::workflow::resolve;
use crate::dispatch;
use crate::domain::clock;
use crate::domain::ids::{TaskId, WorkflowId};
use crate::domain::input::Input;
use crate::domain::queue::{Priority, QueueName};
use crate::domain::retry::RETRIES_MAX;
use crate::domain::task::NewTask;
use crate::domain::trace::Origin;
use crate::store::idempotency::Once;

/// Where workflows are run.
const ROUTE: &str = "/api/v1/workflows/{id}/run";
/// Longest `?wait=`.
const WAIT_MAX_S: i64 = 300;
/// Longest time limit that a task may ask for.
const TIMEOUT_MAX_S: u32 = 86_400;
/// Longest delay.
const DELAY_MAX_S: f64 = 366.0 * 86_400.0;
/// A `run_at` that has passed by no more counts as now: clocks differ, and requests take their time.
const RUN_AT_GRACE: TimeDelta = TimeDelta::minutes(1);
/// Longest session id and key.
const TEXT_MAX: usize = 255;

/// A run with what it may be told. A body that is only a JSON string is the input.
#[derive(Debug, Deserialize, ToSchema)]
pub struct RunRequest {
    /// Text, or an object, which the source is given as the JSON text that was sent. `{"value": x}` means x.
    #[schema(value_type = Object, example = json!("Hello"))]
    input_data: Box<RawValue>,
    /// Runs with the same session share what the source remembers; each has its own where none is given.
    #[schema(min_length = 1, max_length = 255)]
    session_id: Option<String>,
    /// Where it waits.
    #[schema(value_type = Option<String>, example = "celery")]
    queue: Option<QueueName>,
    /// How urgent it is there: 0 to 9, 9 first.
    #[schema(value_type = Option<u8>, minimum = 0, maximum = 9)]
    priority: Option<Priority>,
    /// Most retries.
    #[schema(maximum = 100)]
    max_retries: Option<u32>,
    /// Time limit of an attempt, in seconds.
    #[schema(minimum = 1, maximum = 86_400)]
    timeout: Option<u32>,
    /// Starts so many seconds later.
    #[schema(minimum = 0, maximum = 31_622_400)]
    delay: Option<f64>,
    /// Starts at this time, instead of a delay. One that passed more than a minute ago is refused.
    #[schema(value_type = Option<DateTime<Utc>>)]
    run_at: Option<String>,
}

/// Run a workflow: answers with the pending task as soon as it is stored.
#[utoipa::path(
    post, path = ROUTE, tag = "workflows",
    params(
        ("id" = String, Path, description = "The id, the flow's id in its source, or the beginning of the id"),
        ("wait" = Option<i64>, Query, minimum = 0, maximum = 300,
            description = "Answers when the task has ended, or after so many seconds with its state then"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key within 24 h returns the same task"),
    ),
    request_body(content = RunRequest, description = "The input as a JSON string, or an object"),
    responses(
        (status = 200, description = "The task", body = Task),
        (status = 400, description = "Several workflows fit", body = ErrorBody),
        (status = 404, description = "Workflow not found", body = ErrorBody),
        (status = 409, description = "The key belongs to a task of another workflow", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 422, description = "Parts of the request can't be used", body = ValidationBody),
        (status = 429, description = "As many tasks are pending as may be", body = ErrorBody),
    )
)]
pub(super) async fn run(
    state: Data<ApiState>,
    workflow: Path<String>,
    request: HttpRequest,
    body: Body,
) -> Result<Json<Task>, Error> {
    let mut query = Query::of(&request);
    let wait = query.number("wait", 0, WAIT_MAX_S);
    query.finish()?;
    let key = idempotency_key(request.headers())?;
    let draft = draft(&body, &state.options, clock::now())?;
    let origin = state.origin(&request, ROUTE);
    let task = match workflow.parse() {
        // A UUID may still be the flow's id in its source.
        Ok(id) => match submit(&state, draft.clone().of(id), key.clone(), origin).await {
            Err(Error::Dispatch(dispatch::Error::NoSuchWorkflow)) => {
                submit(&state, draft.of(resolve(&state, &workflow).await?), key, origin).await?
            }
            other => other?,
        },
        Err(_) => submit(&state, draft.of(resolve(&state, &workflow).await?), key, origin).await?,
    };
    match wait {
        Some(seconds) if seconds > 0 => finished(&state, task, Duration::from_secs(seconds.unsigned_abs())).await,
        _ => Ok(Json(task)),
    }
}

/// A task that lacks nothing but its workflow.
#[derive(Clone, Debug)]
struct Draft {
    input: Arc<str>,
    queue: QueueName,
    priority: Priority,
    max_retries: u32,
    session_id: Option<String>,
    timeout_s: Option<u32>,
    created_at: DateTime<Utc>,
    pending_at: DateTime<Utc>,
}

impl Draft {
    fn of(self, workflow_id: WorkflowId) -> NewTask {
        NewTask {
            id: TaskId::generate(),
            workflow_id,
            schedule_id: None,
            input: self.input,
            queue: self.queue,
            priority: self.priority,
            max_retries: self.max_retries,
            session_id: self.session_id,
            timeout_s: self.timeout_s,
            created_at: self.created_at,
            pending_at: self.pending_at,
        }
    }
}

async fn submit(state: &ApiState, task: NewTask, key: Option<String>, origin: Origin) -> Result<Task, Error> {
    let Some(key) = key else {
        state.dispatch.submit(task.clone(), origin).await?;
        return Ok(task.into());
    };
    let workflow_id = task.workflow_id;
    match state.dispatch.submit_once(key, task.clone(), origin).await? {
        Once::Created => Ok(task.into()),
        Once::NoSuchWorkflow => Err(dispatch::Error::NoSuchWorkflow.into()),
        Once::Existing(task) if task.workflow_id == workflow_id => Ok((*task).into()),
        Once::Existing(_) => Err(Error::Conflict {
            code: "idempotency_key_used",
            detail: "this Idempotency-Key belongs to a task of another workflow; use a new key".to_owned(),
        }),
    }
}

/// Waits until a task has ended, the time is up or the service stops, and shows it as it is then. The task is accepted:
/// while the database is away it is shown as it was seen last, for an error would make the caller send it again.
async fn finished(state: &ApiState, mut seen: Task, limit: Duration) -> Result<Json<Task>, Error> {
    let (events, id) = (state.dispatch.events(), seen.id);
    let mut watch = events.watch(id);
    let mut time_is_up = pin!(sleep(limit));
    let mut is_over = false;
    loop {
        match state.store.task(id).await {
            Ok(Some(task)) => {
                is_over |= task.is_final();
                seen = task.into();
            }
            Ok(None) => return Err(Error::NotFound("Task")),
            Err(error) if error.is_transient() => log::debug!("task {id} can't be seen now: {error}"),
            Err(error) => return Err(error.into()),
        }
        if is_over {
            return Ok(Json(seen));
        }
        tokio::select! {
            () = watch.end() => {}
            () = &mut time_is_up => is_over = true,
            () = events.closed() => is_over = true,
        }
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let Some(value) = headers.get("Idempotency-Key") else { return Ok(None) };
    match value.to_str().map(str::trim) {
        Ok(key) if (1..=TEXT_MAX).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Error::invalid(Problem {
            loc: vec!["header".into(), "Idempotency-Key".into()],
            msg: "the key must have 1 to 255 visible ASCII characters".to_owned(),
            kind: "value_error".to_owned(),
        })),
    }
}

fn draft(body: &Body, options: &ApiOptions, now: DateTime<Utc>) -> Result<Draft, Error> {
    // What PostgreSQL keeps of a time.
    let now = now.trunc_subsecs(6);
    let request = if body.bytes().trim_ascii_start().starts_with(b"{") {
        body.json::<RunRequest>()?
    } else {
        RunRequest {
            input_data: body.json()?,
            session_id: None,
            queue: None,
            priority: None,
            max_retries: None,
            timeout: None,
            delay: None,
            run_at: None,
        }
    };
    let mut problems = Vec::new();
    let input = Input::from_json(&request.input_data);
    let input = input.map_err(|error| problems.push(Problem::body("input_data", error.to_string())));
    let mut check = |fits: bool, field: &str, msg: String| {
        if !fits {
            problems.push(Problem::body(field, msg));
        }
    };
    let session_fits = request.session_id.as_ref().is_none_or(|id| (1..=TEXT_MAX).contains(&id.chars().count()));
    check(session_fits, "session_id", format!("session_id must have 1 to {TEXT_MAX} characters"));
    let retries_fit = request.max_retries.is_none_or(|retries| retries <= RETRIES_MAX);
    check(retries_fit, "max_retries", format!("max_retries must be from 0 to {RETRIES_MAX}"));
    let timeout_fits = request.timeout.is_none_or(|seconds| (1..=TIMEOUT_MAX_S).contains(&seconds));
    check(timeout_fits, "timeout", format!("timeout must be from 1 to {TIMEOUT_MAX_S} seconds"));
    let delay_fits = request.delay.is_none_or(|seconds| (0.0..=DELAY_MAX_S).contains(&seconds));
    check(delay_fits, "delay", "delay must be from 0 seconds to 366 days".to_owned());
    let run_at = request.run_at.as_deref().map(read_time);
    check(run_at != Some(None), "run_at", "run_at must be a date-time such as 2026-11-24T18:00:00Z".to_owned());
    let passed = run_at.flatten().filter(|at| now - *at > RUN_AT_GRACE);
    let has_passed =
        passed.map_or_else(String::new, |_| format!("run_at has passed (it is {now}); leave it out to run at once"));
    check(passed.is_none(), "run_at", has_passed);
    check(request.delay.is_none() || run_at.is_none(), "run_at", "give delay or run_at, not both".to_owned());
    let (Ok(input), true) = (input, problems.is_empty()) else { return Err(Error::Invalid(problems)) };
    #[expect(clippy::cast_possible_truncation, reason = "checked to be within a year")]
    let delay = request.delay.map(|seconds| TimeDelta::microseconds((seconds * 1e6) as i64));
    let start = run_at.flatten().or_else(|| Some(now + delay?)).unwrap_or(now);
    Ok(Draft {
        input: input.to_stored().into(),
        queue: request.queue.unwrap_or_default(),
        priority: request.priority.unwrap_or_default(),
        max_retries: request.max_retries.unwrap_or(options.fire.max_retries),
        session_id: request.session_id,
        timeout_s: request.timeout,
        created_at: now,
        pending_at: start.max(now).trunc_subsecs(6),
    })
}

/// Reads a body as a run's (for the fuzz target): what is taken keeps its input, and does not wait in the past.
#[cfg(any(test, fuzzing))]
pub(super) fn read_any(body: &Body, options: &ApiOptions) -> Result<(), Error> {
    let now = clock::now();
    let draft = draft(body, options, now)?;
    let stored: Box<RawValue> = serde_json::from_str(&draft.input).expect("an input is stored as JSON");
    let again = Input::from_json(&stored).expect("and is an input still").to_stored();
    assert_eq!(Input::source_text(Some(&again)), Input::source_text(Some(&draft.input)));
    assert!(draft.pending_at >= draft.created_at, "a task waits in the past");
    Ok(())
}

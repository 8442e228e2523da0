//! `/api/v1/tasks/retry`, `/cancel`, `/delete`: changes of many tasks.

use actix_web::web::{Data, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::body::Body;
use super::error::{Error, ErrorBody, Problem, ValidationBody};
use super::query::read_time;
use super::state::ApiState;
use crate::dispatch::bulk::{self, Action};
use crate::domain::ids::{ScheduleId, SourceId, TaskId, WorkflowId};
use crate::domain::queue::QueueName;
use crate::store::task_filter::TaskFilter;

/// Most tasks that a request names one by one.
const IDS_MAX: usize = 10_000;
/// Tasks that one request changes unless it says otherwise.
const LIMIT_DEFAULT: usize = 10_000;
/// Most tasks that one request changes.
const LIMIT_MAX: usize = 100_000;

/// Which tasks to change: those that everything given here fits. A field that is not known here is refused, since
/// without it more tasks would be changed than were meant.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TaskSelection {
    /// Only these tasks, at most 10 000.
    #[schema(max_items = 10_000)]
    ids: Option<Vec<Uuid>>,
    /// Of a workflow.
    workflow_id: Option<Uuid>,
    /// Of a schedule.
    schedule_id: Option<Uuid>,
    /// Of the workflows of a source.
    source_id: Option<Uuid>,
    /// In a status; `success` means `completed`.
    #[schema(example = "failed")]
    status: Option<String>,
    /// In a queue.
    #[schema(value_type = Option<String>)]
    queue: Option<QueueName>,
    /// Made then or later.
    #[schema(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    created_after: Option<String>,
    /// Made before.
    #[schema(value_type = Option<chrono::DateTime<chrono::Utc>>)]
    created_before: Option<String>,
    /// With this text in the id, input, result or error.
    q: Option<String>,
    /// Whose id begins so.
    id_prefix: Option<String>,
    /// Only pending ones: those that are to start later, or those that may start.
    delayed: Option<bool>,
    /// Says that every task is meant. Needed where nothing else narrows.
    all: bool,
    /// Most tasks to change with this request.
    #[schema(minimum = 1, maximum = 100_000)]
    limit: Option<usize>,
    /// `next_cursor` of the answer before, to go on from there.
    cursor: Option<Uuid>,
}

/// What a change of many tasks came to.
#[derive(Debug, Serialize, ToSchema)]
pub struct TaskTally {
    /// Tasks that were looked at because everything given fits them.
    matched: usize,
    /// Those of them that were changed.
    changed: usize,
    /// Those that were in a state that does not allow it.
    skipped: usize,
    /// Whether more tasks fit: the limit was reached, or the time that one request may take.
    has_more: bool,
    /// Goes on with those when sent as `cursor`, together with the same filter.
    #[schema(value_type = Option<Uuid>)]
    next_cursor: Option<TaskId>,
}

/// Run all failed and cancelled tasks again that a filter fits.
#[utoipa::path(
    post, path = "/api/v1/tasks/retry", tag = "tasks", request_body = TaskSelection,
    responses(
        (status = 200, description = "How many there were", body = TaskTally),
        (status = 409, description = "What it refers to was changed meanwhile", body = ErrorBody),
        (status = 422, description = "Parts of the body can't be used, or nothing narrows", body = ValidationBody),
    )
)]
pub(super) async fn retry(state: Data<ApiState>, body: Body) -> Result<Json<TaskTally>, Error> {
    change(&state, Action::Retry, &body).await
}

/// Call all tasks off that have not ended and that a filter fits.
#[utoipa::path(
    post, path = "/api/v1/tasks/cancel", tag = "tasks", request_body = TaskSelection,
    responses(
        (status = 200, description = "How many there were", body = TaskTally),
        (status = 409, description = "What it refers to was changed meanwhile", body = ErrorBody),
        (status = 422, description = "Parts of the body can't be used, or nothing narrows", body = ValidationBody),
    )
)]
pub(super) async fn cancel(state: Data<ApiState>, body: Body) -> Result<Json<TaskTally>, Error> {
    change(&state, Action::Cancel, &body).await
}

/// Delete all tasks that a filter fits, with their attempts and logs. Running ones are cancelled first.
#[utoipa::path(
    post, path = "/api/v1/tasks/delete", tag = "tasks", request_body = TaskSelection,
    responses(
        (status = 200, description = "How many there were", body = TaskTally),
        (status = 409, description = "What it refers to was changed meanwhile", body = ErrorBody),
        (status = 422, description = "Parts of the body can't be used, or nothing narrows", body = ValidationBody),
    )
)]
pub(super) async fn delete(state: Data<ApiState>, body: Body) -> Result<Json<TaskTally>, Error> {
    change(&state, Action::Delete, &body).await
}

async fn change(state: &ApiState, action: Action, body: &Body) -> Result<Json<TaskTally>, Error> {
    let selection: TaskSelection = if body.is_empty() { TaskSelection::default() } else { body.json()? };
    let (limit, after) = (selection.limit.unwrap_or(LIMIT_DEFAULT), selection.cursor.map(TaskId));
    let filter = selection.filter()?;
    let tally = bulk::run(&state.store, &state.dispatch, action, &filter, after, limit).await?;
    Ok(Json(TaskTally {
        matched: tally.matched,
        changed: tally.changed,
        skipped: tally.matched - tally.changed,
        has_more: tally.stopped_at.is_some(),
        next_cursor: tally.stopped_at,
    }))
}

impl TaskSelection {
    /// The filter that this is.
    ///
    /// # Errors
    /// Parts can't be used, or nothing narrows and nobody said that all are meant.
    fn filter(self) -> Result<TaskFilter, Error> {
        let mut problems = Vec::new();
        let mut refuse = |field: &str, msg: String| problems.push(Problem::body(field, msg));
        let status = self.status.map(|text| text.parse()).transpose();
        let status = status.unwrap_or_else(|error| {
            refuse("status", format!("{error}"));
            None
        });
        let id_prefix = self.id_prefix.map(|text| text.parse()).transpose().unwrap_or_else(|error| {
            refuse("id_prefix", format!("{error}"));
            None
        });
        let mut time = |field: &str, text: Option<String>| {
            let time = text.as_deref().map(read_time);
            if time == Some(None) {
                refuse(field, format!("{field} must be a date-time such as 2026-11-24T18:00:00Z (without zone: UTC)"));
            }
            time.flatten()
        };
        let created_after = time("created_after", self.created_after);
        let created_before = time("created_before", self.created_before);
        if self.ids.as_ref().is_some_and(|ids| ids.len() > IDS_MAX) {
            refuse("ids", format!("ids must not be more than {IDS_MAX}; send them in parts"));
        }
        if !self.limit.is_none_or(|limit| (1..=LIMIT_MAX).contains(&limit)) {
            refuse("limit", format!("limit must be from 1 to {LIMIT_MAX}"));
        }
        if !problems.is_empty() {
            return Err(Error::Invalid(problems));
        }
        let filter = TaskFilter {
            workflow_id: self.workflow_id.map(WorkflowId),
            schedule_id: self.schedule_id.map(ScheduleId),
            source_id: self.source_id.map(SourceId),
            status,
            queue: self.queue.map(|queue| queue.as_str().to_owned()),
            created_after,
            created_before,
            // A text of no characters is in every task.
            text: self.q.filter(|text| !text.is_empty()),
            id_prefix,
            delayed: self.delayed,
            ids: self.ids.map(|ids| ids.into_iter().map(TaskId).collect()),
        };
        if !self.all && filter.is_empty() {
            return Err(Error::invalid(Problem {
                loc: vec![Value::from("body")],
                msg: "nothing says which tasks are meant; give a filter, or \"all\": true for every task".to_owned(),
                kind: "filter_empty".to_owned(),
            }));
        }
        Ok(filter)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<TaskFilter, String> {
        let selection: TaskSelection = serde_json::from_value(body).map_err(|error| error.to_string())?;
        selection.filter().map_err(|error| match error {
            Error::Invalid(problems) => problems.into_iter().map(|problem| problem.msg).collect::<Vec<_>>().join("; "),
            other => other.to_string(),
        })
    }

    #[test]
    fn nothing_is_not_everything() {
        for body in [json!({}), json!({"q": ""}), json!({"all": false}), json!({"limit": 5}), json!({"status": null})] {
            assert!(read(body.clone()).is_err_and(|said| said.contains("which tasks are meant")), "{body}");
        }
        assert!(read(json!({"all": true})).is_ok_and(|filter| filter.is_empty()));
        assert!(read(json!({"ids": []})).is_ok_and(|filter| filter.ids == Some(vec![])), "a list of none is one");
    }

    #[test]
    fn a_field_that_is_not_known_is_refused_and_so_is_what_cant_be_read() {
        assert!(read(json!({"workflow_id": Uuid::nil(), "state": "failed"})).is_err_and(|said| said.contains("state")));
        let body =
            json!({"status": "done", "created_after": "soon", "id_prefix": "xyz", "limit": 0, "queue": "celery"});
        assert_eq!(read(body).map_err(|said| said.matches("; ").count()).err(), Some(3));
        assert!(read(json!({"ids": vec![Uuid::nil(); IDS_MAX + 1]})).is_err());
    }

    #[test]
    fn a_filter_is_read_as_the_list_reads_it() {
        let body = json!({"status": "success", "created_before": "2026-11-24", "id_prefix": "0192", "q": "x"});
        let filter = read(body).expect("valid");
        assert_eq!(filter.status.map(|status| status.as_str()), Some("completed"));
        assert!(filter.created_before.is_some() && filter.id_prefix.is_some() && filter.text.is_some());
    }
}

//! The log of a task.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::error::{Error, ErrorBody, ValidationBody};
use super::page::Page;
use super::query::Query;
use super::state::ApiState;
use super::task::{NOT_FOUND, parse_id};
use crate::domain::task_log::LogLevel;
use crate::store::task_log::LogRecord;

/// A line of a task's log.
#[derive(Debug, Serialize, ToSchema)]
pub struct LogLine {
    /// Its id; none for a line that the task's history tells.
    pub id: Option<Uuid>,
    /// `debug`, `info`, `warning` or `error`.
    #[schema(example = "info")]
    pub level: String,
    /// The line.
    #[schema(example = "Attempt 1 began on spark-1.")]
    pub message: String,
    /// The attempt that it is about.
    pub attempt: Option<i32>,
    /// The component of the flow that it is about.
    pub component_id: Option<String>,
    /// When it happened.
    pub created_at: DateTime<Utc>,
}

impl From<LogRecord> for LogLine {
    fn from(line: LogRecord) -> Self {
        Self {
            id: line.id,
            level: line.level,
            message: line.event.text(line.attempt),
            attempt: line.attempt,
            component_id: line.component_id,
            created_at: line.created_at,
        }
    }
}

/// Show the log of a task, the oldest line first: what its history tells, and what was noted about it.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/logs", tag = "tasks",
    params(
        ("id" = Uuid, Path),
        ("level" = Option<String>, Query, description = "Only lines as grave as this or more: `debug`, `info`, `warning`, `error`"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100), ("offset" = Option<i64>, Query, minimum = 0),
    ),
    responses(
        (status = 200, description = "A page of lines", body = Page<LogLine>),
        (status = 404, description = "Task not found", body = ErrorBody),
        (status = 422, description = "Parts of the query can't be used", body = ValidationBody),
    )
)]
pub(super) async fn list(
    state: Data<ApiState>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Page<LogLine>>, Error> {
    let mut query = Query::of(&request);
    let span = query.span();
    let least = query.read("level").unwrap_or(LogLevel::Debug);
    query.finish()?;
    let found = state.store.logs(parse_id(&id)?, least, span.offset, span.limit).await?;
    let (lines, total) = found.ok_or(NOT_FOUND)?;
    Ok(Json(Page::new(lines.into_iter().map(LogLine::from).collect(), total, span)))
}

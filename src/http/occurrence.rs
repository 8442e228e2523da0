//! What became of the occurrences of a schedule.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{Error, ErrorBody, ValidationBody};
use super::page::Page;
use super::query::Query;
use super::schedule::find;
use super::state::ApiState;
use crate::domain::ids::TaskId;
use crate::domain::schedule::{OccurrenceStatus, SkipReason};
use crate::store::occurrence::{OccurrenceFilter, OccurrenceRecord};

/// An occurrence that has passed.
#[derive(Debug, Serialize, ToSchema)]
pub struct PastOccurrence {
    /// Its time.
    pub scheduled_for: DateTime<Utc>,
    /// `made`, `skipped`, `missed` or `expired`.
    #[schema(value_type = String, example = "made")]
    pub status: OccurrenceStatus,
    /// The task that it made.
    #[schema(value_type = Option<Uuid>)]
    pub task_id: Option<TaskId>,
    /// The status of that task now.
    pub task_status: Option<String>,
    /// Why no task ran: `overlap`, `called_off`, `missed`, `paused` or `expired`.
    #[schema(value_type = Option<String>, example = "overlap")]
    pub reason: Option<SkipReason>,
    /// The reason, for people.
    pub detail: Option<&'static str>,
    /// How many occurrences before this one it stands for: of very many only the latest are noted one by one.
    pub earlier: i64,
    /// When its task was made, or the reason noted.
    pub noted_at: Option<DateTime<Utc>>,
}

impl From<OccurrenceRecord> for PastOccurrence {
    fn from(one: OccurrenceRecord) -> Self {
        let status = one.status();
        let (task_id, task_status) = one.task.unzip();
        Self {
            scheduled_for: one.scheduled_for,
            status,
            task_id,
            task_status,
            reason: one.reason,
            detail: one.reason.map(SkipReason::text),
            earlier: one.earlier,
            noted_at: one.noted_at,
        }
    }
}

/// Show what became of the occurrences of a schedule, the latest first.
#[utoipa::path(
    get, path = "/api/v1/schedules/{id}/occurrences", tag = "schedules",
    params(
        ("id" = Uuid, Path),
        ("status" = Option<String>, Query, description = "`made`, `skipped`, `missed` or `expired`"),
        ("after" = Option<DateTime<Utc>>, Query, description = "Due at this time or later"),
        ("before" = Option<DateTime<Utc>>, Query, description = "Due before this time"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100), ("offset" = Option<i64>, Query, minimum = 0),
    ),
    responses(
        (status = 200, description = "A page of occurrences", body = Page<PastOccurrence>),
        (status = 404, description = "Schedule not found", body = ErrorBody),
        (status = 422, description = "Parts of the query can't be used", body = ValidationBody),
    )
)]
pub(super) async fn list(
    state: Data<ApiState>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Page<PastOccurrence>>, Error> {
    let mut query = Query::of(&request);
    let span = query.span();
    let filter =
        OccurrenceFilter { status: query.read("status"), after: query.time("after"), before: query.time("before") };
    query.finish()?;
    let schedule = find(&state, &id).await?.id;
    let (occurrences, total) = state.store.occurrences(schedule, filter, span.offset, span.limit).await?;
    Ok(Json(Page::new(occurrences.into_iter().map(PastOccurrence::from).collect(), total, span)))
}

//! The next occurrences of a schedule, before or after it is made.

use actix_web::HttpRequest;
use actix_web::web::{Data, Json, Path};
use chrono::{DateTime, FixedOffset, Offset, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Error, ErrorBody, Problem, ValidationBody};
use super::query::Query;
use super::schedule::find;
use super::schedule_body::{EXPR_MAX, as_it_stands, of_rule as of_rule_error};
use super::state::ApiState;
use crate::domain::clock;
use crate::domain::schedule::{self, Rule, ScheduleKind};
use crate::store::schedule::ScheduleRecord;

const COUNT_DEFAULT: i64 = 10;
const COUNT_MAX: i64 = 100;

/// A rule to preview.
#[derive(Debug, Deserialize, ToSchema)]
pub struct PreviewRequest {
    /// `cron`, `interval` or `one-time`.
    #[schema(value_type = String, example = "cron")]
    schedule_type: ScheduleKind,
    /// When it would run.
    #[schema(example = "30 2 * * *")]
    schedule_expr: String,
    /// The zone of the expression.
    #[schema(example = "Europe/Berlin")]
    timezone: Option<String>,
    /// How many occurrences to show.
    #[schema(minimum = 1, maximum = 100)]
    count: Option<i64>,
}

/// The next occurrences of a rule.
#[derive(Debug, Serialize, ToSchema)]
pub struct Preview {
    /// `cron`, `interval` or `one-time`.
    schedule_type: &'static str,
    /// When it runs.
    schedule_expr: String,
    /// The zone of the expression.
    pub(super) timezone: &'static str,
    /// The next occurrences.
    pub(super) occurrences: Vec<Occurrence>,
}

/// One occurrence.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Occurrence {
    /// The instant.
    pub(super) utc: DateTime<Utc>,
    /// What the clock of the zone shows then.
    pub(super) local: DateTime<FixedOffset>,
    /// The clock was changed between the occurrence before (or now) and this one.
    pub(super) clock_changed: bool,
}

/// Preview a schedule.
#[utoipa::path(
    get, path = "/api/v1/schedules/{id}/preview", tag = "schedules",
    params(("id" = Uuid, Path), ("count" = Option<i64>, Query, minimum = 1, maximum = 100)),
    responses(
        (status = 200, description = "The next occurrences", body = Preview),
        (status = 400, description = "Its time has passed", body = ErrorBody),
        (status = 404, description = "Schedule not found", body = ErrorBody),
        (status = 422, description = "Parts of the query can't be used", body = ValidationBody),
    )
)]
pub(super) async fn of_schedule(
    state: Data<ApiState>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Preview>, Error> {
    let mut query = Query::of(&request);
    let count = query.number("count", 1, COUNT_MAX).unwrap_or(COUNT_DEFAULT);
    query.finish()?;
    of_stored(&find(&state, &id).await?, count).map(Json)
}

/// The next occurrences of a schedule.
pub(super) fn of_stored(schedule: &ScheduleRecord, count: i64) -> Result<Preview, Error> {
    let schedule = as_it_stands(schedule)?;
    let rule = Rule::parse_stored(schedule.kind, &schedule.expr, schedule.timezone).map_err(of_rule_error)?;
    let now = clock::now();
    let first = schedule.next_run_at.or_else(|| match &rule {
        // A one-time schedule that waits for nothing has nothing to come.
        Rule::OneTime(at) => Some(*at).filter(|at| *at > now),
        rule => rule.first(now),
    });
    Ok(Preview {
        schedule_type: schedule.kind.as_str(),
        schedule_expr: schedule.expr,
        timezone: schedule.timezone.name(),
        occurrences: occurrences(&rule, schedule.timezone, now, first, count),
    })
}

/// Preview a rule that is no schedule yet.
#[utoipa::path(
    post, path = "/api/v1/schedules/preview", tag = "schedules", request_body = PreviewRequest,
    responses(
        (status = 200, description = "The next occurrences", body = Preview),
        (status = 400, description = "Its time has passed", body = ErrorBody),
        (status = 422, description = "Parts of the body can't be used", body = ValidationBody),
    )
)]
pub(super) async fn of_rule_given(state: Data<ApiState>, body: Body) -> Result<Json<Preview>, Error> {
    let request: PreviewRequest = body.json()?;
    let count = request.count.unwrap_or(COUNT_DEFAULT);
    if !(1..=COUNT_MAX).contains(&count) {
        return Err(Error::invalid(Problem::body("count", "count must be from 1 to 100")));
    }
    let timezone = request.timezone.as_deref();
    of_rule(request.schedule_type, request.schedule_expr, timezone, count, state.options.timezone).map(Json)
}

/// The next occurrences of a rule; without a zone in the one that is used where none is named.
pub(super) fn of_rule(
    kind: ScheduleKind,
    expr: String,
    timezone: Option<&str>,
    count: i64,
    default_timezone: Tz,
) -> Result<Preview, Error> {
    let refuse = |field: &str, msg: &str| Error::invalid(Problem::body(field, msg));
    let timezone = timezone.map_or(Ok(default_timezone), str::parse::<Tz>);
    let timezone = timezone
        .map_err(|_| refuse("timezone", "timezone must be a name of the IANA database such as Europe/Berlin or UTC"))?;
    if expr.len() > EXPR_MAX {
        return Err(refuse("schedule_expr", "schedule_expr must not be longer than 255 characters"));
    }
    let now = clock::now();
    let rule = Rule::parse(kind, &expr, timezone, now).map_err(of_rule_error)?;
    let first = rule.first(now);
    Ok(Preview {
        schedule_type: kind.as_str(),
        schedule_expr: expr,
        timezone: timezone.name(),
        occurrences: occurrences(&rule, timezone, now, first, count),
    })
}

impl From<schedule::Occurrence> for Occurrence {
    fn from(one: schedule::Occurrence) -> Self {
        let offset = one.local.offset().fix();
        Self { utc: one.at, local: one.at.with_timezone(&offset), clock_changed: one.clock_change.is_some() }
    }
}

fn occurrences(rule: &Rule, zone: Tz, now: DateTime<Utc>, first: Option<DateTime<Utc>>, count: i64) -> Vec<Occurrence> {
    let count = usize::try_from(count).unwrap_or(0);
    schedule::preview(rule, zone, now, first, count).into_iter().map(Occurrence::from).collect()
}

//! What may be written of a schedule, and what follows from it.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::error::{Error, Problem};
use super::limits::present;
use super::state::ApiOptions;
use crate::domain::ids::WorkflowId;
use crate::domain::input::Input;
use crate::domain::queue::{Priority, QueueName};
use crate::domain::schedule::{MissedPolicy, OverlapPolicy, Rule, RuleError, ScheduleKind, ScheduleStatus};
use crate::store::schedule::{ScheduleDraft, ScheduleRecord};

/// Longest expression.
pub(super) const EXPR_MAX: usize = 255;
/// Longest jitter and expiry.
const SECONDS_MAX: i32 = 366 * 86_400;

/// What is said of a schedule. A new one needs `workflow_id`, `schedule_type` and `schedule_expr` and gets the default
/// of what is absent; in a change, what is absent stays, and null takes away an input, parameters or an expiry.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct ScheduleBody {
    /// A workflow's id, its flow's id in the source, or the beginning of its id.
    workflow_id: Option<String>,
    /// `cron`, `interval` or `one-time`.
    #[schema(value_type = Option<String>, example = "cron")]
    schedule_type: Option<ScheduleKind>,
    /// Five cron fields or `@hourly`, `@daily`, ...; `30s`, `5m`, `2h`, `1d`; `now` or a date-time.
    #[schema(min_length = 1, max_length = 255, example = "0 9 * * MON-FRI")]
    schedule_expr: Option<String>,
    /// The input of its tasks: text or an object. The configured default is used where there is none.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>)]
    input_value: Option<Option<Box<RawValue>>>,
    /// Whatever the user keeps there.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Value>)]
    params: Option<Option<Value>>,
    /// `active` or `paused`.
    #[schema(value_type = Option<String>, example = "active")]
    status: Option<ScheduleStatus>,
    /// The zone of the expression, a name of the IANA database.
    #[schema(example = "Europe/Berlin")]
    timezone: Option<String>,
    /// What becomes of missed occurrences: `skip`, `last` or `all`.
    #[schema(value_type = Option<String>, example = "last")]
    missed_policy: Option<MissedPolicy>,
    /// What becomes of occurrences that overlap: `allow`, `skip` or `queue-one`.
    #[schema(value_type = Option<String>, example = "allow")]
    overlap_policy: Option<OverlapPolicy>,
    /// Tasks start up to so many seconds later.
    #[schema(minimum = 0, maximum = 31_622_400)]
    jitter_s: Option<i32>,
    /// A missed occurrence older than so many seconds is not made up for.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i32>, minimum = 0, maximum = 31_622_400)]
    expires_s: Option<Option<i32>>,
    /// Where its tasks wait.
    #[schema(value_type = Option<String>, example = "celery")]
    queue: Option<QueueName>,
    /// How urgent they are there: 0 to 9, 9 first.
    #[schema(value_type = Option<u8>, minimum = 0, maximum = 9)]
    priority: Option<Priority>,
}

impl ScheduleBody {
    /// The workflow that is named.
    pub(super) fn workflow(&self) -> Option<&str> {
        self.workflow_id.as_deref()
    }

    /// Whether the status is named.
    pub(super) fn names_status(&self) -> bool {
        self.status.is_some()
    }

    /// The workflow that is named, where all that a new schedule needs is.
    ///
    /// # Errors
    /// Something is missing.
    pub(super) fn complete(&self) -> Result<&str, Error> {
        let needed = [
            ("workflow_id", self.workflow_id.is_some()),
            ("schedule_type", self.schedule_type.is_some()),
            ("schedule_expr", self.schedule_expr.is_some()),
        ];
        let missing = |(field, there): (&str, bool)| {
            let loc = vec!["body".into(), field.into()];
            (!there).then(|| Problem { loc, msg: "Field required".to_owned(), kind: "missing".to_owned() })
        };
        let problems: Vec<Problem> = needed.into_iter().filter_map(missing).collect();
        self.workflow_id.as_deref().filter(|_| problems.is_empty()).ok_or(Error::Invalid(problems))
    }

    /// The schedule that this makes of another. Its next occurrence is not worked out yet.
    ///
    /// # Errors
    /// Parts can't be used.
    pub(super) fn over(self, base: ScheduleDraft, workflow_id: Option<WorkflowId>) -> Result<ScheduleDraft, Error> {
        let mut problems = Vec::new();
        let input = match self.input_value {
            None => base.input,
            // The Python service takes an empty text for none.
            Some(None) => None,
            Some(Some(json)) if json.get() == "\"\"" => None,
            Some(Some(json)) => match Input::from_json(&json) {
                Ok(input) => Some(input.to_stored()),
                Err(error) => {
                    let msg = error.to_string().replace("input_data", "input_value");
                    problems.push(Problem::body("input_value", msg));
                    None
                }
            },
        };
        let timezone = self.timezone.as_deref().map_or(Ok(base.timezone), Tz::from_str);
        let mut check = |fits: bool, field: &str, msg: &str| {
            if !fits {
                problems.push(Problem::body(field, msg));
            }
        };
        check(
            timezone.is_ok(),
            "timezone",
            "timezone must be a name of the IANA database such as Europe/Berlin or UTC",
        );
        let seconds_fit = |seconds: i32| (0..=SECONDS_MAX).contains(&seconds);
        check(self.jitter_s.is_none_or(seconds_fit), "jitter_s", "jitter_s must be from 0 seconds to 366 days");
        let expires_fits = self.expires_s.flatten().is_none_or(seconds_fit);
        check(expires_fits, "expires_s", "expires_s must be from 0 seconds to 366 days");
        let status_fits = self.status != Some(ScheduleStatus::Completed);
        check(status_fits, "status", "status can be set to active or paused; a schedule completes by itself");
        let expr = self.schedule_expr.map_or(base.expr, |expr| expr.trim().to_owned());
        check(expr.len() <= EXPR_MAX, "schedule_expr", "schedule_expr must not be longer than 255 characters");
        let (Ok(timezone), true) = (timezone, problems.is_empty()) else { return Err(Error::Invalid(problems)) };
        Ok(ScheduleDraft {
            workflow_id: workflow_id.unwrap_or(base.workflow_id),
            kind: self.schedule_type.unwrap_or(base.kind),
            expr,
            input,
            params: self.params.map_or(base.params, |params| params.map(|params| params.to_string())),
            status: self.status.unwrap_or(base.status),
            timezone,
            missed_policy: self.missed_policy.unwrap_or(base.missed_policy),
            overlap_policy: self.overlap_policy.unwrap_or(base.overlap_policy),
            jitter_s: self.jitter_s.unwrap_or(base.jitter_s),
            expires_s: self.expires_s.unwrap_or(base.expires_s),
            queue: self.queue.unwrap_or(base.queue),
            priority: self.priority.unwrap_or(base.priority),
            next_run_at: base.next_run_at,
            resume_from: base.resume_from,
        })
    }
}

/// A schedule of which nothing is said yet.
pub(super) fn blank(workflow_id: WorkflowId, options: &ApiOptions) -> ScheduleDraft {
    ScheduleDraft {
        workflow_id,
        kind: ScheduleKind::Cron,
        expr: String::new(),
        input: None,
        params: None,
        status: ScheduleStatus::Active,
        timezone: options.timezone,
        missed_policy: options.missed_policy,
        overlap_policy: options.overlap_policy,
        jitter_s: 0,
        expires_s: None,
        queue: QueueName::default(),
        priority: Priority::default(),
        next_run_at: None,
        resume_from: None,
    }
}

/// A stored schedule. What an older version wrote and this one can't read has to be replaced whole.
///
/// # Errors
/// It holds such a thing.
pub(super) fn as_it_stands(schedule: &ScheduleRecord) -> Result<ScheduleDraft, Error> {
    fn read<T: FromStr>(field: &str, text: &str) -> Result<T, Error> {
        let detail = format!("the stored {field} {text:?} is not known to this version; replace the schedule with PUT");
        text.parse().map_err(|_| Error::refused("schedule_unreadable", detail))
    }
    Ok(ScheduleDraft {
        workflow_id: schedule.workflow_id,
        kind: read("schedule_type", &schedule.kind)?,
        expr: schedule.expr.clone(),
        input: schedule.input.clone(),
        params: schedule.params.clone(),
        status: read("status", &schedule.status)?,
        timezone: read("timezone", &schedule.timezone)?,
        missed_policy: read("missed_policy", &schedule.missed_policy)?,
        overlap_policy: read("overlap_policy", &schedule.overlap_policy)?,
        jitter_s: schedule.jitter_s,
        expires_s: schedule.expires_s,
        queue: QueueName::new(schedule.queue.as_str()).unwrap_or_default(),
        priority: Priority::new(schedule.priority.into()).unwrap_or_default(),
        next_run_at: schedule.next_run_at,
        resume_from: schedule.resume_from,
    })
}

/// Works out the next occurrence of a schedule that was `former` before (or did not exist). An active one whose rule
/// did not change keeps the occurrence that it has, and a paused one goes on where it stopped, even where that has
/// passed: its missed policy decides. Another rule brings a completed one back to life.
///
/// # Errors
/// The expression can't be read, or its time has passed.
pub(super) fn settle(
    mut draft: ScheduleDraft,
    former: Option<&ScheduleDraft>,
    now: DateTime<Utc>,
) -> Result<ScheduleDraft, Error> {
    let same_rule = former.is_some_and(|former| rule(former) == rule(&draft));
    if !same_rule && draft.status == ScheduleStatus::Completed {
        draft.status = ScheduleStatus::Active;
    }
    let stands = former.filter(|_| same_rule).and_then(standing);
    draft.resume_from = stands.filter(|_| draft.status == ScheduleStatus::Paused);
    draft.next_run_at = match draft.status {
        ScheduleStatus::Active => Some(stands.map_or_else(|| first(&draft, now), Ok)?),
        // A paused one-time schedule may be changed after its time.
        _ if same_rule => None,
        _ => first(&draft, now).map(|_| None)?,
    };
    Ok(draft)
}

/// The first occurrence of a schedule that nothing was made of yet.
fn standing(schedule: &ScheduleDraft) -> Option<DateTime<Utc>> {
    match schedule.status {
        ScheduleStatus::Active => schedule.next_run_at,
        ScheduleStatus::Paused => schedule.resume_from,
        ScheduleStatus::Completed => None,
    }
}

/// What says when a schedule runs.
fn rule(schedule: &ScheduleDraft) -> (ScheduleKind, &str, Tz) {
    (schedule.kind, &schedule.expr, schedule.timezone)
}

fn first(draft: &ScheduleDraft, now: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
    let rule = Rule::parse(draft.kind, &draft.expr, draft.timezone, now).map_err(of_rule)?;
    let never = || Error::invalid(Problem::body("schedule_expr", "the schedule has no occurrence in the future"));
    rule.first(now).ok_or_else(never)
}

/// A time that has passed is a refusal (400), an expression that can't be read a validation error (422).
pub(super) fn of_rule(error: RuleError) -> Error {
    match error {
        RuleError::Past { .. } => Error::refused(error.code(), error.to_string()),
        error => Error::invalid(Problem {
            loc: vec!["body".into(), "schedule_expr".into()],
            msg: error.to_string(),
            kind: error.code().to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-06-10T12:00:00Z".parse().expect("an instant")
    }

    fn made(body: Value) -> Result<ScheduleDraft, Error> {
        let body: ScheduleBody = serde_json::from_value(body).expect("a body");
        settle(body.over(blank(WorkflowId::generate(), &ApiOptions::default()), None)?, None, now())
    }

    fn changed(former: &ScheduleDraft, body: Value) -> Result<ScheduleDraft, Error> {
        let body: ScheduleBody = serde_json::from_value(body).expect("a body");
        settle(body.over(former.clone(), None)?, Some(former), now() + chrono::TimeDelta::minutes(30))
    }

    fn hourly() -> ScheduleDraft {
        made(json!({"schedule_type": "cron", "schedule_expr": "@hourly", "input_value": "x", "expires_s": 5}))
            .expect("valid")
    }

    #[test]
    fn a_new_schedule_has_its_first_occurrence() {
        let schedule = hourly();
        assert_eq!(schedule.next_run_at, Some("2026-06-10T13:00:00Z".parse().expect("an instant")));
        assert_eq!(schedule.input.as_deref(), Some(r#"{"value":"x"}"#));
        let at_once = made(json!({"schedule_type": "one-time", "schedule_expr": "now"})).expect("valid");
        assert_eq!(at_once.next_run_at, Some(now()));
        let paused = made(json!({"schedule_type": "interval", "schedule_expr": "5m", "status": "paused"}));
        assert_eq!(paused.expect("valid").next_run_at, None);
    }

    #[test]
    fn a_change_keeps_the_occurrence_unless_it_changes_the_rule() {
        let former = hourly();
        let next = |body| changed(&former, body).expect("valid").next_run_at;
        assert_eq!(next(json!({"input_value": "y", "queue": "other"})), former.next_run_at);
        assert_eq!(next(json!({"schedule_expr": "45 * * * *"})), Some(now() + chrono::TimeDelta::minutes(45)));
        assert_eq!(next(json!({"status": "paused"})), None);
    }

    #[test]
    fn null_takes_away_and_absent_keeps() {
        let former = hourly();
        let kept = changed(&former, json!({"timezone": null})).expect("valid");
        assert_eq!((kept.input.is_some(), kept.expires_s), (true, Some(5)));
        let taken = changed(&former, json!({"input_value": null, "expires_s": null})).expect("valid");
        assert_eq!((taken.input, taken.expires_s), (None, None));
    }

    #[test]
    fn a_completed_schedule_lives_again_with_a_new_time() {
        let once = made(json!({"schedule_type": "one-time", "schedule_expr": "now"})).expect("valid");
        let completed = ScheduleDraft { status: ScheduleStatus::Completed, next_run_at: None, ..once };
        let untouched = changed(&completed, json!({"input_value": "y"})).expect("valid");
        assert_eq!((untouched.status, untouched.next_run_at), (ScheduleStatus::Completed, None));
        let again = changed(&completed, json!({"schedule_expr": "2026-07-01 00:00"})).expect("valid");
        assert_eq!(again.status, ScheduleStatus::Active);
    }

    #[test]
    fn what_can_not_be_used_is_answered_with_its_place() {
        let status = |body| {
            use actix_web::ResponseError;
            made(body).map(|_| 0).unwrap_or_else(|error| error.status_code().as_u16())
        };
        assert_eq!(status(json!({"schedule_type": "one-time", "schedule_expr": "2020-01-01 00:00"})), 400);
        for bad in [
            json!({"schedule_expr": "* * * *"}),
            json!({"schedule_expr": "0 0 30 2 *"}),
            json!({"schedule_expr": "@hourly", "timezone": "Mars/Base"}),
            json!({"schedule_expr": "@hourly", "jitter_s": -1}),
            json!({"schedule_expr": "@hourly", "expires_s": i32::MAX}),
            json!({"schedule_expr": "@hourly", "status": "completed"}),
            json!({"schedule_expr": "@hourly", "input_value": 5}),
            json!({"schedule_expr": "x".repeat(300)}),
        ] {
            assert_eq!(status(bad.clone()), 422, "{bad}");
        }
    }
}

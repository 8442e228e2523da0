//! `/dashboard/schedules/new`, `/dashboard/schedules/{id}`: making and changing a schedule, and what it will do.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::Offset;
use chrono_tz::{TZ_VARIANTS, Tz};
use maud::{Markup, html};

use super::super::error::Error;
use super::super::occurrence::PastOccurrence;
use super::super::preview::{self, Preview};
use super::super::query::Query;
use super::super::schedule::find;
use super::super::schedule_body::blank;
use super::super::shown;
use super::super::state::ApiState;
use super::element::{Action, choice, empty, field, pill, short, when, when_known};
use super::schedule_list::actions;
use super::view::{Section, View};
use crate::domain::ids::WorkflowId;
use crate::domain::schedule::{MissedPolicy, OverlapPolicy, ScheduleKind};
use crate::store::brief::WorkflowBrief;
use crate::store::occurrence::OccurrenceFilter;
use crate::store::schedule::{ScheduleDraft, ScheduleRecord};

const WORKFLOWS_OFFERED: i64 = 1000;
const RUNS_SHOWN: i64 = 8;
const PAST_SHOWN: i64 = 20;

/// What the fields hold, as text.
struct Values {
    workflow: String,
    kind: String,
    expr: String,
    timezone: String,
    input: String,
    missed: String,
    overlap: String,
    jitter: String,
    expires: String,
    queue: String,
    priority: String,
}

impl Values {
    fn of_draft(draft: &ScheduleDraft, workflow: String) -> Self {
        Self {
            workflow,
            kind: draft.kind.to_string(),
            expr: draft.expr.clone(),
            timezone: draft.timezone.name().to_owned(),
            input: String::new(),
            missed: draft.missed_policy.to_string(),
            overlap: draft.overlap_policy.to_string(),
            jitter: draft.jitter_s.to_string(),
            expires: draft.expires_s.map(|seconds| seconds.to_string()).unwrap_or_default(),
            queue: draft.queue.to_string(),
            priority: draft.priority.get().to_string(),
        }
    }

    fn of_record(record: &ScheduleRecord) -> Self {
        let input = shown::value(record.input.clone());
        // A text is edited as it is, anything else as JSON.
        let input = input.map(|raw| serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned()));
        Self {
            workflow: record.workflow_id.to_string(),
            kind: record.kind.clone(),
            expr: record.expr.clone(),
            timezone: record.timezone.clone(),
            input: input.unwrap_or_default(),
            missed: record.missed_policy.clone(),
            overlap: record.overlap_policy.clone(),
            jitter: record.jitter_s.to_string(),
            expires: record.expires_s.map(|seconds| seconds.to_string()).unwrap_or_default(),
            queue: record.queue.clone(),
            priority: record.priority.to_string(),
        }
    }
}

/// `GET /dashboard/schedules/new`.
pub(super) async fn new(state: Data<ApiState>, request: HttpRequest, view: View) -> Result<HttpResponse, Error> {
    let workflow = Query::of(&request).text("workflow").unwrap_or_default();
    let workflows = state.store.workflow_briefs(None, WORKFLOWS_OFFERED).await?;
    let draft = blank(WorkflowId::generate(), &state.options);
    let body = if workflows.is_empty() {
        let text = "There is no workflow to schedule yet. Add a source, then sync one of its flows.";
        empty(text, Some(("/dashboard/sources", "Add a source")))
    } else if view.may("POST", "/api/v1/schedules") {
        form(("POST", "/api/v1/schedules", "Make the schedule"), &Values::of_draft(&draft, workflow), &workflows)
    } else {
        empty("Making a schedule takes an API key of the scope admin.", None)
    };
    Ok(view.page(Section::Schedules, "New schedule", body))
}

/// `GET /dashboard/schedules/{id}`.
pub(super) async fn edit(state: Data<ApiState>, id: Path<String>, view: View) -> Result<HttpResponse, Error> {
    let schedule = find(&state, &id).await?;
    let workflows = state.store.workflow_briefs(None, WORKFLOWS_OFFERED).await?;
    let (past, _) = state.store.occurrences(schedule.id, OccurrenceFilter::default(), 0, PAST_SHOWN).await?;
    let name = workflows.iter().find(|workflow| workflow.id == schedule.workflow_id);
    let name = name.map_or_else(|| short(schedule.workflow_id), |workflow| workflow.name.clone());
    let (path, key) = (format!("/api/v1/schedules/{}", schedule.id), schedule.id.to_string());
    let past: Vec<PastOccurrence> = past.into_iter().map(PastOccurrence::from).collect();
    let body = html! {
        div #schedule data-live {
            section.card {
                div.row.between {
                    p.status { (pill(&schedule.status)) " " span.mono { (schedule.expr) } " "
                        span.muted { (schedule.kind) ", " (schedule.timezone) } }
                    div.actions {
                        (actions(&view, &schedule))
                        (Action::new("DELETE", "/api/v1/schedules/{id}", &key, "Delete")
                            .confirm("Delete this schedule? Its tasks stay.").then("/dashboard/schedules").button(&view))
                    }
                }
                @if let Some(reason) = &schedule.status_reason { p.note.warn { (reason) } }
                dl.facts {
                    div { dt { "Next" } dd { (when_known(view.now, schedule.next_run_at)) } }
                    div { dt { "Last" } dd { (when_known(view.now, schedule.last_run_at)) } }
                    div { dt { "Tasks" } dd { a href={ "/dashboard/tasks?schedule_id=" (schedule.id) } { "show" } } }
                }
            }
            div.columns {
                section.card { h2 { "Next runs" } (next_runs(&view, preview::of_stored(&schedule, RUNS_SHOWN))) }
                section.card { h2 { "Past runs" } (past_runs(&view, &past)) }
            }
        }
        @if view.may("PATCH", "/api/v1/schedules/{id}") {
            section { h2 { "Change it" }
                (form(("PATCH", &path, "Save"), &Values::of_record(&schedule), &workflows)) }
        }
    };
    Ok(view.page(Section::Schedules, &name, body))
}

/// `GET /dashboard/schedules/preview`: what a rule would do, part of a page.
pub(super) async fn preview(state: Data<ApiState>, request: HttpRequest, view: View) -> HttpResponse {
    let mut query = Query::of(&request);
    let expr = query.text("schedule_expr").unwrap_or_default();
    let timezone = query.text("timezone");
    let kind: Option<ScheduleKind> = query.read("schedule_type");
    let shown = match query.finish() {
        _ if expr.trim().is_empty() => html! { p.muted { "Say when it runs, and the next runs show here." } },
        Err(error) => next_runs(&view, Err(error)),
        Ok(()) => {
            let kind = kind.unwrap_or(ScheduleKind::Cron);
            next_runs(&view, preview::of_rule(kind, expr, timezone.as_deref(), RUNS_SHOWN, state.options.timezone))
        }
    };
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(shown.into_string())
}

fn next_runs(view: &View, preview: Result<Preview, Error>) -> Markup {
    let preview = match preview {
        Ok(preview) => preview,
        Err(Error::Invalid(problems)) => {
            return html! { ul.error { @for problem in problems { li { (problem.msg) } } } };
        }
        Err(error) => return html! { p.error { (error.shown()) } },
    };
    html! {
        @if preview.occurrences.is_empty() { p.muted { "Nothing is to come." } }
        ol.runs { @for run in &preview.occurrences { li {
            span.mono { (run.local.format("%a %Y-%m-%d %H:%M:%S")) }
            @if preview.timezone != "UTC" { " " small.muted { (run.local.offset().fix()) " · " (run.utc.format("%H:%M UTC")) } }
            " " span.muted { (when(view.now, run.utc)) }
            @if run.clock_changed { " " span.pill.warn { "clock change" } }
        } } }
    }
}

fn past_runs(view: &View, past: &[PastOccurrence]) -> Markup {
    html! {
        @if past.is_empty() { p.muted { "None yet." } }
        ol.runs { @for run in past { li {
            (when(view.now, run.scheduled_for)) " "
            @match (&run.task_id, &run.task_status) {
                (Some(id), Some(status)) => { (pill(status)) " " a.mono href={ "/dashboard/tasks/" (id) } { (short(id)) } },
                _ => (pill(run.status.as_str())),
            }
            @if let Some(detail) = run.detail { " " small.muted { (detail) } }
        } } }
    }
}

fn form((method, path, label): (&str, &str, &str), values: &Values, workflows: &[WorkflowBrief]) -> Markup {
    let ids: Vec<(String, &str)> =
        workflows.iter().map(|workflow| (workflow.id.to_string(), workflow.name.as_str())).collect();
    let named = ids.iter().map(|(id, name)| (id.as_str(), *name));
    let kinds = ScheduleKind::ALL.iter().map(|kind| (kind.as_str(), kind.as_str()));
    let missed = MissedPolicy::ALL.iter().map(|policy| (policy.as_str(), policy.as_str()));
    let overlap = OverlapPolicy::ALL.iter().map(|policy| (policy.as_str(), policy.as_str()));
    let number = |name: &str, value: &str, max: &str| {
        html! {
            input type="number" name=(name) value=(value) min="0" max=(max) data-as="number";
        }
    };
    html! {
        form.card.columns data-method=(method) data-path=(path) data-then="/dashboard/schedules/{id}" data-preview="/dashboard/schedules/preview" {
            div {
                (field("workflow_id", "Workflow", "", choice("workflow_id", &values.workflow, named)))
                (field("schedule_type", "Kind", "", choice("schedule_type", &values.kind, kinds)))
                (field("schedule_expr", "When", "cron: 0 9 * * MON-FRI or @hourly · interval: 30s, 5m, 2h · one-time: now, or 2027-01-31 09:00",
                    html! { input.mono name="schedule_expr" value=(values.expr) required maxlength="255" autocomplete="off" spellcheck="false"; }))
                (field("timezone", "Time zone", "", html! { input name="timezone" value=(values.timezone) list="zones" autocomplete="off"; }))
                datalist #zones { @for zone in TZ_VARIANTS { option value=(Tz::name(zone)) {} } }
                (field("input_value", "Input", "A text, or a JSON object. The configured default is used where there is none.",
                    html! { textarea name="input_value" rows="3" data-as="input" { (values.input) } }))
                details {
                    summary { "More" }
                    (field("missed_policy", "Missed runs", "while paused or stopped: skip them, make up for the last, or for all", choice("missed_policy", &values.missed, missed)))
                    (field("overlap_policy", "While the last one still runs", "", choice("overlap_policy", &values.overlap, overlap)))
                    (field("queue", "Queue", "", html! { input name="queue" value=(values.queue); }))
                    (field("priority", "Priority", "0 to 9, 9 first", number("priority", &values.priority, "9")))
                    (field("jitter_s", "Jitter (s)", "each run starts up to this much later", number("jitter_s", &values.jitter, "31622400")))
                    (field("expires_s", "Expires after (s)", "a run that could not start by then is dropped", html! {
                        input type="number" name="expires_s" value=(values.expires) min="0" max="31622400" data-as="number-or-null";
                    }))
                }
                p.error role="alert" data-rest {}
                button.primary type="submit" { (label) }
            }
            aside aria-live="polite" { h2 { "Next runs" } div data-preview-here { p.muted { "Say when it runs, and the next runs show here." } } }
        }
    }
}

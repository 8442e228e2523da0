//! `/dashboard/workflows`: what is synced, and running it now.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use maud::{Markup, html};

use super::super::error::Error;
use super::super::state::ApiState;
use super::super::workflow::{NOT_FOUND, resolve};
use super::element::{Action, empty, field, pill, short, when, when_known};
use super::view::{Section, View};
use super::{limit, task_list};
use crate::domain::workflow::UnknownPolicy;
use crate::store::brief::WorkflowBrief;
use crate::store::schedule::{ScheduleFilter, ScheduleRecord};
use crate::store::task_filter::TaskFilter;
use crate::store::workflow_change::WorkflowDraft;

const WORKFLOWS_SHOWN: i64 = 500;
const SCHEDULES_SHOWN: i64 = 50;
const TASKS_SHOWN: usize = 10;
/// How a workflow is called that has no policy of its own.
const AS_ITS_SOURCE: &str = "as its source";

/// `GET /dashboard/workflows`.
pub(super) async fn list(state: Data<ApiState>, view: View) -> Result<HttpResponse, Error> {
    let workflows = state.store.workflow_briefs(None, WORKFLOWS_SHOWN + 1).await?;
    let is_cut = i64::try_from(workflows.len()).is_ok_and(|count| count > WORKFLOWS_SHOWN);
    let body = html! {
        @if workflows.is_empty() {
            (empty("No workflow is synced yet. Choose a source, then sync one of its flows.",
                Some(("/dashboard/sources", "To the sources"))))
        } @else {
            div #workflows data-live { table.cards {
                thead { tr { th { "Workflow" } th { "Source" } th { "Newest task" } th { "Synced" } } }
                tbody { @for workflow in &workflows { (row(&view, workflow)) } }
            } }
            @if is_cut { p.muted { "The first " (WORKFLOWS_SHOWN) " by name are shown." } }
        }
    };
    Ok(view.page(Section::Workflows, "Workflows", body))
}

fn row(view: &View, workflow: &WorkflowBrief) -> Markup {
    html! {
        tr {
            td data-label="Workflow" {
                a href={ "/dashboard/workflows/" (workflow.id) } { (workflow.name) }
                @if let Some(text) = workflow.description.as_deref().filter(|text| !text.is_empty()) {
                    br; small.muted { (text.chars().take(100).collect::<String>()) }
                }
            }
            td data-label="Source" {
                @match (&workflow.source_id, &workflow.source) {
                    (Some(id), Some(source)) => a href={ "/dashboard/sources/" (id) } { (source) },
                    _ => span.muted { "–" },
                }
            }
            td data-label="Newest task" {
                @match &workflow.latest {
                    Some(latest) => { (pill(latest)) " " (when_known(view.now, workflow.latest_at)) },
                    None => span.muted { "never ran" },
                }
            }
            td data-label="Synced" { (when_known(view.now, workflow.updated_at)) }
        }
    }
}

/// `GET /dashboard/workflows/{id}`.
pub(super) async fn page(state: Data<ApiState>, id: Path<String>, view: View) -> Result<HttpResponse, Error> {
    let id = resolve(&state, &id).await?;
    let workflow = state.store.workflow_brief(id).await?.ok_or(NOT_FOUND)?;
    let settings = state.store.workflow_settings(id).await?.ok_or(NOT_FOUND)?;
    let filter = ScheduleFilter { workflow_id: Some(id), ..ScheduleFilter::default() };
    let (schedules, _) = state.store.schedules(filter, 0, SCHEDULES_SHOWN).await?;
    let filter = TaskFilter { workflow_id: Some(id), ..TaskFilter::default() };
    let tasks = state.store.task_briefs(filter, None, TASKS_SHOWN).await?.items;
    let key = id.to_string();
    let body = html! {
        section.card {
            div.row.between {
                p { @match workflow.description.as_deref() { Some(text) if !text.is_empty() => (text), _ => span.muted { "No description." } } }
                div.actions {
                    (Action::new("DELETE", "/api/v1/workflows/{id}", &key, "Delete")
                        .confirm("Delete this workflow with its schedules and tasks? The source keeps its flow.")
                        .then("/dashboard/workflows").button(&view))
                }
            }
            dl.facts {
                div { dt { "Id" } dd.mono { (key) } }
                div { dt { "Flow" } dd.mono { (workflow.remote_flow_id) } }
                @if let (Some(source), Some(name)) = (&workflow.source_id, &workflow.source) {
                    div { dt { "Source" } dd { a href={ "/dashboard/sources/" (source) } { (name) } } }
                }
                div { dt { "Synced" } dd { (when_known(view.now, workflow.updated_at)) } }
                div { dt { (limit::POLICY_LABEL) } dd { (settings.unknown_policy.map_or(AS_ITS_SOURCE, UnknownPolicy::as_str)) } }
                (limit::facts(settings.limits))
            }
        }
        div.columns { (run_card(&view, &key)) (schedule_card(&view, &key, &schedules)) }
        section #tasks data-live { h2 { "Newest tasks" }
            @if tasks.is_empty() { p.muted { "It never ran." } } @else {
                (task_list::table(&view, &tasks, false))
                p { a href={ "/dashboard/tasks?workflow_id=" (key) } { "All its tasks" } }
            }
        }
        @if view.may("PATCH", "/api/v1/workflows/{id}") { section { h2 { "Change it" } (settings_form(&key, settings)) } }
    };
    Ok(view.page(Section::Workflows, &workflow.name, body))
}

fn run_card(view: &View, id: &str) -> Markup {
    html! {
        section.card { h2 { "Run it now" }
            @if view.may("POST", "/api/v1/workflows/{id}/run") {
                form data-method="POST" data-path={ "/api/v1/workflows/" (id) "/run" } data-then="/dashboard/tasks/{id}" {
                    (field("input_data", "Input", "A text, or a JSON object.", html! {
                        textarea name="input_data" rows="3" required data-as="input" {} }))
                    p.error role="alert" data-rest {}
                    button.primary type="submit" { "Run" }
                }
            } @else { p.muted { "Running it takes an API key of the scope run." } }
        }
    }
}

fn settings_form(id: &str, settings: WorkflowDraft) -> Markup {
    html! {
        form.card data-method="PATCH" data-path={ "/api/v1/workflows/" (id) } data-then="/dashboard/workflows/{id}" {
            div.row {
                (limit::fields(settings.limits))
                (limit::policy(settings.unknown_policy, Some(AS_ITS_SOURCE)))
            }
            p.error role="alert" data-rest {}
            button.primary type="submit" { "Save" }
        }
    }
}

fn schedule_card(view: &View, id: &str, schedules: &[ScheduleRecord]) -> Markup {
    html! {
        section.card { h2 { "Schedules" }
            @if schedules.is_empty() { p.muted { "None." } }
            ul.lines { @for schedule in schedules { li {
                (pill(&schedule.status)) " "
                a.mono href={ "/dashboard/schedules/" (schedule.id) } { @if schedule.expr.is_empty() { (short(schedule.id)) } @else { (schedule.expr) } }
                @if let Some(at) = schedule.next_run_at { " " (when(view.now, at)) }
            } } }
            @if view.may("POST", "/api/v1/schedules") {
                p { a.button href={ "/dashboard/schedules/new?workflow=" (id) } data-new { "Schedule it" } }
            }
        }
    }
}

//! `/dashboard/schedules`.

use std::collections::HashMap;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

use super::super::error::Error;
use super::super::query::Query;
use super::super::state::ApiState;
use super::element::{Action, choice, empty, pill, when_known};
use super::view::{Section, View};
use crate::domain::ids::WorkflowId;
use crate::domain::schedule::ScheduleStatus;
use crate::store::schedule::{ScheduleFilter, ScheduleRecord};

/// Workflows whose names are looked up at once.
const NAMES_MAX: i64 = 1000;

/// The page.
pub(super) async fn page(state: Data<ApiState>, request: HttpRequest, view: View) -> Result<HttpResponse, Error> {
    let mut query = Query::of(&request);
    let span = query.span();
    let status: Option<ScheduleStatus> = query.read("status");
    let workflow_id = query.id("workflow_id").map(WorkflowId);
    query.finish()?;
    let filter = ScheduleFilter { workflow_id, status, id_prefix: None };
    let (schedules, total) = state.store.schedules(filter, span.offset, span.limit).await?;
    let names = names(&state).await?;
    let status = status.map_or("", ScheduleStatus::as_str);
    let options = ScheduleStatus::ALL.iter().map(|status| (status.as_str(), status.as_str()));
    let page = |offset: i64| format!("/dashboard/schedules?status={status}&offset={offset}");
    let body = html! {
        div.row.between {
            form.filter action="/dashboard/schedules" {
                label { span { "Status" } (choice("status", status, [("", "any")].into_iter().chain(options))) }
                button type="submit" { "Show" }
            }
            div.actions {
                a.button href="/dashboard/schedules/calendar" { "The coming day" }
                @if view.may("POST", "/api/v1/schedules") {
                    a.button.primary href="/dashboard/schedules/new" data-new { "New schedule" }
                }
            }
        }
        @if schedules.is_empty() {
            @if total == 0 && status.is_empty() && workflow_id.is_none() {
                (empty("Nothing is scheduled yet.", Some(("/dashboard/schedules/new", "Make a schedule"))))
            } @else { (empty("No schedule fits.", Some(("/dashboard/schedules", "Show all")))) }
        } @else {
            div #schedules data-live { (table(&view, &schedules, &names)) }
            nav.pages aria-label="Pages" {
                @if span.offset > 0 { a.button href=(page((span.offset - span.limit).max(0))) { "Newer" } }
                @if span.offset + span.limit < total { a.button href=(page(span.offset + span.limit)) { "Older" } }
            }
        }
    };
    Ok(view.page(Section::Schedules, "Schedules", body))
}

/// The names of the workflows.
pub(super) async fn names(state: &ApiState) -> Result<HashMap<WorkflowId, String>, Error> {
    let workflows = state.store.workflow_briefs(None, NAMES_MAX).await?;
    Ok(workflows.into_iter().map(|workflow| (workflow.id, workflow.name)).collect())
}

fn table(view: &View, schedules: &[ScheduleRecord], names: &HashMap<WorkflowId, String>) -> Markup {
    html! {
        table.cards {
            thead { tr { th { "Status" } th { "Workflow" } th { "Runs" } th { "Next" } th { "Last" } th { span.hidden { "Actions" } } } }
            tbody { @for schedule in schedules { tr {
                td data-label="Status" {
                    (pill(&schedule.status))
                    @if let Some(reason) = &schedule.status_reason { " " small.muted { (reason) } }
                }
                td data-label="Workflow" {
                    a href={ "/dashboard/schedules/" (schedule.id) } {
                        (names.get(&schedule.workflow_id).map_or("?", String::as_str))
                    }
                }
                td data-label="Runs" { span.mono { (schedule.expr) } " " small.muted { (schedule.kind) " · " (schedule.timezone) } }
                td data-label="Next" { (when_known(view.now, schedule.next_run_at)) }
                td data-label="Last" { (when_known(view.now, schedule.last_run_at)) }
                td.actions { (actions(view, schedule)) }
            } } }
        }
    }
}

/// What can be done to a schedule from anywhere.
pub(super) fn actions(view: &View, schedule: &ScheduleRecord) -> Markup {
    let id = schedule.id.to_string();
    html! {
        @match schedule.status.as_str() {
            "active" => (Action::new("POST", "/api/v1/schedules/{id}/disable", &id, "Pause").button(view)),
            "paused" => (Action::new("POST", "/api/v1/schedules/{id}/enable", &id, "Resume").button(view)),
            _ => {}
        }
        (Action::new("POST", "/api/v1/schedules/{id}/trigger", &id, "Run now").then("/dashboard/tasks/{id}").button(view))
    }
}

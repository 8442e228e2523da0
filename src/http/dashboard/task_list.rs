//! `/dashboard/tasks`: search, and changes of many.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};

use super::super::error::{Error, Problem};
use super::super::page::write_cursor;
use super::super::query::Query;
use super::super::state::ApiState;
use super::super::task::{read_filter, read_start};
use super::asked::{Asked, refusals};
use super::element::{choice, empty, pill, short, span, when};
use super::view::{Section, View};
use crate::domain::ids::TaskId;
use crate::domain::task::TaskStatus;
use crate::store::brief::{TaskBrief, TaskBriefs, WINDOW, WorkflowBrief};

/// Tasks of a page.
const TASKS_SHOWN: usize = 50;
/// Workflows that the filter offers.
const WORKFLOWS_OFFERED: i64 = 500;
/// What narrows, as the query and the selections of the API call it.
const NARROWING: [&str; 8] =
    ["q", "status", "workflow_id", "schedule_id", "source_id", "queue", "created_after", "created_before"];

/// The page.
pub(super) async fn page(state: Data<ApiState>, request: HttpRequest, view: View) -> Result<HttpResponse, Error> {
    let asked = Asked::of(&request, "/dashboard/tasks", &NARROWING);
    if let Ok(id) = asked.get("q").trim().parse::<TaskId>()
        && state.store.task(id).await?.is_some()
    {
        return Ok(HttpResponse::SeeOther().insert_header(("Location", format!("/dashboard/tasks/{id}"))).finish());
    }
    let mut query = Query::of(&request);
    let filter = read_filter(&mut query);
    let after = read_start(&mut query);
    let workflows = state.store.workflow_briefs(None, WORKFLOWS_OFFERED).await?;
    let (tasks, problems) = match query.finish() {
        Ok(()) => (state.store.task_briefs(filter, after, TASKS_SHOWN).await?, Vec::new()),
        Err(Error::Invalid(problems)) => (TaskBriefs { items: Vec::new(), next: None, is_cut: false }, problems),
        Err(error) => return Err(error),
    };
    let body = html! {
        (filter_form(&asked, &workflows, &problems))
        @if problems.is_empty() { (list(&view, &asked, &tasks, after.is_some())) }
    };
    Ok(view.page(Section::Tasks, "Tasks", body))
}

fn filter_form(asked: &Asked, workflows: &[WorkflowBrief], problems: &[Problem]) -> Markup {
    let statuses = TaskStatus::ALL.map(|status| (status.as_str(), status.as_str()));
    let workflow_ids: Vec<(String, &str)> =
        workflows.iter().map(|workflow| (workflow.id.to_string(), workflow.name.as_str())).collect();
    let named = workflow_ids.iter().map(|(id, name)| (id.as_str(), *name));
    html! {
        form.filter role="search" action="/dashboard/tasks" {
            label.grow { span.hidden { "Search" }
                input #search type="search" name="q" value=(asked.get("q"))
                    placeholder="Search id, input, result, error" data-search; }
            label { span { "Status" } (choice("status", asked.get("status"), [("", "any")].into_iter().chain(statuses))) }
            label { span { "Workflow" }
                (choice("workflow_id", asked.get("workflow_id"), [("", "any")].into_iter().chain(named))) }
            details open[asked.has_any(&["queue", "created_after", "created_before"])] {
                summary { "More" }
                div.row {
                    label { span { "Queue" } input name="queue" value=(asked.get("queue")); }
                    label { span { "From (UTC)" }
                        input type="datetime-local" name="created_after" value=(asked.get("created_after")); }
                    label { span { "Until (UTC)" }
                        input type="datetime-local" name="created_before" value=(asked.get("created_before")); }
                }
            }
            (asked.kept(&["schedule_id", "source_id"]))
            button type="submit" { "Search" }
            @if !asked.is_empty() { a href="/dashboard/tasks" { "Clear" } }
        }
        (refusals(problems))
    }
}

fn list(view: &View, asked: &Asked, tasks: &TaskBriefs, is_later_page: bool) -> Markup {
    if tasks.items.is_empty() && tasks.next.is_none() {
        return match (asked.is_empty(), is_later_page) {
            (true, false) => empty("No task was asked for yet.", Some(("/dashboard/workflows", "Run a workflow"))),
            _ => empty("No task fits.", Some(("/dashboard/tasks", "Show all"))),
        };
    }
    let next = tasks.next.map(|(at, id)| asked.href(Some(&write_cursor(at, id))));
    html! {
        div #tasks data-live {
            (table(view, &tasks.items, true))
            @if tasks.items.is_empty() { p.muted { "None of the tasks that were looked at fits." } }
        }
        (bulk(view, asked))
        nav.pages aria-label="Pages" {
            @if is_later_page { a.button href=(asked.href(None)) { "Newest" } }
            @if let (Some(next), Some((back_to, _))) = (next, tasks.next) {
                @if tasks.is_cut {
                    span.muted { (WINDOW) " tasks were looked at, back to " (when(view.now, back_to)) "." }
                    a.button href=(next) rel="next" { "Look further back" }
                } @else { a.button href=(next) rel="next" { "Older" } }
            }
        }
    }
}

/// Tasks as a table.
pub(super) fn table(view: &View, tasks: &[TaskBrief], selects: bool) -> Markup {
    let selects = selects && may_change_many(view);
    html! {
        table.cards {
            thead { tr {
                @if selects { th.pick { input type="checkbox" data-pick-all aria-label="Select all of this page"; } }
                th { "Status" } th { "Task" } th { "Workflow" } th { "Queue" } th { "Asked for" } th { "Took" } th { "Says" }
            } }
            tbody { @for task in tasks { (row(view, task, selects)) } }
        }
    }
}

fn row(view: &View, task: &TaskBrief, selects: bool) -> Markup {
    let end = task.finished_at.or((task.status == "running").then_some(view.now));
    let took = task.started_at.zip(end).map(|(start, end)| span(end - start));
    html! {
        tr {
            @if selects { td.pick {
                input type="checkbox" data-pick=(task.id) aria-label={ "Select task " (short(task.id)) };
            } }
            td data-label="Status" { (pill(&task.status)) @if task.tries > 1 { " " small.muted { "try " (task.tries) } } }
            td data-label="Task" { a.mono href={ "/dashboard/tasks/" (task.id) } { (short(task.id)) } }
            td data-label="Workflow" {
                a href={ "/dashboard/workflows/" (task.workflow_id) } { (task.workflow.as_deref().unwrap_or("?")) }
                @if task.schedule_id.is_some() { " " small.muted { "scheduled" } }
            }
            td data-label="Queue" { (task.queue) }
            td data-label="Asked for" { (when(view.now, task.created_at)) }
            td.tight data-label="Took" { (took.unwrap_or_else(|| "–".to_owned())) }
            td.says data-label="Says" { span { (task.text.as_deref().unwrap_or_default()) } }
        }
    }
}

/// Changes of many, as the API offers them: its path, its word, and what is asked first.
const BULK: [(&str, &str, &str); 3] = [
    ("/api/v1/tasks/retry", "Retry", "Run {which} again that failed or were cancelled?"),
    ("/api/v1/tasks/cancel", "Cancel", "Cancel {which} that have not ended?"),
    ("/api/v1/tasks/delete", "Delete", "Delete {which}, with attempts and log? Running ones are cancelled."),
];

fn may_change_many(view: &View) -> bool {
    BULK.iter().any(|(path, _, _)| view.may("POST", path))
}

fn bulk(view: &View, asked: &Asked) -> Markup {
    if !may_change_many(view) {
        return html! {};
    }
    html! {
        form #bulk.bulk data-bulk {
            fieldset {
                legend.hidden { "Change many tasks" }
                label { "With " select name="which" {
                    option value="picked" { "the selected tasks" }
                    @if !asked.is_empty() { option value="filter" { "every task that fits the search" } }
                } }
                @for (name, value) in asked.values() { input type="hidden" data-narrows=(name) value=(value); }
                @for (path, label, confirm) in BULK {
                    @if view.may("POST", path) {
                        button type="submit" data-path=(path) data-confirm=(confirm) .danger[label == "Delete"] { (label) }
                    }
                }
                output.muted aria-live="polite" {}
            }
        }
    }
}

//! `/dashboard/tasks/{id}`: one task with all that is known of it.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use maud::{Markup, html};

use super::super::error::Error;
use super::super::state::ApiState;
use super::super::task::{Attempt, NOT_FOUND, Task, parse_id};
use super::super::task_log::LogLine;
use super::element::{Action, data, pill, short, span, when, when_known};
use super::view::{Section, View};
use crate::domain::task_log::LogLevel;

/// Attempts and lines that are shown; the newest of them matter, and the API has all.
const SHOWN: i64 = 100;

/// The page.
pub(super) async fn page(state: Data<ApiState>, id: Path<String>, view: View) -> Result<HttpResponse, Error> {
    let id = parse_id(&id)?;
    let task = Task::from(state.store.task(id).await?.ok_or(NOT_FOUND)?);
    // Deleted meanwhile: as if it had not been found.
    let (_, attempts_total) = state.store.attempts(id, 0, 1).await?.ok_or(NOT_FOUND)?;
    let attempts = state.store.attempts(id, (attempts_total - SHOWN).max(0), SHOWN).await?.ok_or(NOT_FOUND)?.0;
    let (_, lines_total) = state.store.logs(id, LogLevel::Debug, 0, 1).await?.ok_or(NOT_FOUND)?;
    let lines = state.store.logs(id, LogLevel::Debug, (lines_total - SHOWN).max(0), SHOWN).await?.ok_or(NOT_FOUND)?.0;
    let workflow = state.store.workflow_brief(task.workflow_id).await?.map(|workflow| workflow.name);
    let attempts: Vec<Attempt> = attempts.into_iter().map(Attempt::from).collect();
    let lines: Vec<LogLine> = lines.into_iter().map(LogLine::from).collect();
    let body = html! {
        div #task data-live {
            (summary(&view, &task, workflow.as_deref()))
            @if let Some(error) = &task.error { section.card { h2 { "Error" } pre.bad tabindex="0" { (error) } } }
            div.columns {
                section.card { h2 { "Input" }
                    @match &task.input_data { Some(input) => (data(input.get())), None => p.muted { "None." } } }
                section.card { h2 { "Result" }
                    @match (&task.result, &task.output_data) {
                        (Some(result), _) => pre tabindex="0" { (result) },
                        (None, Some(_)) => p.muted { "The answer has no text; see below." },
                        (None, None) => p.muted { "None yet." },
                    } }
            }
            (attempts_table(&view, &attempts, attempts_total))
            (log(&lines, lines_total))
            @if let Some(output) = &task.output_data {
                section.card { details { summary { h2 { "The source's whole answer" } } (data(output.get())) } }
            }
        }
    };
    Ok(view.page(Section::Tasks, &format!("Task {}", short(id)), body))
}

fn summary(view: &View, task: &Task, workflow: Option<&str>) -> Markup {
    let id = task.id.to_string();
    let is_over = matches!(task.status.as_str(), "completed" | "failed" | "cancelled");
    let retries = matches!(task.status.as_str(), "failed" | "cancelled");
    html! {
        section.card {
            div.row.between {
                p.status { (pill(&task.status)) span.muted { " attempt " (task.tries) " of " (task.max_retries + 1) } }
                div.actions {
                    @if retries { (Action::new("POST", "/api/v1/tasks/{id}/retry", &id, "Retry").button(view)) }
                    @if !is_over {
                        (Action::new("POST", "/api/v1/tasks/{id}/cancel", &id, "Cancel")
                            .confirm("Cancel this task?").button(view))
                    }
                    (Action::new("DELETE", "/api/v1/tasks/{id}", &id, "Delete")
                        .confirm("Delete this task with its attempts and its log?").then("/dashboard/tasks").button(view))
                }
            }
            dl.facts {
                div { dt { "Id" } dd.mono { (id) } }
                div { dt { "Workflow" } dd { a href={ "/dashboard/workflows/" (task.workflow_id) } { (workflow.unwrap_or("?")) } } }
                @if let Some(schedule) = task.schedule_id {
                    div { dt { "Schedule" } dd { a.mono href={ "/dashboard/schedules/" (schedule) } { (short(schedule)) } } }
                }
                div { dt { "Queue" } dd { (task.queue) " · priority " (task.priority) } }
                div { dt { "Asked for" } dd { (when_known(view.now, task.created_at)) } }
                div { dt { "Started" } dd { (when_known(view.now, task.started_at)) } }
                @if let Some(at) = task.next_retry_at { div { dt { "Tried again" } dd { (when(view.now, at)) } } }
                div { dt { "Ended" } dd { (when_known(view.now, task.finished_at)) } }
            }
        }
    }
}

fn attempts_table(view: &View, attempts: &[Attempt], total: i64) -> Markup {
    html! {
        section.card {
            h2 { "Attempts" }
            @if attempts.is_empty() { p.muted { "None has ended yet." } } @else {
                table.cards {
                    thead { tr { th { "No." } th { "Status" } th { "Began" } th { "Took" } th { "Why" } } }
                    tbody { @for attempt in attempts { tr {
                        td data-label="No." { (attempt.attempt) }
                        td data-label="Status" { (pill(&attempt.status)) }
                        td data-label="Began" { (when_known(view.now, attempt.started_at)) }
                        td data-label="Took" {
                            @if let Some((start, end)) = attempt.started_at.zip(attempt.finished_at) { (span(end - start)) } @else { "–" }
                        }
                        td data-label="Why" {
                            (attempt.error.as_deref().unwrap_or_default())
                            @if attempt.outcome_unknown { " " small.muted { "(the source may have run it all the same)" } }
                        }
                    } } }
                }
                @if total > SHOWN { p.muted { "The newest " (SHOWN) " of " (total) "." } }
            }
        }
    }
}

fn log(lines: &[LogLine], total: i64) -> Markup {
    html! {
        section.card {
            h2 { "Log" }
            ol.log {
                @for line in lines { li {
                    time datetime=(line.created_at.to_rfc3339()) data-exact { (line.created_at.format("%Y-%m-%d %H:%M:%S%.3f")) }
                    " " (pill(&line.level)) " " span { (line.message) }
                } }
            }
            @if total > SHOWN { p.muted { "The newest " (SHOWN) " of " (total) " lines." } }
        }
    }
}

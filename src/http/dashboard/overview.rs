//! `/dashboard`: how it goes, on one page.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use chrono::TimeDelta;
use maud::{Markup, html};

use super::super::error::Error;
use super::super::query::Query;
use super::super::queue::{self, Queue};
use super::super::state::ApiState;
use super::super::stats::{self, Statistics, StatisticsPoint};
use super::super::worker::{self, Workers};
use super::chart::{Bar, Chart};
use super::element::{Action, empty, pill, source_state, span, when};
use super::task_list;
use super::view::{Section, View};
use crate::domain::statistics::Window;
use crate::domain::task::TaskStatus;
use crate::store::brief::{TaskBrief, UpcomingSchedule};
use crate::store::source::{SourceFilter, SourceRecord};
use crate::store::statistics::StatisticsFilter;
use crate::store::task_filter::TaskFilter;

const FAILURES_SHOWN: usize = 5;
const UPCOMING_SHOWN: i64 = 6;
const SOURCES_SHOWN: i64 = 20;

/// The page.
pub(super) async fn page(state: Data<ApiState>, request: HttpRequest, view: View) -> Result<HttpResponse, Error> {
    let queues = queue::all(&state).await?;
    let workers = worker::show(state.dispatch.roster());
    let (sources, _) = state.store.sources(SourceFilter::default(), 0, SOURCES_SHOWN).await?;
    let upcoming = state.store.upcoming_schedules(view.now + TimeDelta::days(366), UPCOMING_SHOWN).await?;
    let failed = TaskFilter { status: Some(TaskStatus::Failed), ..TaskFilter::default() };
    let failures = state.store.task_briefs(failed, None, FAILURES_SHOWN).await?.items;
    let window = chart_window(&request)?;
    let statistics = stats::of_window(&state, window, None, StatisticsFilter::default()).await?;
    let body = html! {
        @if sources.is_empty() {
            (empty("Welcome. Spark runs workflows that live in other servers: add the first one.",
                Some(("/dashboard/sources", "Add a source"))))
        }
        div #overview data-live {
            (tiles(&queues, &workers))
            (charts(window, &statistics))
            div.columns {
                (queue_card(&view, &queues))
                (executor_card(&workers))
                (upcoming_card(&view, &upcoming))
                (source_card(&sources))
            }
            (failure_card(&view, &failures))
        }
    };
    Ok(view.page(Section::Overview, "Overview", body))
}

fn tiles(queues: &[Queue], workers: &Workers) -> Markup {
    let (waiting, running): (i64, i64) = (queues.iter().map(|q| q.depth).sum(), queues.iter().map(|q| q.running).sum());
    let rate: u64 = queues.iter().map(|queue| queue.rate_per_min).sum();
    let oldest = queues.iter().filter_map(|queue| queue.oldest_age_s).reduce(f64::max);
    let slots = workers.slots();
    html! {
        ul.tiles {
            li { span { "Waiting" } b { (waiting) }
                small.muted { @match oldest { Some(age) => { "the oldest for " (seconds(age)) }, None => "nothing waits" } } }
            li { span { "Running" } b { (running) } small.muted { (slots) " slots on this node" } }
            li { span { "Ended in the last minute" } b { (rate) } small.muted { "attempts on this node" } }
            li { span { "Executors ready" } b { (workers.ready()) " / " (workers.total) } small.muted { "on this node" } }
        }
    }
}

/// What the charts show: an hour unless somebody asks for a day.
fn chart_window(request: &HttpRequest) -> Result<Window, Error> {
    let mut query = Query::of(request);
    let window = query.read("window").unwrap_or(Window::Hour);
    query.finish()?;
    Ok(window)
}

fn charts(window: Window, statistics: &Statistics) -> Markup {
    let totals = &statistics.totals;
    let ended = |point: &StatisticsPoint| {
        let tasks = &point.figures.tasks;
        vec![("good", tasks.completed as f64), ("calm", tasks.cancelled as f64)]
    };
    let failed = |point: &StatisticsPoint| vec![("bad", point.figures.tasks.failed as f64)];
    let waited = |point: &StatisticsPoint| vec![("busy", point.figures.wait_s.p95.unwrap_or(0.0))];
    let chart = |title, note, unit, values: &dyn Fn(&StatisticsPoint) -> Vec<(&'static str, f64)>| {
        let bars = statistics.series.iter().map(|point| Bar { at: point.at, parts: values(point) }).collect();
        Chart { title, note, unit, bars, until: statistics.until }.show()
    };
    html! {
        section aria-label="Charts" {
            nav.tabs aria-label="Time that the charts show" {
                @for (other, label) in [(Window::Hour, "An hour"), (Window::Day, "A day")] {
                    a href={ "/dashboard?window=" (other.as_str()) } aria-current=[(other == window).then_some("true")] { (label) }
                }
            }
            div.charts {
                (chart("Throughput", format!("{} completed, {} cancelled", totals.tasks.completed, totals.tasks.cancelled), "tasks", &ended))
                (chart("Failures", format!("{} failed", totals.tasks.failed), "tasks", &failed))
                (chart("Wait before the start", match totals.wait_s.p95 {
                    Some(wait) => format!("95 % waited less than {}", seconds(wait)),
                    None => "nothing started".to_owned(),
                }, "s", &waited))
            }
        }
    }
}

fn seconds(age: f64) -> String {
    span(TimeDelta::milliseconds((age * 1000.0) as i64))
}

fn queue_card(view: &View, queues: &[Queue]) -> Markup {
    let may_pause = view.may("POST", "/api/v1/queues/{queue}/pause");
    html! {
        section.card { h2 { "Queues" }
            @if queues.is_empty() { p.muted { "No queue is served on this node, and nothing waits." } } @else {
                table.cards {
                    thead { tr { th { "Queue" } th.number { "Waiting" } th.number { "Running" } th.number { "A minute" } th { "Oldest" }
                        @if may_pause { th { span.hidden { "Actions" } } } } }
                    tbody { @for queue in queues { tr {
                        td data-label="Queue" {
                            a href={ "/dashboard/tasks?queue=" (queue.name) } { (queue.name) }
                            @if let Some(since) = queue.paused_at {
                                " " span.pill.warn { "paused" } " " small.muted { (when(view.now, since)) }
                            }
                        }
                        td.number data-label="Waiting" { (queue.depth) @if queue.delayed > 0 { " " small.muted { "+" (queue.delayed) " later" } }
                            @if queue.limited > 0 { " " small.muted { "(" (queue.limited) " held by limits)" } } }
                        td.number data-label="Running" { (queue.running) }
                        td.number data-label="A minute" { (queue.rate_per_min) }
                        td data-label="Oldest" { (queue.oldest_age_s.map_or_else(|| "–".to_owned(), seconds)) }
                        @if may_pause { td.actions { (pause_or_resume(view, queue)) } }
                    } } }
                }
            }
        }
    }
}

fn pause_or_resume(view: &View, queue: &Queue) -> Markup {
    if queue.paused {
        return Action::new("POST", "/api/v1/queues/{queue}/resume", &queue.name, "Resume").button(view);
    }
    Action::new("POST", "/api/v1/queues/{queue}/pause", &queue.name, "Pause")
        .confirm("Start nothing from this queue, on any node, until it is resumed? What runs goes on.")
        .button(view)
}

fn executor_card(workers: &Workers) -> Markup {
    html! {
        section.card { h2 { "Executors" }
            @if workers.items.is_empty() { p.muted { "This node runs no tasks; it has not the role worker." } } @else {
                table.cards {
                    thead { tr { th { "Pool" } th { "State" } th.number { "Active" } th.number { "Done" } th { "Memory" } } }
                    tbody { @for executor in &workers.items { tr {
                        td data-label="Pool" { (executor.pool) " " small.muted { "#" (executor.id.0) } }
                        td data-label="State" { (pill(executor.state)) }
                        td.number data-label="Active" { (executor.active_attempts) }
                        td.number data-label="Done" { (executor.tasks_done) }
                        td data-label="Memory" {
                            @match executor.rss_kb.zip(workers.memory_ceiling_kb(&executor.pool)) {
                                Some((kb, ceiling)) => (memory(kb, ceiling)),
                                None => "–",
                            }
                        }
                    } } }
                }
            }
        }
    }
}

/// A child's memory, by the ceiling above which it is replaced.
fn memory(kb: u64, ceiling_kb: u64) -> Markup {
    let said = format!("{} of {} MB", kb / 1024, ceiling_kb / 1024);
    html! {
        meter min="0" max=(ceiling_kb) high=(ceiling_kb / 10 * 9) optimum="0" value=(kb) title="of what it may use before it is replaced" { (said) }
        " " small.muted { (said) }
    }
}

fn upcoming_card(view: &View, upcoming: &[UpcomingSchedule]) -> Markup {
    html! {
        section.card { h2 { "Coming up" }
            @if upcoming.is_empty() {
                p.muted { "No schedule waits. " a href="/dashboard/schedules/new" { "Make one" } "." }
            } @else {
                ol.runs { @for schedule in upcoming { li {
                    a href={ "/dashboard/schedules/" (schedule.id) } { (schedule.workflow) } " "
                    span.mono.muted { (schedule.expr) } " " (when(view.now, schedule.next_run_at))
                } } }
                p { a href="/dashboard/schedules/calendar" { "The coming day" } }
            }
        }
    }
}

fn source_card(sources: &[SourceRecord]) -> Markup {
    html! {
        section.card { h2 { "Sources" }
            @if sources.is_empty() { p.muted { "None yet." } }
            ul.lines { @for source in sources { li {
                a href={ "/dashboard/sources/" (source.id) } { (source.name.as_deref().unwrap_or(&source.url)) } " "
                (source_state(source)) " " small.muted { (source.kind) }
            } } }
        }
    }
}

fn failure_card(view: &View, failures: &[TaskBrief]) -> Markup {
    html! {
        section.card { h2 { "Latest failures" }
            @if failures.is_empty() { p.muted { "No task has failed." } } @else {
                (task_list::table(view, failures, false))
                p { a href="/dashboard/tasks?status=failed" { "All failed tasks" } }
            }
        }
    }
}

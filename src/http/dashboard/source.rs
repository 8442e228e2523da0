//! `/dashboard/sources`: the servers that hold workflows, and their flows.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use maud::{Markup, html};
use serde_json::json;

use super::super::error::Error;
use super::super::remote::list_one;
use super::super::source::find;
use super::super::state::ApiState;
use super::element::{Action, data, pill, source_state, when, when_known};
use super::view::{Section, View};
use super::{limit, source_form};
use crate::domain::circuit::{Circuit, CircuitState};
use crate::domain::source::Trust;
use crate::store::source::{SourceFilter, SourceRecord};

const SOURCES_SHOWN: i64 = 200;
const WORKFLOWS_SHOWN: i64 = 500;
/// Flows of a source that are shown; the API lists all.
const FLOWS_SHOWN: usize = 500;

/// `GET /dashboard/sources`.
pub(super) async fn list(state: Data<ApiState>, view: View) -> Result<HttpResponse, Error> {
    let (sources, total) = state.store.sources(SourceFilter::default(), 0, SOURCES_SHOWN).await?;
    let body = html! {
        @if sources.is_empty() {
            div.empty { p { "No source yet. A source is a server that holds workflows: LangFlow, Hive, Agents, or any HTTP service." } }
        } @else {
            table.cards {
                thead { tr { th { "State" } th { "Name" } th { "Kind" } th { "Address" } th { "Changed" } } }
                tbody { @for source in &sources { tr {
                    td data-label="State" {
                        (source_state(source))
                        @if let (CircuitState::Open, Some(until)) = (source.gate.circuit.state, source.gate.circuit.until) {
                            " " small.muted { "next try " (when(view.now, until)) }
                        }
                    }
                    td data-label="Name" { a href={ "/dashboard/sources/" (source.id) } { (name(source)) } }
                    td data-label="Kind" { (source.kind) @if let Some(adapter) = &source.adapter { " " small.muted { (adapter) } } }
                    td.mono data-label="Address" { (source.url) }
                    td data-label="Changed" { (when_known(view.now, source.updated_at)) }
                } } }
            }
            @if total > SOURCES_SHOWN { p.muted { "The newest " (SOURCES_SHOWN) " of " (total) "." } }
        }
        @if view.may("POST", "/api/v1/sources") { section { h2 { "Add a source" } (source_form::add(&state)) } }
    };
    Ok(view.page(Section::Sources, "Sources", body))
}

fn name(source: &SourceRecord) -> &str {
    source.name.as_deref().unwrap_or(&source.url)
}

fn summary(view: &View, source: &SourceRecord) -> Markup {
    let id = source.id.to_string();
    // The whole page is shown anew: its flows, too, may be others now.
    let act = |method, path, label| Action::new(method, path, &id, label).then("/dashboard/sources/{id}");
    let patch = |label, body| act("PATCH", "/api/v1/sources/{id}", label).body(body).button(view);
    html! {
        section.card {
            div.row.between {
                p.status { (source_state(source)) " " span.mono { (source.url) } }
                div.actions {
                    (patch("Check", json!({"url": source.url})))
                    @if source.gate.circuit.state != CircuitState::Closed {
                        (act("POST", "/api/v1/sources/{id}/resume", "Call it again").button(view))
                    }
                    @if source.is_active() { (patch("Deactivate", json!({"status": "inactive"}))) }
                    @else { (patch("Activate", json!({"status": "active"}))) }
                    (Action::new("DELETE", "/api/v1/sources/{id}", &id, "Delete")
                        .confirm("Delete this source with all its workflows, schedules and tasks?")
                        .then("/dashboard/sources").button(view))
                }
            }
            (left_alone(view, &source.gate.circuit))
            dl.facts {
                div { dt { "Kind" } dd { (source.kind) @if let Some(adapter) = &source.adapter { " · " (adapter) } } }
                div { dt { "Added" } dd { (when_known(view.now, source.created_at)) } }
                div { dt { "Changed" } dd { (when_known(view.now, source.updated_at)) } }
                div { dt { (limit::POLICY_LABEL) } dd { (source.unknown_policy.as_str()) } }
                (limit::facts(source.gate.limits))
                @if source.url.starts_with("https:") { div { dt { "Certificate" } dd { (certificate(source)) } } }
            }
            @if let Some(version) = &source.version_info { details { summary { "What it says of itself" } (data(version)) } }
        }
    }
}

/// Why a source is left alone, and until when.
fn left_alone(view: &View, circuit: &Circuit) -> Markup {
    html! {
        @match circuit.state {
            CircuitState::Closed => {},
            CircuitState::Open => p.note.warn {
                "It is left alone, and its tasks wait"
                @if let Some(reason) = &circuit.reason { ": " (reason) }
                @if let Some(until) = circuit.until { ". The next try is due " (when(view.now, until)) "." }
            },
            CircuitState::HalfOpen => p.note.warn {
                "One attempt finds out whether it is back; its other tasks wait"
                @if let Some(reason) = &circuit.reason { ". Before: " (reason) }
            },
        }
    }
}

/// What its server's certificate is checked by.
fn certificate(source: &SourceRecord) -> Markup {
    html! {
        @match Trust::of(source.tls_verify, source.tls_ca.as_deref()) {
            Trust::Machine => "checked",
            Trust::Only(_) => "checked by its own authorities alone",
            Trust::Unchecked => span.pill.warn { "not checked" },
        }
    }
}

/// `GET /dashboard/sources/{id}`.
pub(super) async fn page(state: Data<ApiState>, id: Path<String>, view: View) -> Result<HttpResponse, Error> {
    let source = find(&state, &id).await?;
    let workflows = state.store.workflow_briefs(Some(source.id), WORKFLOWS_SHOWN).await?;
    let body = html! {
        div #source data-live {
            (summary(&view, &source))
            section.card { h2 { "Synced workflows" }
                @if workflows.is_empty() { p.muted { "None yet: sync one of its flows below." } }
                ul.lines { @for workflow in &workflows { li {
                    a href={ "/dashboard/workflows/" (workflow.id) } { (workflow.name) } " "
                    @if let Some(latest) = &workflow.latest { (pill(latest)) }
                } } }
            }
        }
        section.card { h2 { "Its flows now" }
            div data-load={ "/dashboard/sources/" (source.id) "/flows" } { p.muted { "Asking the source…" } }
        }
        @if view.may("PATCH", "/api/v1/sources/{id}") {
            section { h2 { "Change it" } (source_form::change(&source, &state)) }
        }
    };
    Ok(view.page(Section::Sources, name(&source), body))
}

/// `GET /dashboard/sources/{id}/flows`: what the source holds now, part of a page, for it may take its time.
pub(super) async fn flows(state: Data<ApiState>, id: Path<String>, view: View) -> Result<HttpResponse, Error> {
    let source = find(&state, &id).await?;
    let synced = state.store.workflow_briefs(Some(source.id), WORKFLOWS_SHOWN).await?;
    let is_synced = |flow: &str| synced.iter().any(|workflow| workflow.remote_flow_id == flow);
    let shown = match list_one(&state, &source).await {
        Err(error) => html! { p.error role="alert" { (error) } },
        Ok(flows) if flows.is_empty() => html! { p.muted { "It has none." } },
        Ok(flows) => html! {
            table.cards {
                thead { tr { th { "Flow" } th { "What it does" } th { span.hidden { "Actions" } } } }
                tbody { @for flow in flows.iter().take(FLOWS_SHOWN) { tr {
                    td data-label="Flow" { (flow.name) br; small.mono.muted { (flow.id) } }
                    td.says data-label="What it does" { span { (flow.description) } }
                    td.actions {
                        (Action::new("POST", "/api/v1/workflows/sync/{flow_id}", &flow.id,
                            if is_synced(&flow.id) { "Sync again" } else { "Sync" })
                            .body(json!({"source_url": source.url})).then("/dashboard/workflows/{id}").button(&view))
                    }
                } } }
            }
            @if flows.len() > FLOWS_SHOWN { p.muted { "The first " (FLOWS_SHOWN) " of " (flows.len()) "." } }
        },
    };
    Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").body(shown.into_string()))
}

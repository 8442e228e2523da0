//! `/api/v1/workflows/remote` and `/sync`: flows as their sources show them now.

use std::collections::HashSet;

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream::{self, StreamExt as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Error, ErrorBody, ValidationBody};
use super::query::Query;
use super::schedule::Schedule;
use super::shown;
use super::state::ApiState;
use super::workflow::{NOT_FOUND, WorkflowDetail};
use crate::domain::ids::SourceId;
use crate::domain::workflow::RemoteFlow;
use crate::store::schedule::ScheduleFilter;
use crate::store::source::{SourceFilter, SourceRecord};

/// Sources that one statement reads where none is named.
const SOURCES_READ: i64 = 100;
/// Sources that are asked at the same time.
const ASKED_AT_ONCE: usize = 100;
/// Longest `warnings` header, but for the count of those that are left out.
const WARNINGS_MAX: usize = 2000;
/// Most schedules that the answer to a sync shows.
const SCHEDULES_SHOWN: i64 = 100;

/// The essentials of a flow in a source.
#[derive(Debug, Serialize, ToSchema)]
pub struct RemoteFlowItem {
    /// Its id in the source.
    id: String,
    /// Shown to people.
    name: String,
    /// What it does.
    description: String,
    /// Where it is.
    origin: Origin,
    /// Its nodes, where the source's list shows them.
    components: Vec<Component>,
}

/// Where a flow is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Origin {
    /// The source's name.
    instance: String,
    /// The source's url.
    source_url: String,
}

/// A node of a flow.
#[derive(Debug, Serialize, ToSchema)]
pub struct Component {
    /// Its id.
    id: String,
    /// Its name.
    name: String,
    /// What it does.
    description: String,
}

/// What a sync may be told, in the query or the body.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct SyncRequest {
    /// Url or name of the source; every active one is asked where none is named.
    source_url: Option<String>,
    /// Where input goes; the source's default where none is named.
    input_component: Option<String>,
    /// Where the result comes from; the source's default where none is named.
    output_component: Option<String>,
}

/// A workflow as the sync made it.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyncedWorkflow {
    /// The workflow.
    #[serde(flatten)]
    workflow: WorkflowDetail,
    /// All that the source said of it.
    #[schema(value_type = Option<serde_json::Value>)]
    flow_raw_data: Option<Box<RawValue>>,
    /// The source.
    #[schema(value_type = Option<Uuid>)]
    workflow_source_id: Option<SourceId>,
    /// Its schedules.
    schedules: Vec<Schedule>,
}

/// List the flows that the sources hold now. A source that fails is named in the `warnings` header.
#[utoipa::path(
    get, path = "/api/v1/workflows/remote", tag = "workflows",
    params(
        ("simplified" = Option<bool>, Query, description = "The essentials (default), or all that the source says"),
        ("source_url" = Option<String>, Query, description = "Url or name of a source"),
    ),
    responses(
        (status = 200, description = "The flows", body = Vec<RemoteFlowItem>,
            headers(("warnings" = String, description = "Sources that could not be asked"))),
        (status = 404, description = "Source not found", body = ErrorBody),
        (status = 422, description = "Parts of the query can't be used", body = ValidationBody),
    )
)]
pub(super) async fn list(state: Data<ApiState>, request: HttpRequest) -> Result<HttpResponse, Error> {
    let mut query = Query::of(&request);
    let simplified = query.flag("simplified").unwrap_or(true);
    let source_url = query.text("source_url");
    query.finish()?;
    let sources = asked(&state, source_url).await?;
    let lists = stream::iter(&sources).map(async |source| (source, list_one(&state, source).await));
    let lists: Vec<_> = lists.buffered(ASKED_AT_ONCE).collect().await;
    let (mut flows, mut warnings) = (Vec::new(), Vec::new());
    for (source, list) in lists {
        match list {
            Ok(list) => flows.extend(list.into_iter().map(|flow| show(flow, source, simplified))),
            Err(error) => warnings.push(format!("{}: {error}", source.url)),
        }
    }
    let mut response = HttpResponse::Ok();
    if !warnings.is_empty() {
        response.insert_header(("warnings", header_text(&warnings)));
    }
    Ok(response.json(flows))
}

/// Show a flow as its source shows it now.
#[utoipa::path(
    get, path = "/api/v1/workflows/remote/{flow_id}", tag = "workflows",
    params(
        ("flow_id" = String, Path),
        ("source_url" = Option<String>, Query, description = "Url or name of a source; else every active one is asked"),
    ),
    responses(
        (status = 200, description = "All that the source says of the flow", body = Object),
        (status = 400, description = "The source does not answer as it should", body = ErrorBody),
        (status = 404, description = "No such flow or source", body = ErrorBody),
        (status = 409, description = "The stored key of a source was encrypted under another encryption key", body = ErrorBody),
    )
)]
pub(super) async fn get(
    state: Data<ApiState>,
    flow_id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Value>, Error> {
    let mut query = Query::of(&request);
    let source_url = query.text("source_url");
    query.finish()?;
    let (source, flow) = find(&state, &flow_id, source_url).await?;
    Ok(Json(show(flow, &source, false)))
}

/// Make a flow of a source a workflow here, or bring it up to date.
#[utoipa::path(
    post, path = "/api/v1/workflows/sync/{flow_id}", tag = "workflows",
    params(
        ("flow_id" = String, Path),
        ("source_url" = Option<String>, Query, description = "Url or name of the source"),
        ("input_component" = Option<String>, Query), ("output_component" = Option<String>, Query),
    ),
    request_body = Option<SyncRequest>,
    responses(
        (status = 200, description = "The workflow", body = SyncedWorkflow),
        (status = 400, description = "The source does not answer as it should", body = ErrorBody),
        (status = 404, description = "No such flow or source", body = ErrorBody),
        (status = 409, description = "The stored key of a source was encrypted under another encryption key", body = ErrorBody),
        (status = 422, description = "Parts of the request can't be used", body = ValidationBody),
    )
)]
pub(super) async fn sync(
    state: Data<ApiState>,
    flow_id: Path<String>,
    request: HttpRequest,
    body: Body,
) -> Result<Json<SyncedWorkflow>, Error> {
    let mut query = Query::of(&request);
    let given = if body.is_empty() { None } else { body.json::<Option<SyncRequest>>()? }.unwrap_or_default();
    let source_url = query.text("source_url").or(given.source_url);
    let input_component = query.text("input_component").or(given.input_component);
    let output_component = query.text("output_component").or(given.output_component);
    query.finish()?;
    let (source, mut flow) = find(&state, &flow_id, source_url).await?;
    flow.input_component = input_component.or(flow.input_component);
    flow.output_component = output_component.or(flow.output_component);
    let id = state.store.sync_workflow(source.id, fit(flow)).await?.ok_or(Error::NotFound("Source"))?;
    let workflow = state.store.workflow(id).await?.ok_or(NOT_FOUND)?;
    let filter = ScheduleFilter { workflow_id: Some(id), ..ScheduleFilter::default() };
    let (schedules, _) = state.store.schedules(filter, 0, SCHEDULES_SHOWN).await?;
    Ok(Json(SyncedWorkflow {
        flow_raw_data: shown::json(workflow.raw.clone()),
        workflow_source_id: workflow.source_id,
        workflow: workflow.into(),
        schedules: schedules.into_iter().map(Schedule::from).collect(),
    }))
}

/// The source that a request names, or every active one.
async fn asked(state: &ApiState, source_url: Option<String>) -> Result<Vec<SourceRecord>, Error> {
    match source_url {
        Some(source) => named(state, source).await.map(|source| vec![source]),
        None => {
            let active = SourceFilter { status: Some("active".to_owned()), ..SourceFilter::default() };
            let (mut sources, mut offset) = (Vec::new(), 0);
            loop {
                let (page, total) = state.store.sources(active.clone(), offset, SOURCES_READ).await?;
                sources.extend(page);
                offset += SOURCES_READ;
                if offset >= total {
                    // One that is added meanwhile moves the others on to the next page.
                    let mut known = HashSet::new();
                    sources.retain(|source: &SourceRecord| known.insert(source.id));
                    return Ok(sources);
                }
            }
        }
    }
}

/// The source with this url or, if there is none, the one with this name.
async fn named(state: &ApiState, url_or_name: String) -> Result<SourceRecord, Error> {
    if let Some(source) = state.store.source_by_url(url_or_name.clone()).await? {
        return Ok(source);
    }
    let mut named = state.store.sources_by_name(url_or_name).await?;
    match (named.pop(), named.is_empty()) {
        (Some(source), true) => Ok(source),
        (None, _) => Err(Error::NotFound("Source")),
        (Some(_), false) => {
            let detail = "several sources have this name; give the url of the one that is meant, or rename one of them";
            Err(Error::refused("source_ambiguous", detail))
        }
    }
}

/// The flows that a source holds now.
pub(super) async fn list_one(state: &ApiState, source: &SourceRecord) -> Result<Vec<RemoteFlow>, String> {
    let endpoint = state.store.endpoint(source).map_err(|error| error.to_string())?;
    let source = state.connect(endpoint).map_err(|error| error.to_string())?;
    match actix_web::rt::time::timeout(state.options.remote_timeout, source.list()).await {
        Ok(list) => list.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", state.options.remote_timeout.as_secs())),
    }
}

/// A flow, and the source that has it. Of several sources the first that has it; where none has it, what the last
/// one that failed otherwise said.
async fn find(
    state: &ApiState,
    flow_id: &str,
    source_url: Option<String>,
) -> Result<(SourceRecord, RemoteFlow), Error> {
    let mut refusal = Error::FlowNotFound(format!("Flow {flow_id} not found"));
    for source in asked(state, source_url).await? {
        match get_one(state, &source, flow_id).await {
            Ok(flow) => return Ok((source, flow)),
            Err(Error::FlowNotFound(_)) => {}
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

async fn get_one(state: &ApiState, source: &SourceRecord, flow_id: &str) -> Result<RemoteFlow, Error> {
    let prefix = format!("Failed to read the flow from {}: ", source.url);
    let endpoint = state.store.endpoint(source)?;
    let source = state.connect(endpoint).map_err(|error| Error::source(&prefix, &error))?;
    match actix_web::rt::time::timeout(state.options.remote_timeout, source.get(flow_id)).await {
        Ok(flow) => flow.map_err(|error| Error::source(&prefix, &error)),
        Err(_) => {
            let limit = state.options.remote_timeout.as_secs();
            Err(Error::refused("source_unreachable", format!("{prefix}no answer within {limit} s")))
        }
    }
}

fn show(flow: RemoteFlow, source: &SourceRecord, simplified: bool) -> Value {
    let instance = source.name.clone().unwrap_or_else(|| source.url.clone());
    let origin = Origin { instance, source_url: source.url.clone() };
    let component = |part: crate::domain::workflow::FlowComponent| Component {
        id: part.id,
        name: if part.name.is_empty() { part.kind } else { part.name },
        description: part.description,
    };
    let raw = flow.raw;
    let item = RemoteFlowItem {
        id: flow.id,
        name: flow.name,
        description: flow.description,
        origin: origin.clone(),
        components: flow.components.into_iter().map(component).collect(),
    };
    let essentials = json!(item);
    if simplified {
        return essentials;
    }
    // What the source says wins over what we made of it, but for the id: a sync takes ours, which may say more.
    let mut whole = match essentials {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    let id = whole.remove("id");
    if let Some(Value::Object(raw)) = raw {
        whole.extend(raw);
    }
    whole.extend(id.map(|id| ("id".to_owned(), id)));
    whole.insert("instance".to_owned(), origin.instance.clone().into());
    whole.insert("source_url".to_owned(), origin.source_url.clone().into());
    whole.insert("origin".to_owned(), json!(origin));
    Value::Object(whole)
}

/// Cuts what a source says to what the columns hold.
fn fit(flow: RemoteFlow) -> RemoteFlow {
    let short = |text: String, max| text.replace('\0', "").chars().take(max).collect::<String>();
    let option = |text: Option<String>| text.map(|text| short(text, 255));
    RemoteFlow {
        name: short(flow.name, 255),
        description: flow.description.replace('\0', ""),
        input_component: option(flow.input_component),
        output_component: option(flow.output_component),
        folder_id: option(flow.folder_id),
        folder_name: option(flow.folder_name),
        icon: option(flow.icon),
        icon_bg_color: flow.icon_bg_color.map(|text| short(text, 50)),
        id: short(flow.id, 255),
        ..flow
    }
}

/// As many warnings as fit, and how many more there are. A header holds visible ASCII.
fn header_text(warnings: &[String]) -> String {
    let visible = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    let mut text = String::new();
    for (at, warning) in warnings.iter().enumerate() {
        let shown: String = warning.chars().take(WARNINGS_MAX).map(visible).collect();
        if at == 0 {
            text = shown;
        } else if text.len() + shown.len() <= WARNINGS_MAX {
            text.push_str("; ");
            text.push_str(&shown);
        } else {
            text.push_str(&format!("; and {} more", warnings.len() - at));
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_fit_a_header_and_those_that_do_not_are_counted() {
        let text = |warnings: &[&str]| header_text(&warnings.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(text(&["http://h: zeitüberschreitung\r\nX: y", "b"]), "http://h: zeit?berschreitung??X: y; b");
        assert_eq!(text(&[&"x".repeat(10_000)]).len(), WARNINGS_MAX);
        let many = text(&["x".repeat(900).as_str(); 5]);
        assert!(many.len() < 2000 && many.ends_with("x; and 3 more"), "{many}");
    }

    #[test]
    fn a_flow_is_cut_to_its_columns() {
        let flow = RemoteFlow { name: "ü".repeat(300), icon_bg_color: Some("c".repeat(60)), ..RemoteFlow::default() };
        let flow = fit(flow);
        assert_eq!(flow.name.chars().count(), 255);
        assert_eq!(flow.icon_bg_color.map(|color| color.len()), Some(50));
    }
}

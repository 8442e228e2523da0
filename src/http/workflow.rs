//! `/api/v1/workflows`: what is synced. (`remote.rs` reads the sources, `run.rs` runs.)

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpMessage, HttpRequest};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::error::{Error, ErrorBody, ValidationBody};
use super::limits::LimitsShown;
use super::page::Page;
use super::query::Query;
use super::shown;
use super::state::ApiState;
use super::trail::Changed;
use crate::domain::ids::WorkflowId;
use crate::domain::workflow::UnknownPolicy;
use crate::store::workflow::{Named, WorkflowFilter, WorkflowRecord};

/// A flow, agent or team of a source.
#[derive(Debug, Serialize, ToSchema)]
pub struct Workflow {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: WorkflowId,
    /// Shown to people.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// The source's url.
    #[schema(example = "http://localhost:7860")]
    pub source: String,
    /// Its id in the source.
    pub remote_flow_id: String,
    /// Rises when a sync finds another flow than the last one did.
    pub flow_version: i32,
    /// Where input goes.
    pub input_component: Option<String>,
    /// Where the result comes from.
    pub output_component: Option<String>,
    /// A component rather than a flow.
    pub is_component: bool,
    /// The folder it lies in.
    pub folder_id: Option<String>,
    /// Its name.
    pub folder_name: Option<String>,
    /// Name of an icon.
    pub icon: Option<String>,
    /// Its background.
    pub icon_bg_color: Option<String>,
    /// Marked by its owner.
    pub liked: bool,
    /// Labels.
    #[schema(value_type = Option<Vec<String>>)]
    pub tags: Option<Box<RawValue>>,
    /// What to do where it is unknown whether the source ran it: `retry` or `fail`; null: what the source's policy says.
    pub unknown_policy: Option<&'static str>,
    /// What its tasks are limited to, besides the limits of its source.
    #[serde(flatten)]
    pub limits: LimitsShown,
    /// When it was first synced.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last synced.
    pub updated_at: Option<DateTime<Utc>>,
    /// `NEW`, or the newest task's status in capitals.
    #[schema(example = "NEW")]
    pub latest_run: String,
    /// How many tasks it has.
    pub task_count: i64,
    /// How many of them failed.
    pub failed_task_count: i64,
}

/// A workflow with its graph.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkflowDetail {
    /// The workflow.
    #[serde(flatten)]
    pub workflow: Workflow,
    /// The graph.
    #[schema(value_type = Option<serde_json::Value>)]
    pub data: Option<Box<RawValue>>,
}

impl From<WorkflowRecord> for WorkflowDetail {
    fn from(workflow: WorkflowRecord) -> Self {
        let data = shown::json(workflow.data.clone());
        Self { workflow: workflow.into(), data }
    }
}

impl From<WorkflowRecord> for Workflow {
    fn from(workflow: WorkflowRecord) -> Self {
        Self {
            id: workflow.id,
            name: workflow.name,
            description: workflow.description,
            source: workflow.source,
            remote_flow_id: workflow.remote_flow_id,
            flow_version: workflow.flow_version,
            input_component: workflow.input_component,
            output_component: workflow.output_component,
            is_component: workflow.is_component,
            folder_id: workflow.folder_id,
            folder_name: workflow.folder_name,
            icon: workflow.icon,
            icon_bg_color: workflow.icon_bg_color,
            liked: workflow.liked,
            tags: shown::json(workflow.tags),
            unknown_policy: workflow.unknown_policy.map(UnknownPolicy::as_str),
            limits: workflow.limits.into(),
            created_at: workflow.created_at,
            updated_at: workflow.updated_at,
            latest_run: workflow.latest_run.map_or_else(|| "NEW".to_owned(), |status| status.to_uppercase()),
            task_count: workflow.task_count,
            failed_task_count: workflow.failed_task_count,
        }
    }
}

/// Says that it was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Success {
    /// Always true.
    success: bool,
}

/// List workflows, newest first.
#[utoipa::path(
    get, path = "/api/v1/workflows", tag = "workflows",
    params(
        ("source" = Option<String>, Query, description = "Url or name of a source"),
        ("name" = Option<String>, Query, description = "Part of the name"),
        ("folder" = Option<String>, Query, description = "Name or id of a folder"),
        ("named" = Option<String>, Query, description = "The whole name, or the flow's id in its source"),
        ("id_prefix" = Option<String>, Query, description = "Beginning of the id"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100), ("offset" = Option<i64>, Query, minimum = 0),
    ),
    responses(
        (status = 200, description = "A page of workflows", body = Page<Workflow>),
        (status = 422, description = "Parts of the query can't be used", body = ValidationBody),
    )
)]
pub(super) async fn list(state: Data<ApiState>, request: HttpRequest) -> Result<Json<Page<Workflow>>, Error> {
    let mut query = Query::of(&request);
    let span = query.span();
    let filter = WorkflowFilter {
        source: query.text("source"),
        name: query.text("name"),
        folder: query.text("folder"),
        named: query.text("named"),
        id_prefix: query.read("id_prefix"),
    };
    query.finish()?;
    let (workflows, total) = state.store.workflows(filter, span.offset, span.limit).await?;
    Ok(Json(Page::new(workflows.into_iter().map(Workflow::from).collect(), total, span)))
}

/// Show a workflow with its graph.
#[utoipa::path(
    get, path = "/api/v1/workflows/{id}", tag = "workflows",
    params(("id" = String, Path, description = "The id, the flow's id in its source, or the beginning of the id")),
    responses(
        (status = 200, description = "The workflow", body = WorkflowDetail),
        (status = 400, description = "Several workflows fit", body = ErrorBody),
        (status = 404, description = "Workflow not found", body = ErrorBody),
    )
)]
pub(super) async fn get(state: Data<ApiState>, id: Path<String>) -> Result<Json<WorkflowDetail>, Error> {
    let id = resolve(&state, &id).await?;
    Ok(Json(state.store.workflow(id).await?.ok_or(NOT_FOUND)?.into()))
}

/// Delete a workflow with its schedules and tasks.
#[utoipa::path(
    delete, path = "/api/v1/workflows/{id}", tag = "workflows",
    params(("id" = String, Path, description = "The id, the flow's id in its source, or the beginning of the id")),
    responses(
        (status = 200, description = "It is deleted", body = Success),
        (status = 400, description = "Several workflows fit", body = ErrorBody),
        (status = 404, description = "Workflow not found", body = ErrorBody),
    )
)]
pub(super) async fn delete(
    state: Data<ApiState>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<Json<Success>, Error> {
    let id = resolve(&state, &id).await?;
    request.extensions_mut().insert(Changed(id.to_string()));
    if state.dispatch.delete_workflow(id).await? { Ok(Json(Success { success: true })) } else { Err(NOT_FOUND) }
}

/// A workflow that is not there.
pub(super) const NOT_FOUND: Error = Error::NotFound("Workflow");

/// The workflow that a text of a request names.
pub(super) async fn resolve(state: &ApiState, text: &str) -> Result<WorkflowId, Error> {
    match state.store.name_workflow(text.to_owned()).await? {
        Named::One(id) => Ok(id),
        Named::None => Err(NOT_FOUND),
        Named::Several => {
            Err(Error::refused("workflow_ambiguous", format!("Several workflows fit {text:?}; give the whole id")))
        }
    }
}

//! `PATCH /api/v1/workflows/{id}`: what can be set of a workflow by hand.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpMessage, HttpRequest};
use serde::Deserialize;
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Error, ErrorBody, ValidationBody};
use super::limits::{LimitsBody, present};
use super::source_body::Policy;
use super::state::ApiState;
use super::trail::Changed;
use super::workflow::{NOT_FOUND, Workflow, resolve};
use crate::domain::workflow::UnknownPolicy;
use crate::store::workflow_change::WorkflowDraft;

/// What to change of a workflow; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
pub struct WorkflowPatch {
    /// What to do where it is unknown whether the source ran it; null: what the source's policy says.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Policy>)]
    unknown_policy: Option<Option<Policy>>,
    #[serde(flatten)]
    limits: LimitsBody,
}

/// Change a workflow: its limits, and what is done where the outcome of an attempt is unknown.
#[utoipa::path(
    patch, path = "/api/v1/workflows/{id}", tag = "workflows", request_body = WorkflowPatch,
    params(("id" = String, Path, description = "The id, the flow's id in its source, or the beginning of the id")),
    responses(
        (status = 200, description = "The workflow", body = Workflow),
        (status = 400, description = "Several workflows fit", body = ErrorBody),
        (status = 404, description = "Workflow not found", body = ErrorBody),
        (status = 422, description = "Parts of the body can't be used", body = ValidationBody),
    )
)]
pub(super) async fn patch(
    state: Data<ApiState>,
    id: Path<String>,
    request: HttpRequest,
    body: Body,
) -> Result<Json<Workflow>, Error> {
    let patch: WorkflowPatch = body.json()?;
    let id = resolve(&state, &id).await?;
    request.extensions_mut().insert(Changed(id.to_string()));
    let former = state.store.workflow_settings(id).await?.ok_or(NOT_FOUND)?;
    let draft = WorkflowDraft {
        unknown_policy: match patch.unknown_policy {
            None => former.unknown_policy,
            Some(policy) => policy.map(UnknownPolicy::from),
        },
        limits: patch.limits.applied_to(former.limits)?,
    };
    if !state.store.update_workflow(id, draft).await? {
        return Err(NOT_FOUND);
    }
    // Whatever waits may have room now.
    state.dispatch.ring_gate();
    Ok(Json(state.store.workflow(id).await?.ok_or(NOT_FOUND)?.into()))
}

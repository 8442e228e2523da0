//! `/api/v1/sources`.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Error, ErrorBody, ValidationBody};
use super::limits::{CircuitShown, LimitsShown};
use super::page::Page;
use super::query::Query;
use super::shown;
use super::source_body::{
    NewSource, SourcePatch, Status, checked_adapter, checked_ca, checked_key, checked_name, checked_url, name_of,
};
use super::state::ApiState;
use crate::domain::ids::SourceId;
use crate::domain::limit::Limits;
use crate::domain::source::{Endpoint, SourceKind, Trust, trim_url};
use crate::store::source::{SourceDraft, SourceFilter, SourceRecord, Stored};

/// A server that holds workflows.
#[derive(Debug, Serialize, ToSchema)]
pub struct Source {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: SourceId,
    /// Shown to people.
    pub name: Option<String>,
    /// `langflow`, `automagik-hive`, `automagik-agents` or `http`.
    #[schema(example = "langflow")]
    pub source_type: String,
    /// Where it is, without a trailing slash.
    #[schema(example = "http://localhost:7860")]
    pub url: String,
    /// The adapter that describes it; only sources of type `http` have one.
    pub adapter: Option<String>,
    /// `active` or `inactive`.
    #[schema(example = "active")]
    pub status: String,
    /// What it said of its version.
    #[schema(value_type = Option<serde_json::Value>)]
    pub version_info: Option<Box<RawValue>>,
    /// What to do where it is unknown whether it ran a flow: `retry` or `fail`.
    pub unknown_policy: &'static str,
    /// Whether its server's certificate is checked.
    pub tls_verify: bool,
    /// The only certificates that it is checked by, PEM; those that this machine trusts where there are none.
    pub tls_ca: Option<String>,
    /// What its tasks are limited to.
    #[serde(flatten)]
    pub limits: LimitsShown,
    /// Whether it is called, or left alone for a while.
    pub circuit: CircuitShown,
    /// When it was added.
    pub created_at: Option<DateTime<Utc>>,
    /// When it last changed.
    pub updated_at: Option<DateTime<Utc>>,
}

impl From<SourceRecord> for Source {
    fn from(source: SourceRecord) -> Self {
        Self {
            id: source.id,
            name: source.name,
            source_type: source.kind,
            url: trim_url(&source.url).to_owned(),
            adapter: source.adapter,
            status: source.status,
            version_info: shown::json(source.version_info),
            unknown_policy: source.unknown_policy.as_str(),
            tls_verify: source.tls_verify,
            tls_ca: source.tls_ca,
            limits: source.gate.limits.into(),
            circuit: source.gate.into(),
            created_at: source.created_at,
            updated_at: source.updated_at,
        }
    }
}

/// Says what was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Message {
    /// What was done.
    pub(super) message: &'static str,
}

/// Add a source. It is asked, with its key, before it is stored.
#[utoipa::path(
    post, path = "/api/v1/sources", tag = "sources", request_body = NewSource,
    responses(
        (status = 201, description = "The source", body = Source),
        (status = 400, description = "The source does not answer as it should, or its url is taken", body = ErrorBody),
        (status = 422, description = "Parts of the body can't be used", body = ValidationBody),
    )
)]
pub(super) async fn create(state: Data<ApiState>, body: Body) -> Result<HttpResponse, Error> {
    let new: NewSource = body.json()?;
    let url = checked_url(&new.url)?;
    let name = match new.name.as_deref().map(str::trim) {
        None | Some("") => name_of(&url),
        Some(name) => checked_name(name)?,
    };
    let (kind, api_key) = (new.source_type, checked_key(new.api_key.unwrap_or_default())?);
    let adapter = checked_adapter(kind, new.adapter, &state.options.adapters)?;
    let tls_verify = new.tls_verify.unwrap_or(true);
    let tls_ca = new.tls_ca.as_deref().map(checked_ca).transpose()?.flatten();
    let trust = Trust::of(tls_verify, tls_ca.as_deref());
    let limits = new.limits.applied_to(Limits::default())?;
    let endpoint = Endpoint { kind, url, api_key, adapter, trust };
    refuse_taken(&state, &endpoint.url).await?;
    let version_info = Some(validate(&state, endpoint.clone()).await?);
    let unknown_policy = new.unknown_policy.map(Into::into).unwrap_or_default();
    let Endpoint { kind, url, api_key, adapter, .. } = endpoint;
    let draft = SourceDraft {
        name,
        kind,
        url,
        adapter,
        api_key: Some(api_key),
        active: true,
        version_info,
        unknown_policy,
        tls_verify,
        tls_ca,
        limits,
    };
    Ok(HttpResponse::Created().json(stored(state.store.add_source(draft).await?)?))
}

/// List sources, newest first.
#[utoipa::path(
    get, path = "/api/v1/sources", tag = "sources",
    params(
        ("status" = Option<Status>, Query, description = "Only those in this status"),
        ("named" = Option<String>, Query, description = "The whole name or url"),
        ("id_prefix" = Option<String>, Query, description = "Beginning of the id"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100), ("offset" = Option<i64>, Query, minimum = 0),
    ),
    responses(
        (status = 200, description = "A page of sources", body = Page<Source>),
        (status = 422, description = "Parts of the query can't be used", body = ValidationBody),
    )
)]
pub(super) async fn list(state: Data<ApiState>, request: HttpRequest) -> Result<Json<Page<Source>>, Error> {
    let mut query = Query::of(&request);
    let span = query.span();
    let status = query.text("status");
    if status.as_ref().is_some_and(|status| !["active", "inactive"].contains(&status.as_str())) {
        query.refuse("status", "status must be active or inactive");
    }
    let filter = SourceFilter { status, named: query.text("named"), id_prefix: query.read("id_prefix") };
    query.finish()?;
    let (sources, total) = state.store.sources(filter, span.offset, span.limit).await?;
    Ok(Json(Page::new(sources.into_iter().map(Source::from).collect(), total, span)))
}

/// Show a source.
#[utoipa::path(
    get, path = "/api/v1/sources/{id}", tag = "sources", params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The source", body = Source),
        (status = 404, description = "Source not found", body = ErrorBody),
    )
)]
pub(super) async fn get(state: Data<ApiState>, id: Path<String>) -> Result<Json<Source>, Error> {
    Ok(Json(find(&state, &id).await?.into()))
}

/// Change a source. A new url, type, key or trust is tried before anything changes.
#[utoipa::path(
    patch, path = "/api/v1/sources/{id}", tag = "sources", params(("id" = uuid::Uuid, Path)),
    request_body = SourcePatch,
    responses(
        (status = 200, description = "The source", body = Source),
        (status = 400, description = "The source does not answer as it should, or its url is taken", body = ErrorBody),
        (status = 404, description = "Source not found", body = ErrorBody),
        (status = 409, description = "Its stored key was encrypted under another encryption key, and no new one is given",
            body = ErrorBody),
        (status = 422, description = "Parts of the body can't be used", body = ValidationBody),
    )
)]
pub(super) async fn patch(state: Data<ApiState>, id: Path<String>, body: Body) -> Result<Json<Source>, Error> {
    let patch: SourcePatch = body.json()?;
    let source = find(&state, &id).await?;
    let limits = patch.limits.applied_to(source.gate.limits)?;
    let url = patch.url.as_deref().map(checked_url).transpose()?;
    let name = patch.name.as_deref().map(str::trim).map(checked_name).transpose()?;
    let api_key = patch.api_key.map(checked_key).transpose()?;
    let is_trusted_anew = patch.tls_verify.is_some() || patch.tls_ca.is_some();
    let is_moved =
        url.is_some() || api_key.is_some() || patch.source_type.is_some() || patch.adapter.is_some() || is_trusted_anew;
    let tls_verify = patch.tls_verify.unwrap_or(source.tls_verify);
    let tls_ca = match patch.tls_ca {
        Some(pem) => checked_ca(&pem)?,
        None => source.tls_ca.clone(),
    };
    let kind = match patch.source_type {
        Some(kind) => kind,
        None => state.store.source_kind(&source)?,
    };
    // One that is gone stands in the way of what asks the source, and of nothing else.
    let adapter = if is_moved {
        let kept = source.adapter.clone().filter(|_| kind == SourceKind::Http);
        checked_adapter(kind, patch.adapter.or(kept), &state.options.adapters)?
    } else {
        source.adapter.clone()
    };
    let url = url.unwrap_or_else(|| trim_url(&source.url).to_owned());
    if url != trim_url(&source.url) {
        refuse_taken(&state, &url).await?;
    }
    let mut version_info = source.version_info.clone();
    if is_moved {
        // The stored key is read only where no new one is given: one that can't be read any more can be replaced.
        let api_key = match &api_key {
            Some(key) => key.clone(),
            None => state.store.source_key(&source)?,
        };
        let trust = Trust::of(tls_verify, tls_ca.as_deref());
        let endpoint = Endpoint { kind, url: url.clone(), api_key, adapter: adapter.clone(), trust };
        version_info = Some(validate(&state, endpoint).await?);
    }
    let draft = SourceDraft {
        name: name.or_else(|| source.name.clone()).unwrap_or_else(|| name_of(&url)),
        kind,
        url,
        adapter,
        api_key,
        active: patch.status.map_or(source.is_active(), |status| status == Status::Active),
        version_info,
        unknown_policy: patch.unknown_policy.map_or(source.unknown_policy, Into::into),
        tls_verify,
        tls_ca,
        limits,
    };
    let source = stored(state.store.update_source(source.id, draft).await?)?;
    if !is_moved {
        // Whatever waits may have room now.
        state.dispatch.ring_gate();
        return Ok(Json(source));
    }
    // It has just answered, so what it was left alone for is over.
    state.dispatch.resume_source(source.id).await?;
    Ok(Json(find(&state, &source.id.to_string()).await?.into()))
}

/// Call a source again at once that is left alone after failures, or because it asked for that.
#[utoipa::path(
    post, path = "/api/v1/sources/{id}/resume", tag = "sources", params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The source", body = Source),
        (status = 404, description = "Source not found", body = ErrorBody),
    )
)]
pub(super) async fn resume(state: Data<ApiState>, id: Path<String>) -> Result<Json<Source>, Error> {
    state.dispatch.resume_source(find(&state, &id).await?.id).await?;
    Ok(Json(find(&state, &id).await?.into()))
}

/// Delete a source with its workflows, schedules and tasks.
#[utoipa::path(
    delete, path = "/api/v1/sources/{id}", tag = "sources", params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "It is deleted", body = Message),
        (status = 404, description = "Source not found", body = ErrorBody),
    )
)]
pub(super) async fn delete(state: Data<ApiState>, id: Path<String>) -> Result<Json<Message>, Error> {
    if state.dispatch.delete_source(parse_id(&id)?).await? {
        Ok(Json(Message { message: "Source deleted successfully" }))
    } else {
        Err(NOT_FOUND)
    }
}

const NOT_FOUND: Error = Error::NotFound("Source");

fn parse_id(text: &str) -> Result<SourceId, Error> {
    text.parse().map_err(|_| NOT_FOUND)
}

/// A source of the store.
pub(super) async fn find(state: &ApiState, id: &str) -> Result<SourceRecord, Error> {
    state.store.source(parse_id(id)?).await?.ok_or(NOT_FOUND)
}

fn stored(stored: Stored) -> Result<Source, Error> {
    match stored {
        Stored::Done(source) => {
            if !source.tls_verify {
                log::warn!("source {} is believed without a look at its certificate (tls_verify is false)", source.id);
            }
            Ok((*source).into())
        }
        Stored::Unknown => Err(NOT_FOUND),
        Stored::Duplicate => Err(duplicate()),
    }
}

fn duplicate() -> Error {
    Error::refused("source_duplicate", "A source with this url exists already; change that one instead")
}

/// Says so before the source is asked; the constraint of the table decides when two requests come at once.
async fn refuse_taken(state: &ApiState, url: &str) -> Result<(), Error> {
    match state.store.source_by_url(url.to_owned()).await? {
        Some(_) => Err(duplicate()),
        None => Ok(()),
    }
}

/// Asks a source who it is; returns what it says of its version, JSON.
async fn validate(state: &ApiState, endpoint: Endpoint) -> Result<String, Error> {
    const PREFIX: &str = "Failed to validate source: ";
    let limit = state.options.validate_timeout;
    let source = state.connect(endpoint).map_err(|error| Error::refused(error.code(), format!("{PREFIX}{error}")))?;
    match actix_web::rt::time::timeout(limit, source.validate()).await {
        Ok(Ok(version)) => Ok(version.to_string()),
        Ok(Err(error)) => Err(Error::refused(error.code(), format!("{PREFIX}{error}"))),
        Err(_) => Err(Error::refused(
            "source_unreachable",
            format!("{PREFIX}no answer within {} s; check the url and that the source is up", limit.as_secs()),
        )),
    }
}

//! `/api/v1/sources`.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::body::Body;
use super::error::{Error, ErrorBody, Problem, ValidationBody};
use super::page::Page;
use super::query::Query;
use super::shown;
use super::state::ApiState;
use crate::domain::ids::SourceId;
use crate::domain::source::{Endpoint, Secret, SourceKind, trim_url};
use crate::domain::workflow::UnknownPolicy;
use crate::sources;
use crate::store::source::{SourceDraft, SourceFilter, SourceRecord, Stored};

const NAME_MAX: usize = 255;
const URL_MAX: usize = 2048;
const KEY_MAX: usize = 4096;

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
    /// `active` or `inactive`.
    #[schema(example = "active")]
    pub status: String,
    /// What it said of its version.
    #[schema(value_type = Option<serde_json::Value>)]
    pub version_info: Option<Box<RawValue>>,
    /// What to do where it is unknown whether it ran a flow: `retry` or `fail`.
    pub unknown_policy: &'static str,
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
            status: source.status,
            version_info: shown::json(source.version_info),
            unknown_policy: source.unknown_policy.as_str(),
            created_at: source.created_at,
            updated_at: source.updated_at,
        }
    }
}

/// A source to add.
#[derive(Debug, Deserialize, ToSchema)]
pub struct NewSource {
    /// `langflow`, `automagik-hive`, `automagik-agents` or `http`.
    #[schema(value_type = String, example = "langflow")]
    source_type: SourceKind,
    /// Where it is.
    #[schema(example = "http://localhost:7860")]
    url: String,
    /// Shown to people; made from the host where there is none.
    name: Option<String>,
    /// The source's own key. It is stored encrypted and never shown.
    #[schema(value_type = Option<String>)]
    api_key: Option<Secret>,
    /// What to do where it is unknown whether the source ran a flow.
    unknown_policy: Option<Policy>,
}

/// What to change of a source; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
pub struct SourcePatch {
    name: Option<String>,
    #[schema(value_type = Option<String>)]
    source_type: Option<SourceKind>,
    url: Option<String>,
    #[schema(value_type = Option<String>)]
    api_key: Option<Secret>,
    status: Option<Status>,
    unknown_policy: Option<Policy>,
}

/// Whether a source is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is.
    Active,
    /// Its flows are not listed.
    Inactive,
}

/// What to do where it is unknown whether a source ran a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Run it again.
    Retry,
    /// Fail the task.
    Fail,
}

impl From<Policy> for UnknownPolicy {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Retry => Self::Retry,
            Policy::Fail => Self::Fail,
        }
    }
}

/// Says what was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Message {
    /// What was done.
    message: &'static str,
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
    let endpoint = Endpoint { kind: new.source_type, url, api_key: checked_key(new.api_key.unwrap_or_default())? };
    refuse_taken(&state, &endpoint.url).await?;
    let version_info = Some(validate(&state, endpoint.clone()).await?);
    let unknown_policy = new.unknown_policy.map(Into::into).unwrap_or_default();
    let Endpoint { kind, url, api_key } = endpoint;
    let draft = SourceDraft { name, kind, url, api_key: Some(api_key), active: true, version_info, unknown_policy };
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

/// Change a source. A new url, type or key is tried before anything changes.
#[utoipa::path(
    patch, path = "/api/v1/sources/{id}", tag = "sources", params(("id" = uuid::Uuid, Path)),
    request_body = SourcePatch,
    responses(
        (status = 200, description = "The source", body = Source),
        (status = 400, description = "The source does not answer as it should, or its url is taken", body = ErrorBody),
        (status = 404, description = "Source not found", body = ErrorBody),
        (status = 422, description = "Parts of the body can't be used", body = ValidationBody),
    )
)]
pub(super) async fn patch(state: Data<ApiState>, id: Path<String>, body: Body) -> Result<Json<Source>, Error> {
    let patch: SourcePatch = body.json()?;
    let source = find(&state, &id).await?;
    let url = patch.url.as_deref().map(checked_url).transpose()?;
    let name = patch.name.as_deref().map(str::trim).map(checked_name).transpose()?;
    let api_key = patch.api_key.map(checked_key).transpose()?;
    let is_moved = url.is_some() || api_key.is_some() || patch.source_type.is_some();
    let kind = match patch.source_type {
        Some(kind) => kind,
        None => state.store.source_kind(&source)?,
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
        version_info = Some(validate(&state, Endpoint { kind, url: url.clone(), api_key }).await?);
    }
    let draft = SourceDraft {
        name: name.or_else(|| source.name.clone()).unwrap_or_else(|| name_of(&url)),
        kind,
        url,
        api_key,
        active: patch.status.map_or(source.is_active(), |status| status == Status::Active),
        version_info,
        unknown_policy: patch.unknown_policy.map_or(source.unknown_policy, Into::into),
    };
    Ok(Json(stored(state.store.update_source(source.id, draft).await?)?))
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

async fn find(state: &ApiState, id: &str) -> Result<SourceRecord, Error> {
    state.store.source(parse_id(id)?).await?.ok_or(NOT_FOUND)
}

fn stored(stored: Stored) -> Result<Source, Error> {
    match stored {
        Stored::Done(source) => Ok(source.into()),
        Stored::Unknown => Err(NOT_FOUND),
        Stored::Duplicate => Err(duplicate()),
    }
}

fn duplicate() -> Error {
    Error::refused("source_duplicate", "A source with this url exists already; change that one instead")
}

/// Says so before the source is asked; the constraint of the table decides when two requests come at once.
async fn refuse_taken(state: &ApiState, url: &str) -> Result<(), Error> {
    let taken = state.store.source_by_url_or_name(url.to_owned()).await?;
    if taken.is_some_and(|source| trim_url(&source.url) == url) { Err(duplicate()) } else { Ok(()) }
}

/// Asks a source who it is; returns what it says of its version, JSON.
async fn validate(state: &ApiState, endpoint: Endpoint) -> Result<String, Error> {
    const PREFIX: &str = "Failed to validate source: ";
    let limit = state.options.validate_timeout;
    let source = sources::connect(endpoint, state.sources.clone())
        .map_err(|error| Error::refused(error.code(), format!("{PREFIX}{error}")))?;
    match actix_web::rt::time::timeout(limit, source.validate()).await {
        Ok(Ok(version)) => Ok(version.to_string()),
        Ok(Err(error)) => Err(Error::refused(error.code(), format!("{PREFIX}{error}"))),
        Err(_) => Err(Error::refused(
            "source_unreachable",
            format!("{PREFIX}no answer within {} s; check the url and that the source is up", limit.as_secs()),
        )),
    }
}

fn checked_url(text: &str) -> Result<String, Error> {
    let refuse = |msg: &str| Err(Error::invalid(Problem::body("url", msg)));
    let text = trim_url(text);
    let Ok(url) = url::Url::parse(text) else {
        return refuse("url must be an absolute url such as http://localhost:7860");
    };
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        return refuse("url must begin with http:// or https:// and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("url must not hold a user or password, since urls are shown; use api_key");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return refuse("url must be the base url of the source, without ? or #");
    }
    if text.len() > URL_MAX {
        return refuse("url must not be longer than 2048 characters");
    }
    Ok(text.to_owned())
}

fn checked_name(name: &str) -> Result<String, Error> {
    let fits = (1..=NAME_MAX).contains(&name.chars().count());
    if fits {
        Ok(name.to_owned())
    } else {
        Err(Error::invalid(Problem::body("name", "name must have 1 to 255 characters")))
    }
}

fn checked_key(key: Secret) -> Result<Secret, Error> {
    let fits = key.expose().len() <= KEY_MAX;
    if fits {
        Ok(key)
    } else {
        Err(Error::invalid(Problem::body("api_key", "api_key must not be longer than 4096 bytes")))
    }
}

/// A name for a source that was given none: its host, with the port where it says one.
fn name_of(url: &str) -> String {
    let Ok(url) = url::Url::parse(url) else { return "source".to_owned() };
    let host = url.host_str().unwrap_or("source");
    let name = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    name.chars().take(NAME_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked_and_kept_as_given() {
        assert_eq!(checked_url(" http://Host:7860/base// ").ok().as_deref(), Some("http://Host:7860/base"));
        let long = format!("http://h/{}", "x".repeat(URL_MAX));
        for bad in
            ["", "host:7860", "ftp://host", "http://", "http://u:p@host", "http://h/?a=1", "http://h/#a", "/x", &long]
        {
            assert!(checked_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_made_from_the_host() {
        assert_eq!(name_of("http://localhost:7860"), "localhost:7860");
        assert_eq!(name_of("https://flows.example.com/lf"), "flows.example.com");
        assert_eq!(name_of("http://[::1]:7860"), "[::1]:7860");
    }
}

//! `/api/v1/keys`: the stored keys of this API.

use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::body::Body;
use super::error::{Error, ErrorBody, Problem, ValidationBody};
use super::page::Page;
use super::query::{Query, read_time};
use super::state::ApiState;
use crate::domain::access::{FreshKey, KEY_BYTES, KeyName, Scope};
use crate::domain::clock;
use crate::domain::ids::KeyId;
use crate::domain::source::Secret;
use crate::store::api_key::{Added, KEYS_MAX, KeyDraft, KeyFilter, KeyRecord, Revoked};

/// A key of this API, without the key itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiKey {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: KeyId,
    /// What it is called.
    #[schema(example = "ci")]
    pub name: String,
    /// What it begins with.
    #[schema(example = "spk_x7Hq2Lm0")]
    pub prefix: String,
    /// What it may do: `read`, `run` or `admin`.
    #[schema(value_type = String, example = "run")]
    pub scope: Scope,
    /// `active`, `expired` or `revoked`.
    #[schema(example = "active")]
    pub status: &'static str,
    /// Who made it: another key's name, or `configured key`.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends or ended; none is never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewKey {
    /// What is stored of it.
    #[serde(flatten)]
    pub stored: ApiKey,
    /// The key itself. It is shown this once and stored nowhere.
    #[schema(value_type = String)]
    pub key: Secret,
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
pub struct KeyRequest {
    /// What to call it: 1 to 64 characters of a-z, A-Z, 0-9, `_`, `-` and `.`. No two keys have the same name, but for
    /// revoked ones.
    #[schema(value_type = String, example = "ci")]
    name: KeyName,
    /// What it may do: `read`, `run` or `admin`.
    #[schema(value_type = String, example = "run")]
    scope: Scope,
    /// When it ends; never where this is absent.
    #[schema(value_type = Option<DateTime<Utc>>)]
    expires_at: Option<String>,
}

impl ApiKey {
    pub(super) fn of(key: KeyRecord, now: DateTime<Utc>) -> Self {
        let status = if key.revoked_at.is_some() {
            "revoked"
        } else if key.expires_at.is_some_and(|end| end <= now) {
            "expired"
        } else {
            "active"
        };
        Self {
            id: key.id,
            name: key.name,
            prefix: key.prefix,
            scope: key.scope,
            status,
            created_by: key.created_by,
            created_at: key.created_at,
            expires_at: key.expires_at,
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
        }
    }
}

/// Make a key. The answer is the only place that ever shows it.
#[utoipa::path(
    post, path = "/api/v1/keys", tag = "keys", request_body = KeyRequest,
    responses(
        (status = 201, description = "The key", body = NewKey),
        (status = 400, description = "The first key of a service without a configured one must be an admin's that does not \
            expire, or there are too many keys", body = ErrorBody),
        (status = 409, description = "Another key has the name", body = ErrorBody),
        (status = 422, description = "Parts of the body can't be used", body = ValidationBody),
    )
)]
pub(super) async fn create(state: Data<ApiState>, caller: Caller, body: Body) -> Result<HttpResponse, Error> {
    let new: KeyRequest = body.json()?;
    let now = clock::now();
    let expires_at = new.expires_at.as_deref().map(|text| checked_end(text, now)).transpose()?;
    if caller.is_anonymous() && (new.scope != Scope::Admin || expires_at.is_some()) {
        let detail = "Once there is a key, keys are asked for, and no key is configured: make one with the scope admin \
                      and without expires_at first, else nobody could manage keys in the end";
        return Err(Error::refused("key_first_admin", detail));
    }
    let fresh = FreshKey::of(rand::rng().random::<[u8; KEY_BYTES]>());
    let draft = KeyDraft {
        name: new.name,
        prefix: fresh.prefix,
        hash: fresh.hash,
        scope: new.scope,
        created_by: caller.actor.to_string(),
        expires_at,
    };
    match state.store.add_key(draft).await? {
        Added::Done(key) => {
            state.keyring.key_was_added();
            let key = NewKey { stored: ApiKey::of(key, now), key: fresh.text };
            Ok(HttpResponse::Created().json(key))
        }
        Added::NameTaken => Err(Error::Conflict {
            code: "key_name_taken",
            detail: "Another key has this name; revoke that one first, or choose another name".to_owned(),
        }),
        Added::Full => Err(Error::refused("key_limit", format!("There are {KEYS_MAX} keys; revoke some first"))),
    }
}

/// List keys, newest first.
#[utoipa::path(
    get, path = "/api/v1/keys", tag = "keys",
    params(
        ("revoked" = Option<bool>, Query, description = "The revoked ones, too"),
        ("named" = Option<String>, Query, description = "The whole name"),
        ("id_prefix" = Option<String>, Query, description = "Beginning of the id"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100), ("offset" = Option<i64>, Query, minimum = 0),
    ),
    responses(
        (status = 200, description = "A page of keys", body = Page<ApiKey>),
        (status = 422, description = "Parts of the query can't be used", body = ValidationBody),
    )
)]
pub(super) async fn list(state: Data<ApiState>, request: HttpRequest) -> Result<Json<Page<ApiKey>>, Error> {
    let mut query = Query::of(&request);
    let span = query.span();
    let filter = KeyFilter {
        revoked_too: query.flag("revoked").unwrap_or(false),
        named: query.text("named"),
        id_prefix: query.read("id_prefix"),
    };
    query.finish()?;
    let (keys, total) = state.store.keys(filter, span.offset, span.limit).await?;
    let now = clock::now();
    Ok(Json(Page::new(keys.into_iter().map(|key| ApiKey::of(key, now)).collect(), total, span)))
}

/// Revoke a key: at once on this node, within seconds on the others.
#[utoipa::path(
    delete, path = "/api/v1/keys/{id}", tag = "keys", params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The key that was revoked", body = ApiKey),
        (status = 400, description = "It was revoked before, or is the last that can manage keys", body = ErrorBody),
        (status = 404, description = "Key not found", body = ErrorBody),
    )
)]
pub(super) async fn revoke(state: Data<ApiState>, id: Path<String>) -> Result<Json<ApiKey>, Error> {
    let id = id.parse().map_err(|_| NOT_FOUND)?;
    match state.store.revoke_key(id, state.options.api_keys.is_empty()).await? {
        Revoked::Done(key) => {
            state.keyring.key_was_revoked(id);
            Ok(Json(ApiKey::of(key, clock::now())))
        }
        Revoked::LastAdmin => Err(Error::refused(
            "key_last_admin",
            "No other admin key is there that does not expire, and no key is configured: nobody could manage keys any \
             more. Make another admin key without expires_at first, or set AUTOMAGIK_SPARK_API_KEY and restart",
        )),
        Revoked::Already => Err(Error::refused("key_revoked", "Key is revoked already")),
        Revoked::Unknown => Err(NOT_FOUND),
    }
}

const NOT_FOUND: Error = Error::NotFound("Key");

fn checked_end(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
    let refuse = |msg: &str| Error::invalid(Problem::body("expires_at", msg));
    let end = read_time(text)
        .ok_or_else(|| refuse("expires_at must be a date-time such as 2026-11-24T18:00:00Z (without zone: UTC)"))?;
    if end > now { Ok(end) } else { Err(refuse("expires_at must be in the future")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_in_the_future() {
        let now = "2026-11-24T12:00:00Z".parse().expect("an instant");
        assert!(checked_end("2026-11-24T12:00:01Z", now).is_ok());
        for bad in ["2026-11-24T12:00:00Z", "2020-01-01", "90d", ""] {
            assert!(checked_end(bad, now).is_err(), "{bad}");
        }
    }
}

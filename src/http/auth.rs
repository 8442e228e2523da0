//! Who asks, and whether they may.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError, web};
use subtle::{Choice, ConstantTimeEq};

use super::error::Error;
use super::keyring::{Holder, Verdict};
use super::policy::{self, Rule};
use super::state::ApiState;
use super::{cors, method_not_allowed, not_found, trail};
use crate::domain::access::{ANONYMOUS, CONFIGURED, KeyHash, Scope};
use crate::domain::ids::KeyId;
use crate::domain::source::Secret;

const HEADER: &str = "X-API-Key";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// What the audit trail calls them.
    pub(super) actor: Arc<str>,
    /// Their stored key, if they have one.
    pub(super) key_id: Option<KeyId>,
    /// What they may do.
    pub(super) scope: Scope,
}

impl Caller {
    fn of_the_operator(actor: &str) -> Self {
        Self { actor: actor.into(), key_id: None, scope: Scope::Admin }
    }

    /// Whether they came without a key, because none is asked for.
    pub(super) fn is_anonymous(&self) -> bool {
        &*self.actor == ANONYMOUS
    }
}

impl From<Holder> for Caller {
    fn from(holder: Holder) -> Self {
        Self { actor: holder.name, key_id: Some(holder.id), scope: holder.scope }
    }
}

/// Handlers ask for who asks.
impl FromRequest for Caller {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // Every route that passed the middleware has one.
        ready(request.extensions().get::<Self>().cloned().ok_or(Error::KeyMissing))
    }
}

/// Middleware: lets those pass who may do what they ask for, and has the audit trail follow those who change something.
pub(super) async fn require_key(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody, BoxBody>>, actix_web::Error> {
    match admit(&request).await {
        Ok((caller, rule)) => {
            request.extensions_mut().insert(caller.clone());
            match rule.action {
                None => Ok(next.call(request).await?.map_into_left_body()),
                Some(action) => Ok(trail::follow(caller, action, request, next).await?.map_into_right_body()),
            }
        }
        // Answered here rather than raised, so that it passes through CORS like every other answer.
        Err(refusal) => Ok(request.into_response(refusal).map_into_right_body()),
    }
}

/// Who asks and for what; else the answer to those who may not, and to those who ask for what is not there.
async fn admit(request: &ServiceRequest) -> Result<(Caller, &'static Rule), HttpResponse> {
    let Some(state) = request.app_data::<web::Data<ApiState>>() else { return Err(not_found().await) };
    let caller = authenticate(request.headers(), state).await.map_err(|error| error.error_response())?;
    // The path as the router reads it: what is written with escapes in the request line is the same route there.
    let Some(path) = request.resource_map().match_pattern(request.match_info().as_str()) else {
        return Err(not_found().await);
    };
    let Some(rule) = policy::find(request.method().as_str(), &path) else {
        return Err(match policy::methods(&path) {
            Some(allowed) => method_not_allowed(&allowed),
            None => not_found().await,
        });
    };
    if caller.scope < rule.scope {
        return Err(Error::ScopeTooSmall { needed: rule.scope, given: caller.scope }.error_response());
    }
    Ok((caller, rule))
}

/// Who asks, by the key they sent.
async fn authenticate(headers: &HeaderMap, state: &ApiState) -> Result<Caller, Error> {
    let configured = state.options.api_keys.as_slice();
    if configured.is_empty() && !state.keyring.asks_for_keys().await.ok_or(Error::KeysUnread)? {
        // Being on loopback is all that keeps others out, and a page can lead a browser there under a name of its own.
        if !cors::is_own_host(headers, &state.options.cors_origins) {
            return Err(Error::HostRefused(host_of(headers)));
        }
        return Ok(Caller::of_the_operator(ANONYMOUS));
    }
    let given = headers.get(HEADER).map(|value| value.as_bytes().trim_ascii()).unwrap_or_default();
    if given.is_empty() {
        return Err(Error::KeyMissing);
    }
    if is_one_of(given, configured) {
        return Ok(Caller::of_the_operator(CONFIGURED));
    }
    let hash = KeyHash::of(given).ok_or(Error::KeyWrong)?;
    match state.keyring.check(hash).await {
        Verdict::Holds(holder) => Ok(holder.into()),
        Verdict::Unknown => Err(Error::KeyWrong),
        Verdict::Untold => Err(Error::KeysUnread),
    }
}

fn host_of(headers: &HeaderMap) -> String {
    headers.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()).unwrap_or_default()
}

/// Every key is compared to its end, so that the time tells nothing of any.
fn is_one_of(given: &[u8], keys: &[Secret]) -> bool {
    keys.iter().fold(Choice::from(0), |fits, key| fits | key.expose().as_bytes().ct_eq(given)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_configured_keys_opens() {
        let keys = ["one", "two"].map(Secret::new);
        assert!(is_one_of(b"one", &keys) && is_one_of(b"two", &keys));
        for wrong in ["", "on", "onee", "One", "three"] {
            assert!(!is_one_of(wrong.as_bytes(), &keys), "{wrong}");
        }
        assert!(!is_one_of(b"", &[]));
    }
}

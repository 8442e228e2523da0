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
use super::{cors, method_not_allowed, not_found, session, trail};
use crate::domain::access::{ANONYMOUS, CONFIGURED, KeyHash, Scope};
use crate::domain::ids::KeyId;

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

    /// Whether they may carry out an operation of the API.
    pub(super) fn may(&self, method: &str, path: &str) -> bool {
        policy::find(method, path).is_some_and(|rule| self.require(rule).is_ok())
    }

    /// Refuses them where they may not do what a rule is about.
    pub(super) fn require(&self, rule: &Rule) -> Result<(), Error> {
        if self.scope < rule.scope {
            return Err(Error::ScopeTooSmall { needed: rule.scope, given: self.scope });
        }
        Ok(())
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
    let caller = authenticate(request, state).await.map_err(|error| error.error_response())?;
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
    caller.require(rule).map_err(|error| error.error_response())?;
    Ok((caller, rule))
}

/// Who asks, by the key they sent or the session of the dashboard that stands for one.
pub(super) async fn authenticate(request: &ServiceRequest, state: &ApiState) -> Result<Caller, Error> {
    let headers = request.headers();
    if !asks_for_keys(state).await? {
        // Being on loopback is all that keeps others out, and a page can lead a browser there under a name of its own.
        if !cors::is_own_host(headers, &state.options.cors_origins) {
            return Err(Error::HostRefused(host_of(headers)));
        }
        return Ok(Caller::of_the_operator(ANONYMOUS));
    }
    let given = headers.get(HEADER).map(|value| value.as_bytes().trim_ascii()).unwrap_or_default();
    if !given.is_empty() {
        return holder_of(given, state).await;
    }
    let session = session::of(headers, state.store.vault()).ok_or(Error::KeyMissing)?;
    if state.keyring.has_ended(session.id) {
        return Err(Error::KeyMissing);
    }
    let hash = session.key;
    if !session::is_of_own_page(request.method(), headers) {
        return Err(Error::PageRefused);
    }
    let configured = state.options.api_keys.iter().map(|key| KeyHash::of_any(key.expose().as_bytes()));
    if is_one_of(&hash.0, configured.map(|hash| hash.0)) {
        return Ok(Caller::of_the_operator(CONFIGURED));
    }
    holder_of_stored(hash, state).await
}

/// Whether anybody needs a key at all.
pub(super) async fn asks_for_keys(state: &ApiState) -> Result<bool, Error> {
    if !state.options.api_keys.is_empty() {
        return Ok(true);
    }
    state.keyring.asks_for_keys().await.ok_or(Error::KeysUnread)
}

/// Whose key this is.
pub(super) async fn holder_of(given: &[u8], state: &ApiState) -> Result<Caller, Error> {
    if is_one_of(given, state.options.api_keys.iter().map(|key| key.expose().as_bytes())) {
        return Ok(Caller::of_the_operator(CONFIGURED));
    }
    holder_of_stored(KeyHash::of(given).ok_or(Error::KeyWrong)?, state).await
}

async fn holder_of_stored(hash: KeyHash, state: &ApiState) -> Result<Caller, Error> {
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
fn is_one_of<K: AsRef<[u8]>>(given: &[u8], keys: impl IntoIterator<Item = K>) -> bool {
    keys.into_iter().fold(Choice::from(0), |fits, key| fits | key.as_ref().ct_eq(given)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_configured_keys_opens() {
        let keys = ["one", "two"];
        assert!(is_one_of(b"one", keys) && is_one_of(b"two", keys));
        for wrong in ["", "on", "onee", "One", "three"] {
            assert!(!is_one_of(wrong.as_bytes(), keys), "{wrong}");
        }
        assert!(!is_one_of(b"", [""; 0]));
    }
}

//! The one table from everything that can go wrong to a status, a code and a text.

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::dispatch::bulk::BrokeOff;
use crate::domain::access::Scope;
use crate::{dispatch, sources, store};

/// Seconds after which a client may come back when the service is overloaded or the database away.
const RETRY_AFTER_S: u64 = 2;
/// The same when too many tasks are pending: it takes longer until some have run.
const BACKLOG_RETRY_AFTER_S: u64 = 10;
/// The same when an address has sent too many wrong keys.
const ATTEMPTS_RETRY_AFTER_S: u64 = 60;

/// Why a request is not answered with what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The thing with this name is not there.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// A flow that no source has.
    #[error("{0}")]
    FlowNotFound(String),
    /// What is asked for is refused.
    #[error("{detail}")]
    Refused {
        /// Stable name of the reason.
        code: &'static str,
        /// The reason, for people.
        detail: String,
    },
    /// What is asked for contradicts what is there.
    #[error("{detail}")]
    Conflict {
        /// Stable name of the reason.
        code: &'static str,
        /// The reason, for people.
        detail: String,
    },
    /// Parts of the request can't be used.
    #[error("the request is not valid")]
    Invalid(Vec<Problem>),
    /// No key.
    #[error("X-API-Key header is missing")]
    KeyMissing,
    /// Another key.
    #[error("Invalid API key")]
    KeyWrong,
    /// A key that may not do this.
    #[error("this needs an API key of the scope {needed}, and the one that was sent has the scope {given}")]
    ScopeTooSmall {
        /// The least scope that may.
        needed: Scope,
        /// The key's scope.
        given: Scope,
    },
    /// Whether a key is one of the stored ones can't be told.
    #[error("API keys can't be checked while the database is away; try again shortly")]
    KeysUnread,
    /// A page of another site calls an API that no key protects.
    #[error("requests of web pages at {0} are not allowed; add the origin to AUTOMAGIK_SPARK_API_CORS")]
    OriginRefused(String),
    /// The API is called by a name that is not known to be its own, and no key protects it.
    #[error(
        "without an API key requests to {0:?} are not answered; call localhost or 127.0.0.1, set \
         AUTOMAGIK_SPARK_API_KEY, or add the address to AUTOMAGIK_SPARK_API_CORS"
    )]
    HostRefused(String),
    /// A session of the dashboard, sent by something else than a page of it.
    #[error("a session counts for the dashboard's own pages only; send an API key in the header X-API-Key")]
    PageRefused,
    /// A session goes on, though somebody wants it to end: as many of its key are remembered as ended as may be.
    #[error(
        "you are not logged out: {0} sessions with this key were ended within the last 12 hours, and no more are \
         remembered; try again later, or have an admin revoke the key, which ends them all"
    )]
    SessionGoesOn(i64),
    /// Too many wrong keys from one address.
    #[error("too many wrong keys came from this address; wait a minute, then try again")]
    TooManyAttempts,
    /// The body is too large.
    #[error("the body is larger than {0} bytes; send less, or raise the limit")]
    BodyTooLarge(usize),
    /// The body did not come in time.
    #[error("the body did not arrive in time; send it again")]
    BodyTimeout,
    /// The body broke off.
    #[error("the body could not be read; send it again")]
    BodyBroken,
    /// The body is not said to be JSON.
    #[error("the body has the content type {0:?}; send JSON with Content-Type: application/json")]
    MediaType(String),
    /// Bodies that are being read and worked on take all the memory there is for them.
    #[error("too many large requests are under way; send it again in a moment")]
    NoRoom,
    /// As many event streams are open as may be.
    #[error("all {0} event streams are in use; close one, try again later, or raise api.max_streams")]
    TooManyStreams(usize),
    /// A task was not made.
    #[error(transparent)]
    Dispatch(#[from] dispatch::Error),
    /// A task was not changed.
    #[error(transparent)]
    Change(#[from] dispatch::change::Error),
    /// A change of many tasks ended before it was through.
    #[error("{error}; {changed} tasks were changed before that")]
    BrokeOff {
        /// How many tasks it had changed.
        changed: usize,
        /// Why it ended.
        error: dispatch::change::Error,
    },
    /// A pool takes no orders.
    #[error(
        "the pool takes no orders right now; look at it in a moment, and try again unless it has the size asked for"
    )]
    PoolBusy,
    /// The database could not do it.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// One part of a request that can't be used.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// Where: `path`, `query` or `body`, then names and positions.
    #[schema(value_type = Vec<Object>, example = json!(["body", "input_data"]))]
    pub loc: Vec<Value>,
    /// What is wrong and what to do.
    pub msg: String,
    /// Stable name of the reason.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Problem {
    /// A part of the body.
    pub fn body(field: &str, msg: impl Into<String>) -> Self {
        Self { loc: vec!["body".into(), field.into()], msg: msg.into(), kind: "value_error".to_owned() }
    }

    /// A parameter of the query.
    pub fn query(name: &str, msg: impl Into<String>) -> Self {
        Self { loc: vec!["query".into(), name.into()], msg: msg.into(), kind: "value_error".to_owned() }
    }
}

/// What is wrong, for programs and people.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What is wrong and what to do.
    #[schema(example = "Task not found")]
    pub detail: String,
    /// Stable name of the reason.
    #[schema(example = "not_found")]
    pub code: String,
    /// How many tasks a change of many had changed when it broke off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!(null))]
    pub changed: Option<usize>,
}

/// What is wrong with the parts of a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct ValidationBody {
    /// Each part that can't be used.
    pub detail: Vec<Problem>,
    /// Always `validation`.
    #[schema(example = "validation")]
    pub code: String,
}

impl Error {
    /// A refusal (400).
    pub fn refused(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Refused { code, detail: detail.into() }
    }

    /// One part of the request that can't be used (422).
    pub fn invalid(problem: Problem) -> Self {
        Self::Invalid(vec![problem])
    }

    /// A source that could not do its part.
    pub fn source(prefix: &str, error: &sources::Error) -> Self {
        match error.code() {
            "flow_not_found" => Self::FlowNotFound(error.to_string()),
            code => Self::refused(code, format!("{prefix}{error}")),
        }
    }

    fn status_and_code(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::NotFound(_) | Self::FlowNotFound(_) => (S::NOT_FOUND, "not_found"),
            Self::Refused { code, .. } => (S::BAD_REQUEST, code),
            Self::Conflict { code, .. } => (S::CONFLICT, code),
            Self::Invalid(_) => (S::UNPROCESSABLE_ENTITY, "validation"),
            Self::KeyMissing => (S::UNAUTHORIZED, "api_key_missing"),
            Self::KeyWrong => (S::UNAUTHORIZED, "api_key_invalid"),
            Self::ScopeTooSmall { .. } => (S::FORBIDDEN, "scope_too_small"),
            Self::KeysUnread => (S::SERVICE_UNAVAILABLE, "database_unavailable"),
            Self::OriginRefused(_) => (S::FORBIDDEN, "origin_refused"),
            Self::HostRefused(_) => (S::FORBIDDEN, "host_refused"),
            Self::PageRefused => (S::FORBIDDEN, "page_refused"),
            Self::SessionGoesOn(_) => (S::SERVICE_UNAVAILABLE, "too_many_sessions"),
            Self::TooManyAttempts => (S::TOO_MANY_REQUESTS, "too_many_attempts"),
            Self::BodyTooLarge(_) => (S::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BodyTimeout => (S::REQUEST_TIMEOUT, "body_timeout"),
            Self::BodyBroken => (S::BAD_REQUEST, "body_broken"),
            Self::MediaType(_) => (S::UNSUPPORTED_MEDIA_TYPE, "media_type"),
            Self::NoRoom => (S::SERVICE_UNAVAILABLE, "overloaded"),
            Self::TooManyStreams(_) => (S::SERVICE_UNAVAILABLE, "too_many_streams"),
            Self::Dispatch(dispatch::Error::NoSuchWorkflow) => (S::NOT_FOUND, "not_found"),
            Self::Dispatch(error @ dispatch::Error::Backlog(_)) => (S::TOO_MANY_REQUESTS, error.code()),
            Self::Dispatch(error @ dispatch::Error::Overloaded) => (S::SERVICE_UNAVAILABLE, error.code()),
            Self::Dispatch(error @ dispatch::Error::Stopping) => (S::SERVICE_UNAVAILABLE, error.code()),
            Self::Dispatch(dispatch::Error::Store(error)) => of_store(error),
            Self::Change(error) | Self::BrokeOff { error, .. } => of_change(error),
            Self::PoolBusy => (S::SERVICE_UNAVAILABLE, "pool_busy"),
            Self::Store(error) => of_store(error),
        }
    }

    /// Seconds after which the same request may be answered otherwise.
    pub(super) fn retry_after_s(&self) -> Option<u64> {
        match (self, self.status_and_code().0) {
            (Self::TooManyAttempts, _) => Some(ATTEMPTS_RETRY_AFTER_S),
            (_, StatusCode::TOO_MANY_REQUESTS) => Some(BACKLOG_RETRY_AFTER_S),
            (_, StatusCode::SERVICE_UNAVAILABLE) => Some(RETRY_AFTER_S),
            _ => None,
        }
    }

    /// Whether something was changed although this is the answer. Other answers of the same class say that nothing was.
    pub(super) fn is_after_changes(&self) -> bool {
        // Deleting a task calls it off first.
        matches!(self, Self::BrokeOff { .. } | Self::Change(dispatch::change::Error::Busy))
    }

    /// How many tasks a change of many had changed when it broke off.
    pub(super) fn changed(&self) -> Option<usize> {
        if let Self::BrokeOff { changed, .. } = self { Some(*changed) } else { None }
    }

    /// What is wrong, for people.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::BrokeOff { changed, error: dispatch::change::Error::Store(error) } => {
                format!("{}; {changed} tasks were changed before that", detail_of_store(error))
            }
            Self::Store(error) | Self::Change(dispatch::change::Error::Store(error)) => detail_of_store(error),
            Self::Dispatch(dispatch::Error::Store(error)) => detail_of_store(error),
            _ => self.to_string(),
        }
    }
}

impl From<BrokeOff> for Error {
    fn from(BrokeOff { changed, error }: BrokeOff) -> Self {
        if changed == 0 { Self::Change(error) } else { Self::BrokeOff { changed, error } }
    }
}

fn of_change(error: &dispatch::change::Error) -> (StatusCode, &'static str) {
    use dispatch::change::Error as Change;
    match error {
        Change::Unknown => (StatusCode::NOT_FOUND, error.code()),
        Change::Refused(_) => (StatusCode::BAD_REQUEST, error.code()),
        Change::Busy => (StatusCode::CONFLICT, error.code()),
        Change::Store(error) => of_store(error),
    }
}

fn of_store(error: &store::Error) -> (StatusCode, &'static str) {
    match error {
        error if error.is_transient() => (StatusCode::SERVICE_UNAVAILABLE, error.code()),
        error if is_of_class(error, DATA) => (StatusCode::BAD_REQUEST, "value_not_storable"),
        error if is_of_class(error, INTEGRITY) => (StatusCode::CONFLICT, "changed_meanwhile"),
        store::Error::WrongKey => (StatusCode::CONFLICT, error.code()),
        store::Error::PageTooLarge { .. } => (StatusCode::BAD_REQUEST, error.code()),
        error => (StatusCode::INTERNAL_SERVER_ERROR, error.code()),
    }
}

/// What PostgreSQL says of the database is the operator's business; the log has it.
fn detail_of_store(error: &store::Error) -> String {
    match error {
        error if error.is_transient() => "the database is not available right now; try again shortly".to_owned(),
        error if is_of_class(error, DATA) => "the request holds a value that can't be stored".to_owned(),
        error if is_of_class(error, INTEGRITY) => {
            "what the request refers to was changed or deleted meanwhile; look again".to_owned()
        }
        store::Error::Unreadable(_) | store::Error::WrongKey | store::Error::PageTooLarge { .. } => error.to_string(),
        _ => "the database refused a statement; the service's log says why".to_owned(),
    }
}

/// Class of PostgreSQL's errors about values out of a type's range. Handlers check values first; this is the net.
const DATA: &str = "22";
/// Class of its errors about constraints: a workflow is deleted while a task of it is being stored.
const INTEGRITY: &str = "23";

fn is_of_class(error: &store::Error, class: &str) -> bool {
    let store::Error::Statement(error) = error else { return false };
    error.code().is_some_and(|state| state.code().starts_with(class))
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        self.status_and_code().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, code) = self.status_and_code();
        match status {
            // While the database is away every request fails so; that it is away is logged once, elsewhere.
            StatusCode::SERVICE_UNAVAILABLE => log::debug!(code = code; "request failed: {self}"),
            status if status.is_server_error() => log::error!(code = code; "request failed: {self}"),
            _ => {}
        }
        let mut response = HttpResponse::build(status);
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey")));
        }
        if let Some(seconds) = self.retry_after_s() {
            response.insert_header((RETRY_AFTER, seconds));
        }
        match self {
            Self::Invalid(detail) => response.json(ValidationBody { detail: detail.clone(), code: code.to_owned() }),
            _ => response.json(ErrorBody { detail: self.shown(), code: code.to_owned(), changed: self.changed() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_away_is_said_so_without_its_secrets() {
        let error = Error::from(store::Error::Unreachable("connect to db.internal failed".into()));
        let response = error.error_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(RETRY_AFTER));
        assert!(!error.shown().contains("db.internal"));
    }

    #[test]
    fn a_change_that_broke_off_says_how_far_it_came() {
        let broke_off = |changed| Error::from(BrokeOff { changed, error: store::Error::Away.into() });
        let error = broke_off(4000);
        assert_eq!(error.status_code(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!((error.changed(), error.is_after_changes()), (Some(4000), true));
        assert!(error.shown().ends_with("try again shortly; 4000 tasks were changed before that"), "{}", error.shown());
        assert_eq!((broke_off(0).changed(), broke_off(0).is_after_changes()), (None, false));
    }

    #[test]
    fn a_missing_key_names_the_scheme() {
        let response = Error::KeyMissing.error_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers().get(WWW_AUTHENTICATE).map(HeaderValue::as_bytes), Some(b"ApiKey".as_slice()));
    }

    #[test]
    fn an_unknown_flow_is_not_found_and_other_faults_of_a_source_are_refusals() {
        let unknown = Error::source("Failed to sync: ", &sources::Error::NotFound("x".into()));
        assert_eq!(unknown.status_code(), StatusCode::NOT_FOUND);
        let away = Error::source("Failed to sync: ", &sources::Error::Unreachable("refused".into()));
        assert_eq!(
            (away.status_code(), away.to_string().as_str()),
            (StatusCode::BAD_REQUEST, "Failed to sync: refused")
        );
    }
}

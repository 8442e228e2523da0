//! Which web pages may call the API.

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, ResponseError, web};
use url::{Host, Url};

use super::error::Error;
use super::state::ApiState;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
const EXPOSED: HeaderValue = HeaderValue::from_static("Retry-After, WWW-Authenticate, warnings");
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");

/// Middleware: answers preflights, and marks every answer, errors too, for the pages that may read it.
pub(super) async fn allow_origins(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody, BoxBody>>, actix_web::Error> {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        return Ok(next.call(request).await?.map_into_left_body());
    };
    let state = request.app_data::<web::Data<ApiState>>().cloned();
    let (origins, is_open) = state
        .as_ref()
        .map_or((&[][..], false), |state| (state.options.cors_origins.as_slice(), state.options.api_keys.is_empty()));
    let grant = Grant::decide(&origin, origins);
    let asks = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight {
        request.into_response(preflight(grant, asks)).map_into_right_body()
    } else if is_open && grant == Grant::None && changes(request.method()) && !is_same_site(request.headers(), &origin)
    {
        // Without a key nothing else keeps a page that the operator happens to visit from sending forms here.
        let error = Error::OriginRefused(String::from_utf8_lossy(origin.as_bytes()).into_owned());
        request.into_response(error.error_response()).map_into_right_body()
    } else {
        // An error that a middleware within raised instead of answering it would pass by here unmarked; none does.
        next.call(request).await?.map_into_left_body()
    };
    mark(response.headers_mut(), grant, origin);
    Ok(response)
}

/// What a page of an origin may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grant {
    /// Nothing.
    None,
    /// Read answers.
    Anonymous,
    /// Read answers and send credentials.
    Credentials,
}

impl Grant {
    fn decide(origin: &HeaderValue, allowed: &[String]) -> Self {
        if allowed.iter().any(|one| one.trim_end_matches('/').as_bytes().eq_ignore_ascii_case(origin.as_bytes())) {
            Self::Credentials
        } else if allowed.iter().any(|one| one == "*") {
            Self::Anonymous
        } else {
            Self::None
        }
    }
}

fn preflight(grant: Grant, asks: Option<HeaderValue>) -> HttpResponse {
    let mut response = HttpResponse::NoContent().finish();
    if grant != Grant::None {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        if let Some(asks) = asks {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asks);
        }
    }
    response
}

fn mark(headers: &mut HeaderMap, grant: Grant, origin: HeaderValue) {
    headers.append(header::VARY, HeaderValue::from_name(HeaderName::from_static("origin")));
    match grant {
        Grant::None => return,
        Grant::Anonymous => headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        Grant::Credentials => {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin)
        }
    };
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether the page was served from the address that it calls.
pub(super) fn is_same_site(headers: &HeaderMap, origin: &HeaderValue) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let origin = origin.as_bytes();
    let origin_host = origin.windows(3).position(|window| window == b"://").map(|at| &origin[at + 3..]);
    host.is_some() && host == origin_host
}

/// Whether the host that a request names may be this service: an address, `localhost`, or the host of an allowed origin.
/// Any other name may have been pointed at loopback by the page that asks, whose requests are then of its own origin.
pub(super) fn is_own_host(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Some(host) = host.to_str().ok().and_then(host_of) else { return false };
    let is_allowed = |origin: &String| {
        origin == "*" || origin.split_once("://").and_then(|(_, host)| host_of(host)).as_ref() == Some(&host)
    };
    match &host {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost") || allowed.iter().any(is_allowed),
        Host::Ipv4(_) | Host::Ipv6(_) => true,
    }
}

/// The host of `host` or `host:port`.
fn host_of(authority: &str) -> Option<Host> {
    let url = Url::parse(&format!("http://{authority}")).ok()?;
    url.host().map(|host| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_without_a_key_has_no_name_but_those_it_was_given() {
        let is_own = |host: &str| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).expect("a header"))]);
            is_own_host(&headers, &["https://Spark.example/".to_owned()])
        };
        for own in ["127.0.0.1:8883", "[::1]:8883", "localhost", "LOCALHOST:1", "a.localhost", "spark.example:8443"] {
            assert!(is_own(own), "{own}");
        }
        for foreign in ["evil.example", "evil.example:8883", "localhost.evil.example", "x@", ""] {
            assert!(!is_own(foreign), "{foreign}");
        }
        let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("any.example"))]);
        assert!(is_own_host(&headers, &["*".to_owned()]) && is_own_host(&HeaderMap::new(), &[]));
    }

    #[test]
    fn origins_are_compared_whole() {
        let grant = |origin, allowed: &[&str]| {
            let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            Grant::decide(&HeaderValue::from_static(origin), &allowed)
        };
        assert_eq!(grant("http://localhost:3000", &["http://localhost:3000/"]), Grant::Credentials);
        assert_eq!(grant("http://localhost:3000.evil.example", &["http://localhost:3000"]), Grant::None);
        assert_eq!(grant("null", &["http://localhost:3000"]), Grant::None);
        assert_eq!(grant("http://a.example", &["*"]), Grant::Anonymous);
        assert_eq!(grant("http://a.example", &["*", "http://a.example"]), Grant::Credentials);
    }
}

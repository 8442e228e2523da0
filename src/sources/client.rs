//! The HTTP client that all adapters share.
//!
//! Making one costs microseconds, since a child process makes one at each start: whatever TLS needs (the system's
//! root certificates above all) is loaded when the first `https` url is called, not before.
//!
//! Limits and manners: an answer's size is limited as it is read, after decompression. A GET follows redirects inside
//! its origin only, so a key never travels to another server; nothing else follows any. Proxies are taken from the
//! environment (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`). The only `Authorization` that is sent is the adapter's own,
//! or the user and password that a source's url carries.
//!
//! What a call can come to, and what an attempt makes of it:
//!
//! | code | what happened | again? | did the flow run? |
//! | --- | --- | --- | --- |
//! | `source_unreachable` | refused, no route, no such host, TLS failed, no connection in time | yes | no |
//! | `source_reset` | the connection broke after the request had been sent | yes | unknown |
//! | `source_timeout` | no answer in time after the request had been sent | yes | unknown |
//! | `source_http_NNN`, 408 425 429 5xx | the source (or what stands before it) says so; `Retry-After` is kept | yes | a 502 or 504 is a proxy's and leaves it unknown; else it failed |
//! | `source_http_NNN`, other 4xx | refused: key, flow, input | no | no |
//! | `source_redirect` | a redirect that is not followed | no | no |
//! | `source_request` | the task's values don't make a request (an id that no path can hold) | no | no |
//! | `source_url`, `source_key` | the source's url or key can't be put into a request | no | no |
//! | `source_certificate` | the server's certificate is not to be believed | no | no |
//! | `source_tls` | TLS can't be set up on this machine, or not with the source's own certificates | no | no |
//! | `answer_too_large` | more than `max_answer_bytes` | no | yes |
//! | `unusable_answer` | a success whose body is not what this kind of source answers | no | probably |
//!
//! Hive and Agents tell failures under 200 too: `flow_failed` and its kin are in `reply.rs` and `hive/answer.rs`.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use rustls::ClientConfig;
use url::Url;

use super::call::CallError;
use super::{Error, detail, tls};
use crate::domain::clock;
use crate::domain::source::{Secret, Trust};

/// Below the five seconds after which uvicorn (all our sources run on it) closes an idle connection, so that a request
/// seldom meets a connection that is being closed.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);
/// The header that passes a trace on.
const TRACEPARENT: &str = "traceparent";
/// How many redirects a GET follows.
const MAX_REDIRECTS: usize = 5;
/// How much of an error's body is read.
const MAX_ERROR_BYTES: usize = 64 * 1024;
/// How many ways to trust servers are remembered with their connections; there are as many as sources with `tls_ca`.
const MAX_TRUSTS: usize = 64;

/// Limits of the client.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Largest answer that is read, in bytes, after decompression.
    pub max_answer_bytes: usize,
    /// How long a connection may take to open, TLS included.
    pub connect_timeout: Duration,
    /// How long a management call (validate, list, get) may take. A run has no limit here: its caller has.
    pub request_timeout: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            max_answer_bytes: 10 * 1024 * 1024,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(15),
        }
    }
}

/// A client: cheap to make, cheap to clone. Clones share their connections.
#[derive(Clone)]
pub struct HttpClient {
    shared: Arc<Shared>,
    secured: Arc<Secured>,
    /// What servers are told of the trace that a call is part of.
    traceparent: Option<HeaderValue>,
}

struct Shared {
    options: HttpOptions,
    /// For `http` urls. Knows no root certificate.
    plain: reqwest::Client,
    /// For `https` urls, one for each way to trust servers.
    secured: Mutex<HashMap<Trust, Arc<Secured>>>,
}

/// A client for `https` urls; made at the first of them.
#[derive(Default)]
struct Secured {
    trust: Trust,
    made: OnceLock<Result<reqwest::Client, String>>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

/// One request.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Option<Body>,
    /// Over all of it. `None` where the caller limits the call.
    pub(super) timeout: Option<Duration>,
}

/// What a request carries.
pub(super) struct Body {
    content_type: &'static str,
    bytes: bytes::Bytes,
}

impl Body {
    /// JSON.
    pub(super) fn json(value: &impl serde::Serialize) -> Result<Self, CallError> {
        let bytes = serde_json::to_vec(value).map_err(|error| CallError::Unusable(error.to_string()))?;
        Ok(Self { content_type: "application/json", bytes: bytes.into() })
    }

    /// The fields of a form.
    pub(super) fn form(fields: &[(&str, &str)]) -> Self {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self { content_type: "application/x-www-form-urlencoded", bytes: form.into() }
    }
}

impl HttpClient {
    /// A client with these limits.
    ///
    /// # Errors
    /// The HTTP library can't be set up on this machine.
    pub fn new(options: HttpOptions) -> Result<Self, Error> {
        let plain = tls::none().and_then(|tls| build(&options, tls)).map_err(Error::Client)?;
        let shared = Arc::new(Shared { options, plain, secured: Mutex::default() });
        Ok(Self { shared, secured: Arc::default(), traceparent: None }.trusting(&Trust::Machine))
    }

    /// The same client, for a source whose server is trusted so.
    pub(super) fn trusting(&self, trust: &Trust) -> Self {
        // Nothing that is done under the lock can leave it half done.
        let mut all = self.shared.secured.lock().unwrap_or_else(PoisonError::into_inner);
        let secured = all.get(trust).cloned().unwrap_or_else(|| {
            // Sources changed their certificates so often; those that are in use are soon made again.
            if all.len() >= MAX_TRUSTS {
                all.clear();
            }
            let new = Arc::new(Secured { trust: trust.clone(), made: OnceLock::new() });
            all.insert(trust.clone(), Arc::clone(&new));
            new
        });
        Self { shared: Arc::clone(&self.shared), secured, traceparent: self.traceparent.clone() }
    }

    /// The same client, for calls that are part of a trace: the header `traceparent` says of which.
    #[must_use]
    pub fn within(self, traceparent: &str) -> Self {
        Self { traceparent: HeaderValue::from_str(traceparent).ok(), ..self }
    }

    /// How long a management call may take.
    pub(super) fn request_timeout(&self) -> Duration {
        self.shared.options.request_timeout
    }

    /// A management call: a GET whose answer is read whole.
    pub(super) async fn get(&self, url: Url, headers: &HeaderMap) -> Result<Vec<u8>, CallError> {
        let timeout = Some(self.shared.options.request_timeout);
        self.call(Request { method: Method::GET, url, headers, body: None, timeout }).await
    }

    /// A run: a POST that may take as long as its caller lets it.
    pub(super) async fn post(&self, url: Url, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, CallError> {
        self.call(Request { method: Method::POST, url, headers, body: Some(body), timeout: None }).await
    }

    /// The body of a success; everything else is an error.
    pub(super) async fn call(&self, request: Request<'_>) -> Result<Vec<u8>, CallError> {
        let Request { method, mut url, headers, mut body, timeout } = request;
        let mut redirects = 0;
        loop {
            let origin = url.origin();
            let mut call = self.client_for(&url)?.request(method.clone(), url.clone()).headers(headers.clone());
            if let Some(timeout) = timeout {
                call = call.timeout(timeout);
            }
            // An adapter may have one of its own.
            if let Some(traceparent) = self.traceparent.as_ref().filter(|_| !headers.contains_key(TRACEPARENT)) {
                call = call.header(TRACEPARENT, traceparent);
            }
            if let Some(body) = body.take() {
                call = call.header(CONTENT_TYPE, body.content_type).body(body.bytes);
            }
            let response = call.send().await.map_err(|error| CallError::from_reqwest(error, &url))?;
            let status = response.status();
            if status.is_success() {
                return self.read(response, &url).await;
            }
            match redirect(&response, &url) {
                None => return Err(refusal(response).await),
                Some(target) if method == Method::GET && target.origin() == origin && redirects < MAX_REDIRECTS => {
                    redirects += 1;
                    url = target;
                }
                Some(target) => {
                    return Err(CallError::Redirected { status: status.as_u16(), to: without_user(target) });
                }
            }
        }
    }

    pub(super) fn client_for(&self, url: &Url) -> Result<&reqwest::Client, CallError> {
        match url.scheme() {
            "http" => Ok(&self.shared.plain),
            "https" => {
                let Secured { trust, made } = &*self.secured;
                let made = made.get_or_init(|| {
                    if *trust == Trust::Unchecked {
                        let origin = url.origin().ascii_serialization();
                        log::warn!("whoever answers as {origin} is believed: its source has tls_verify = false");
                    }
                    tls::config(trust).and_then(|tls| build(&self.shared.options, tls))
                });
                made.as_ref().map_err(|why| CallError::Tls(why.clone()))
            }
            other => Err(CallError::Url(format!("its scheme is {other}, not http or https"))),
        }
    }

    async fn read(&self, mut response: Response, url: &Url) -> Result<Vec<u8>, CallError> {
        let limit = self.shared.options.max_answer_bytes;
        let expected = response.content_length().and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        if expected > limit {
            return Err(CallError::TooLarge { limit });
        }
        let mut body = Vec::with_capacity(expected);
        while let Some(chunk) = response.chunk().await.map_err(|error| CallError::from_reqwest(error, url))? {
            if body.len() + chunk.len() > limit {
                return Err(CallError::TooLarge { limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// A header that carries a secret: the HTTP library doesn't print it.
pub(super) fn secret_header(name: &'static str, secret: &Secret) -> Result<(HeaderName, HeaderValue), Error> {
    Ok((HeaderName::from_static(name), secret_value(secret.expose())?))
}

/// The key as a Bearer token, with the same care.
pub(super) fn bearer_header(secret: &Secret) -> Result<(HeaderName, HeaderValue), Error> {
    Ok((AUTHORIZATION, secret_value(&format!("Bearer {}", secret.expose()))?))
}

pub(super) fn secret_value(text: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(text).map_err(|_| Error::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

fn build(options: &HttpOptions, tls: ClientConfig) -> Result<reqwest::Client, String> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("automagik-spark/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(options.connect_timeout)
        .pool_idle_timeout(IDLE_CONNECTION)
        .tcp_nodelay(true)
        .build()
        .map_err(|error| error.to_string())
}

/// Where a response sends us.
fn redirect(response: &Response, from: &Url) -> Option<Url> {
    let moved = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| moved)?;
    from.join(location.to_str().ok()?).ok()
}

async fn refusal(mut response: Response) -> CallError {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .filter(|_| matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE))
        .and_then(|value| detail::retry_after(value.to_str().ok()?, clock::now()));
    let mut body = Vec::new();
    // A body that breaks off, or goes on for ever, still leaves the status and what came of it.
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ERROR_BYTES {
            break;
        }
    }
    CallError::Status { status: status.as_u16(), text: detail::unwrap(&body), retry_after }
}

/// An address as it may be shown: user, password and query can hold secrets.
fn without_user(mut url: Url) -> String {
    // Both fail only for urls that can't have a user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_travel_in_headers_that_are_not_printed() {
        let key = Secret::new("os-1234");
        for (_, value) in [bearer_header(&key).expect("a header"), secret_header("x-api-key", &key).expect("a header")]
        {
            assert!(value.is_sensitive() && !format!("{value:?}").contains("os-1234"));
        }
    }

    #[test]
    fn forms_carry_every_character() {
        let body = Body::form(&[("message", "a&b=c +ü\n"), ("stream", "false")]);
        assert_eq!(body.bytes, "message=a%26b%3Dc+%2B%C3%BC%0A&stream=false");
    }

    #[test]
    fn shown_addresses_carry_no_secret() {
        let url = Url::parse("https://user:word@host:1/a?token=x#y").expect("a url");
        assert_eq!(without_user(url), "https://host:1/a");
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_an_error_without_it() {
        let error = secret_header("x-api-key", &Secret::new("hush\nhush")).expect_err("refused");
        assert!(!error.to_string().contains("hush"));
    }
}

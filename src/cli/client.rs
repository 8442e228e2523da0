//! The REST client. The one place that knows the wire, and that turns what can go wrong on it into an [`Error`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::Error;
use super::connection::{KEY_VARIABLE, Target};
use super::event_stream::EventStream;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A source's flows are listed while the caller waits, and that can take its time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// As long as anybody may look.
const ENDLESS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A service that is talked to.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    has_key: bool,
}

/// What the service answered: the text as it came, and what it means.
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) value: Value,
    headers: HeaderMap,
}

/// A request in the making.
pub(super) struct Request<'a> {
    client: &'a Client,
    inner: reqwest::RequestBuilder,
}

impl Client {
    pub(super) fn open(target: &Target) -> Result<Self, Error> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &target.api_key {
            let mut value = HeaderValue::from_str(key.expose())
                .map_err(|_| Error::Usage("the API key has characters that can't be sent in a header".to_owned()))?;
            value.set_sensitive(true);
            headers.insert("x-api-key", value);
        }
        let mut builder = reqwest::Client::builder()
            .default_headers(headers)
            .user_agent(concat!("automagik-spark/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            // The service never redirects its API; following one would carry the key to another host.
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(tls()?);
        if is_this_machine(&target.url) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| Error::Internal(chain("the HTTP client can't be made", &error)))?;
        Ok(Self { http, base: target.url.clone(), has_key: target.api_key.is_some() })
    }

    pub(super) fn get(&self, path: &[&str]) -> Request<'_> {
        self.request(Method::GET, path)
    }

    pub(super) fn post(&self, path: &[&str]) -> Request<'_> {
        self.request(Method::POST, path)
    }

    pub(super) fn patch(&self, path: &[&str]) -> Request<'_> {
        self.request(Method::PATCH, path)
    }

    pub(super) fn delete(&self, path: &[&str]) -> Request<'_> {
        self.request(Method::DELETE, path)
    }

    /// How the service is: the one page that belongs to no version of the API.
    pub(super) fn get_health(&self) -> Request<'_> {
        self.request_at(Method::GET, &["health"])
    }

    fn request(&self, method: Method, path: &[&str]) -> Request<'_> {
        self.request_at(method, &[&["api", "v1"], path].concat())
    }

    fn request_at(&self, method: Method, path: &[&str]) -> Request<'_> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        Request { client: self, inner: self.http.request(method, url) }
    }

    /// The address for messages: no user name, no password.
    pub(super) fn shown(&self) -> String {
        let mut url = self.base.clone();
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.as_str().trim_end_matches('/').to_owned()
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let at = self.shown();
        if error.is_connect() {
            let reason = innermost(error);
            return Error::Unavailable(format!(
                "no Spark service answers at {at} ({reason}); start one with `automagik-spark dev` or `automagik-spark \
                 serve`, or give --url"
            ));
        }
        if error.is_timeout() {
            let limit = ANSWER_TIMEOUT.as_secs();
            return Error::Unavailable(format!("the service at {at} did not answer within {limit} s; try again later"));
        }
        if error.is_builder() {
            return Error::Usage(chain("the request can't be made", error));
        }
        Error::Unavailable(format!("the connection to the service at {at} broke: {}", innermost(error)))
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, text: &str) -> Error {
        let body: Option<Value> = serde_json::from_str(text).ok();
        let said = body.as_ref().and_then(detail);
        let code = body.as_ref().and_then(|body| body.get("code")?.as_str()).map(str::to_owned);
        let message = match (status, said) {
            (StatusCode::UNAUTHORIZED, said) => {
                let said = said.unwrap_or_else(|| "it wants a key".to_owned());
                let advice = if self.has_key { "check the key that is given" } else { "give its key" };
                format!("the service refused the request: {said}; {advice} with --api-key, {KEY_VARIABLE} or .env")
            }
            (StatusCode::NOT_FOUND, Some(said)) => with_list(said),
            (status, Some(said)) => with_retry_after(said, status, headers),
            (status, None) if status.is_redirection() => {
                let to = headers.get("location").and_then(|to| to.to_str().ok()).unwrap_or("another address");
                format!("{} redirects to {to}; give the service's own address with --url", self.shown())
            }
            (status, None) => format!("{} answered {status} without a reason; is it a Spark service?", self.shown()),
        };
        Error::Refused { status: status.as_u16(), code, message }
    }
}

impl Request<'_> {
    /// Adds a query parameter, if there is a value for it.
    pub(super) fn query(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.inner = self.inner.query(&[(name, value.to_string())]);
        }
        self
    }

    pub(super) fn header(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.inner = self.inner.header(name, value);
        }
        self
    }

    pub(super) fn json(mut self, body: &Value) -> Self {
        self.inner = self.inner.json(body);
        self
    }

    /// Sends it, and reads the answer to its end.
    pub(super) async fn send(self) -> Result<Answer, Error> {
        let client = self.client;
        let started = Instant::now();
        let (line, response) = self.execute().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.map_err(|error| client.unreachable(&error))?;
        log::debug!("{line}: {status}, {} bytes, {} ms", text.len(), started.elapsed().as_millis());
        if !status.is_success() {
            return Err(client.refused(status, &headers, &text));
        }
        match serde_json::from_str(&text) {
            Ok(value) => Ok(Answer { text, value, headers }),
            Err(_) if text.trim().is_empty() => Ok(Answer { text: "null".to_owned(), value: Value::Null, headers }),
            Err(_) => Err(Error::Refused {
                status: status.as_u16(),
                code: None,
                message: format!("what answers at {} is no Spark service (no JSON); check --url", client.shown()),
            }),
        }
    }
}

impl Request<'_> {
    /// Sends it, and answers with the stream of events that begins then and has no end in time.
    pub(super) async fn open(mut self) -> Result<EventStream, Error> {
        let client = self.client;
        self.inner = self.inner.timeout(ENDLESS);
        let (line, response) = self.execute().await?;
        let status = response.status();
        log::debug!("{line}: {status}");
        if status.is_success() {
            return Ok(EventStream::new(response));
        }
        let headers = response.headers().clone();
        let text = response.text().await.map_err(|error| client.unreachable(&error))?;
        Err(client.refused(status, &headers, &text))
    }

    async fn execute(self) -> Result<(String, reqwest::Response), Error> {
        let client = self.client;
        let request = self.inner.build().map_err(|error| client.unreachable(&error))?;
        let line = format!("{} {}", request.method(), request.url().path());
        let response = client.http.execute(request).await.map_err(|error| client.unreachable(&error))?;
        Ok((line, response))
    }
}

impl Answer {
    /// The entries of a page, or of a plain array.
    pub(super) fn items(&self) -> &[Value] {
        let items = self.value.get("items").unwrap_or(&self.value);
        items.as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether another page follows.
    pub(super) fn has_more(&self) -> bool {
        self.value.get("has_more").and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().filter(|text| !text.is_empty())
    }
}

/// What the service says in an error: a sentence, or the list of a validation.
fn detail(body: &Value) -> Option<String> {
    match body.get("detail")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(problems) => Some(problems.iter().map(problem).collect::<Vec<_>>().join("; ")),
        other => Some(other.to_string()),
    }
}

fn problem(entry: &Value) -> String {
    let place: Vec<String> = entry["loc"].as_array().into_iter().flatten().map(plain).collect();
    let text = plain(&entry["msg"]);
    if place.is_empty() { text } else { format!("{}: {text}", place.join(".")) }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn with_retry_after(said: String, status: StatusCode, headers: &HeaderMap) -> String {
    let overloaded = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    match headers.get("retry-after").and_then(|after| after.to_str().ok()).filter(|_| overloaded) {
        Some(after) if after.bytes().all(|byte| byte.is_ascii_digit()) => format!("{said} (try again in {after} s)"),
        _ => said,
    }
}

/// Where to look what there is.
fn with_list(said: String) -> String {
    let nouns = ["source", "workflow", "task", "schedule"];
    match nouns.iter().find(|noun| said.eq_ignore_ascii_case(&format!("{noun} not found"))) {
        Some(noun) => format!("{said}; `automagik-spark {noun}s list` shows what there is"),
        None => said,
    }
}

/// A proxy of the environment is for the world outside.
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn tls() -> Result<rustls::ClientConfig, Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Internal(chain("TLS can't be set up", &error)))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn chain(what: &str, error: &dyn std::error::Error) -> String {
    let mut text = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_validation_list_becomes_one_line() {
        let body = json!({"detail": [
            {"loc": ["body", "input_data"], "msg": "must not be empty", "type": "value_error"},
            {"loc": ["query", "limit", 0], "msg": "too large", "type": "value_error"},
        ]});
        assert_eq!(detail(&body).as_deref(), Some("body.input_data: must not be empty; query.limit.0: too large"));
        assert_eq!(detail(&json!({"detail": "Task not found"})).as_deref(), Some("Task not found"));
        assert_eq!(detail(&json!({"error": 1})), None);
    }

    #[test]
    fn the_proxy_is_not_asked_for_this_machine() {
        for (url, expected) in [
            ("http://localhost:1", true),
            ("http://127.0.0.9", true),
            ("http://[::1]:1", true),
            ("http://spark", false),
        ] {
            assert_eq!(is_this_machine(&Url::parse(url).expect("valid")), expected, "{url}");
        }
    }
}

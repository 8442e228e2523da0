//! A collector of traces: takes OTLP over HTTP (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>).

use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use url::Url;

use super::call::CallError;
use super::client::{HttpClient, secret_value};
use super::{Error, detail};
use crate::domain::clock;
use crate::domain::source::Secret;

/// How long a call may take, all of it; OpenTelemetry's default.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer is read.
const READ_BYTES: usize = 4 * 1024;

/// Where traces go. Not `Debug`: its url may hold a password.
pub struct Collector {
    url: Url,
    headers: HeaderMap,
    http: HttpClient,
}

/// What a collector made of a request.
#[derive(Debug)]
pub enum Delivered {
    /// It has it. The answer may say that a part was refused.
    Taken(Vec<u8>),
    /// It does not take it, and would not if it were sent again.
    Refused(String),
    /// It can't take it now.
    Away {
        /// Why.
        why: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
}

impl Collector {
    /// A collector at a url, which gets these headers with everything.
    ///
    /// # Errors
    /// The url or a header can't be used.
    pub fn new(url: &Secret, headers: &[(String, Secret)], http: HttpClient) -> Result<Self, Error> {
        let url = Url::parse(url.expose()).map_err(|error| Error::Url(error.to_string()))?;
        let mut all = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"))]);
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Error::Key)?;
            all.insert(name, secret_value(value.expose())?);
        }
        Ok(Self { url, headers: all, http })
    }

    /// Sends a request.
    pub async fn send(&self, request: Bytes) -> Delivered {
        self.try_send(request).await.unwrap_or_else(|error| Delivered::Away { why: error.message(), retry_after: None })
    }

    async fn try_send(&self, request: Bytes) -> Result<Delivered, CallError> {
        let call = self.http.client_for(&self.url)?.post(self.url.clone()).headers(self.headers.clone());
        let call = call.timeout(TIMEOUT).body(request).send();
        let mut response = call.await.map_err(|error| CallError::from_reqwest(error, &self.url))?;
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|value| detail::retry_after(value, clock::now()));
        let mut answer = Vec::new();
        while answer.len() < READ_BYTES {
            let Ok(Some(chunk)) = response.chunk().await else { break };
            answer.extend_from_slice(&chunk[..chunk.len().min(READ_BYTES - answer.len())]);
        }
        let why = || format!("it answered {}: {}", status.as_u16(), detail::unwrap(&answer));
        Ok(match status {
            status if status.is_success() => Delivered::Taken(answer),
            // These alone, says the protocol, are worth another try.
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Delivered::Away { why: why(), retry_after },
            _ => Delivered::Refused(why()),
        })
    }
}

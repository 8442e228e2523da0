//! Webhooks: a message is sent to an address that somebody gave, and all that matters of the answer is its status.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use url::Url;

use super::call::CallError;
use super::client::HttpClient;
use super::detail;

/// How long a call may take, all of it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a refusal is read, to say why.
const READ_BYTES: usize = 4 * 1024;

/// What a receiver made of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The status it answered, if it did.
    pub status: Option<u16>,
    /// Why it does not have the message; none where it has.
    pub error: Option<String>,
}

/// Posts JSON. No redirect is followed: a message goes where it was meant to go, or nowhere.
pub async fn post(client: &HttpClient, url: &str, headers: &[(&'static str, String)], body: String) -> Received {
    match try_post(client, url, headers, body).await {
        Ok(received) => received,
        Err(error) => Received { status: None, error: Some(error.message()) },
    }
}

async fn try_post(
    client: &HttpClient,
    url: &str,
    headers: &[(&'static str, String)],
    body: String,
) -> Result<Received, CallError> {
    let url = Url::parse(url).map_err(|error| CallError::Url(error.to_string()))?;
    let mut call = client.client_for(&url)?.post(url.clone()).timeout(TIMEOUT).header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        call = call.header(*name, value);
    }
    let mut response = call.body(body).send().await.map_err(|error| CallError::from_reqwest(error, &url))?;
    let status = response.status();
    if status.is_success() {
        return Ok(Received { status: Some(status.as_u16()), error: None });
    }
    let mut text = Vec::new();
    while text.len() < READ_BYTES {
        let Ok(Some(chunk)) = response.chunk().await else { break };
        text.extend_from_slice(&chunk[..chunk.len().min(READ_BYTES - text.len())]);
    }
    let error = if status.is_redirection() {
        format!("HTTP {} redirects, which is not followed; give the address that answers", status.as_u16())
    } else {
        // PostgreSQL takes no U+0000.
        format!("HTTP {}: {}", status.as_u16(), detail::unwrap(&text).replace('\0', ""))
    };
    Ok(Received { status: Some(status.as_u16()), error: Some(error) })
}

//! What the adapters share: where a server is, how it is opened, and how it is asked.

use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::Url;

use super::call::CallError;
use super::client::Body;
use super::{Error, HttpClient, detail};
use crate::domain::source::Endpoint;

/// A source's server.
pub(super) struct Server {
    base: Url,
    headers: HeaderMap,
    http: HttpClient,
}

/// Why a server's health route does not say what it should.
pub(super) enum Unhealthy {
    /// It answers something else.
    Says(String),
    /// It does not answer.
    Silent(CallError),
}

impl Server {
    /// `headers` are those that open it; `example` is a url as this kind of source has it.
    pub(super) fn new(endpoint: &Endpoint, headers: HeaderMap, http: HttpClient, example: &str) -> Result<Self, Error> {
        let base = Url::parse(&endpoint.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| Error::Url(format!("the source's url must be like {example}")))?;
        Ok(Self { base, headers, http })
    }

    /// A url below the source's own, which may have a path itself. Each segment is escaped.
    fn url(&self, segments: &[&str], query: Option<&str>) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url.set_query(query);
        url
    }

    /// A management call with the key.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        query: Option<&str>,
    ) -> Result<T, CallError> {
        let body = self.http.get(self.url(segments, query), &self.headers).await?;
        serde_json::from_slice(&body).map_err(|_| CallError::Unusable(detail::unwrap(&body)))
    }

    /// A run.
    pub(super) async fn post(&self, segments: &[&str], query: Option<&str>, body: Body) -> Result<Vec<u8>, CallError> {
        self.http.post(self.url(segments, query), &self.headers, body).await
    }

    /// What a health route says, if its `status` is the wanted one. The key stays here: it is not known yet who
    /// listens there.
    pub(super) async fn health(&self, segments: &[&str], wanted: &str) -> Result<Value, Unhealthy> {
        let says = |answer| Unhealthy::Says(format!("GET /{} answers {answer}", segments.join("/")));
        match self.http.get(self.url(segments, None), &HeaderMap::new()).await {
            Ok(body) => {
                let health: Value = serde_json::from_slice(&body).unwrap_or_default();
                let is_wanted = health.get("status").and_then(Value::as_str) == Some(wanted);
                if is_wanted {
                    Ok(health)
                } else {
                    let answer = detail::shorten(&String::from_utf8_lossy(&body));
                    Err(says(format!("{answer}, not {{\"status\":\"{wanted}\"}}")))
                }
            }
            Err(CallError::Status { status: status @ (400 | 401 | 403 | 404 | 405), text, .. }) => {
                Err(says(format!("{status} {text}")))
            }
            Err(error) => Err(Unhealthy::Silent(error)),
        }
    }
}

impl Unhealthy {
    /// What came back, for people.
    pub(super) fn answer(self) -> String {
        match self {
            Self::Says(answer) => answer,
            Self::Silent(error) => Error::from(error).to_string(),
        }
    }

    /// The refusal of a source.
    pub(super) fn refuse(self, expected: &'static str) -> Error {
        match self {
            Self::Says(answer) => Error::WrongServer { expected, answer },
            Self::Silent(error) => error.into(),
        }
    }
}

/// Whether a flow's id can be a part of a url's path. Paths drop the dots, and what would be left is another route.
pub(super) fn is_segment(flow_id: &str) -> bool {
    !matches!(flow_id, "" | "." | "..")
}

/// The texts under these names, from the first answer that has one.
pub(super) fn texts(names: &[&str], answers: [&Value; 2]) -> Map<String, Value> {
    let told = names.iter().filter_map(|name| {
        let text = answers.into_iter().filter_map(|answer| answer.get(name)).find(|value| value.is_string())?;
        Some(((*name).to_owned(), text.clone()))
    });
    told.collect()
}

/// An item's text.
pub(super) fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::source::{Secret, SourceKind, Trust};
    use crate::sources::HttpOptions;

    fn server(url: &str) -> Result<Server, Error> {
        let endpoint = Endpoint {
            kind: SourceKind::Langflow,
            url: url.to_owned(),
            api_key: Secret::default(),
            adapter: None,
            trust: Trust::default(),
        };
        let http = HttpClient::new(HttpOptions::default()).expect("a client");
        Server::new(&endpoint, HeaderMap::new(), http, "http://host:7860")
    }

    #[test]
    fn urls_keep_the_sources_path_and_escape_ids() {
        let server = server("http://host:1/lang").expect("a server");
        assert_eq!(server.url(&["health"], None).as_str(), "http://host:1/lang/health");
        assert_eq!(server.url(&["flows", ""], Some("a=1")).as_str(), "http://host:1/lang/flows/?a=1");
        assert_eq!(server.url(&["run", "a/../b?c"], None).as_str(), "http://host:1/lang/run/a%2F..%2Fb%3Fc");
    }

    #[test]
    fn urls_that_no_request_can_carry_are_refused() {
        for url in ["", "host:7860", "ftp://host", "file:///etc/passwd", "http://"] {
            assert!(matches!(server(url), Err(Error::Url(_))), "{url}");
        }
    }
}

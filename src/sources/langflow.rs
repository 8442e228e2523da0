//! LangFlow, 1.0 to 1.13. What it answers, and which of it was seen, is in `docs/SOURCES.md`.
//!
//! The key travels as `x-api-key` and never as `Authorization`: LangFlow looks at a Bearer token first and refuses the
//! request for it, whatever else is right.

mod answer;
mod flow;

use async_trait::async_trait;
use reqwest::header::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::call::CallError;
use super::client::secret_header;
use super::{Error, HttpClient, RunRequest, WorkflowSource, detail};
use crate::domain::outcome::{Answer, Failure, Outcome};
use crate::domain::source::Endpoint;
use crate::domain::workflow::RemoteFlow;

pub(super) struct Langflow {
    base: Url,
    headers: HeaderMap,
    http: HttpClient,
}

/// What a run is sent. `input_value` must be text: 1.13 drops a whole body in which it is anything else, runs the flow
/// on nothing, and calls that a success.
#[derive(Serialize)]
struct RunBody<'a> {
    input_value: &'a str,
    input_type: &'static str,
    output_type: &'static str,
    session_id: &'a str,
}

impl Langflow {
    pub(super) fn new(endpoint: &Endpoint, http: HttpClient) -> Result<Self, Error> {
        let base = Url::parse(&endpoint.url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| Error::Url("the source's url must be like http://host:7860".to_owned()))?;
        let mut headers = HeaderMap::new();
        if !endpoint.api_key.expose().is_empty() {
            let (name, value) = secret_header("x-api-key", &endpoint.api_key)?;
            headers.insert(name, value);
        }
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

    async fn get_json<T: DeserializeOwned>(&self, url: Url) -> Result<T, CallError> {
        let body = self.http.get(url, &self.headers).await?;
        serde_json::from_slice(&body).map_err(|_| CallError::Unusable(detail::unwrap(&body)))
    }

    /// The projects, for which a key is needed. Older versions call them folders, or answer an unknown path with the
    /// page of their web interface.
    async fn projects(&self) -> Result<Vec<flow::Project>, CallError> {
        match self.get_json(self.url(&["api", "v1", "projects", ""], None)).await {
            Err(CallError::Status { status: 404, .. } | CallError::Unusable(_)) => {
                self.get_json(self.url(&["api", "v1", "folders", ""], None)).await
            }
            other => other,
        }
    }

    async fn check_health(&self) -> Result<(), Error> {
        let wrong = |answer: String| Error::WrongServer {
            expected: "LangFlow",
            answer: format!("GET /health answers {answer}, not {{\"status\":\"ok\"}}"),
        };
        // Without the key: it is not known yet who listens there.
        match self.http.get(self.url(&["health"], None), &HeaderMap::new()).await {
            Ok(body) => {
                let health: Value = serde_json::from_slice(&body).unwrap_or_default();
                let ok = health.get("status").and_then(Value::as_str) == Some("ok");
                if ok { Ok(()) } else { Err(wrong(detail::shorten(&String::from_utf8_lossy(&body)))) }
            }
            Err(CallError::Status { status: status @ (400 | 401 | 403 | 404 | 405), text, .. }) => {
                Err(wrong(format!("{status} {text}")))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn try_run(&self, run: &RunRequest) -> Result<Answer, CallError> {
        let body = RunBody {
            input_value: &run.input,
            input_type: input_type(run.input_component.as_deref()),
            output_type: output_type(run.output_component.as_deref()),
            session_id: &run.session_id,
        };
        let body = serde_json::to_vec(&body).map_err(|error| CallError::Unusable(error.to_string()))?;
        let url = self.url(&["api", "v1", "run", &run.flow_id], Some("stream=false"));
        let body = self.http.post(url, &self.headers, body).await?;
        answer::read(body, run.output_component.as_deref()).map_err(CallError::Unusable)
    }
}

/// Which input nodes take the input. `chat` leaves text inputs with the values that the flow's author gave them, and so
/// leaves a flow that has no chat input without any; `any` fills every input.
fn input_type(component: Option<&str>) -> &'static str {
    if component.is_some_and(|id| id.starts_with("ChatInput")) { "chat" } else { "any" }
}

/// Which nodes LangFlow reports: chat outputs, every output, or (`debug`, more than twice as large) every node.
fn output_type(component: Option<&str>) -> &'static str {
    match component {
        Some(id) if id.starts_with("ChatOutput") => "chat",
        Some(id) if !id.starts_with("TextOutput") => "debug",
        _ => "any",
    }
}

#[async_trait]
impl WorkflowSource for Langflow {
    async fn validate(&self) -> Result<Value, Error> {
        self.check_health().await?;
        self.projects().await.map_err(|error| match error {
            CallError::Unusable(answer) => Error::WrongServer {
                expected: "LangFlow",
                answer: format!("GET /api/v1/projects/ answers {answer}, not a list"),
            },
            CallError::Status { status: 404, text, .. } => Error::WrongServer {
                expected: "LangFlow",
                answer: format!("GET /api/v1/projects/ and /api/v1/folders/ answer 404 {text}"),
            },
            other => other.into(),
        })?;
        // The key is good and it is a LangFlow: one that does not tell its version is still one.
        let version: Result<Value, _> = self.get_json(self.url(&["api", "v1", "version"], None)).await;
        Ok(version.ok().filter(Value::is_object).unwrap_or_else(|| serde_json::json!({})))
    }

    async fn list(&self) -> Result<Vec<RemoteFlow>, Error> {
        // Without these two a fresh server answers 4.8 MB: every graph, and the templates that come with it.
        let query = Some("header_flows=true&remove_example_flows=true");
        let flows = self.get_json::<flow::Flows>(self.url(&["api", "v1", "flows", ""], query));
        let (flows, projects) = futures_util::future::join(flows, self.projects()).await;
        let flows = flows?.into_items();
        // Names of folders are an ornament: a list without them is better than none.
        let projects = projects.unwrap_or_default();
        Ok(flows.into_iter().filter_map(|item| flow::read_header(item, &projects)).collect())
    }

    async fn get(&self, flow_id: &str) -> Result<RemoteFlow, Error> {
        let unknown = || Error::NotFound(detail::shorten(flow_id));
        // Url paths drop these, and what would be left is the list of all flows.
        if matches!(flow_id, "" | "." | "..") {
            return Err(unknown());
        }
        let flow = self.get_json::<Value>(self.url(&["api", "v1", "flows", flow_id], None));
        let (flow, projects) = futures_util::future::join(flow, self.projects()).await;
        let flow = flow.map_err(|error| match error {
            CallError::Status { status: 404 | 422, .. } => unknown(),
            other => other.into(),
        })?;
        flow::read(flow, &projects.unwrap_or_default())
            .ok_or_else(|| Error::Answer(format!("LangFlow's answer to GET /api/v1/flows/{flow_id} is not a flow")))
    }

    async fn run(&self, run: &RunRequest) -> Outcome {
        match self.try_run(run).await {
            Ok(answer) => Outcome::Completed(answer),
            Err(error) => Outcome::Failed(Failure::from(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::source::{Secret, SourceKind};
    use crate::sources::HttpOptions;

    fn langflow(url: &str, key: &str) -> Result<Langflow, Error> {
        let api_key = Secret::new(key);
        let endpoint = Endpoint { kind: SourceKind::Langflow, url: url.to_owned(), api_key, adapter: None };
        Langflow::new(&endpoint, HttpClient::new(HttpOptions::default()).expect("a client"))
    }

    #[test]
    fn urls_keep_the_sources_path_and_escape_ids() {
        let source = langflow("http://host:1/lang", "").expect("a source");
        assert_eq!(source.url(&["health"], None).as_str(), "http://host:1/lang/health");
        assert_eq!(source.url(&["flows", ""], Some("a=1")).as_str(), "http://host:1/lang/flows/?a=1");
        assert_eq!(source.url(&["run", "a/../b?c"], None).as_str(), "http://host:1/lang/run/a%2F..%2Fb%3Fc");
    }

    #[test]
    fn urls_and_keys_that_no_request_can_carry_are_refused() {
        for url in ["", "host:7860", "ftp://host", "file:///etc/passwd", "http://"] {
            assert!(matches!(langflow(url, ""), Err(Error::Url(_))), "{url}");
        }
        assert!(matches!(langflow("http://host", "a\nb"), Err(Error::Key)));
    }

    #[test]
    fn the_input_reaches_the_component_that_takes_it() {
        assert_eq!(input_type(Some("ChatInput-aaaaa")), "chat");
        assert_eq!(input_type(Some("TextInput-aaaaa")), "any");
        assert_eq!(input_type(None), "any");
    }

    #[test]
    fn no_more_is_asked_for_than_holds_the_answer() {
        assert_eq!(output_type(Some("ChatOutput-bbbbb")), "chat");
        assert_eq!(output_type(Some("TextOutput-bbbbb")), "any");
        assert_eq!(output_type(None), "any");
        assert_eq!(output_type(Some("Agent-ccccc")), "debug");
    }
}

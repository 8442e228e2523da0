//! LangFlow, 1.0 to 1.13. What it answers, and which of it was seen, is in `docs/SOURCES.md`.
//!
//! The key travels as `x-api-key` and never as `Authorization`: LangFlow looks at a Bearer token first and refuses the
//! request for it, whatever else is right.

mod answer;
mod flow;

use async_trait::async_trait;
use reqwest::header::HeaderMap;
use serde::Serialize;
use serde_json::Value;

use super::call::CallError;
use super::client::{Body, secret_header};
use super::server::{Server, is_segment};
use super::{Error, HttpClient, RunRequest, WorkflowSource, detail};
use crate::domain::outcome::{Answer, Failure, Outcome};
use crate::domain::source::Endpoint;
use crate::domain::workflow::RemoteFlow;

pub(super) struct Langflow(Server);

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
        let mut headers = HeaderMap::new();
        if !endpoint.api_key.expose().is_empty() {
            headers.extend([secret_header("x-api-key", &endpoint.api_key)?]);
        }
        Ok(Self(Server::new(endpoint, headers, http, "http://host:7860")?))
    }

    /// The projects, for which a key is needed. Older versions call them folders, or answer an unknown path with the
    /// page of their web interface.
    async fn projects(&self) -> Result<Vec<flow::Project>, CallError> {
        match self.0.get(&["api", "v1", "projects", ""], None).await {
            Err(CallError::Status { status: 404, .. } | CallError::Unusable(_)) => {
                self.0.get(&["api", "v1", "folders", ""], None).await
            }
            other => other,
        }
    }

    async fn try_run(&self, run: &RunRequest) -> Result<Answer, CallError> {
        let body = RunBody {
            input_value: &run.input,
            input_type: input_type(run.input_component.as_deref()),
            output_type: output_type(run.output_component.as_deref()),
            session_id: &run.session_id,
        };
        let route = ["api", "v1", "run", &run.flow_id];
        let body = self.0.post(&route, Some("stream=false"), Body::json(&body)?).await?;
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
        self.0.health(&["health"], "ok").await.map_err(|error| error.refuse("LangFlow"))?;
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
        let version: Result<Value, _> = self.0.get(&["api", "v1", "version"], None).await;
        Ok(version.ok().filter(Value::is_object).unwrap_or_else(|| serde_json::json!({})))
    }

    async fn list(&self) -> Result<Vec<RemoteFlow>, Error> {
        // Without these two a fresh server answers 4.8 MB: every graph, and the templates that come with it.
        let query = Some("header_flows=true&remove_example_flows=true");
        let flows = self.0.get::<flow::Flows>(&["api", "v1", "flows", ""], query);
        let (flows, projects) = futures_util::future::join(flows, self.projects()).await;
        let flows = flows?.into_items();
        // Names of folders are an ornament: a list without them is better than none.
        let projects = projects.unwrap_or_default();
        Ok(flows.into_iter().filter_map(|item| flow::read_header(item, &projects)).collect())
    }

    async fn get(&self, flow_id: &str) -> Result<RemoteFlow, Error> {
        let unknown = || Error::NotFound(detail::shorten(flow_id));
        if !is_segment(flow_id) {
            return Err(unknown());
        }
        let route = ["api", "v1", "flows", flow_id];
        let flow = self.0.get::<Value>(&route, None);
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

/// Reads an answer as each of those it may be (for the fuzz target): what is taken is passed on as it came.
#[cfg(any(test, fuzzing))]
pub(super) fn read_any(body: &[u8]) {
    for component in [None, Some("ChatOutput-1")] {
        if let Ok(answer) = answer::read(body.to_vec(), component) {
            assert_eq!(answer.output.get().as_bytes(), body, "an answer is passed on byte for byte");
        }
    }
    let projects: Vec<flow::Project> = serde_json::from_slice(body).unwrap_or_default();
    let flows = serde_json::from_slice::<flow::Flows>(body).map(flow::Flows::into_items).unwrap_or_default();
    for item in flows.into_iter().chain(serde_json::from_slice(body)) {
        let _ = flow::read_header(item.clone(), &projects);
        let _ = flow::read(item, &projects);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

//! Automagik Agents 0.6. What it answers, and which of it was seen, is in `docs/SOURCES.md`.

use async_trait::async_trait;
use reqwest::header::HeaderMap;
use serde::Serialize;
use serde_json::Value;

use super::call::CallError;
use super::client::{Body, secret_header};
use super::reply::{Fields, failed, shown, unusable, with_ends};
use super::server::{Server, is_segment, text, texts};
use super::{Error, HttpClient, RunRequest, WorkflowSource, detail};
use crate::domain::outcome::{Answer, Failure, Outcome};
use crate::domain::source::Endpoint;
use crate::domain::workflow::RemoteFlow;

const AGENTS: &str = "Automagik Agents";
/// The user that the Python service ran everything as; what agents remember of a user stays.
const USER: &str = "550e8400-e29b-41d4-a716-446655440000";

pub(super) struct Agents(Server);

/// What a run is sent. The server has one run at a time for each session: a second one with the same name, or none, cancels
/// the first.
#[derive(Serialize)]
struct RunBody<'a> {
    message_content: &'a str,
    session_name: &'a str,
    user_id: &'static str,
    session_origin: &'static str,
}

impl Agents {
    pub(super) fn new(endpoint: &Endpoint, http: HttpClient) -> Result<Self, Error> {
        let mut headers = HeaderMap::new();
        if !endpoint.api_key.expose().is_empty() {
            headers.extend([secret_header("x-api-key", &endpoint.api_key)?]);
        }
        Ok(Self(Server::new(endpoint, headers, http, "http://host:8881")?))
    }

    async fn agents(&self) -> Result<Vec<Value>, CallError> {
        self.0.get(&["api", "v1", "agents"], None).await
    }

    async fn try_run(&self, run: &RunRequest) -> Result<Answer, Failure> {
        if !is_segment(&run.flow_id) {
            return Err(Error::NotFound(detail::shorten(&run.flow_id)).into());
        }
        let body = Body::json(&RunBody {
            message_content: &run.input,
            session_name: &run.session_id,
            user_id: USER,
            session_origin: "automagik-spark",
        })?;
        let body = self.0.post(&["api", "v1", "agent", &run.flow_id, "run"], None, body).await?;
        read_answer(&body)
    }
}

/// What an answer to a run means: a model that failed is HTTP 200, `"success":false`, and an apology as its message.
fn read_answer(body: &[u8]) -> Result<Answer, Failure> {
    let fields = Fields::of(body)?;
    let message = fields.get("message");
    match (fields.get("success").map(|success| success.get()), message) {
        (Some("true"), _) | (None, Some(_)) => {}
        (Some("false"), _) => return Err(failed(&message.map(shown).unwrap_or_default())),
        _ => return Err(unusable("it has neither message nor success", body).into()),
    }
    fields.completed("message", message).map_err(|_| unusable("it can't be passed on", body).into())
}

/// An agent; its name is its id, as in the Python service. Lists have id, name and description only.
fn read(agent: Value) -> Option<RemoteFlow> {
    let name = text(&agent, "name")?;
    Some(RemoteFlow {
        id: name.clone(),
        name,
        description: text(&agent, "description").unwrap_or_default(),
        tags: text(&agent, "type").into_iter().collect(),
        raw: Some(agent),
        ..RemoteFlow::default()
    })
}

#[async_trait]
impl WorkflowSource for Agents {
    async fn validate(&self) -> Result<Value, Error> {
        let health = self.0.health(&["health"], "healthy").await.map_err(|error| error.refuse(AGENTS))?;
        self.agents().await.map_err(|error| match error {
            CallError::Unusable(answer) => Error::WrongServer {
                expected: AGENTS,
                answer: format!("GET /api/v1/agents answers {answer}, not a list"),
            },
            CallError::Status { status: 404, text, .. } => {
                Error::WrongServer { expected: AGENTS, answer: format!("GET /api/v1/agents answers 404 {text}") }
            }
            other => other.into(),
        })?;
        let home = self.0.get(&[""], None).await.unwrap_or_default();
        Ok(texts(&["version", "name", "description", "environment"], [&home, &health]).into())
    }

    async fn list(&self) -> Result<Vec<RemoteFlow>, Error> {
        Ok(self.agents().await?.into_iter().filter_map(read).collect())
    }

    async fn get(&self, flow_id: &str) -> Result<RemoteFlow, Error> {
        let unknown = || Error::NotFound(detail::shorten(flow_id));
        if !is_segment(flow_id) {
            return Err(unknown());
        }
        let agent: Value = self.0.get(&["api", "v1", "agent", flow_id], None).await.map_err(|error| match error {
            CallError::Status { status: 404, .. } => unknown(),
            other => other.into(),
        })?;
        let data = Some(agent.clone());
        let flow = read(agent).ok_or_else(|| {
            Error::Answer(format!("what Automagik Agents answers of {flow_id} is no agent: it has no name"))
        })?;
        Ok(with_ends(RemoteFlow { data, ..flow }))
    }

    async fn run(&self, run: &RunRequest) -> Outcome {
        match self.try_run(run).await {
            Ok(answer) => Outcome::Completed(answer),
            Err(failure) => Outcome::Failed(failure),
        }
    }
}

/// Reads an answer as each of those it may be (for the fuzz target).
#[cfg(any(test, fuzzing))]
pub(super) fn read_any(body: &[u8]) {
    super::fuzz::is_usable(read_answer(body));
    let items = serde_json::from_slice::<Vec<Value>>(body).unwrap_or_default();
    items.into_iter().chain(serde_json::from_slice(body)).for_each(|item| drop(read(item)));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::outcome::FailureClass;

    macro_rules! recorded {
        ($name:literal) => {
            include_str!(concat!("../../tests/fixtures/agents/", $name, ".json"))
        };
    }

    #[test]
    fn a_recorded_answer_is_read() {
        let answer = read_answer(recorded!("run").as_bytes()).expect("an answer");
        assert_eq!(answer.text, "HELLO");
        let output: Value = serde_json::from_str(answer.output.get()).expect("JSON");
        assert_eq!((&output["result"], &output["status"]), (&json!("HELLO"), &json!("COMPLETED")));
        assert_eq!((&output["success"], &output["run_id"]), (&json!(true), &Value::Null));
        assert_eq!(output["usage"]["total_tokens"], 2);
        assert!(output["session_id"].is_string() && output["tool_calls"].is_array() && output.get("message").is_none());
    }

    #[test]
    fn a_failure_under_200_is_a_failure() {
        let failure = read_answer(recorded!("run_failed").as_bytes()).expect_err("a failure");
        assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Transient, "flow_failed"));
        assert_eq!(failure.message, "the flow failed: I apologize, but I encountered an issue.");
        for odd in ["{}", "[]", "<html>", r#"{"success":"yes","message":"x"}"#, r#"{"detail":"x"}"#] {
            assert_eq!(read_answer(odd.as_bytes()).expect_err("refused").code, "unusable_answer", "{odd}");
        }
        assert_eq!(read_answer(br#"{"message":"older"}"#).expect("an answer").text, "older");
    }

    #[test]
    fn recorded_agents_are_read() {
        let agents: Vec<Value> = serde_json::from_str(recorded!("agents")).expect("a list");
        let flows: Vec<_> = agents.into_iter().filter_map(read).collect();
        assert_eq!((flows[0].id.as_str(), flows[0].description.as_str()), ("simple", "Answers in one step"));
        assert_eq!(flows.len(), 2);
        let agent = read(serde_json::from_str(recorded!("agent")).expect("JSON")).expect("an agent");
        assert_eq!(agent.tags, ["pydanticai"]);
        assert!(read(json!({"id": 1})).is_none());
    }
}

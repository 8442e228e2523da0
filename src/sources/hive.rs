//! Automagik Hive 0.2 and AgentOS of agno 2 and 3, which Hive is built on. What they answer, and which of it was seen, is in
//! `docs/SOURCES.md`.
//!
//! The key travels as a Bearer token, which is what these servers look at, and as `x-api-key`, for proxies that do.

mod answer;
mod flow;

use async_trait::async_trait;
use futures_util::future::{join, join3};
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};

use super::call::CallError;
use super::client::{Body, bearer_header, secret_header};
use super::server::{Server, Unhealthy, is_segment, texts};
use super::{Error, HttpClient, RunRequest, WorkflowSource, detail};
use crate::domain::outcome::{Answer, Failure, Outcome};
use crate::domain::source::Endpoint;
use crate::domain::workflow::RemoteFlow;

use flow::Kind;

const HIVE: &str = "Automagik Hive or AgentOS";

pub(super) struct Hive(Server);

impl Hive {
    pub(super) fn new(endpoint: &Endpoint, http: HttpClient) -> Result<Self, Error> {
        let mut headers = HeaderMap::new();
        if !endpoint.api_key.expose().is_empty() {
            headers.extend([bearer_header(&endpoint.api_key)?, secret_header("x-api-key", &endpoint.api_key)?]);
        }
        Ok(Self(Server::new(endpoint, headers, http, "http://host:8886")?))
    }

    /// Hive has a health route of its own; where there is none, AgentOS's says enough.
    async fn check_health(&self) -> Result<(), Error> {
        let own = match self.0.health(&["api", "v1", "health"], "success").await {
            Ok(_) => return Ok(()),
            Err(Unhealthy::Silent(error)) if !matches!(error, CallError::Status { .. }) => return Err(error.into()),
            Err(own) => own.answer(),
        };
        match self.0.health(&["health"], "ok").await {
            Ok(_) => Ok(()),
            Err(Unhealthy::Says(answer)) => {
                Err(Error::WrongServer { expected: HIVE, answer: format!("{own}; {answer}") })
            }
            Err(error) => Err(error.refuse(HIVE)),
        }
    }

    /// Something for which a key is needed. Older servers have no `/config`.
    async fn check_key(&self) -> Result<(), Error> {
        let config = match self.0.get::<Map<String, Value>>(&["config"], None).await {
            Err(CallError::Status { status: 404 | 405, .. } | CallError::Unusable(_)) => {
                self.items(Kind::Agent).await.map(drop)
            }
            other => other.map(drop),
        };
        config.map_err(|error| match error {
            CallError::Unusable(answer) => {
                Error::WrongServer { expected: HIVE, answer: format!("GET /agents answers {answer}, not a list") }
            }
            CallError::Status { status: 404, text, .. } => {
                Error::WrongServer { expected: HIVE, answer: format!("GET /config and GET /agents answer 404 {text}") }
            }
            other => other.into(),
        })
    }

    async fn items(&self, kind: Kind) -> Result<Vec<Value>, CallError> {
        self.0.get(&[kind.route()], None).await
    }

    /// The flows of a kind that an older server may not know.
    async fn items_if_any(&self, kind: Kind) -> Result<Vec<Value>, CallError> {
        match self.items(kind).await {
            Err(CallError::Status { status: 404, .. }) => Ok(Vec::new()),
            other => other,
        }
    }

    /// What an id names: its kind and the item. Without a kind before it, the first kind that has one.
    async fn find(&self, flow_id: &str) -> Result<Option<(Kind, Value)>, CallError> {
        let (kind, id) = flow::split(flow_id);
        if !is_segment(id) {
            return Ok(None);
        }
        for kind in kind.map_or(Kind::ALL.to_vec(), |kind| vec![kind]) {
            match self.0.get(&[kind.route(), id], None).await {
                Ok(item) => return Ok(Some((kind, item))),
                Err(CallError::Status { status: 404, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The kind of the flow that a run names, and its id there.
    async fn kind_of<'a>(&self, flow_id: &'a str) -> Result<(Kind, &'a str), Failure> {
        let unknown = || Error::NotFound(detail::shorten(flow_id)).into();
        match flow::split(flow_id) {
            (_, id) if !is_segment(id) => Err(unknown()),
            (Some(kind), id) => Ok((kind, id)),
            (None, id) => match self.find(id).await {
                Ok(found) => found.map(|(kind, _)| (kind, id)).ok_or_else(unknown),
                // Whatever came of looking it up, nothing was run.
                Err(error) => Err(Failure { outcome_unknown: false, ..error.into() }),
            },
        }
    }

    async fn try_run(&self, run: &RunRequest) -> Result<Answer, Failure> {
        let (kind, id) = self.kind_of(&run.flow_id).await?;
        // Without `stream=false` most versions answer with a stream of events. JSON is not taken.
        let form = [("message", run.input.as_str()), ("stream", "false"), ("session_id", run.session_id.as_str())];
        let body = self.0.post(&[kind.route(), id, "runs"], None, Body::form(&form)).await?;
        answer::read(&body)
    }
}

/// What two open routes tell of the server. Hive and agno 2 tell their version at the first, agno 3 at the second; what
/// agno 3 calls `os_version` is whatever the operator wrote, usually nothing.
fn version(home: &Value, info: &Value) -> Value {
    let mut told = texts(&["version", "name", "description", "os_id", "agno_version"], [home, info]);
    if let Some(agno) = told.get("agno_version").cloned() {
        told.entry("version").or_insert(agno);
    }
    Value::Object(told)
}

#[async_trait]
impl WorkflowSource for Hive {
    async fn validate(&self) -> Result<Value, Error> {
        self.check_health().await?;
        self.check_key().await?;
        // The key is good and it is a Hive: one that does not tell its version is still one.
        let (home, info) = join(self.0.get(&[""], None), self.0.get(&["info"], None)).await;
        Ok(version(&home.unwrap_or_default(), &info.unwrap_or_default()))
    }

    async fn list(&self) -> Result<Vec<RemoteFlow>, Error> {
        let (agents, teams, workflows) =
            join3(self.items(Kind::Agent), self.items_if_any(Kind::Team), self.items_if_any(Kind::Workflow)).await;
        let lists = [(Kind::Agent, agents?), (Kind::Team, teams?), (Kind::Workflow, workflows?)];
        let flows = lists
            .into_iter()
            .flat_map(|(kind, items)| items.into_iter().filter_map(move |item| flow::read(kind, item)));
        Ok(flows.collect())
    }

    /// The flow keeps the id that it was asked for by: so a workflow that the Python service synced, whose id has no kind,
    /// is brought up to date and not doubled.
    async fn get(&self, flow_id: &str) -> Result<RemoteFlow, Error> {
        let (kind, item) = self.find(flow_id).await?.ok_or_else(|| Error::NotFound(detail::shorten(flow_id)))?;
        let flow = flow::read_whole(kind, item)
            .ok_or_else(|| Error::Answer(format!("what Hive answers of {flow_id} is no flow: it has no id")))?;
        Ok(RemoteFlow { id: flow_id.to_owned(), ..flow })
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
    super::fuzz::is_usable(answer::read(body));
    let items = serde_json::from_slice::<Vec<Value>>(body).unwrap_or_default();
    for item in items.into_iter().chain(serde_json::from_slice(body)) {
        for kind in Kind::ALL {
            let flow = flow::read(kind, item.clone());
            let _ = flow::read_whole(kind, item.clone());
            assert!(flow.is_none_or(|flow| flow::split(&flow.id).0 == Some(kind)), "a flow's id loses its kind");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_are_read_from_where_each_server_tells_it() {
        let hive = json!({"name": "AgentOS API", "description": "d", "os_id": "o", "version": "0.2.0"});
        assert_eq!(version(&hive, &Value::Null), hive);
        let home = json!({"name": "My OS", "health": "/health", "info": "/info"});
        let info =
            json!({"name": "My OS", "os_id": "o", "os_version": "1.0.0", "agno_version": "3.1.10", "agent_count": 2});
        let told = json!({"name": "My OS", "os_id": "o", "agno_version": "3.1.10", "version": "3.1.10"});
        assert_eq!(version(&home, &info), told);
        assert_eq!(version(&json!([1]), &json!("x")), json!({}));
    }
}

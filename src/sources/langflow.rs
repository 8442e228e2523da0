//! LangFlow.

use async_trait::async_trait;
use serde_json::Value;

use super::{Error, HttpClient, RunRequest, WorkflowSource};
use crate::domain::outcome::{Failure, Outcome};
use crate::domain::source::Endpoint;
use crate::domain::workflow::RemoteFlow;

pub(super) struct Langflow {
    endpoint: Endpoint,
    #[expect(dead_code, reason = "stub")]
    http: HttpClient,
}

impl Langflow {
    pub(super) fn new(endpoint: Endpoint, http: HttpClient) -> Self {
        Self { endpoint, http }
    }
}

#[async_trait]
impl WorkflowSource for Langflow {
    async fn validate(&self) -> Result<Value, Error> {
        Err(Error::Unsupported(self.endpoint.kind))
    }
    async fn list(&self) -> Result<Vec<RemoteFlow>, Error> {
        Ok(vec![])
    }
    async fn get(&self, _flow_id: &str) -> Result<RemoteFlow, Error> {
        Err(Error::Unsupported(self.endpoint.kind))
    }
    async fn run(&self, _run: &RunRequest) -> Outcome {
        Outcome::Failed(Failure::permanent("stub", ""))
    }
}

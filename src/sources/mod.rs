//! Adapters to the servers that hold workflows. What the real servers answer is written down in `docs/SOURCES.md`.

mod agents;
mod call;
mod client;
pub mod collector;
mod detail;
mod discreet;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hive;
mod http;
mod langflow;
mod reply;
mod server;
mod tls;
pub mod webhook;

use async_trait::async_trait;
use serde_json::Value;

use crate::domain::adapter::Adapters;
use crate::domain::outcome::Outcome;
use crate::domain::source::{Endpoint, SourceKind};
use crate::domain::workflow::RemoteFlow;

use discreet::{Discreet, Secrets};

pub use client::{HttpClient, HttpOptions};
pub use error::Error;
pub use tls::check_certificates;

/// A server that holds workflows.
#[async_trait]
pub trait WorkflowSource: Send + Sync {
    /// Checks with one authenticated request that the server is of this kind and takes the key.
    /// Returns what it says of its version, as JSON.
    async fn validate(&self) -> Result<Value, Error>;

    /// Its flows, without their graphs.
    async fn list(&self) -> Result<Vec<RemoteFlow>, Error>;

    /// One flow, with its graph and components.
    async fn get(&self, flow_id: &str) -> Result<RemoteFlow, Error>;

    /// Runs a flow. Every end of it is an [`Outcome`]; time limits are the caller's.
    async fn run(&self, run: &RunRequest) -> Outcome;
}

/// What a source needs to know to run a flow.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The task, the same in each of its attempts.
    pub task_id: String,
    /// The flow's id in the source.
    pub flow_id: String,
    /// The input, text (see [`crate::domain::input::Input`]).
    pub input: String,
    /// One for each task, so that runs share no chat history unless the user asks for it.
    pub session_id: String,
    /// The component that takes the input, where known: decides how LangFlow is told to hand it over.
    pub input_component: Option<String>,
    /// The component whose answer is the result, where the flow has several.
    pub output_component: Option<String>,
}

/// What speaks to an endpoint; one of kind `http` is spoken to as one of `adapters` says.
///
/// # Errors
/// A kind that nothing speaks to; an adapter that is not there; a url or a key that no request can carry.
pub fn connect(endpoint: Endpoint, http: HttpClient, adapters: &Adapters) -> Result<Box<dyn WorkflowSource>, Error> {
    let mut secrets = Secrets::of(&endpoint.api_key);
    let http = http.trusting(&endpoint.trust);
    let source: Box<dyn WorkflowSource> = match endpoint.kind {
        SourceKind::Http => Box::new(http::Http::new(&endpoint, http, adapters, &mut secrets)?),
        SourceKind::Langflow => Box::new(langflow::Langflow::new(&endpoint, http)?),
        SourceKind::AutomagikHive => Box::new(hive::Hive::new(&endpoint, http)?),
        SourceKind::AutomagikAgents => Box::new(agents::Agents::new(&endpoint, http)?),
    };
    Ok(Box::new(Discreet { source, secrets }))
}

//! What handlers work with.

use std::time::Duration;

use actix_web::HttpRequest;
use chrono_tz::Tz;

use super::keyring::Keyring;
use crate::dispatch::Dispatch;
use crate::domain::adapter::Adapters;
use crate::domain::schedule::{MissedPolicy, OverlapPolicy};
use crate::domain::source::{Endpoint, Secret};
use crate::domain::trace::Origin;
use crate::sources::{self, HttpClient, WorkflowSource};
use crate::store::Store;
use crate::store::beat::FireOptions;

/// What handlers work with: cheap to clone.
#[derive(Clone)]
pub struct ApiState {
    /// PostgreSQL.
    pub store: Store,
    /// Use cases, and what the service knows of itself.
    pub dispatch: Dispatch,
    /// The client for calls to sources.
    pub sources: HttpClient,
    /// The stored keys.
    pub keyring: Keyring,
    /// How the API behaves.
    pub options: ApiOptions,
}

impl ApiState {
    /// What speaks to a source.
    pub(super) fn connect(&self, endpoint: Endpoint) -> Result<Box<dyn WorkflowSource>, sources::Error> {
        sources::connect(endpoint, self.sources.clone(), &self.options.adapters)
    }

    /// Who wants the task of a request, for the task's trace.
    pub(super) fn origin(&self, request: &HttpRequest, route: &'static str) -> Origin {
        let traceparent = || request.headers().get("traceparent")?.to_str().ok();
        Origin::Request { route, caller: self.dispatch.traces().caller(traceparent) }
    }
}

/// How the API behaves.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// What sources of type `http` may name.
    pub adapters: Adapters,
    /// Any of these opens the API, as stored keys do. None at all, and none stored, leaves it open, and the service on
    /// loopback.
    pub api_keys: Vec<Secret>,
    /// Origins whose pages may call the API; `*` is every one, without credentials.
    pub cors_origins: Vec<String>,
    /// Whether `/metrics` is open without a key.
    pub open_metrics: bool,
    /// Memory that Redis is expected to have, for a Redis that has no limit of its own.
    pub redis_memory_bytes: u64,
    /// Largest body of a request.
    pub max_body_bytes: usize,
    /// What bodies may take of memory together, until their requests are answered.
    pub max_bodies_bytes: usize,
    /// How long the body of a request may take to come.
    pub body_timeout: Duration,
    /// How long a source may take to be validated.
    pub validate_timeout: Duration,
    /// How long a source may take to list or show its flows.
    pub remote_timeout: Duration,
    /// How what a paused schedule missed is made up for; also the input of a schedule that has none, and the retries of a
    /// task that names no number.
    pub fire: FireOptions,
    /// The zone of a schedule that names none.
    pub timezone: Tz,
    /// What a schedule that names no policy does about missed occurrences.
    pub missed_policy: MissedPolicy,
    /// What a schedule that names no policy does while its last task still runs.
    pub overlap_policy: OverlapPolicy,
    /// Most open connections.
    pub max_connections: usize,
    /// How long a request's head may take to come.
    pub request_timeout: Duration,
    /// How long an idle connection stays open.
    pub keep_alive: Duration,
    /// How long an event stream may be silent before it shows that it lives.
    pub heartbeat: Duration,
    /// How long requests may go on once the server stops.
    pub shutdown_timeout: Duration,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            adapters: Adapters::default(),
            api_keys: Vec::new(),
            cors_origins: vec!["http://localhost:3000".to_owned(), "http://localhost:8883".to_owned()],
            open_metrics: true,
            redis_memory_bytes: 512 * 1024 * 1024,
            max_body_bytes: 10 * 1024 * 1024,
            max_bodies_bytes: 128 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            validate_timeout: Duration::from_secs(5),
            remote_timeout: Duration::from_secs(30),
            fire: FireOptions::default(),
            timezone: Tz::UTC,
            missed_policy: MissedPolicy::default(),
            overlap_policy: OverlapPolicy::default(),
            max_connections: 15_000,
            request_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            heartbeat: Duration::from_secs(15),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

//! What one attempt came to. An outcome is data: it is reported, stored and shown, never thrown.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// How an attempt ended, as the child (or, where the child can't, its executor) reports it.
#[derive(Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// The source ran the flow and answered with a result.
    Completed(Answer),
    /// The attempt did not succeed.
    Failed(Failure),
    /// The task was called off while the attempt ran.
    Cancelled,
    /// The child or the node ended under the attempt: not the flow's fault.
    Lost(Lost),
    /// The service stops and the attempt did not finish in time: not the flow's fault either.
    Released,
    /// The attempt was claimed and ended before the source was called.
    NotStarted,
}

/// A result.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The source's whole answer, JSON.
    pub output: Box<RawValue>,
    /// The answer's text.
    pub text: String,
}

/// Why an attempt did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whether another attempt may help.
    pub class: FailureClass,
    /// Stable name of the reason, e.g. `source_refused`, `soft_time_limit`.
    pub code: String,
    /// What went wrong, for people.
    pub message: String,
    /// How long the source asked us to wait.
    pub retry_after: Option<Duration>,
    /// The source may have run the flow: the request had been sent, and no answer to it was understood.
    pub outcome_unknown: bool,
}

/// Whether another attempt may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureClass {
    /// Refused or reset connections, DNS, timeouts, 408, 425, 429, 5xx.
    Transient,
    /// Other 4xx, unusable answers, unknown flows.
    Permanent,
}

/// Why an attempt was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Stable name of the reason, e.g. `child_exited`, `memory_wall`, `node_dead`.
    pub code: String,
    /// What happened, for people.
    pub message: String,
}

impl Failure {
    /// A failure that another attempt may mend.
    pub fn transient(code: &str, message: impl Into<String>) -> Self {
        Self::new(FailureClass::Transient, code, message)
    }

    /// A failure that no other attempt mends.
    pub fn permanent(code: &str, message: impl Into<String>) -> Self {
        Self::new(FailureClass::Permanent, code, message)
    }

    fn new(class: FailureClass, code: &str, message: impl Into<String>) -> Self {
        Self { class, code: code.to_owned(), message: message.into(), retry_after: None, outcome_unknown: false }
    }

    /// The same failure, where the source may have run the flow.
    #[must_use]
    pub fn outcome_unknown(mut self) -> Self {
        self.outcome_unknown = true;
        self
    }

    /// The same failure, where the source asked us to wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }
}

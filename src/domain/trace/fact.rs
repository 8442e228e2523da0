//! What happens to a task, as far as its trace tells it: plain facts, without any text that came from outside but names.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::domain::attempt::AttemptStatus;
use crate::domain::ids::{ScheduleId, TaskId, WorkflowId};
use crate::domain::queue::QueueName;
use crate::domain::source::{Endpoint, SourceKind};
use crate::domain::task::TaskStatus;
use crate::domain::trace::SpanContext;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A task was made.
    Submitted(Submitted),
    /// An attempt ended.
    Ended(Box<Ended>),
}

impl Fact {
    /// How many spans tell of it.
    pub fn span_count(&self) -> u64 {
        match self {
            Self::Submitted(_) => 1,
            Self::Ended(ended) => 3 + u64::from(ended.call.is_some()),
        }
    }
}

/// A task was made and stored.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// The task.
    pub task: TaskId,
    /// What it runs.
    pub workflow: WorkflowId,
    /// The schedule that it was made of, or by hand after.
    pub schedule: Option<ScheduleId>,
    /// Where it waits.
    pub queue: QueueName,
    /// Who wanted it.
    pub origin: Origin,
    /// From when it was asked for until it was stored.
    pub period: Period,
}

/// Who wanted a task.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// A request of the API.
    Request {
        /// Its path, with names where ids stand.
        route: &'static str,
        /// What it was part of, if it said so.
        caller: Option<SpanContext>,
    },
    /// A schedule was due.
    Occurrence {
        /// When.
        scheduled_for: DateTime<Utc>,
    },
}

/// From when until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// The beginning.
    pub began: DateTime<Utc>,
    /// The end.
    pub ended: DateTime<Utc>,
}

/// An attempt ended, and that was stored.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The task.
    pub task: TaskId,
    /// What it runs.
    pub workflow: WorkflowId,
    /// What made it, if a schedule did.
    pub schedule: Option<ScheduleId>,
    /// Where it waited.
    pub queue: QueueName,
    /// The name of its source.
    pub source: String,
    /// The attempt's number.
    pub number: i32,
    /// Since when it might have started.
    pub pending_at: DateTime<Utc>,
    /// When it was claimed.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
    /// When that was stored.
    pub stored_at: DateTime<Utc>,
    /// How the attempt ended.
    pub status: AttemptStatus,
    /// What the task is from then on.
    pub next: TaskStatus,
    /// Stable name of the reason, where there is one.
    pub code: Option<String>,
    /// Whether the source may have run the flow without our knowing.
    pub outcome_unknown: bool,
    /// The call to the source; none where the attempt never got to a child.
    pub call: Option<Box<Call>>,
}

/// A call to a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What speaks there.
    pub kind: SourceKind,
    /// Host and port; none where the url can't be read.
    pub server: Option<(String, u16)>,
    /// The flow in it.
    pub flow: String,
    /// Its time.
    pub period: Period,
}

impl Call {
    /// A call that begins as its attempt is handed to a child.
    pub fn begun(endpoint: &Endpoint, flow: &str, now: DateTime<Utc>) -> Self {
        let server = Url::parse(&endpoint.url).ok();
        let server = server.and_then(|url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?)));
        Self { kind: endpoint.kind, server, flow: flow.to_owned(), period: Period { began: now, ended: now } }
    }

    /// The call after its end: with the time that the child took, or until now where the child said nothing of it.
    #[must_use]
    pub fn ended(mut self: Box<Self>, measured: Option<Period>, now: DateTime<Utc>) -> Box<Self> {
        self.period = measured.unwrap_or(Period { ended: now, ..self.period });
        self
    }
}

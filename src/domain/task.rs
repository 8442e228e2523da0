//! Tasks: one requested run of a workflow.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::ids::{ScheduleId, TaskId, WorkflowId};
use crate::domain::queue::{Priority, QueueName};

/// A task to be made.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// Its id, made by whoever submits it.
    pub id: TaskId,
    /// What it runs.
    pub workflow_id: WorkflowId,
    /// The schedule that made it.
    pub schedule_id: Option<ScheduleId>,
    /// The stored form of its input, see [`crate::domain::input::Input::to_stored`].
    /// Shared, for it may be large and is handed on.
    pub input: Arc<str>,
    /// Where it waits.
    pub queue: QueueName,
    /// Its place there.
    pub priority: Priority,
    /// Retries it may use.
    pub max_retries: u32,
    /// The session it runs in; none means one of its own.
    pub session_id: Option<String>,
    /// Its own soft time limit, in seconds.
    pub timeout_s: Option<u32>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it may run at the earliest.
    pub pending_at: DateTime<Utc>,
}

/// A pending task as its mailbox needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingTask {
    /// Its id.
    pub id: TaskId,
    /// Where it waits.
    pub queue: QueueName,
    /// Its place there.
    pub priority: Priority,
    /// Since when it is pending, or from when on it may run.
    pub pending_at: DateTime<Utc>,
}

impl NewTask {
    /// What the mailbox needs of it.
    pub fn pending(&self) -> PendingTask {
        PendingTask { id: self.id, queue: self.queue.clone(), priority: self.priority, pending_at: self.pending_at }
    }
}

/// Where a task is in its life.
///
/// | status | meaning | who moves it on |
/// | --- | --- | --- |
/// | pending | waits in its mailbox | the claim of a supervisor |
/// | running | one attempt runs in a child | the outcome; or, when child or node died, whoever finds out |
/// | retrying | waits for `next_retry_at` after a transient error | beat |
/// | completed, failed, cancelled | finished | a manual retry (failed and cancelled only) |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskStatus {
    /// Waits in its mailbox.
    Pending,
    /// One attempt of it runs.
    Running,
    /// Its source answered with a result.
    Completed,
    /// A permanent error, or the retries are used up.
    Failed,
    /// Waits for its next attempt after a transient error.
    Retrying,
    /// Somebody called it off.
    Cancelled,
}

impl TaskStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Retrying, Self::Cancelled];

    /// The name in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Retrying => "retrying",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the task has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no status.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("status must be one of pending, running, completed (or success), failed, retrying, cancelled")]
pub struct TaskStatusError;

impl FromStr for TaskStatus {
    type Err = TaskStatusError;

    /// Reads a filter; `success` is the Python CLI's word for completed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "success" => Ok(Self::Completed),
            _ => Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(TaskStatusError),
        }
    }
}
/// The `pending_at` of a task that waits for another one of its schedule to end (overlap policy `queue-one`): no time at
/// all, but one that every reader of a time can read. Beat puts the real time in.
pub const HELD: DateTime<Utc> = match DateTime::from_timestamp(253_370_764_800, 0) {
    Some(end_of_days) => end_of_days,
    None => DateTime::<Utc>::MAX_UTC,
};

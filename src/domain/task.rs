//! Tasks: one requested run of a workflow.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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

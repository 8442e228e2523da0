//! Attempts: one try of a task.

use std::fmt;

/// How an attempt ended, in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptStatus {
    /// With a result.
    Completed,
    /// With an error.
    Failed,
    /// At its time limit.
    TimedOut,
    /// Called off.
    Cancelled,
    /// With its child or node.
    Lost,
    /// Given back when the service stopped.
    Released,
}

impl AttemptStatus {
    /// Every way.
    pub const ALL: [Self; 6] =
        [Self::Completed, Self::Failed, Self::TimedOut, Self::Cancelled, Self::Lost, Self::Released];

    /// The name in the database and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Released => "released",
        }
    }
}

impl fmt::Display for AttemptStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

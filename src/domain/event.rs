//! What is told to those who watch: the small facts of a change, not the thing that changed.

use std::fmt;

use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::ids::{ScheduleId, TaskId, WorkflowId};
use crate::domain::task::{NewTask, TaskStatus};

/// Longest error that an event carries, in characters; the task has all of it.
const ERROR_CHARS: usize = 200;

/// A task that entered a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEvent {
    /// The task.
    pub id: TaskId,
    /// What it runs.
    pub workflow_id: WorkflowId,
    /// The schedule that made it.
    pub schedule_id: Option<ScheduleId>,
    /// A [`TaskStatus`], or whatever a former version wrote.
    pub status: String,
    /// Attempts made.
    pub attempt: i32,
    /// Where it waits or waited.
    pub queue: String,
    /// When it entered the state, to the microsecond, as PostgreSQL keeps it.
    pub at: DateTime<Utc>,
    /// Why it has failed or is tried again, in short.
    pub error: Option<String>,
}

impl TaskEvent {
    /// The same event with its error cut, or without one where the state has none to tell, and its time as it is stored.
    #[must_use]
    pub fn settled(mut self) -> Self {
        let tells = [TaskStatus::Failed, TaskStatus::Retrying].map(TaskStatus::as_str).contains(&self.status.as_str());
        self.error = self.error.filter(|_| tells).map(shorten);
        self.at = self.at.trunc_subsecs(6);
        self
    }

    /// Whether the task has ended.
    pub fn is_final(&self) -> bool {
        self.status.parse::<TaskStatus>().is_ok_and(TaskStatus::is_final)
    }

    /// Where in the task's life this is.
    pub fn position(&self) -> Position {
        Position { attempt: self.attempt, at_us: self.at.timestamp_micros() }
    }
}

impl From<&NewTask> for TaskEvent {
    /// The state that a task is made in.
    fn from(task: &NewTask) -> Self {
        let event = Self {
            id: task.id,
            workflow_id: task.workflow_id,
            schedule_id: task.schedule_id,
            status: TaskStatus::Pending.as_str().to_owned(),
            attempt: 0,
            queue: task.queue.as_str().to_owned(),
            at: task.created_at,
            error: None,
        };
        event.settled()
    }
}

fn shorten(mut error: String) -> String {
    if let Some((end, _)) = error.char_indices().nth(ERROR_CHARS) {
        error.truncate(end);
        error.push('…');
    }
    error
}

/// A moment in a task's life; a later one is greater. Attempts go before time, for the clocks of two nodes may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    attempt: i32,
    at_us: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.attempt, self.at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(status: &str, attempt: i32, at: &str) -> TaskEvent {
        TaskEvent {
            id: TaskId::generate(),
            workflow_id: WorkflowId::generate(),
            schedule_id: None,
            status: status.to_owned(),
            attempt,
            queue: "celery".to_owned(),
            at: at.parse().expect("an instant"),
            error: Some("ä".repeat(300)),
        }
    }

    #[test]
    fn an_error_is_told_in_short_and_only_where_it_explains_the_state() {
        let error = |status| event(status, 1, "2026-11-24T12:00:00Z").settled().error;
        assert_eq!(error("failed").map(|text| text.chars().count()), Some(201));
        assert!(error("retrying").is_some_and(|text| text.ends_with('…')));
        for status in ["pending", "running", "completed", "cancelled"] {
            assert_eq!(error(status), None, "{status}");
        }
    }

    #[test]
    fn a_later_attempt_is_later_whatever_the_clocks_say() {
        let position = |attempt, at| event("running", attempt, at).settled().position();
        let first = position(1, "2026-11-24T12:00:05Z");
        assert!(position(2, "2026-11-24T12:00:01Z") > first);
        assert!(position(1, "2026-11-24T12:00:05.000001Z") > first);
        assert_eq!(position(1, "2026-11-24T12:00:05.000000999Z"), first, "PostgreSQL keeps microseconds");
        assert_eq!(first.to_string(), "1-1795521605000000");
    }
}

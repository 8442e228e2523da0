//! States, in the spellings that the Python service, its former versions and people with `psql` wrote.

use crate::domain::schedule::ScheduleStatus;
use crate::domain::task::TaskStatus;

/// What a task's status means; `None` where nobody can tell.
pub fn task_status(text: &str) -> Option<TaskStatus> {
    Some(match spelling(text).as_str() {
        "pending" | "queued" | "waiting" | "scheduled" | "received" | "new" | "created" => TaskStatus::Pending,
        "running" | "started" | "in-progress" | "processing" | "executing" => TaskStatus::Running,
        "completed" | "complete" | "success" | "successful" | "succeeded" | "done" | "finished" => {
            TaskStatus::Completed
        }
        "failed" | "failure" | "error" | "errored" | "timeout" | "timed-out" => TaskStatus::Failed,
        "retrying" | "retry" => TaskStatus::Retrying,
        "cancelled" | "canceled" | "stopped" | "revoked" | "aborted" | "skipped" => TaskStatus::Cancelled,
        _ => return None,
    })
}

/// What a schedule's status means; `None` where nobody can tell.
pub fn schedule_status(text: &str) -> Option<ScheduleStatus> {
    Some(match spelling(text).as_str() {
        "active" | "enabled" | "running" => ScheduleStatus::Active,
        "paused" | "stopped" | "inactive" | "disabled" | "pending" => ScheduleStatus::Paused,
        "completed" | "complete" | "done" | "finished" | "expired" => ScheduleStatus::Completed,
        _ => return None,
    })
}

pub(super) fn spelling(text: &str) -> String {
    text.trim().to_ascii_lowercase().replace(['_', ' '], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_come_to_our_states() {
        for status in TaskStatus::ALL {
            assert_eq!(task_status(status.as_str()), Some(status));
        }
        for status in ScheduleStatus::ALL {
            assert_eq!(schedule_status(status.as_str()), Some(*status));
        }
        let of_task = [("success", TaskStatus::Completed), ("error", TaskStatus::Failed)];
        for (text, status) in of_task {
            assert_eq!(task_status(text), Some(status));
        }
        assert_eq!(task_status(" COMPLETED "), Some(TaskStatus::Completed));
        assert_eq!(task_status("In Progress"), Some(TaskStatus::Running));
        assert_eq!(task_status("STOPPED"), Some(TaskStatus::Cancelled));
        assert_eq!(schedule_status("stopped"), Some(ScheduleStatus::Paused));
        assert_eq!((task_status("zombie"), schedule_status("")), (None, None));
    }
}

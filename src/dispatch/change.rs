//! Changes of a task by hand: cancel, retry, delete.

use super::Dispatch;
use crate::domain::ids::TaskId;
use crate::domain::queue::{Priority, QueueName};
use crate::domain::task::PendingTask;
use crate::fault::{self, Point};
use crate::store::task_change::{Changed, Repended};
use crate::store::task_read::TaskRecord;
use crate::store::{self, Store};

/// How often a delete looks again at a task that keeps being started under it.
const DELETE_TRIES: u32 = 5;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such task.
    #[error("Task not found")]
    Unknown,
    /// The task is in a state that it does not leave this way.
    #[error("{0}")]
    Refused(String),
    /// The task is started again and again while it is being deleted.
    #[error("the task keeps being started while it is being deleted; cancel it, then delete it")]
    Busy,
    /// The database could not do it.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Whether the same call may succeed later without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Busy => true,
            Self::Store(error) => error.is_transient(),
            Self::Unknown | Self::Refused(_) => false,
        }
    }

    /// Stable name of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown => "not_found",
            Self::Refused(_) => "task_state",
            Self::Busy => "task_busy",
            Self::Store(error) => error.code(),
        }
    }
}

/// Calls a task off. One that runs is ended in its executor; its attempt's answer, should it still come, is ignored.
///
/// # Errors
/// The task is unknown or has ended, or the database is away.
pub async fn cancel(store: &Store, dispatch: &Dispatch, id: TaskId) -> Result<TaskRecord, Error> {
    match store.cancel_task(id).await? {
        Changed::Done(cancelled) => {
            fault::pass(Point::AfterCancelStored);
            dispatch.events().publish([cancelled.task.event()]);
            dispatch.ring_gate();
            if cancelled.was_running {
                dispatch.abort(id, cancelled.task.tries);
            }
            Ok(cancelled.task)
        }
        Changed::Refused(task) => Err(Error::Refused(format!(
            "Task is {} already; only one that has not ended can be cancelled",
            task.status
        ))),
        Changed::Unknown => Err(Error::Unknown),
    }
}

/// Makes a failed or cancelled task pending again.
///
/// # Errors
/// The task is unknown or in another state, or the database is away.
pub async fn retry(store: &Store, dispatch: &Dispatch, id: TaskId) -> Result<TaskRecord, Error> {
    match store.retry_task(id).await? {
        Changed::Done(repended) => {
            fault::pass(Point::AfterRetryStored);
            dispatch.events().publish([repended.task.event()]);
            dispatch.feed(pending(&repended));
            Ok(repended.task)
        }
        Changed::Refused(task) => {
            Err(Error::Refused(format!("Task is {}; only a failed or cancelled task can be retried", task.status)))
        }
        Changed::Unknown => Err(Error::Unknown),
    }
}

/// Deletes a task with its attempts and its log. One that has not ended is cancelled first.
///
/// # Errors
/// The task is unknown, or the database is away.
pub async fn delete(store: &Store, dispatch: &Dispatch, id: TaskId) -> Result<TaskRecord, Error> {
    for _ in 0..DELETE_TRIES {
        match store.delete_task(id).await? {
            Changed::Done(task) => return Ok(*task),
            Changed::Unknown => return Err(Error::Unknown),
            // Cancelled, a task is not claimed again; somebody may retry it in between, though.
            Changed::Refused(_) => match cancel(store, dispatch, id).await {
                Ok(_) | Err(Error::Refused(_)) => {}
                Err(error) => return Err(error),
            },
        }
    }
    Err(Error::Busy)
}

/// A row that an older version wrote may name a queue that is none now; the janitor's sweep will report it.
fn pending(repended: &Repended) -> Option<PendingTask> {
    Some(PendingTask {
        id: repended.task.id,
        queue: QueueName::new(repended.task.queue.as_str()).ok()?,
        priority: Priority::new(repended.task.priority.into()).unwrap_or_default(),
        pending_at: repended.pending_at,
    })
}

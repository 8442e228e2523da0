//! Changes of many tasks by hand. They are walked through in the order of their ids, a batch a transaction, so that
//! neither memory nor locks grow with their number, and each is looked at once however it changes meanwhile.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::Dispatch;
use super::change::{self, Error};
use crate::domain::ids::TaskId;
use crate::domain::task::TaskStatus;
use crate::store::Store;
use crate::store::task_bulk::{Removed, Seen};
use crate::store::task_filter::TaskFilter;

/// Tasks of one statement.
const BATCH: usize = 1000;
/// How long one call goes on; whoever wants more asks again from where it stopped.
const BUDGET: Duration = Duration::from_secs(10);

/// What is done to each task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// See [`change::retry`].
    Retry,
    /// See [`change::cancel`].
    Cancel,
    /// See [`change::delete`].
    Delete,
}

impl Action {
    /// Whether a task in this status is changed by it.
    fn fits(self, status: TaskStatus) -> bool {
        match self {
            Self::Retry => matches!(status, TaskStatus::Failed | TaskStatus::Cancelled),
            Self::Cancel => !status.is_final(),
            Self::Delete => true,
        }
    }
}

/// What a call came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tasks that the filter fits and that were looked at.
    pub matched: usize,
    /// Those of them that were changed.
    pub changed: usize,
    /// The last one that was looked at, where more follow.
    pub stopped_at: Option<TaskId>,
}

/// A call that ended before it was through.
#[derive(Debug, thiserror::Error)]
#[error("{error}; {changed} tasks were changed before that")]
pub struct BrokeOff {
    /// Tasks that are changed; what the database was doing when it went away may come on top.
    pub changed: usize,
    /// Why it ended.
    pub error: Error,
}

/// Changes tasks that a filter fits, from the one after `after` on, until `limit` are changed, there are no more, or
/// it has taken its time.
///
/// # Errors
/// The database is away. What was changed before that is changed, and counted.
pub async fn run(
    store: &Store,
    dispatch: &Dispatch,
    action: Action,
    filter: &TaskFilter,
    mut after: Option<TaskId>,
    limit: usize,
) -> Result<Tally, BrokeOff> {
    let started = Instant::now();
    let mut tally = Tally::default();
    loop {
        let room = BATCH.min(limit - tally.changed);
        let part = store.seen_tasks(filter.clone(), after, room).await;
        let (seen, more) = part.map_err(|error| BrokeOff { changed: tally.changed, error: error.into() })?;
        tally.matched += seen.len();
        let done = batch(store, dispatch, action, &seen, filter.status.is_some(), &mut tally.changed).await;
        done.map_err(|error| BrokeOff { changed: tally.changed, error })?;
        after = seen.last().map(|(id, _)| *id);
        if !more {
            return Ok(tally);
        }
        if tally.changed >= limit || started.elapsed() >= BUDGET {
            return Ok(Tally { stopped_at: after, ..tally });
        }
    }
}

/// Changes a batch, and counts what it changes as it goes.
async fn batch(
    store: &Store,
    dispatch: &Dispatch,
    action: Action,
    seen: &[Seen],
    only_as_seen: bool,
    count: &mut usize,
) -> Result<(), Error> {
    let fits = |status: &Option<TaskStatus>| status.is_none_or(|status| action.fits(status));
    let seen: Vec<Seen> = seen.iter().filter(|(_, status)| fits(status)).copied().collect();
    let mut stopped = Vec::new();
    let changed: HashSet<TaskId> = match action {
        Action::Cancel => cancel(store, dispatch, &seen).await?.into_iter().collect(),
        Action::Retry => {
            let pending = store.retry_tasks(&seen).await?;
            let ids = pending.iter().map(|task| task.id).collect();
            dispatch.pended(pending).await;
            ids
        }
        Action::Delete => {
            let (running, others): (Vec<Seen>, Vec<Seen>) =
                seen.iter().partition(|(_, status)| *status == Some(TaskStatus::Running));
            stopped = cancel(store, dispatch, &running).await?;
            let idle = stopped.iter().map(|id| (*id, Some(TaskStatus::Cancelled))).chain(others);
            // Those that were called off are changed, too, if it ends here.
            let gone = store.delete_tasks(&idle.collect::<Vec<_>>()).await.inspect_err(|_| *count += stopped.len())?;
            let ids = gone.iter().map(|task| task.id).collect();
            withdraw(dispatch, gone).await;
            ids
        }
    };
    *count += changed.len();
    // Whoever asked for tasks in one status does not mean those that have left it, unless it was us who moved them.
    let meant = |id: &TaskId| !only_as_seen || stopped.contains(id);
    let left = seen.iter().map(|(id, _)| *id).filter(|id| !changed.contains(id) && meant(id));
    one_by_one(store, dispatch, action, left, count).await
}

/// Calls tasks off and stops those that ran.
async fn cancel(store: &Store, dispatch: &Dispatch, seen: &[Seen]) -> Result<Vec<TaskId>, Error> {
    let cancelled = store.cancel_tasks(seen).await?;
    for (task, attempt) in cancelled.iter().filter_map(|task| Some((task.id, task.attempt?))) {
        dispatch.abort(task, attempt);
    }
    let ids: Vec<TaskId> = cancelled.iter().map(|task| task.id).collect();
    dispatch.events().publish_by_id(ids.clone()).await;
    withdraw(dispatch, cancelled).await;
    Ok(ids)
}

/// Thousands of ids that stand for nothing would keep those behind them waiting. One that is made pending again in this
/// very moment may be taken out with them; reconciling feeds it.
async fn withdraw(dispatch: &Dispatch, tasks: Vec<Removed>) {
    let tasks = tasks.into_iter().map(|task| (task.queue, task.id)).collect();
    if let Err(error) = dispatch.mailbox().withdraw(tasks).await {
        log::debug!("tasks that were called off stay in their mailboxes for now: {error}");
    }
}

/// What somebody else held at that moment, or moved: each is waited for by itself, holding nothing else meanwhile.
async fn one_by_one(
    store: &Store,
    dispatch: &Dispatch,
    action: Action,
    tasks: impl Iterator<Item = TaskId>,
    count: &mut usize,
) -> Result<(), Error> {
    for task in tasks {
        let done = match action {
            Action::Retry => change::retry(store, dispatch, task).await,
            Action::Cancel => change::cancel(store, dispatch, task).await,
            Action::Delete => change::delete(store, dispatch, task).await,
        };
        match done {
            Ok(_) => *count += 1,
            Err(Error::Unknown | Error::Refused(_) | Error::Busy) => {}
            Err(error @ Error::Store(_)) => return Err(error),
        }
    }
    Ok(())
}

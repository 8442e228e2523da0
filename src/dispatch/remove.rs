//! Deleting what has tasks. The tasks go first, in short transactions: one that held all of them would keep every claim
//! and every outcome waiting that has one of them in its batch. What comes in meanwhile goes with the rest, in the one
//! transaction at the end. If it breaks off before that, the workflow is still there, and may be deleted again.

use super::Dispatch;
use super::bulk::{self, Action, BrokeOff};
use crate::domain::ids::{SourceId, TaskId, WorkflowId};
use crate::store;
use crate::store::task_filter::TaskFilter;

impl Dispatch {
    /// Deletes a workflow with its schedules and tasks; running ones are cancelled first. Says whether there was one.
    /// Goes on to the end, whether or not somebody waits for it.
    ///
    /// # Errors
    /// The database is away.
    pub async fn delete_workflow(&self, id: WorkflowId) -> Result<bool, BrokeOff> {
        let dispatch = self.clone();
        self.to_the_end(async move {
            let filter = TaskFilter { workflow_id: Some(id), ..TaskFilter::default() };
            let changed = dispatch.delete_tasks(filter).await?;
            dispatch.removed(dispatch.store().delete_workflow(id).await, changed)
        })
        .await
    }

    /// Deletes a source with its workflows and all that is theirs, in the same way.
    ///
    /// # Errors
    /// The database is away.
    pub async fn delete_source(&self, id: SourceId) -> Result<bool, BrokeOff> {
        let dispatch = self.clone();
        self.to_the_end(async move {
            let filter = TaskFilter { source_id: Some(id), ..TaskFilter::default() };
            let changed = dispatch.delete_tasks(filter).await?;
            dispatch.removed(dispatch.store().delete_source(id).await, changed)
        })
        .await
    }

    /// Deletes all tasks that a filter fits; how many there were.
    async fn delete_tasks(&self, filter: TaskFilter) -> Result<usize, BrokeOff> {
        let (mut after, mut changed) = (None, 0);
        loop {
            let part = bulk::run(self.store(), self, Action::Delete, &filter, after, usize::MAX).await;
            let tally = part.map_err(|end| BrokeOff { changed: changed + end.changed, ..end })?;
            changed += tally.changed;
            after = tally.stopped_at;
            if after.is_none() {
                return Ok(changed);
            }
        }
    }

    /// Stops the tasks that were still running at the end, when so many others were gone. Says whether there was what
    /// they are of.
    fn removed(&self, running: Result<Option<Vec<TaskId>>, store::Error>, changed: usize) -> Result<bool, BrokeOff> {
        let running = running.map_err(|error| BrokeOff { changed, error: error.into() })?;
        let was_there = running.is_some();
        for task in running.into_iter().flatten() {
            self.abort(task, i32::MAX);
        }
        self.wake_beat();
        Ok(was_there)
    }

    /// Runs work of several statements on the shared runtime.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, BrokeOff>> + Send + 'static,
    ) -> Result<T, BrokeOff> {
        // How far it came is lost with it.
        let lost = |_| BrokeOff { changed: 0, error: store::Error::Interrupted.into() };
        self.inner.runtime.spawn(work).await.map_err(lost)?
    }
}

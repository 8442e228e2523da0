//! Deleting what has tasks. The tasks go first, in short transactions: one that held all of them would keep every claim
//! and every outcome waiting that has one of them in its batch. What comes in meanwhile goes with the rest, in the one
//! transaction at the end. If it breaks off before that, the workflow is still there, and may be deleted again.

use super::Dispatch;
use super::bulk::{self, Action};
use super::change::Error;
use crate::domain::ids::{SourceId, TaskId, WorkflowId};
use crate::store::task_filter::TaskFilter;

impl Dispatch {
    /// Deletes a workflow with its schedules and tasks; running ones are cancelled first. Says whether there was one.
    /// Goes on to the end, whether or not somebody waits for it.
    ///
    /// # Errors
    /// The database is away.
    pub async fn delete_workflow(&self, id: WorkflowId) -> Result<bool, Error> {
        let dispatch = self.clone();
        self.to_the_end(async move {
            let filter = TaskFilter { workflow_id: Some(id), ..TaskFilter::default() };
            dispatch.delete_tasks(filter).await?;
            let running = dispatch.store().delete_workflow(id).await?;
            Ok(dispatch.removed(running))
        })
        .await
    }

    /// Deletes a source with its workflows and all that is theirs, in the same way.
    ///
    /// # Errors
    /// The database is away.
    pub async fn delete_source(&self, id: SourceId) -> Result<bool, Error> {
        let dispatch = self.clone();
        self.to_the_end(async move {
            let filter = TaskFilter { source_id: Some(id), ..TaskFilter::default() };
            dispatch.delete_tasks(filter).await?;
            let running = dispatch.store().delete_source(id).await?;
            Ok(dispatch.removed(running))
        })
        .await
    }

    async fn delete_tasks(&self, filter: TaskFilter) -> Result<(), Error> {
        let mut after = None;
        loop {
            let tally = bulk::run(self.store(), self, Action::Delete, &filter, after, usize::MAX).await?;
            after = tally.stopped_at;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Stops the tasks that were still running at the end.
    fn removed(&self, running: Option<Vec<TaskId>>) -> bool {
        let was_there = running.is_some();
        for task in running.into_iter().flatten() {
            self.abort(task, i32::MAX);
        }
        self.wake_beat();
        was_there
    }

    /// Runs work of several statements on the shared runtime.
    async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        self.inner.runtime.spawn(work).await.map_err(|_| Error::Store(crate::store::Error::Interrupted))?
    }
}

//! Submitting: the row is durable first, then its id goes to the mailbox.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Dispatch, DispatchOptions, Error, Inner, feed};
use crate::domain::clock;
use crate::domain::task::{NewTask, PendingTask};
use crate::fault::{self, Point};
use crate::store::batch::Batcher;

impl Dispatch {
    /// Makes a task. It is durable when this returns.
    ///
    /// # Errors
    /// The workflow is not there, too many tasks arrive, or the database is away. Unless the database is away the task
    /// was certainly not made.
    pub async fn submit(&self, task: NewTask) -> Result<(), Error> {
        self.submits.call(task).await?
    }

    /// Brings a task on its way that was stored by other means.
    pub fn stored(&self, task: &NewTask) {
        fault::pass(Point::AfterSubmitStored);
        self.inner.events.publish([task.into()]);
        if task.pending_at <= clock::now() {
            self.feed([task.pending()]);
        } else {
            // Beat feeds it when it is due.
            self.wake_beat();
        }
    }
}

pub(super) fn start(
    inner: &Arc<Inner>,
    feeds: Batcher<PendingTask, ()>,
    options: &DispatchOptions,
    runtime: &Handle,
) -> Batcher<NewTask, Result<(), Error>> {
    let inner = inner.clone();
    Batcher::spawn(runtime, options.submits_waiting, options.max_batch, move |tasks| {
        let (inner, feeds) = (inner.clone(), feeds.clone());
        async move { insert(&inner, &feeds, tasks).await }
    })
}

/// Inserts a batch. A batch that the database refuses for good is halved until the row at fault stands alone, so that
/// one bad row fails nobody else.
async fn insert(inner: &Inner, feeds: &Batcher<PendingTask, ()>, tasks: Vec<NewTask>) -> Vec<Result<(), Error>> {
    let mut results = Vec::with_capacity(tasks.len());
    let mut todo = vec![tasks];
    while let Some(mut batch) = todo.pop() {
        inner.stats.submit.add(batch.len());
        match inner.store.insert_tasks(batch.clone()).await {
            Ok(made) => {
                fault::pass(Point::AfterSubmitStored);
                let now = clock::now();
                // Told before it is fed: from then on it may run.
                inner.events.publish(batch.iter().filter(|task| made.contains(&task.id)).map(Into::into));
                let ready = batch.iter().filter(|task| made.contains(&task.id) && task.pending_at <= now);
                feed::feed(feeds, ready.map(NewTask::pending));
                if batch.iter().any(|task| task.pending_at > now) {
                    inner.beat.notify_one();
                }
                results.extend(
                    batch.iter().map(|task| if made.contains(&task.id) { Ok(()) } else { Err(Error::NoSuchWorkflow) }),
                );
            }
            Err(error) if error.is_transient() || batch.len() == 1 => {
                let error = Error::from(error);
                results.extend(batch.iter().map(|_| Err(error.clone())));
            }
            Err(_) => {
                let second = batch.split_off(batch.len() / 2);
                todo.push(second);
                todo.push(batch);
            }
        }
    }
    results
}

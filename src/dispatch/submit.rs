//! Submitting: the row is durable first, then its id goes to the mailbox.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::backlog::Place;
use super::{Dispatch, DispatchOptions, Error, Inner, STATEMENT_BYTES, feed};
use crate::domain::clock;
use crate::domain::task::{NewTask, PendingTask};
use crate::domain::trace::Origin;
use crate::fault::{self, Point};
use crate::store::batch::{Batcher, portions};
use crate::store::idempotency::Once;

/// A task that waits to be stored, and the room that it takes until then.
pub(super) struct Submission {
    task: NewTask,
    origin: Origin,
    place: Place,
}

impl Dispatch {
    /// Makes a task. It is durable when this returns.
    ///
    /// # Errors
    /// The workflow is not there, too many tasks wait or arrive, or the database is away. Unless the database is away
    /// the task was certainly not made.
    pub async fn submit(&self, task: NewTask, origin: Origin) -> Result<(), Error> {
        let place = self.enter(&task)?;
        self.submits.call(Submission { task, origin, place }).await?
    }

    /// Makes a task under a key, unless the key made one before. That one is found however much waits.
    ///
    /// # Errors
    /// As for [`Dispatch::submit`].
    pub async fn submit_once(&self, key: String, task: NewTask, origin: Origin) -> Result<Once, Error> {
        let place = match self.enter(&task) {
            Ok(place) => place,
            Err(full) => {
                let made = self.inner.store.made_under(key).await?;
                return made.map(|task| Once::Existing(Box::new(task))).ok_or(full);
            }
        };
        let once = self.inner.store.submit_once(key, task.clone()).await?;
        if matches!(once, Once::Created) {
            place.stored();
            self.stored(&task, origin);
        }
        Ok(once)
    }

    /// Brings a task on its way that was stored by other means.
    fn stored(&self, task: &NewTask, origin: Origin) {
        fault::pass(Point::AfterSubmitStored);
        let now = clock::now();
        self.inner.events.publish([task.into()]);
        self.inner.traces.submitted(task, origin, now);
        if task.pending_at <= now {
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
) -> Batcher<Submission, Result<(), Error>> {
    let inner = inner.clone();
    Batcher::spawn(runtime, options.submits_waiting, options.max_batch, move |submissions| {
        let (inner, feeds) = (inner.clone(), feeds.clone());
        async move { insert(&inner, &feeds, submissions).await }
    })
}

/// Inserts a batch. A batch that the database refuses for good is halved until the row at fault stands alone, so that
/// one bad row fails nobody else.
async fn insert(
    inner: &Inner,
    feeds: &Batcher<PendingTask, ()>,
    submissions: Vec<Submission>,
) -> Vec<Result<(), Error>> {
    let mut results = Vec::with_capacity(submissions.len());
    let mut todo = portions(submissions, |submission| submission.task.input.len(), STATEMENT_BYTES);
    // The last is taken first, and results stand in the order of the batch.
    todo.reverse();
    while let Some(mut batch) = todo.pop() {
        inner.stats.submit.add(batch.len());
        match inner.store.insert_tasks(batch.iter().map(|submission| submission.task.clone()).collect()).await {
            Ok(made) => {
                fault::pass(Point::AfterSubmitStored);
                let now = clock::now();
                let tasks = || batch.iter().map(|submission| &submission.task);
                for submission in batch.iter().filter(|submission| made.contains(&submission.task.id)) {
                    inner.traces.submitted(&submission.task, submission.origin, now);
                }
                // Told before it is fed: from then on it may run.
                inner.events.publish(tasks().filter(|task| made.contains(&task.id)).map(Into::into));
                let ready = tasks().filter(|task| made.contains(&task.id) && task.pending_at <= now);
                feed::feed(feeds, ready.map(NewTask::pending));
                if tasks().any(|task| task.pending_at > now) {
                    inner.beat.notify_one();
                }
                results.extend(batch.into_iter().map(|Submission { task, place, .. }| {
                    if made.contains(&task.id) {
                        place.stored();
                        Ok(())
                    } else {
                        Err(Error::NoSuchWorkflow)
                    }
                }));
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

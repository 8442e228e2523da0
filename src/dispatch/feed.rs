//! Feeding mailboxes. A task is durable before it gets here, so a failure costs time, never a task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;

use super::{Dispatch, DispatchOptions, Inner};
use crate::domain::task::PendingTask;
use crate::fault::{self, Point};
use crate::mailbox;
use crate::store::batch::Batcher;

/// Ids that may wait to be fed; more are left to reconciling.
const FEEDS_WAITING: usize = 100_000;

pub(super) fn start(inner: &Arc<Inner>, options: &DispatchOptions, runtime: &Handle) -> Batcher<PendingTask, ()> {
    let inner = inner.clone();
    let redis_away = Arc::new(AtomicBool::new(false));
    Batcher::spawn(runtime, FEEDS_WAITING, options.max_batch, move |tasks: Vec<PendingTask>| {
        let (inner, redis_away) = (inner.clone(), redis_away.clone());
        async move {
            let count = tasks.len();
            inner.stats.feed.add(count);
            fault::pass(Point::BeforeFeed);
            report(&inner.mailbox.feed(tasks).await, &redis_away);
            vec![(); count]
        }
    })
}

/// One line when Redis goes and one when it is back, not one a batch.
fn report(result: &Result<(), mailbox::Error>, away: &AtomicBool) {
    match result {
        Ok(()) if away.swap(false, Ordering::Relaxed) => log::info!("mailboxes are fed again"),
        Ok(()) => {}
        Err(error) => {
            if !away.swap(true, Ordering::Relaxed) {
                log::warn!("mailboxes can't be fed; pending tasks wait in PostgreSQL until Redis is back: {error}");
            }
        }
    }
}

impl Dispatch {
    /// Tells that tasks became pending, then feeds them: in this order, for a task that is fed may run at once.
    pub async fn pended(&self, tasks: Vec<PendingTask>) {
        self.inner.events.publish_by_id(tasks.iter().map(|task| task.id).collect()).await;
        self.feed(tasks);
    }

    /// Puts pending tasks into their mailboxes, soon. What fails here is fed again by reconciling.
    pub fn feed(&self, tasks: impl IntoIterator<Item = PendingTask>) {
        feed(&self.feeds, tasks);
    }
}

pub(super) fn feed(feeds: &Batcher<PendingTask, ()>, tasks: impl IntoIterator<Item = PendingTask>) {
    for task in tasks {
        if feeds.push(task).is_err() {
            log::debug!("a task was not fed at once; reconciling feeds it");
        }
    }
}

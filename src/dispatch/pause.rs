//! Pausing queues. PostgreSQL holds which are paused, and every claim looks there; what this node knows of it keeps its
//! pools from taking ids out of those mailboxes in vain.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use super::Dispatch;
use crate::domain::queue::QueueName;
use crate::store;
use crate::store::pause::Paused;

/// Names of paused queues; cheap to clone.
pub type PausedQueues = Arc<BTreeSet<QueueName>>;

/// What this node knows of paused queues.
#[derive(Debug, Default)]
pub struct Pauses {
    known: watch::Sender<PausedQueues>,
    /// One reads at a time, so that what was read last is what is known.
    reading: Mutex<()>,
}

impl Dispatch {
    /// Pauses a queue. When this returns no node claims anything from it any more, save in a statement that was under way
    /// already; what runs goes on.
    ///
    /// # Errors
    /// The database is away.
    pub async fn pause(&self, queue: &QueueName) -> Result<Paused, store::Error> {
        let paused = self.inner.store.pause_queue(queue.clone()).await?;
        self.refresh_pauses().await?;
        Ok(paused)
    }

    /// Lets a queue go on: on this node at once, on others when they look the next time.
    ///
    /// # Errors
    /// The database is away.
    pub async fn resume(&self, queue: &QueueName) -> Result<(), store::Error> {
        self.inner.store.resume_queue(queue.clone()).await?;
        // The janitor leaves a paused queue alone, and Redis may have lost something meanwhile.
        if let Err(error) = self.refeed_stale(vec![queue.clone()], Duration::ZERO).await {
            log::debug!("queue {queue} is not looked through now; reconciling does it: {error}");
        }
        self.refresh_pauses().await
    }

    /// Looks which queues are paused: another node may have changed it.
    ///
    /// # Errors
    /// The database is away; what was known stays known.
    pub async fn refresh_pauses(&self) -> Result<(), store::Error> {
        let pauses = &self.inner.pauses;
        let _reading = pauses.reading.lock().await;
        let now = self.inner.store.paused_queues().await?;
        pauses.known.send_if_modified(|known| {
            now.difference(known).for_each(|queue| log::info!("queue {queue} is paused"));
            known.difference(&now).for_each(|queue| log::info!("queue {queue} goes on"));
            let is_news = **known != now;
            if is_news {
                *known = Arc::new(now);
            }
            is_news
        });
        Ok(())
    }

    /// The queues that are paused, as far as this node knows, and word of every change.
    pub fn paused(&self) -> watch::Receiver<PausedQueues> {
        self.inner.pauses.known.subscribe()
    }
}

//! Finding what was lost: ids that vanished from mailboxes, attempts whose node or claim vanished, attempts that no
//! longer count. Every rule may be applied at any time and as often as one likes.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::{Dispatch, Error};
use crate::domain::clock;
use crate::domain::ids::TaskId;
use crate::domain::outcome::{Lost, Outcome};
use crate::domain::queue::QueueName;
use crate::store::claim::Attempt;

/// While more ends than this wait for the database, no look adds to them: it would find the same attempts again.
const ENDS_BEFORE_SWEEP: usize = 1_000;

/// Rows that one look takes.
const PAGE: i64 = 1_000;

impl Dispatch {
    /// Feeds the oldest tasks that are pending for longer than `grace`, whether or not their mailbox has them. Returns
    /// how many there were. For a pool whose mailboxes are empty.
    ///
    /// # Errors
    /// The database or Redis is away.
    pub async fn refeed_stale(&self, queues: Vec<QueueName>, grace: Duration) -> Result<usize, Error> {
        let stale = self.inner.store.pending_since(queues, clock::now() - grace, None, PAGE).await?;
        let count = stale.len();
        self.feed(stale);
        Ok(count)
    }

    /// Compares every mailbox with what PostgreSQL has pending for longer than `grace`, and feeds the whole queue where
    /// ids are missing. Returns how many tasks were fed. A paused queue is left alone: nobody takes from it.
    ///
    /// # Errors
    /// The database or Redis is away.
    pub async fn refeed_missing(&self, grace: Duration) -> Result<usize, Error> {
        let queues = self.inner.store.pending_counts(clock::now() - grace).await?;
        let paused = self.paused().borrow().clone();
        let queues: Vec<QueueName> =
            queues.into_iter().map(|(queue, _)| queue).filter(|queue| !paused.contains(queue)).collect();
        // Lengths first: what is taken out in between makes PostgreSQL's count the smaller one, and nothing look missing.
        let lengths = match self.inner.mailbox.lengths(queues.clone()).await {
            Ok(lengths) => lengths,
            Err(error) => {
                log::debug!("mailboxes can't be compared: {error}");
                return Ok(0);
            }
        };
        let before = clock::now() - grace;
        let counts: HashMap<QueueName, u64> = self.inner.store.pending_counts(before).await?.into_iter().collect();
        let mut fed = 0;
        for (queue, length) in queues.into_iter().zip(lengths) {
            if length < counts.get(&queue).copied().unwrap_or(0) {
                fed += self.refeed_queue(queue, before).await?;
            } else {
                // A mailbox also holds younger ids and those of cancelled tasks, so the numbers may hide a loss. What is
                // lost was about to be taken out, so it is among the oldest: these are fed whatever the numbers say.
                self.feed(self.inner.store.pending_since(vec![queue], before, None, PAGE).await?);
            }
        }
        Ok(fed)
    }

    /// Fills the mailboxes of a Redis that was emptied, or that is new, without waiting for what is missing to become old.
    /// Returns at once; what goes wrong is put right by the rules above.
    pub fn refill_mailboxes(&self) {
        let dispatch = self.clone();
        self.inner.runtime.spawn(async move {
            match dispatch.refeed_missing(Duration::ZERO).await {
                Ok(0) => {}
                Ok(fed) => log::warn!("Redis was emptied: {fed} pending tasks are fed again"),
                Err(error) => log::debug!("the mailboxes of an emptied Redis can't be filled now: {error}"),
            }
        });
    }

    async fn refeed_queue(&self, queue: QueueName, before: chrono::DateTime<chrono::Utc>) -> Result<usize, Error> {
        let mut fed = 0;
        let mut after = None;
        loop {
            let page = self.inner.store.pending_since(vec![queue.clone()], before, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(fed) };
            after = Some((last.pending_at, last.id));
            fed += page.len();
            // Straight into Redis, page by page: the batcher's queue is for what is new.
            if let Err(error) = self.inner.mailbox.feed(page).await {
                log::debug!("a mailbox can't be refilled: {error}");
                return Ok(fed);
            }
        }
    }

    /// Gives back the tasks of dead nodes: of those that are no longer known at once, of those whose lease ran out only
    /// while this node's own [lease](super::lease) is steady. Returns how many there were.
    ///
    /// # Errors
    /// The database is away.
    pub async fn take_over_abandoned(&self) -> Result<usize, Error> {
        if self.ends.waiting() > ENDS_BEFORE_SWEEP {
            return Ok(0);
        }
        let now = clock::now();
        let expired_before = self.inner.lease.is_steady(now).then_some(now);
        let abandoned = self.inner.store.abandoned(self.inner.node, expired_before, PAGE).await?;
        let count = abandoned.len();
        for attempt in abandoned {
            self.record(attempt, lost("node_dead", "The node that ran the attempt ended without finishing it."));
        }
        Ok(count)
    }

    /// Forgets nodes whose lease ran out so long ago, while this node's own lease is steady.
    ///
    /// # Errors
    /// The database is away.
    pub async fn forget_dead_nodes(&self, after: Duration) -> Result<(), Error> {
        let now = clock::now();
        if self.inner.lease.is_steady(now) {
            self.inner.store.forget_expired_nodes(now - after).await?;
        }
        Ok(())
    }

    /// Gives back tasks that PostgreSQL has running on this node and that it does not run. Returns how many.
    ///
    /// # Errors
    /// The database is away.
    pub async fn give_back_unknown(&self) -> Result<usize, Error> {
        if self.ends.waiting() > ENDS_BEFORE_SWEEP {
            return Ok(0);
        }
        // Looked up after the query: what begins meanwhile is in flight before PostgreSQL has it running.
        let running = self.inner.store.running_of(self.inner.node).await?;
        let mut unknown: Vec<Attempt> =
            running.into_iter().filter(|attempt| !self.inner.in_flight.contains(attempt.task)).collect();
        if unknown.is_empty() {
            return Ok(0);
        }
        // An attempt that ended between the two looks is in flight no more, but it does not run any more either.
        let running = self.inner.store.running_of(self.inner.node).await?;
        let running: HashSet<_> = running.iter().map(|attempt| (attempt.task, attempt.number)).collect();
        unknown.retain(|attempt| running.contains(&(attempt.task, attempt.number)));
        let count = unknown.len();
        for attempt in unknown {
            // The answer to its claim was lost, so it never ran.
            self.record(attempt, Outcome::NotStarted);
        }
        Ok(count)
    }

    /// The tasks in flight whose attempt no longer counts: cancelled, deleted or taken over. They are to be aborted.
    ///
    /// # Errors
    /// The database is away.
    pub async fn overtaken(&self) -> Result<Vec<(TaskId, i32)>, Error> {
        let attempts = self.inner.in_flight.attempts();
        if attempts.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.inner.store.no_longer_running(attempts).await?)
    }
}

fn lost(code: &str, message: &str) -> Outcome {
    Outcome::Lost(Lost { code: code.to_owned(), message: message.to_owned() })
}

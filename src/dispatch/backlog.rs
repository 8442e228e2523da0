//! How much waits, and whether more is accepted.
//!
//! Two things have a limit: the tasks that are pending in the database, and the bytes of those that wait in memory to be
//! stored. Both are known without asking anybody: pending tasks are counted in the background, and between two counts
//! what this node accepted and started is added and taken off. What other nodes accept shows with the next count, so with
//! several of them the limit may be passed by what they take in between two counts.
//!
//! Only submissions are refused. An occurrence of a schedule always makes its task, and what was accepted once may be
//! tried again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::{Dispatch, Error, Inner};
use crate::domain::queue::QueueName;
use crate::domain::task::NewTask;

/// Least time between two counts.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// Counting takes no more than one part in so many of the time, for a long backlog takes long to count.
const COUNT_SHARE: u32 = 20;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct BacklogLimits {
    /// Pending tasks; 0 is no limit.
    pub pending: u64,
    /// Pending tasks of one queue; 0 is no limit.
    pub pending_per_queue: u64,
    /// Bytes of inputs that wait in memory to be stored.
    pub waiting_bytes: u32,
}

/// Why a task is not accepted for now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// As many tasks are pending as may be.
    #[error(
        "{0} tasks are pending, as many as api.max_pending allows; submit again when some have run, add workers, or raise \
         the limit"
    )]
    All(u64),
    /// As many tasks of the queue are pending as may be.
    #[error(
        "queue {queue} has {limit} pending tasks, as many as api.max_pending_per_queue allows; submit again when some \
         have run, use another queue, or raise the limit"
    )]
    Queue {
        /// The queue.
        queue: QueueName,
        /// The limit.
        limit: u64,
    },
}

/// What is known of the pending tasks, and what may come on top.
#[derive(Debug)]
pub(super) struct Backlog {
    limits: BacklogLimits,
    known: Mutex<Known>,
    bytes: Arc<Semaphore>,
}

/// Room that a submission has taken. Given back when it is dropped without having been stored.
#[derive(Debug)]
pub(super) struct Place {
    backlog: Arc<Backlog>,
    queue: QueueName,
    is_stored: bool,
    _bytes: OwnedSemaphorePermit,
}

#[derive(Debug, Default)]
struct Known {
    all: Tally,
    queues: HashMap<QueueName, Tally>,
}

/// Pending tasks of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// As the last count found them.
    counted: u64,
    /// What came and went on this node since that count began.
    since: i64,
    /// The same since the count began that is under way.
    during: i64,
    /// Accepted, and not stored yet.
    entering: u64,
}

impl Tally {
    fn total(&self) -> u64 {
        self.counted.saturating_add_signed(self.since).saturating_add(self.entering)
    }

    fn add(&mut self, change: i64) {
        self.since = self.since.saturating_add(change);
        self.during = self.during.saturating_add(change);
    }

    fn is_full(&self, limit: u64) -> bool {
        limit > 0 && self.total() >= limit
    }
}

impl Known {
    fn enter(&mut self, queue: &QueueName, limits: &BacklogLimits) -> Result<(), Full> {
        if self.all.is_full(limits.pending) {
            return Err(Full::All(limits.pending));
        }
        let tally = self.of(queue);
        if tally.is_full(limits.pending_per_queue) {
            return Err(Full::Queue { queue: queue.clone(), limit: limits.pending_per_queue });
        }
        tally.entering += 1;
        self.all.entering += 1;
        Ok(())
    }

    fn leave(&mut self, queue: &QueueName, is_stored: bool) {
        for tally in [&mut self.all, self.queues.entry(queue.clone()).or_default()] {
            tally.entering = tally.entering.saturating_sub(1);
            tally.add(i64::from(is_stored));
        }
    }

    fn of(&mut self, queue: &QueueName) -> &mut Tally {
        // Looked up first: a name is copied for a new queue only.
        if !self.queues.contains_key(queue) {
            self.queues.insert(queue.clone(), Tally::default());
        }
        self.queues.entry(queue.clone()).or_default()
    }

    fn count_begins(&mut self) {
        self.all.during = 0;
        self.queues.values_mut().for_each(|tally| tally.during = 0);
    }

    fn count_ended(&mut self, counts: &[(QueueName, u64)]) {
        self.queues.values_mut().for_each(|tally| tally.counted = 0);
        for (queue, count) in counts {
            self.of(queue).counted = *count;
        }
        self.all.counted = counts.iter().map(|(_, count)| count).sum();
        for tally in self.queues.values_mut().chain([&mut self.all]) {
            tally.since = tally.during;
        }
        self.queues.retain(|_, tally| tally.counted > 0 || tally.since != 0 || tally.entering > 0);
    }
}

impl Backlog {
    pub(super) fn new(limits: BacklogLimits) -> Self {
        let bytes = Arc::new(Semaphore::new(limits.waiting_bytes as usize));
        Self { limits, known: Mutex::default(), bytes }
    }

    /// Takes room for a task.
    ///
    /// # Errors
    /// As much waits as may.
    fn enter(self: &Arc<Self>, queue: &QueueName, input_bytes: usize) -> Result<Place, Error> {
        // What alone is more than may wait goes when nothing else does.
        let bytes = u32::try_from(input_bytes).unwrap_or(u32::MAX).min(self.limits.waiting_bytes);
        let bytes = self.bytes.clone().try_acquire_many_owned(bytes).map_err(|_| Error::Overloaded)?;
        if self.counts() {
            self.lock().enter(queue, &self.limits)?;
        }
        Ok(Place { backlog: self.clone(), queue: queue.clone(), is_stored: false, _bytes: bytes })
    }

    /// Notes tasks that were claimed: they wait no longer.
    pub(super) fn started<'a>(&self, queues: impl Iterator<Item = &'a QueueName>) {
        if self.counts() {
            let mut known = self.lock();
            for queue in queues {
                known.of(queue).add(-1);
                known.all.add(-1);
            }
        }
    }

    /// Whether the number of pending tasks matters.
    fn counts(&self) -> bool {
        self.limits.pending > 0 || self.limits.pending_per_queue > 0
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // A tally is whole after any panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The task is in the database.
    pub(super) fn stored(mut self) {
        self.is_stored = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.backlog.counts() {
            self.backlog.lock().leave(&self.queue, self.is_stored);
        }
    }
}

impl Dispatch {
    /// Takes room for a task that is about to be stored.
    ///
    /// # Errors
    /// As many tasks wait as may, in the database or in memory.
    pub(super) fn enter(&self, task: &NewTask) -> Result<Place, Error> {
        self.inner.backlog.enter(&task.queue, task.input.len())
    }
}

/// Counts what is pending, again and again, for as long as the dispatch lives.
pub(super) fn start(inner: &Arc<Inner>, runtime: &Handle) {
    if inner.backlog.counts() {
        runtime.spawn(count_on(Arc::downgrade(inner)));
    }
}

async fn count_on(inner: Weak<Inner>) {
    while let Some(inner) = inner.upgrade() {
        let began_at = Instant::now();
        inner.backlog.lock().count_begins();
        match inner.store.pending_by_queue().await {
            Ok(counts) => inner.backlog.lock().count_ended(&counts),
            // The database is away, and submissions with it; the last count stands.
            Err(error) => log::debug!("pending tasks can't be counted: {error}"),
        }
        drop(inner);
        tokio::time::sleep(COUNT_EVERY.max(began_at.elapsed() * COUNT_SHARE)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> QueueName {
        QueueName::new(name).expect("a name")
    }

    fn backlog(pending: u64, pending_per_queue: u64) -> Arc<Backlog> {
        Arc::new(Backlog::new(BacklogLimits { pending, pending_per_queue, waiting_bytes: 100 }))
    }

    fn refusal(backlog: &Arc<Backlog>, name: &str) -> Option<Full> {
        match backlog.enter(&queue(name), 1) {
            Ok(_) => None,
            Err(Error::Backlog(full)) => Some(full),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn no_more_is_accepted_than_may_wait_and_what_was_not_stored_counts_no_more() {
        let backlog = backlog(2, 0);
        let first = backlog.enter(&queue("a"), 1).expect("room");
        let second = backlog.enter(&queue("b"), 1).expect("room");
        assert_eq!(refusal(&backlog, "a"), Some(Full::All(2)));
        drop(second);
        first.stored();
        let third = backlog.enter(&queue("a"), 1).expect("the second is gone");
        third.stored();
        assert_eq!(refusal(&backlog, "b"), Some(Full::All(2)));
        backlog.started([&queue("a")].into_iter());
        assert_eq!(refusal(&backlog, "b"), None);
    }

    #[test]
    fn a_queue_that_is_full_leaves_the_others_alone() {
        let backlog = backlog(0, 1);
        backlog.enter(&queue("a"), 1).expect("room").stored();
        assert_eq!(refusal(&backlog, "a"), Some(Full::Queue { queue: queue("a"), limit: 1 }));
        assert_eq!(refusal(&backlog, "b"), None);
    }

    #[test]
    fn a_count_sets_right_what_was_not_seen_and_forgets_nothing_that_came_meanwhile() {
        let backlog = backlog(10, 0);
        let before = backlog.enter(&queue("a"), 1).expect("room");
        backlog.lock().count_begins();
        // Stored after the database had looked.
        before.stored();
        backlog.lock().count_ended(&[(queue("a"), 3), (queue("b"), 4)]);
        let known = || {
            let mut known = backlog.lock();
            [known.all, *known.of(&queue("a")), *known.of(&queue("b"))].map(|tally| tally.total())
        };
        assert_eq!(known(), [8, 4, 4]);
        backlog.lock().count_begins();
        backlog.lock().count_ended(&[]);
        assert!(backlog.lock().queues.is_empty());
        // Another node's tasks, started here before they were ever counted.
        backlog.started([&queue("a")].into_iter());
        assert_eq!(known(), [0, 0, 0]);
    }

    #[test]
    fn bytes_in_memory_have_a_limit_of_their_own() {
        let backlog = backlog(0, 0);
        let large = backlog.enter(&queue("a"), 1_000_000).expect("alone it goes");
        assert!(matches!(backlog.enter(&queue("a"), 1), Err(Error::Overloaded)));
        drop(large);
        assert!(backlog.enter(&queue("a"), 1).is_ok());
    }
}

//! How much was done in how many batches: what group commit saves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counters of one kind of batch.
#[derive(Debug, Default)]
pub struct BatchCount {
    batches: AtomicU64,
    items: AtomicU64,
}

impl BatchCount {
    pub(super) fn add(&self, items: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.items.fetch_add(items as u64, Ordering::Relaxed);
    }

    /// Batches so far, and the items in them.
    pub fn read(&self) -> (u64, u64) {
        (self.batches.load(Ordering::Relaxed), self.items.load(Ordering::Relaxed))
    }
}

/// Rows that retention has deleted, by what they were.
#[derive(Debug, Default)]
pub struct Deleted {
    counts: Mutex<BTreeMap<&'static str, u64>>,
}

impl Deleted {
    /// Counts more of them; none is worth a place, too.
    pub fn add(&self, what: &'static str, count: u64) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += count;
    }

    /// How many so far.
    pub fn read(&self) -> BTreeMap<&'static str, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The batches of the hot path, and what is deleted off it.
#[derive(Debug, Default)]
pub struct Stats {
    /// Inserted tasks.
    pub submit: BatchCount,
    /// Ids put into mailboxes.
    pub feed: BatchCount,
    /// Ids taken out and claimed.
    pub claim: BatchCount,
    /// Stored ends of attempts.
    pub outcome: BatchCount,
    /// What retention has deleted.
    pub deleted: Deleted,
}

//! How much was done in how many batches: what group commit saves.

use std::sync::atomic::{AtomicU64, Ordering};

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

/// The batches of the hot path.
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
}

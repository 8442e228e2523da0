//! What this node has done since it started, counted: batches, attempts, occurrences of schedules.

pub mod attempts;
pub mod by_label;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};

use crate::domain::histogram::Histogram;
use attempts::AttemptStats;

/// Counters of one kind of batch: what group commit saves.
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

const LATENESS_BOUNDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];

/// What beat made of schedules.
#[derive(Debug)]
pub struct ScheduleStats {
    /// How late occurrences were when their tasks were stored; one that is made up for is as late as it is.
    pub lateness: Histogram,
    skipped: AtomicU64,
}

impl Default for ScheduleStats {
    fn default() -> Self {
        Self { lateness: Histogram::new(LATENESS_BOUNDS), skipped: AtomicU64::new(0) }
    }
}

impl ScheduleStats {
    /// Occurrences were stored as tasks, others were noted as skipped.
    pub(crate) fn fired(&self, due: impl Iterator<Item = DateTime<Utc>>, skipped: usize, now: DateTime<Utc>) {
        for due in due {
            self.lateness.observe((now - due).to_std().unwrap_or_default());
        }
        self.skipped.fetch_add(skipped as u64, Ordering::Relaxed);
    }

    /// Occurrences that were skipped so far.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
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

/// The counts.
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
    /// Waiting, running, ending.
    pub attempts: AttemptStats,
    /// Schedules.
    pub schedules: ScheduleStats,
    /// What retention has deleted.
    pub deleted: Deleted,
}

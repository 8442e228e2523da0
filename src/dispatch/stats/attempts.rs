//! How long tasks waited and ran, and how their attempts ended, on this node since it started.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::by_label::ByLabel;
use crate::domain::attempt::AttemptStatus;
use crate::domain::histogram::Histogram;
use crate::domain::retry::Next;
use crate::store::claim::Attempt;
use crate::store::outcome::AttemptEnd;

/// Most queues, and most sources, that are told apart.
pub const LABELS: usize = 40;
/// Most codes of failures that are told apart, for each source.
const CODES: usize = 40;

const WAIT_BOUNDS: &[f64] =
    &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
/// Past the limit of 10 minutes, so that a quantile can show that it is passed.
const RUN_BOUNDS: &[f64] =
    &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0];
const TOTAL_BOUNDS: &[f64] =
    &[0.05, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0];

/// The counts and times.
#[derive(Debug)]
pub struct AttemptStats {
    /// By queue: from when a task might start until an attempt of it did.
    pub waits: ByLabel<Histogram>,
    /// By source: attempts that came to an end of their own, or to their time limit.
    pub runs: ByLabel<Histogram>,
    /// By queue: from when a task was made until it was completed or failed, its retries and delays included.
    pub totals: ByLabel<Histogram>,
    /// By queue, then by source.
    pub ends: ByLabel<ByLabel<EndCounts>>,
    /// By source, then by the code of the failure.
    pub failures: ByLabel<ByLabel<AtomicU64>>,
}

/// How attempts and tasks ended.
#[derive(Debug, Default)]
pub struct EndCounts {
    attempts: [AtomicU64; AttemptStatus::ALL.len()],
    completed: AtomicU64,
    failed: AtomicU64,
    unknown: AtomicU64,
}

impl EndCounts {
    /// Attempts that ended this way.
    pub fn attempts(&self, status: AttemptStatus) -> u64 {
        self.attempts.get(status as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Tasks that were completed.
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// Tasks that failed for good.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Attempts of which it is unknown whether the source ran the flow.
    pub fn unknown(&self) -> u64 {
        self.unknown.load(Ordering::Relaxed)
    }
}

impl Default for AttemptStats {
    fn default() -> Self {
        Self {
            waits: ByLabel::new(LABELS, || Histogram::new(WAIT_BOUNDS)),
            runs: ByLabel::new(LABELS, || Histogram::new(RUN_BOUNDS)),
            totals: ByLabel::new(LABELS, || Histogram::new(TOTAL_BOUNDS)),
            ends: ByLabel::new(LABELS, || ByLabel::new(LABELS, EndCounts::default)),
            failures: ByLabel::new(LABELS, || ByLabel::new(CODES, AtomicU64::default)),
        }
    }
}

impl AttemptStats {
    /// An attempt was claimed.
    pub(crate) fn began(&self, attempt: &Attempt) {
        self.waits.of(attempt.queue.as_str()).observe(between(attempt.pending_at, attempt.started_at));
    }

    /// The end of an attempt was stored.
    pub(crate) fn ended(&self, end: &AttemptEnd) {
        let (attempt, verdict) = (&end.attempt, &end.verdict);
        let (queue, source) = (attempt.queue.as_str(), attempt.source_name.as_str());
        let counts = self.ends.of(queue).of(source);
        if let Some(count) = counts.attempts.get(verdict.status as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if verdict.outcome_unknown {
            counts.unknown.fetch_add(1, Ordering::Relaxed);
        }
        let has_run =
            matches!(verdict.status, AttemptStatus::Completed | AttemptStatus::Failed | AttemptStatus::TimedOut);
        if has_run {
            self.runs.of(source).observe(between(attempt.started_at, end.finished_at));
        }
        let finished = match verdict.next {
            Next::Complete => Some(&counts.completed),
            Next::Fail => Some(&counts.failed),
            _ => None,
        };
        if let Some(count) = finished {
            count.fetch_add(1, Ordering::Relaxed);
            self.totals.of(queue).observe(between(attempt.created_at, end.finished_at));
        }
        // What was given back at a stop did not fail.
        let is_failure = verdict.status != AttemptStatus::Released;
        if let Some(code) = verdict.code.as_deref().filter(|_| is_failure) {
            self.failures.of(source).of(code).fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Nothing where the clocks of two nodes disagree about the order.
fn between(start: DateTime<Utc>, end: DateTime<Utc>) -> Duration {
    (end - start).to_std().unwrap_or_default()
}

//! What the simulated source remembers of the runs it was asked for: enough to prove that no task ran twice, and on
//! request when each began and how it ended.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::clock;

/// Sessions beyond this are counted in the total only.
const MAX_SESSIONS: usize = 1_000_000;

/// Figures since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCounts {
    /// Runs that were asked for, failed ones included.
    pub total: u64,
    /// Sessions they named.
    pub distinct_sessions: usize,
    /// Sessions with more than one run, and how many each had.
    pub repeated: BTreeMap<String, u64>,
    /// The most runs that were under way at one time.
    pub max_in_flight: usize,
}

/// One run that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its session.
    pub session: String,
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// When the answer was ready, and its status; nothing while it runs, and where its caller went away before that.
    pub answered: Option<(DateTime<Utc>, u16)>,
}

#[derive(Debug, Default)]
pub(super) struct CallLog {
    total: AtomicU64,
    in_flight: AtomicUsize,
    max_in_flight: AtomicUsize,
    sessions: Mutex<HashMap<Box<str>, u64>>,
    /// Kept only where somebody is going to read it.
    kept: Option<Mutex<Vec<Call>>>,
}

/// A run under way; it ends when this is dropped, which also happens when its caller goes away.
pub(super) struct InFlight<'a> {
    log: &'a CallLog,
    /// How many runs its session has had, this one included.
    pub(super) nth: u64,
    /// Its place among the kept ones.
    kept: Option<usize>,
}

impl InFlight<'_> {
    /// Notes that the answer is ready.
    pub(super) fn answered(&self, status: u16) {
        if let (Some(kept), Some(at)) = (&self.log.kept, self.kept)
            && let Some(call) = locked(kept).get_mut(at)
        {
            call.answered = Some((clock::now(), status));
        }
    }
}

impl CallLog {
    /// A log that keeps each call, if asked to.
    pub(super) fn new(keep: bool) -> Self {
        Self { kept: keep.then(Mutex::default), ..Self::default() }
    }

    pub(super) fn begin(&self, session: &str) -> InFlight<'_> {
        self.total.fetch_add(1, Ordering::Relaxed);
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.max_in_flight.fetch_max(now, Ordering::Relaxed);
        let mut sessions = self.sessions();
        let mut nth = 1;
        if let Some(count) = sessions.get_mut(session) {
            *count += 1;
            nth = *count;
        } else if sessions.len() < MAX_SESSIONS {
            sessions.insert(session.into(), 1);
        }
        drop(sessions);
        let kept = self.kept.as_ref().map(|kept| {
            let mut calls = locked(kept);
            calls.push(Call { session: session.to_owned(), began_at: clock::now(), answered: None });
            calls.len() - 1
        });
        InFlight { log: self, nth, kept }
    }

    /// The calls that were kept.
    pub(super) fn kept(&self) -> Vec<Call> {
        self.kept.as_ref().map(|kept| locked(kept).clone()).unwrap_or_default()
    }

    pub(super) fn counts(&self) -> CallCounts {
        let sessions = self.sessions();
        let repeated = sessions.iter().filter(|(_, count)| **count > 1);
        CallCounts {
            total: self.total.load(Ordering::Relaxed),
            distinct_sessions: sessions.len(),
            repeated: repeated.map(|(session, count)| (session.to_string(), *count)).collect(),
            max_in_flight: self.max_in_flight.load(Ordering::Relaxed),
        }
    }

    /// Forgets all but the runs that are under way.
    pub(super) fn clear(&self) {
        self.total.store(0, Ordering::Relaxed);
        self.max_in_flight.store(self.in_flight.load(Ordering::Relaxed), Ordering::Relaxed);
        self.sessions().clear();
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Box<str>, u64>> {
        locked(&self.sessions)
    }
}

/// Nothing in here is ever half written: what a panicking thread left is good.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.log.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_sessions_and_concurrency_are_seen() {
        let log = CallLog::default();
        let first = log.begin("a");
        let second = log.begin("b");
        drop(first);
        drop(log.begin("a"));
        drop(second);
        let counts = log.counts();
        assert_eq!((counts.total, counts.distinct_sessions, counts.max_in_flight), (3, 2, 2));
        assert_eq!(counts.repeated, BTreeMap::from([("a".to_owned(), 2)]));
        log.clear();
        assert_eq!(log.counts(), CallCounts::default());
    }

    #[test]
    fn calls_are_kept_where_that_is_asked_for() {
        let log = CallLog::new(true);
        let first = log.begin("a");
        first.answered(503);
        drop(log.begin("a"));
        assert_eq!((first.nth, log.begin("a").nth), (1, 3));
        let ends: Vec<_> = log.kept().iter().map(|call| call.answered.map(|(_, status)| status)).collect();
        assert_eq!(ends, [Some(503), None, None]);
        let forgetful = CallLog::new(false);
        forgetful.begin("a").answered(200);
        assert_eq!(forgetful.kept(), []);
    }
}

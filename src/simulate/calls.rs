//! What the simulated source remembers of the runs it was asked for: enough to prove that no task ran twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

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

#[derive(Debug, Default)]
pub(super) struct CallLog {
    total: AtomicU64,
    in_flight: AtomicUsize,
    max_in_flight: AtomicUsize,
    sessions: Mutex<HashMap<Box<str>, u64>>,
}

/// A run under way; it ends when this is dropped, which also happens when its caller goes away.
pub(super) struct InFlight<'a>(&'a CallLog);

impl CallLog {
    pub(super) fn begin(&self, session: &str) -> InFlight<'_> {
        self.total.fetch_add(1, Ordering::Relaxed);
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.max_in_flight.fetch_max(now, Ordering::Relaxed);
        let mut sessions = self.sessions();
        if let Some(count) = sessions.get_mut(session) {
            *count += 1;
        } else if sessions.len() < MAX_SESSIONS {
            sessions.insert(session.into(), 1);
        }
        InFlight(self)
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
        // A count is never half written: what a panicking thread left is good.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
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
}

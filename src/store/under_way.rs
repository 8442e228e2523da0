//! Calls of PostgreSQL that have not ended. One that waits for a lock is in no histogram until it gets it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// When they began; cheap to clone, one for all clones.
#[derive(Clone, Default)]
pub(super) struct UnderWay(Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    /// The number of the next one.
    next: u64,
    /// By number, so the oldest is the first.
    began: BTreeMap<u64, Instant>,
}

/// A call; it has ended when this is dropped.
pub(super) struct Call {
    under_way: UnderWay,
    number: u64,
}

impl UnderWay {
    /// Notes that a call begins.
    pub(super) fn begin(&self, at: Instant) -> Call {
        let mut calls = self.calls();
        let number = calls.next;
        calls.next += 1;
        calls.began.insert(number, at);
        Call { under_way: self.clone(), number }
    }

    /// When the oldest began; nothing where none is under way.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.calls().began.first_key_value().map(|(_, began)| *began)
    }

    /// Whole after any panic: each change is one of the map.
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.under_way.calls().began.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_is_the_first_that_has_not_ended() {
        let (under_way, start) = (UnderWay::default(), Instant::now());
        let begin = |seconds| under_way.begin(start + Duration::from_secs(seconds));
        assert_eq!(under_way.oldest(), None);
        let (first, second, third) = (begin(0), begin(1), begin(2));
        drop(second);
        assert_eq!(under_way.oldest(), Some(start));
        drop(first);
        assert_eq!(under_way.oldest(), Some(start + Duration::from_secs(2)));
        drop(third);
        assert_eq!(under_way.oldest(), None);
    }
}

//! Whether this node may judge others by their leases.
//!
//! While PostgreSQL is away no node can renew its lease. When it is back, all of them look dead to whoever looks first.
//! So only a node that has held its own lease without a break for a whole lease may take over: by then every living
//! node has renewed its own.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

/// This node's lease, as its heartbeat renews it.
#[derive(Debug, Default)]
pub struct Lease {
    held: Mutex<Option<Held>>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    since: DateTime<Utc>,
    renewed_at: DateTime<Utc>,
    length: Duration,
}

impl Held {
    fn is_unbroken(&self, now: DateTime<Utc>) -> bool {
        (now - self.renewed_at).to_std().is_ok_and(|age| age < self.length)
    }
}

impl Lease {
    /// Notes that the lease was renewed for `length`.
    pub fn renewed(&self, now: DateTime<Utc>, length: Duration) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let since = held.filter(|held| held.is_unbroken(now)).map_or(now, |held| held.since);
        *held = Some(Held { since, renewed_at: now, length });
    }

    /// Whether it has been held without a break for a whole lease.
    pub fn is_steady(&self, now: DateTime<Utc>) -> bool {
        let held = *self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.is_some_and(|held| {
            held.is_unbroken(now) && (now - held.since).to_std().is_ok_and(|time| time >= held.length)
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_break_in_the_lease_begins_the_wait_anew() {
        let lease = Lease::default();
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let steady = |renewals: &[i64], now| {
            renewals.iter().for_each(|second| lease.renewed(at(*second), Duration::from_secs(15)));
            lease.is_steady(at(now))
        };
        assert!(!steady(&[], 0));
        assert!(!steady(&[0, 5, 10], 14));
        assert!(steady(&[15], 16));
        assert!(!steady(&[], 30), "PostgreSQL is away: nothing is known of the others");
        assert!(!steady(&[40, 45, 50], 54), "it is back since a moment ago");
        assert!(steady(&[55], 56));
    }
}

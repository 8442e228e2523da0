//! What takes IO to find out is measured by the monitor at its own pace and kept here, for whoever asks: `/metrics`,
//! `doctor`, the dashboard. Reading it does no IO.
//!
//! | what | unit | how often |
//! | --- | --- | --- |
//! | [`Figures::redis`] | bytes, counts | 5 s |
//! | [`Figures::server`] (PostgreSQL, nodes, due schedules) | counts, times | 5 s, less often where it takes long |
//! | [`Figures::queues`] | tasks, times | like `server` |
//! | [`Figures::sources_away`] | circuits | like `server` |
//! | [`Figures::queries_before`] (what PostgreSQL took until a minute ago) | seconds | like `server` |
//! | [`Figures::counted_before`] (what was counted until five minutes ago) | counts | like `server` |
//! | [`Figures::process`] | seconds, bytes, counts | `monitor.sample_ms` |
//!
//! The pool of connections needs no measuring: [`Store::pool_figures`](crate::store::Store::pool_figures) is always
//! right.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::Dispatch;
use crate::domain::circuit::Circuit;
use crate::domain::clock;
use crate::domain::diagnosis::Recent;
use crate::domain::histogram::Observed;
use crate::mailbox;
use crate::mailbox::figures::RedisFigures;
use crate::store;
use crate::store::figures::ServerFigures;
use crate::store::queue::QueueRecord;

/// What [`Figures::queries_before`] looks back on.
const QUERIES_WINDOW: Duration = Duration::from_secs(60);
/// What [`Figures::counted_before`] looks back on.
const COUNTS_WINDOW: Duration = Duration::from_secs(5 * 60);
/// Most sources that are looked at of those that are left alone.
const MOST_SOURCES: i64 = 1_000;

/// A figure, and when it was right.
#[derive(Debug)]
pub struct Measured<T> {
    /// When it was measured. A server that is away leaves what was measured last.
    pub at: DateTime<Utc>,
    /// What was measured.
    pub value: T,
}

/// The process of this node, and the machine it runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessFigures {
    /// Processor time that it has used, in seconds; its children's is not in it.
    pub cpu_s: f64,
    /// Resident memory in bytes; its children's is not in it.
    pub rss_bytes: u64,
    /// Open files and sockets.
    pub open_files: u64,
    /// Most files and sockets it may open (`LimitNOFILE`).
    pub max_files: u64,
    /// When it was started, in seconds since 1970.
    pub started_at_s: u64,
    /// How busy all processors of the machine are, from 0 to 1.
    pub machine_cpu: f64,
}

/// Circuits with the names of their sources.
pub type NamedCircuits = Vec<(String, Circuit)>;

/// The figures.
#[derive(Debug, Default)]
pub struct Figures {
    redis: Kept<RedisFigures>,
    server: Kept<ServerFigures>,
    queues: Kept<Vec<QueueRecord>>,
    sources_away: Kept<NamedCircuits>,
    process: Kept<ProcessFigures>,
    /// Looks at the histogram of query times, the oldest first.
    queries: Looks<Observed>,
    /// Looks at the counts, the oldest first.
    counts: Looks<Recent>,
}

/// Looks at something that only grows, the oldest first.
#[derive(Debug)]
struct Looks<T>(Mutex<VecDeque<(Instant, T)>>);

impl<T> Default for Looks<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Looks<T> {
    fn add(&self, now: Instant, window: Duration, value: T) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The youngest that is older than the window stays: the window begins there.
        let is_old =
            |look: Option<&(Instant, T)>| look.is_some_and(|(at, _)| now.saturating_duration_since(*at) >= window);
        while is_old(looks.get(1)) {
            looks.pop_front();
        }
        looks.push_back((now, value));
    }

    fn first(&self) -> Option<T> {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.front().map(|(_, first)| first.clone())
    }
}

#[derive(Debug)]
struct Kept<T>(RwLock<Option<Arc<Measured<T>>>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

impl<T> Kept<T> {
    fn set(&self, value: T) {
        let measured = Arc::new(Measured { at: clock::now(), value });
        // Whole after any panic: it is one assignment.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(measured);
    }

    fn get(&self) -> Option<Arc<Measured<T>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Figures {
    /// Redis; nothing before it was reached for the first time.
    pub fn redis(&self) -> Option<Arc<Measured<RedisFigures>>> {
        self.redis.get()
    }

    /// PostgreSQL's connections, the nodes it knows, and since when a schedule is due.
    pub fn server(&self) -> Option<Arc<Measured<ServerFigures>>> {
        self.server.get()
    }

    /// What waits, runs and is tried again, by queue. Queues without any are not in it.
    pub fn queues(&self) -> Option<Arc<Measured<Vec<QueueRecord>>>> {
        self.queues.get()
    }

    /// The process.
    pub fn process(&self) -> Option<Arc<Measured<ProcessFigures>>> {
        self.process.get()
    }

    /// What PostgreSQL took for its part until some minute ago, or until the first look of this node.
    pub fn queries_before(&self) -> Observed {
        self.queries.first().unwrap_or_default()
    }

    /// Sources that are left alone, by name; the worst first.
    pub fn sources_away(&self) -> Option<Arc<Measured<NamedCircuits>>> {
        self.sources_away.get()
    }

    /// Notes what the monitor sampled.
    pub fn set_process(&self, process: ProcessFigures) {
        self.process.set(process);
    }

    /// What was counted until some five minutes ago, or until the first look of this node.
    pub fn counted_before(&self) -> Recent {
        self.counts.first().unwrap_or_default()
    }

    fn look_at_queries(&self, now: Instant, times: Observed) {
        self.queries.add(now, QUERIES_WINDOW, times);
    }
}

impl Dispatch {
    /// Measures Redis.
    ///
    /// # Errors
    /// It is away, or refuses to say; what was measured last is kept.
    pub async fn measure_redis(&self) -> Result<(), mailbox::Error> {
        self.figures().redis.set(self.mailbox().figures().await?);
        Ok(())
    }

    /// Measures PostgreSQL, and what waits in it.
    ///
    /// # Errors
    /// It is away; what was measured last is kept.
    pub async fn measure_database(&self) -> Result<(), store::Error> {
        let now = Instant::now();
        self.figures().look_at_queries(now, self.store().query_times());
        self.figures().counts.add(now, COUNTS_WINDOW, self.counted());
        self.figures().server.set(self.store().server_figures().await?);
        self.figures().queues.set(self.store().queues().await?);
        self.figures().sources_away.set(self.store().sources_away(MOST_SOURCES).await?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::histogram::Histogram;

    #[test]
    fn a_look_back_ends_a_minute_ago() {
        let (figures, histogram) = (Figures::default(), Histogram::new(&[0.1, 0.5]));
        assert_eq!(figures.queries_before(), Observed::default());
        let start = Instant::now();
        let look_after = |seconds: u64| {
            histogram.observe(Duration::from_millis(200));
            figures.look_at_queries(start + Duration::from_secs(seconds), histogram.read());
            figures.queries_before().count()
        };
        assert_eq!([0, 5, 30, 59].map(look_after), [1, 1, 1, 1]);
        assert_eq!([65, 70, 95, 500].map(look_after), [2, 2, 3, 7], "the youngest look that is a minute old");
    }
}

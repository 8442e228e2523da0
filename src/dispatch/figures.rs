//! What takes IO to find out is measured by the monitor at its own pace and kept here, for whoever asks: `/metrics`,
//! `doctor`, the dashboard. Reading it does no IO.
//!
//! | what | unit | how often |
//! | --- | --- | --- |
//! | [`Figures::redis`] | bytes, counts | 5 s |
//! | [`Figures::server`] (PostgreSQL, nodes, due schedules) | counts, times | 5 s, less often where it takes long |
//! | [`Figures::queues`] | tasks, times | like `server` |
//! | [`Figures::queries`] (what PostgreSQL took in the last minute) | seconds | like `server` |
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
use crate::domain::clock;
use crate::domain::diagnosis::Recent;
use crate::domain::histogram::Observed;
use crate::mailbox;
use crate::mailbox::figures::RedisFigures;
use crate::store;
use crate::store::figures::ServerFigures;
use crate::store::queue::QueueRecord;

/// What [`Figures::queries`] looks back on.
const QUERIES_WINDOW: Duration = Duration::from_secs(60);
/// What [`Figures::counted_before`] looks back on.
const COUNTS_WINDOW: Duration = Duration::from_secs(5 * 60);

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

/// What PostgreSQL took for its part within the last minute, as this node saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct QueryFigures {
    /// Calls: one statement each, or the few of a transaction.
    pub count: u64,
    /// Their mean; nothing where there were none.
    pub mean: Option<Duration>,
    /// How many took more than 100 ms.
    pub over_100_ms: u64,
    /// How many took more than 500 ms.
    pub over_500_ms: u64,
}

/// The figures.
#[derive(Debug, Default)]
pub struct Figures {
    redis: Kept<RedisFigures>,
    server: Kept<ServerFigures>,
    queues: Kept<Vec<QueueRecord>>,
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

    /// The first and the last of them.
    fn ends(&self) -> Option<(T, T)> {
        let looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        looks.front().zip(looks.back()).map(|((_, first), (_, last))| (first.clone(), last.clone()))
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

    /// What PostgreSQL took for its part within the last minute.
    pub fn queries(&self) -> QueryFigures {
        let Some((first, last)) = self.queries.ends() else { return QueryFigures::default() };
        let recent = last.since(&first);
        QueryFigures {
            count: recent.count(),
            mean: recent.mean(),
            over_100_ms: recent.longer_than(0.1),
            over_500_ms: recent.longer_than(0.5),
        }
    }

    /// Notes what the monitor sampled.
    pub fn set_process(&self, process: ProcessFigures) {
        self.process.set(process);
    }

    /// What was counted until some five minutes ago, or until the first look of this node.
    pub fn counted_before(&self) -> Recent {
        self.counts.ends().map(|(first, _)| first).unwrap_or_default()
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
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::histogram::Histogram;

    #[test]
    fn queries_are_those_of_the_last_minute() {
        let (figures, histogram) = (Figures::default(), Histogram::new(&[0.1, 0.5]));
        assert_eq!(figures.queries(), QueryFigures::default());
        let start = Instant::now();
        let look_after = |seconds: u64, took_ms: u64| {
            histogram.observe(Duration::from_millis(took_ms));
            figures.look_at_queries(start + Duration::from_secs(seconds), histogram.read());
        };
        look_after(0, 9_000);
        look_after(5, 200);
        look_after(30, 600);
        let all = figures.queries();
        assert_eq!((all.count, all.mean, all.over_100_ms), (2, Some(Duration::from_millis(400)), 2));
        look_after(70, 10);
        let recent = figures.queries();
        assert_eq!((recent.count, recent.over_500_ms), (2, 1), "from the look at 5 s on");
    }
}

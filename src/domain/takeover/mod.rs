//! Taking over a database of Python automagik-spark: what its tables and rows mean here.
//!
//! One rule stands above the others: what did not run by itself before does not begin to run because Spark was
//! exchanged, and what ran goes on running.

mod cron;
mod input;
mod schedule;
mod schema;
mod status;

use chrono::{DateTime, TimeDelta, Utc};

pub use cron::{NeverRan, from_celery};
pub use input::input;
pub use schedule::{Adopted, Former, adopt};
pub use schema::{Catalog, Misfit, Origin, origin};
pub use status::{schedule_status, task_status};

/// Work that was unfinished when the Python service ended goes on if there was a sign of life of it within this time;
/// what is older is not wanted any more and fails.
pub const FRESH: TimeDelta = TimeDelta::days(1);

/// The instant before which unfinished work is old.
pub fn fresh_since(now: DateTime<Utc>) -> DateTime<Utc> {
    now - FRESH
}

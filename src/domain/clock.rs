//! The one place that reads the wall clock.

use chrono::{DateTime, Utc};

/// The time now, UTC.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

//! Named points at which a test lets a process die or hang, to see what that costs. In a release build there are none:
//! a point is an empty function there.
//!
//! A test sets the environment variable `SPARK_FAULTS` to a directory. Nothing happens until it makes a file in there
//! that is named after a point and says what to do: `kill`, `hang`, `panic`, or `burn SECONDS`, which uses all the
//! processor time that there is. Whichever process passes the point first, service or child, removes the file and does
//! so: each file strikes once, and that it is gone proves that it did.

#[cfg(debug_assertions)]
use std::time::{Duration, Instant};

/// Names the directory.
#[cfg(debug_assertions)]
pub const VARIABLE: &str = "SPARK_FAULTS";

/// A point that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Point {
    /// Submitted tasks are in PostgreSQL; nobody was answered, nothing was fed.
    AfterSubmitStored,
    /// Ids are about to be put into their mailboxes.
    BeforeFeed,
    /// Ids were taken out of their mailboxes; nothing is claimed.
    AfterTake,
    /// Tasks are claimed in PostgreSQL; no executor knows of them.
    AfterClaim,
    /// Attempts have ended; PostgreSQL does not know.
    BeforeOutcomeStored,
    /// The ends of attempts are in PostgreSQL; the node has not noted it.
    AfterOutcomeStored,
    /// Tasks of schedules are made in a transaction that is not committed.
    BeforeFireCommitted,
    /// Tasks of schedules are in PostgreSQL; nothing was fed.
    AfterFire,
    /// Retries that were due are pending in PostgreSQL; nothing was fed.
    AfterRetriesReleased,
    /// A task is cancelled in PostgreSQL; its executor was not told.
    AfterCancelStored,
    /// A task that is retried by hand is pending in PostgreSQL; it was not fed.
    AfterRetryStored,
    /// In a child: the source is about to be called.
    BeforeCall,
    /// In a child: the source has answered; the service was not told.
    AfterSourceAnswer,
}

impl Point {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::AfterSubmitStored,
        Self::BeforeFeed,
        Self::AfterTake,
        Self::AfterClaim,
        Self::BeforeOutcomeStored,
        Self::AfterOutcomeStored,
        Self::BeforeFireCommitted,
        Self::AfterFire,
        Self::AfterRetriesReleased,
        Self::AfterCancelStored,
        Self::AfterRetryStored,
        Self::BeforeCall,
        Self::AfterSourceAnswer,
    ];

    /// The name of its file.
    pub fn name(self) -> &'static str {
        match self {
            Self::AfterSubmitStored => "after_submit_stored",
            Self::BeforeFeed => "before_feed",
            Self::AfterTake => "after_take",
            Self::AfterClaim => "after_claim",
            Self::BeforeOutcomeStored => "before_outcome_stored",
            Self::AfterOutcomeStored => "after_outcome_stored",
            Self::BeforeFireCommitted => "before_fire_committed",
            Self::AfterFire => "after_fire",
            Self::AfterRetriesReleased => "after_retries_released",
            Self::AfterCancelStored => "after_cancel_stored",
            Self::AfterRetryStored => "after_retry_stored",
            Self::BeforeCall => "before_call",
            Self::AfterSourceAnswer => "after_source_answer",
        }
    }

    /// Whether it is in a child.
    pub fn is_in_child(self) -> bool {
        matches!(self, Self::BeforeCall | Self::AfterSourceAnswer)
    }
}

/// Passes a point: in a release build that is all.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn pass(_: Point) {}

/// Passes a point, or fails there if a test asked for it.
#[cfg(debug_assertions)]
pub fn pass(point: Point) {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    static PLANNED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let planned = PLANNED.get_or_init(|| std::env::var_os(VARIABLE).map(PathBuf::from));
    let Some(file) = planned.as_ref().map(|directory| directory.join(point.name())) else { return };
    let Ok(how) = std::fs::read_to_string(&file) else { return };
    // One of those that see it removes it.
    if std::fs::remove_file(&file).is_err() {
        return;
    }
    log::warn!("a test has planned a fault here: {how} at {}", point.name());
    if let Some(seconds) = how.strip_prefix("burn ") {
        return burn(seconds.trim().parse().map_or(Duration::ZERO, Duration::from_secs));
    }
    match how.trim() {
        "kill" => {
            // If the system refuses, the test will miss the death.
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap_or_default();
        }
        "panic" => panic!("a test has planned this panic"),
        _ => loop {
            std::thread::park();
        },
    }
}

/// Keeps several times as many threads busy as there are processors: others that are busy don't keep this process from
/// having more than one.
#[cfg(debug_assertions)]
fn burn(time: Duration) {
    let threads = 4 * std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let end = Instant::now() + time;
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| while Instant::now() < end {});
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        let names: std::collections::BTreeSet<_> = Point::ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
    }
}

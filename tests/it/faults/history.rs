//! What is known of a run from outside of the code under test: what clients were answered, what the source was asked,
//! what a trigger in the database saw, and what was killed when. And what the API says in the end, to be held against it.

use std::collections::BTreeMap;

use automagik_spark::simulate::Call;
use chrono::{DateTime, Utc};

/// What happened in a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The tasks that clients were told are accepted, by id.
    pub(crate) accepted: BTreeMap<String, Asked>,
    /// Requests for a task that were not answered with one: each may have made one or not.
    pub(crate) unanswered: usize,
    /// All tasks, as the API shows them in the end.
    pub(crate) tasks: BTreeMap<String, Seen>,
    /// Every change of a task's row, in order, as the database saw it.
    pub(crate) changes: Vec<Change>,
    /// Every call that the source got, in order.
    pub(crate) calls: Vec<Call>,
    /// What was killed.
    pub(crate) kills: Vec<Kill>,
    /// The schedules.
    pub(crate) schedules: Vec<Scheduled>,
}

/// A task that was accepted, and what its client did to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// How it must end if nobody calls it off.
    pub(crate) end: End,
    /// Cancels of it.
    pub(crate) cancels: Acts,
    /// Retries by hand of it.
    pub(crate) retries: Acts,
}

/// How a task must end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// With this result.
    Completed(String),
    /// In failure.
    Failed,
}

/// How often something was done by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Acts {
    /// The answer said that it is done.
    pub(crate) done: usize,
    /// No answer came: done or not.
    pub(crate) unanswered: usize,
}

/// A task as the API shows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) status: String,
    pub(crate) result: Option<String>,
    pub(crate) schedule: Option<String>,
    /// How many attempts were begun.
    pub(crate) tries: usize,
    /// The attempts that ended: number, status and reason. Left out for a task with one attempt.
    pub(crate) attempts: Option<Vec<(usize, String, String)>>,
}

/// A change of a task's row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) task: String,
    /// The status before; none where the row was made.
    pub(crate) from: Option<String>,
    /// The status after; none where the row was deleted.
    pub(crate) to: Option<String>,
}

/// The death of a process in which attempts ran.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kill {
    /// It died at this time or later,
    pub(crate) from: DateTime<Utc>,
    /// and at this time or earlier.
    pub(crate) to: DateTime<Utc>,
    /// Most attempts that ran in it.
    pub(crate) most: usize,
}

/// A schedule, and what became of its occurrences.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scheduled {
    pub(crate) id: String,
    /// When it was due, by arithmetic.
    pub(crate) due: Vec<DateTime<Utc>>,
    /// The occurrences with a task.
    pub(crate) made: Vec<(DateTime<Utc>, String)>,
    /// The occurrences with a note that there is none.
    pub(crate) noted: Vec<DateTime<Utc>>,
}

/// Whether a status is an end.
pub(crate) fn is_end(status: &str) -> bool {
    matches!(status, "completed" | "failed" | "cancelled")
}

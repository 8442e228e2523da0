//! The part of a statement that counts what it ends. It is written with the change itself, so nothing is counted twice
//! and nothing is missed, whatever is lost in between; and it only inserts, so no statement waits for another because of
//! it. Adding the rows up is [`super::statistics`]'s, off the hot path.

/// Takes rows of those columns.
const INTO: &str = "INSERT INTO statistic_ends
    (finished_at, workflow_id, queue, attempt, task, started_at, waiting_since)";

/// Counts attempts that ended, and the tasks that ended with them. `moved` has a row for each, with what became of the
/// task in `status`. One that is pending again waits anew, so how long it had waited is gone.
pub(super) fn tally(moved: &str) -> String {
    format!(
        "{INTO} SELECT finished_at, workflow_id, queue, attempt_status,
            CASE WHEN status IN ('completed', 'failed', 'cancelled') THEN status END, started_at,
            CASE WHEN status <> 'pending' THEN pending_at END FROM {moved}"
    )
}

/// Counts tasks that are called off at the time `at`, a parameter with its type, and those of their attempts that ran.
/// `old` has the rows as they were.
pub(super) fn tally_cancelled(old: &str, at: &str) -> String {
    format!(
        "{INTO} SELECT {at}, workflow_id, queue, CASE WHEN status = 'running' THEN 'cancelled' END, 'cancelled',
            coalesce(started_at, {at}), NULL FROM {old}"
    )
}

//! The part of a statement that counts what it ends. It is written with the change itself, so nothing is counted twice
//! and nothing is missed, whatever is lost in between; and it only inserts, so no statement waits for another because of
//! it. Folding the rows into the statistics is [`super::statistics`]'s.

/// The bucket of a time in milliseconds: the histogram of the domain has [`PER_DOUBLING`] for each doubling.
///
/// [`PER_DOUBLING`]: crate::domain::histogram::PER_DOUBLING
const BUCKET: &str = "floor(4 * ln(greatest(ms, 1)) / ln(2::float8))::int2";

/// Counts ends. `ends` gives rows of time, workflow, queue, figure, outcome and milliseconds; one without an outcome is
/// none. What took less than no time, by clocks that differ, took none.
pub(super) fn tally(ends: &str) -> String {
    format!(
        "INSERT INTO statistic_deltas (at, workflow_id, queue, figure, outcome, bucket, n, ms)
         SELECT to_timestamp(floor(date_part('epoch', at) / 60) * 60), workflow_id, queue, figure, outcome, {BUCKET},
                count(*), sum(greatest(ms, 0))
           FROM ({ends}) AS ended (at, workflow_id, queue, figure, outcome, ms)
          WHERE outcome IS NOT NULL GROUP BY 1, 2, 3, 4, 5, 6"
    )
}

/// Counts tasks that are called off at the time `at`, a parameter with its type, and those of their attempts that ran. `old`
/// names rows as they were: `status`, `workflow_id`, `queue` and `started_at`.
pub(super) fn tally_cancelled(old: &str, at: &str) -> String {
    let ran = milliseconds(&format!("coalesce(started_at, {at})"), at);
    tally(&format!(
        "SELECT {at}, workflow_id, queue, figure, outcome, ms FROM {old}
         CROSS JOIN LATERAL (VALUES
             ('task', 'cancelled', 0),
             ('attempt', CASE WHEN status = 'running' THEN 'cancelled' END, {ran})) AS one (figure, outcome, ms)"
    ))
}

/// From one time to another, in milliseconds.
pub(super) fn milliseconds(from: &str, to: &str) -> String {
    format!("(date_part('epoch', {to} - {from}) * 1000)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::histogram::PER_DOUBLING;

    #[test]
    fn the_statement_and_the_domain_have_the_same_buckets() {
        assert!(BUCKET.contains(&format!("floor({PER_DOUBLING} * ln(")));
    }
}

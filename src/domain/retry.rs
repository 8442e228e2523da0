//! What becomes of a task when an attempt of it ended.

use std::time::Duration;

use crate::domain::attempt::AttemptStatus;
use crate::domain::outcome::{Failure, FailureClass, Outcome};
use crate::domain::workflow::UnknownPolicy;

/// Code of a failure at the soft time limit; its attempt shows as timed out.
pub const SOFT_TIME_LIMIT: &str = "soft_time_limit";
/// Code of a failure at the hard time limit.
pub const HARD_TIME_LIMIT: &str = "hard_time_limit";

/// Most retries of a task, whether it or the configuration names the number.
pub const RETRIES_MAX: u32 = 100;

/// The limits of trying again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryOptions {
    /// The longest wait between two attempts; a source's `Retry-After` is cut to it too.
    pub backoff_max: Duration,
    /// How far a wait may stray, as a share of it (0.1 is plus or minus 10 %).
    pub jitter: f64,
    /// A task lost this often fails: a poison task must not crash children for ever.
    pub max_lost: u32,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self { backoff_max: Duration::from_secs(600), jitter: 0.1, max_lost: 3 }
    }
}

/// What a task has behind and before it when an attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskLimits {
    /// Retries it may use.
    pub max_retries: u32,
    /// Failures it already had; each but the last used up a retry.
    pub failures: u32,
    /// Attempts that were lost.
    pub lost: u32,
    /// What to do where it is unknown whether the source ran the flow.
    pub unknown_policy: UnknownPolicy,
}

/// What becomes of the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is completed.
    Complete,
    /// It failed for good.
    Fail,
    /// It is tried again after this wait.
    RetryIn(Duration),
    /// It is pending again at once, and no retry is used up.
    Pend,
    /// It is cancelled.
    Cancel,
}

/// The end of an attempt: what its history says, and what becomes of its task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The attempt's status.
    pub status: AttemptStatus,
    /// What becomes of the task.
    pub next: Next,
    /// Stable name of the reason, where there is one.
    pub code: Option<String>,
    /// The reason, for people.
    pub error: Option<String>,
    /// Whether the source may have run the flow without our knowing.
    pub outcome_unknown: bool,
}

/// Judges an outcome. `chance` is a random number from 0 to 1 for the jitter.
pub fn judge(outcome: &Outcome, limits: TaskLimits, options: &RetryOptions, chance: f64) -> Verdict {
    let simple = |status, next| Verdict { status, next, code: None, error: None, outcome_unknown: false };
    match outcome {
        Outcome::Completed(_) => simple(AttemptStatus::Completed, Next::Complete),
        Outcome::Cancelled => simple(AttemptStatus::Cancelled, Next::Cancel),
        Outcome::Released => unfinished(AttemptStatus::Released, "released", RELEASED, Next::Pend, limits),
        Outcome::NotStarted => Verdict {
            code: Some("not_started".to_owned()),
            error: Some("The attempt was given back before the source was called.".to_owned()),
            ..simple(AttemptStatus::Released, Next::Pend)
        },
        Outcome::Lost(lost) => {
            if limits.lost + 1 >= options.max_lost {
                let error = format!(
                    "{} The task was lost {} times and is not tried again; retry it by hand once the cause is found.",
                    lost.message,
                    limits.lost + 1
                );
                unfinished(AttemptStatus::Lost, "lost_too_often", &error, Next::Fail, limits)
            } else {
                unfinished(AttemptStatus::Lost, &lost.code, &lost.message, Next::Pend, limits)
            }
        }
        Outcome::Failed(failure) => judge_failure(failure, limits, options, chance),
    }
}

const RELEASED: &str = "The service stopped before the attempt had finished.";

/// An attempt that ended without an answer: the source may have run the flow.
fn unfinished(status: AttemptStatus, code: &str, error: &str, next: Next, limits: TaskLimits) -> Verdict {
    let next = if limits.unknown_policy == UnknownPolicy::Fail { Next::Fail } else { next };
    Verdict { status, next, code: Some(code.to_owned()), error: Some(error.to_owned()), outcome_unknown: true }
}

fn judge_failure(failure: &Failure, limits: TaskLimits, options: &RetryOptions, chance: f64) -> Verdict {
    let timed_out = failure.code == SOFT_TIME_LIMIT || failure.code == HARD_TIME_LIMIT;
    let may_retry = failure.class == FailureClass::Transient
        && limits.failures < limits.max_retries
        && !(failure.outcome_unknown && limits.unknown_policy == UnknownPolicy::Fail);
    let next = if may_retry {
        let backoff = backoff(limits.failures + 1, options, chance);
        Next::RetryIn(failure.retry_after.map_or(backoff, |wait| wait.min(options.backoff_max).max(backoff)))
    } else {
        Next::Fail
    };
    Verdict {
        status: if timed_out { AttemptStatus::TimedOut } else { AttemptStatus::Failed },
        next,
        code: Some(failure.code.clone()),
        error: Some(failure.message.clone()),
        outcome_unknown: failure.outcome_unknown,
    }
}

/// The wait after the n-th failure (n from 1): 2, 4, 8, ... seconds up to the maximum, with jitter.
fn backoff(failures: u32, options: &RetryOptions, chance: f64) -> Duration {
    let exponential = Duration::from_secs(1u64.checked_shl(failures.min(32)).unwrap_or(u64::MAX));
    let capped = exponential.min(options.backoff_max);
    capped.mul_f64(1.0 + options.jitter * (2.0 * chance - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::{Answer, Lost};

    const LIMITS: TaskLimits =
        TaskLimits { max_retries: 3, failures: 0, lost: 0, unknown_policy: UnknownPolicy::Retry };

    fn next(outcome: &Outcome, limits: TaskLimits) -> Next {
        judge(outcome, limits, &RetryOptions::default(), 0.5).next
    }

    fn transient() -> Failure {
        Failure::transient("source_5xx", "HTTP 503")
    }

    #[test]
    fn transient_failures_wait_2_4_8_seconds_and_then_fail() {
        let waits: Vec<Next> =
            (0..4).map(|failures| next(&Outcome::Failed(transient()), TaskLimits { failures, ..LIMITS })).collect();
        let seconds = |s| Next::RetryIn(Duration::from_secs(s));
        assert_eq!(waits, [seconds(2), seconds(4), seconds(8), Next::Fail]);
    }

    #[test]
    fn a_wait_is_capped_and_strays_by_a_tenth() {
        let options = RetryOptions::default();
        assert_eq!(backoff(1, &options, 0.0), Duration::from_millis(1800));
        assert_eq!(backoff(1, &options, 1.0), Duration::from_millis(2200));
        for failures in [10, 31, 32, 33, 64, u32::MAX] {
            assert_eq!(backoff(failures, &options, 0.5), options.backoff_max);
        }
    }

    #[test]
    fn retry_after_lengthens_the_wait_within_the_cap() {
        let after = |s| Outcome::Failed(transient().retry_after(Some(Duration::from_secs(s))));
        assert_eq!(next(&after(30), LIMITS), Next::RetryIn(Duration::from_secs(30)));
        assert_eq!(next(&after(1), LIMITS), Next::RetryIn(Duration::from_secs(2)));
        assert_eq!(next(&after(86_400), LIMITS), Next::RetryIn(Duration::from_secs(600)));
    }

    #[test]
    fn permanent_failures_fail_at_once() {
        assert_eq!(next(&Outcome::Failed(Failure::permanent("source_4xx", "HTTP 404")), LIMITS), Next::Fail);
    }

    #[test]
    fn a_lost_attempt_uses_no_retry_until_it_is_lost_too_often() {
        let lost = Outcome::Lost(Lost { code: "child_exited".into(), message: "The child ended.".into() });
        let last_retry_used = TaskLimits { failures: 3, ..LIMITS };
        assert_eq!(next(&lost, last_retry_used), Next::Pend);
        assert_eq!(next(&lost, TaskLimits { lost: 1, ..LIMITS }), Next::Pend);
        let verdict = judge(&lost, TaskLimits { lost: 2, ..LIMITS }, &RetryOptions::default(), 0.5);
        assert_eq!((verdict.next, verdict.code.as_deref()), (Next::Fail, Some("lost_too_often")));
    }

    #[test]
    fn a_flow_that_must_not_run_twice_fails_where_the_outcome_is_unknown() {
        let once = TaskLimits { unknown_policy: UnknownPolicy::Fail, ..LIMITS };
        assert_eq!(next(&Outcome::Released, once), Next::Fail);
        assert_eq!(next(&Outcome::Failed(transient().outcome_unknown()), once), Next::Fail);
        assert_eq!(next(&Outcome::Failed(transient()), once), Next::RetryIn(Duration::from_secs(2)));
        assert_eq!(next(&Outcome::NotStarted, once), Next::Pend, "the source was not called");
    }

    #[test]
    fn the_rest_is_plain() {
        let answer = Answer { output: serde_json::value::to_raw_value(&1).expect("a number"), text: "1".into() };
        assert_eq!(next(&Outcome::Completed(answer), LIMITS), Next::Complete);
        assert_eq!(next(&Outcome::Cancelled, LIMITS), Next::Cancel);
        assert_eq!(next(&Outcome::Released, LIMITS), Next::Pend);
        let slow = Failure::transient(SOFT_TIME_LIMIT, "slow").outcome_unknown();
        let verdict = judge(&Outcome::Failed(slow), LIMITS, &RetryOptions::default(), 0.5);
        assert_eq!(verdict.status, AttemptStatus::TimedOut);
    }
}

//! A process is killed at each point that has a name, in the middle of a run; then everything is as it should be.

use automagik_spark::fault::Point;

use super::plan::{Fault, How, Kind, Outage, Plan, Strike, Work};
use super::run::run;
use crate::lifecycle::among_others;

const TASKS: usize = 120;

/// A run that passes the point again and again.
fn plan(point: Point, how: How) -> Plan {
    let mut plan = Plan::plain(TASKS, Fault::Strike(Strike::Point(point, how)));
    let last =
        |plan: &mut Plan, change: fn(&mut Work)| plan.tasks.iter_mut().rev().step_by(3).take(20).for_each(change);
    match point {
        // Soon all are submitted.
        Point::AfterSubmitStored | Point::BeforeFeed => plan.faults[0].after = 0,
        Point::BeforeFireCommitted | Point::AfterFire => plan.intervals = vec![1],
        Point::AfterRetriesReleased => last(&mut plan, |work| work.kind = Kind::Flaky(1)),
        Point::AfterCancelStored => last(&mut plan, |work| work.cancel = true),
        Point::AfterRetryStored => {
            last(&mut plan, |work| (work.kind, work.retry) = (Kind::Refused, true));
        }
        _ => {}
    }
    plan
}

async fn fails_at(point: Point, how: How) {
    let _machine = among_others().await;
    let ran = Box::pin(run(&plan(point, how))).await;
    assert_eq!(ran.struck, [true], "{} was not passed", point.name());
    // What the source had answered, and nobody had stored, is asked again: at least once.
    if matches!(point, Point::AfterSourceAnswer | Point::BeforeOutcomeStored) {
        assert!(ran.report.by_kills > 0, "{ran:?}");
    }
}

macro_rules! killed_at {
    ($($test:ident: $point:ident,)*) => {
        const COVERED: &[Point] = &[$(Point::$point),*];
        $(
            #[tokio::test]
            async fn $test() {
                fails_at(Point::$point, How::Kill).await;
            }
        )*
    };
}

killed_at! {
    a_service_killed_after_it_stored_a_submit_loses_nothing: AfterSubmitStored,
    a_service_killed_before_it_feeds_a_mailbox_loses_nothing: BeforeFeed,
    a_service_killed_with_ids_in_its_hands_loses_nothing: AfterTake,
    a_service_killed_after_a_claim_loses_nothing: AfterClaim,
    a_service_killed_before_it_stores_outcomes_loses_nothing: BeforeOutcomeStored,
    a_service_killed_after_it_stored_outcomes_loses_nothing: AfterOutcomeStored,
    a_service_killed_before_it_commits_occurrences_loses_none: BeforeFireCommitted,
    a_service_killed_after_it_made_tasks_of_schedules_loses_none: AfterFire,
    a_service_killed_after_it_released_retries_loses_none: AfterRetriesReleased,
    a_service_killed_after_it_stored_a_cancel_has_cancelled: AfterCancelStored,
    a_service_killed_after_it_stored_a_retry_by_hand_retries: AfterRetryStored,
    a_child_killed_before_it_calls_the_source_loses_nothing: BeforeCall,
    a_child_killed_before_it_tells_the_answer_loses_nothing: AfterSourceAnswer,
}

#[test]
fn a_process_is_killed_at_every_point() {
    assert_eq!(COVERED, Point::ALL);
}

#[tokio::test]
async fn a_child_that_hangs_with_an_answer_is_killed_and_loses_nothing() {
    fails_at(Point::AfterSourceAnswer, How::Hang).await;
}

/// The statement is carried out and its answer lost, again and again: submits, claims, outcomes, pops.
async fn answers_are_lost(outage: Outage) {
    let _machine = among_others().await;
    let ran = Box::pin(run(&Plan::plain(400, Fault::Outage(outage, 2_500, None)))).await;
    assert_eq!(ran.report.by_kills, 0, "nothing was killed, so nothing runs again");
}

#[tokio::test]
async fn a_postgres_whose_answers_are_lost_runs_nothing_twice() {
    answers_are_lost(Outage::PostgresForgetful).await;
}

#[tokio::test]
async fn a_redis_whose_answers_are_lost_loses_nothing() {
    answers_are_lost(Outage::RedisForgetful).await;
}

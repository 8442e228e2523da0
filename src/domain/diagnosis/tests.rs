use super::*;
use crate::domain::histogram::Histogram;

fn well() -> Figures {
    Figures { database_up: true, redis_up: true, queues: Some(vec![]), pool: (0, 10), ..Default::default() }
}

fn found(check: &str, figures: &Figures) -> Finding {
    diagnose(figures).into_iter().find(|found| found.check == check).expect("the check")
}

fn level(check: &str, change: impl Fn(&mut Figures)) -> Level {
    let mut figures = well();
    change(&mut figures);
    found(check, &figures).level
}

/// The levels at the first threshold, just above it, at the second, and just above that.
fn assert_steps(check: &str, figures: [f64; 4], change: impl Fn(&mut Figures, f64)) {
    let levels = figures.map(|figure| level(check, |figures| change(figures, figure)));
    assert_eq!(levels, [Level::Ok, Level::Warning, Level::Warning, Level::Critical], "{check}");
}

fn queue(change: impl Fn(&mut QueueFigures)) -> Option<Vec<QueueFigures>> {
    let mut queue = QueueFigures { name: "celery".to_owned(), slots: 8, ..Default::default() };
    change(&mut queue);
    Some(vec![QueueFigures::default(), queue])
}

#[test]
fn the_thresholds_of_the_guide_are_met_exactly() {
    assert_steps("queue_depth", [100.0, 101.0, 500.0, 501.0], |figures, depth| {
        figures.queues = queue(|queue| queue.waiting = depth as u64);
    });
    assert_steps("failures", [50.0, 51.0, 200.0, 201.0], |figures, failed| {
        figures.recent = Recent { failed: failed as u64, completed: 1000 - failed as u64, ..Default::default() };
    });
    assert_steps("worker_cpu", [0.8, 0.81, 0.95, 0.96], |figures, cpu| figures.child_cpu = Some(cpu));
    assert_steps("connections", [70.0, 71.0, 90.0, 91.0], |figures, used| {
        figures.connections = Some((used as u64, 100));
    });
    assert_steps("redis_memory", [700.0, 701.0, 900.0, 901.0], |figures, used| {
        figures.redis = Some(RedisMemory { used_bytes: used as u64, limit_bytes: 1000, ..Default::default() });
    });
    assert_steps("run_time", [300.0, 300.1, 600.0, 600.1], |figures, age| {
        figures.queues = queue(|queue| queue.oldest_run_s = age);
    });
    assert_steps("queries", [100.0, 101.0, 500.0, 501.0], |figures, ms| figures.queries = calls(&[(5, ms as u64)]));
}

#[test]
fn the_other_thresholds_are_met_exactly() {
    assert_steps("waiting", [10.0, 10.1, 300.0, 300.1], |figures, age| {
        figures.queues = queue(|queue| queue.oldest_wait_s = age);
    });
    assert_steps("worker_memory", [0.9, 0.91, 1.5, 1.51], |figures, share| figures.child_memory = Some(share));
    assert_steps("worker_recycles", [0.0, 1.0, 5.0, 6.0], |figures, gone| figures.replaced_for_memory = gone as u64);
    assert_steps("timeouts", [50.0, 51.0, 200.0, 201.0], |figures, timed_out| {
        figures.recent = Recent { timed_out: timed_out as u64, attempts: 1000, ..Default::default() };
    });
    assert_steps("schedules", [60.0, 60.1, 300.0, 300.1], |figures, overdue| figures.overdue_s = Some(overdue));
}

/// So many calls of PostgreSQL that took so many milliseconds each.
fn calls(took: &[(usize, u64)]) -> Observed {
    let histogram = Histogram::new(&[0.001, 0.1, 0.5, 1.0]);
    for (count, ms) in took {
        (0..*count).for_each(|_| histogram.observe(std::time::Duration::from_millis(*ms)));
    }
    histogram.read()
}

#[test]
fn a_few_slow_queries_among_thousands_of_fast_ones_are_seen() {
    let of = |took: &[(usize, u64)]| level("queries", |figures| figures.queries = calls(took));
    // Their mean is 7 ms, and one in twenty is fast.
    assert_eq!(of(&[(2_950, 1), (50, 400)]), Level::Warning);
    assert_eq!(of(&[(2_950, 1), (50, 600)]), Level::Critical);
    assert_eq!(of(&[(2_000, 1), (20, 600)]), Level::Ok, "one in a hundred");
    assert_eq!(of(&[(1, 1), (4, 9_000)]), Level::Ok, "a checkpoint");
    assert_eq!([of(&[]), of(&[(1_000, 1), (11, 400), (10, 600)])], [Level::Ok, Level::Warning]);
}

#[test]
fn a_query_that_does_not_end_is_seen_before_it_does() {
    let found = |oldest_query_s| found("queries", &Figures { oldest_query_s, ..well() });
    assert_eq!([found(5.0).level, found(5.1).level], [Level::Ok, Level::Critical]);
    assert!(found(6.0).cause.contains("holds a lock") && found(6.0).advice.contains("pg_blocking_pids"));
}

#[test]
fn slow_queries_are_put_down_to_connections_that_run_out_where_somebody_waits_for_one() {
    let found = found("queries", &Figures { pool_waiting: 1, queries: calls(&[(5, 600)]), ..well() });
    assert!(found.cause.contains("connections are exhausted") && found.advice.contains("PgBouncer"), "{found:?}");
}

#[test]
fn a_source_is_down_when_it_was_found_so_twice() {
    let away = |name: &str, times| SourceAway { name: name.to_owned(), times, reason: "refused".to_owned() };
    let of = |away: &[SourceAway]| found("sources", &Figures { sources_away: Some(away.to_vec()), ..well() });
    assert_eq!(of(&[]).level, Level::Ok);
    assert_eq!(of(&[away("flows", 1)]).level, Level::Warning);
    let both = of(&[away("flows", 1), away("agents", 2)]);
    assert_eq!((both.level, both.figure), (Level::Critical, Some(2.0)));
    assert_eq!(both.cause, "source agents is left alone (refused); others that are left alone: 1");
    assert!(both.advice.contains("sources resume agents"));
    assert_eq!(level("sources", |_| ()), Level::Unknown);
}

#[test]
fn runs_that_ended_late_count_beside_those_that_run() {
    let of = |over_5_min, over_10_min| {
        level("run_time", |figures| {
            figures.recent = Recent { attempts: 100, over_5_min, over_10_min, ..Default::default() };
        })
    };
    assert_eq!([of(5, 5), of(6, 5), of(6, 6)], [Level::Ok, Level::Warning, Level::Critical]);
}

#[test]
fn a_handful_of_failures_is_no_rate() {
    let of = |failed| level("failures", |figures| figures.recent.failed = failed);
    assert_eq!([of(4), of(5)], [Level::Ok, Level::Critical]);
}

#[test]
fn a_pool_is_too_small_once_somebody_waits() {
    let of = |in_use, waiting, timeouts| {
        level("connections", |figures| {
            (figures.pool, figures.pool_waiting) = ((in_use, 10), waiting);
            figures.recent.pool_timeouts = timeouts;
        })
    };
    assert_eq!(
        [of(7, 0, 0), of(10, 0, 0), of(10, 1, 0), of(0, 0, 1)],
        [Level::Ok, Level::Warning, Level::Critical, Level::Critical]
    );
}

#[test]
fn waiting_has_the_cause_that_the_queue_shows() {
    let cause = |change: fn(&mut QueueFigures)| {
        let queues = queue(|queue| {
            queue.oldest_wait_s = 60.0;
            change(queue);
        });
        found("waiting", &Figures { queues, ..well() }).cause
    };
    assert_eq!(cause(|_| ()), "too few workers: all 8 slots of queue celery are taken");
    assert!(cause(|queue| queue.paused = true).contains("is paused"));
    assert!(cause(|queue| queue.slots = 0).contains("no pool of this node"));
    assert!(cause(|queue| queue.free_slots = 1).contains("slots are free"));
    assert!(cause(|queue| (queue.waiting, queue.parked) = (3, 3)).contains("source that is left alone"));
    assert!(cause(|queue| (queue.waiting, queue.parked) = (3, 2)).contains("too few workers"));
}

#[test]
fn what_is_away_is_critical_and_what_was_not_measured_is_unknown() {
    assert_eq!(level("servers", |figures| figures.redis_up = false), Level::Critical);
    assert_eq!(level("queries", |figures| figures.database_up = false), Level::Unknown);
    assert_eq!([level("redis_memory", |_| ()), level("worker_cpu", |_| ())], [Level::Unknown, Level::Unknown]);
    assert_eq!(worst(&diagnose(&well())), Level::Unknown);
}

#[test]
fn where_a_server_is_named_is_told_by_the_keys_of_the_configuration() {
    let advice = |database_up, redis_up| found("servers", &Figures { database_up, redis_up, ..well() }).advice;
    assert!(advice(false, true).ends_with(" and database.url") && advice(true, false).ends_with(" and redis.url"));
}

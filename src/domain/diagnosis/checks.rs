//! One function for each check.

use super::{Figures, Finding, Level, Limits, QueueFigures};
use crate::domain::sizing::may_evict;

/// Below so many, a share of them says nothing.
const LEAST_FOR_A_SHARE: u64 = 5;
/// One call of PostgreSQL in so many may be slow.
const QUERIES_FOR_A_SLOW_ONE: u64 = 100;
/// A call of PostgreSQL that has taken so long counts by itself before it ends, in seconds. None of ours is meant to.
const STUCK_S: f64 = 5.0;

const UP: Limits = Limits::new(0.0, 0.0, "servers");
const DEPTH: Limits = Limits::new(100.0, 500.0, "tasks");
const WAIT: Limits = Limits::new(10.0, 300.0, "s");
const FAILURES: Limits = Limits::new(5.0, 20.0, "percent");
const CPU: Limits = Limits::new(80.0, 95.0, "percent");
const MEMORY: Limits = Limits::new(90.0, 150.0, "percent");
const RECYCLES: Limits = Limits::new(0.0, 5.0, "children");
const CONNECTIONS: Limits = Limits::new(70.0, 90.0, "percent");
const QUERY: Limits = Limits::new(100.0, 500.0, "ms");
const AWAY: Limits = Limits::new(0.0, 1.0, "times");
const REDIS: Limits = Limits::new(70.0, 90.0, "percent");
const RUN: Limits = Limits::new(300.0, 600.0, "s");
const TIMEOUTS: Limits = Limits::new(5.0, 20.0, "percent");
const OVERDUE: Limits = Limits::new(60.0, 300.0, "s");

/// Every check, in the order in which they are shown.
pub(super) const ALL: &[fn(&Figures) -> Finding] = &[
    servers,
    queue_depth,
    waiting,
    failures,
    cpu,
    memory,
    recycles,
    connections,
    queries,
    redis,
    sources,
    run_time,
    timeouts,
    schedules,
];

fn finding(
    check: &'static str,
    limits: Limits,
    figure: Option<f64>,
    symptom: &'static str,
    cause: impl Into<String>,
    advice: impl Into<String>,
) -> Finding {
    let level = figure.map_or(Level::Unknown, |figure| limits.judge(figure));
    Finding { check, level, figure, limits, symptom, cause: cause.into(), advice: advice.into() }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// A share of what was counted; nothing is said of a handful.
fn share(part: u64, whole: u64) -> f64 {
    if whole < LEAST_FOR_A_SHARE { 0.0 } else { percent(part, whole) }
}

fn servers(figures: &Figures) -> Finding {
    let (cause, advice) = match (figures.database_up, figures.redis_up) {
        (true, true) => ("", ""),
        (false, true) => ("PostgreSQL does not answer", "see `systemctl status postgresql` and database.url"),
        (true, false) => ("Redis does not answer", "see `systemctl status redis-server` and redis.url"),
        (false, false) => ("neither PostgreSQL nor Redis answers", "see the network, then both servers"),
    };
    let away = u8::from(!figures.database_up) + u8::from(!figures.redis_up);
    finding("servers", UP, Some(f64::from(away)), "A server that Spark needs is away", cause, advice)
}

fn most(queues: &[QueueFigures], figure: impl Fn(&QueueFigures) -> f64) -> Option<&QueueFigures> {
    queues.iter().max_by(|one, other| figure(one).total_cmp(&figure(other)))
}

fn queue_depth(figures: &Figures) -> Finding {
    let deepest = figures.queues.as_ref().map(|queues| most(queues, |queue| queue.waiting as f64));
    let figure = deepest.map(|queue| queue.map_or(0.0, |queue| queue.waiting as f64));
    let name = deepest.flatten().map_or("celery", |queue| &queue.name);
    finding(
        "queue_depth",
        DEPTH,
        figure,
        "Many tasks wait",
        format!("more tasks come to queue {name} than its workers get done"),
        "give its pool more workers: `automagik-spark worker scale POOL WORKERS`",
    )
}

/// Tasks that are queued and not executed.
fn waiting(figures: &Figures) -> Finding {
    let symptom = "Tasks are queued but not executed";
    let oldest = figures.queues.as_ref().map(|queues| most(queues, |queue| queue.oldest_wait_s));
    let Some(queue) = oldest.flatten() else {
        return finding("waiting", WAIT, oldest.map(|_| 0.0), symptom, "", "");
    };
    let name = &queue.name;
    let (cause, advice) = if queue.paused {
        (format!("queue {name} is paused"), format!("`automagik-spark queues resume {name}`"))
    } else if queue.slots == 0 {
        (
            format!("no pool of this node serves queue {name}"),
            format!("add {name} to the queues of a pool in spark.toml, or start a node that serves it"),
        )
    } else if queue.parked > 0 && queue.parked >= queue.waiting {
        (
            format!("the tasks of queue {name} wait at a limit, or for a source that is left alone"),
            "`automagik-spark sources list` shows both; raise max_concurrency or rate, or mend the source".to_owned(),
        )
    } else if queue.free_slots == 0 {
        (
            format!("too few workers: all {} slots of queue {name} are taken", queue.slots),
            "`automagik-spark worker scale POOL WORKERS`, or --threads for flows that mostly wait".to_owned(),
        )
    } else {
        (
            format!("slots are free for queue {name}, but its tasks do not reach them"),
            "see whether Redis answers, and the service's log".to_owned(),
        )
    };
    finding("waiting", WAIT, Some(queue.oldest_wait_s), symptom, cause, advice)
}

fn failures(figures: &Figures) -> Finding {
    let recent = figures.recent;
    finding(
        "failures",
        FAILURES,
        Some(share(recent.failed, recent.failed.saturating_add(recent.completed))),
        "Tasks fail",
        "a workflow or its source is broken",
        "`automagik-spark tasks list --status failed`, then `automagik-spark tasks logs ID`",
    )
}

fn cpu(figures: &Figures) -> Finding {
    let machine_is_busy = figures.machine_cpu.is_some_and(|busy| busy * 100.0 > CPU.warning);
    let advice = if machine_is_busy {
        "the whole machine is busy: move work to another node, or give it more processors"
    } else {
        "`automagik-spark worker scale POOL WORKERS`: each worker can use a processor of its own"
    };
    let figure = figures.child_cpu.map(|cpu| cpu * 100.0);
    finding("worker_cpu", CPU, figure, "Workers use much CPU", "tasks are bound by the CPU", advice)
}

const LESS_MEMORY: &str =
    "lower max_tasks_per_child where memory grows slowly; raise max_memory_per_child_kb where answers are large";

/// Above its ceiling a child is replaced, which costs nothing; at twice of it it is killed with what it runs.
fn memory(figures: &Figures) -> Finding {
    let cause = "memory grows with the tasks of a child, or inputs and answers are large for max_memory_per_child_kb";
    let figure = figures.child_memory.map(|share| share * 100.0);
    finding("worker_memory", MEMORY, figure, "Workers use much memory", cause, LESS_MEMORY)
}

fn recycles(figures: &Figures) -> Finding {
    let cause = if figures.killed_for_memory > 0 {
        "answers need more than twice max_memory_per_child_kb; children were killed for it"
    } else {
        "memory grows with the tasks of a child, or answers are large"
    };
    let figure = Some(figures.replaced_for_memory as f64);
    finding("worker_recycles", RECYCLES, figure, "Workers are replaced for their memory", cause, LESS_MEMORY)
}

fn connections(figures: &Figures) -> Finding {
    let (used, max) = figures.pool;
    let of_pool = percent(used, max);
    let of_server = figures.connections.map_or(0.0, |(used, max)| percent(used, max));
    let of_pool = if figures.recent.pool_timeouts > 0 {
        100.0
    } else if figures.pool_waiting == 0 {
        // A pool may be in full use for a moment; it is too small once somebody waits.
        of_pool.min(CONNECTIONS.critical)
    } else {
        of_pool
    };
    let (cause, advice) = if of_server > of_pool {
        ("PostgreSQL has few connections left", "raise max_connections of PostgreSQL, or put PgBouncer before it")
    } else {
        ("the connections of this node are in use", "raise database.pool_size, or put PgBouncer before PostgreSQL")
    };
    finding("connections", CONNECTIONS, Some(of_pool.max(of_server)), "Database connections run out", cause, advice)
}

/// The slowest call of a minute, if one in a hundred is left aside: it is above a limit exactly where more than that
/// share of the calls is.
///
/// That share, and not the mean: most calls are Spark's own rounds and take a millisecond, so a mean says nothing of
/// statements that wait half a second for a lock; and a call claims, stores or answers for many tasks at once, so one in a
/// hundred holds up a good part of the work. The alerts leave one in twenty aside, for they wake somebody and
/// look at five minutes; who asks the doctor looks for something already. Four are left aside in any case: a checkpoint
/// makes a few slow.
///
/// A call that does not end is in no such figure, so one that is stuck counts by itself.
fn queries(figures: &Figures) -> Finding {
    let recent = &figures.queries;
    let left_aside = (recent.count() / QUERIES_FOR_A_SLOW_ONE).max(LEAST_FOR_A_SHARE - 1);
    let is_stuck = figures.oldest_query_s > STUCK_S;
    let stuck_s = if is_stuck { figures.oldest_query_s } else { 0.0 };
    let slow_s = recent.longest_but(left_aside).unwrap_or(0.0).max(stuck_s);
    let figure = figures.database_up.then_some(slow_s * 1000.0);
    let (cause, advice) = if figures.pool_waiting > 0 || figures.recent.pool_timeouts > 0 {
        (
            "database connections are exhausted, and what has one takes long",
            "raise database.pool_size, or put PgBouncer before PostgreSQL; see pg_stat_activity for locks",
        )
    } else if is_stuck {
        (
            "a statement is stuck: most likely somebody's transaction holds a lock",
            "`SELECT pid, pg_blocking_pids(pid), query FROM pg_stat_activity`, then pg_terminate_backend of who blocks",
        )
    } else {
        (
            "something holds locks, tables are large, or PostgreSQL has too little processor or disk",
            "see pg_stat_activity for locks and the machine's load; then janitor.completed_days for large tables",
        )
    };
    finding("queries", QUERY, figure, "Database queries are slow", cause, advice)
}

fn redis(figures: &Figures) -> Finding {
    let redis = figures.redis.as_ref();
    let evicts = redis.is_some_and(|redis| may_evict(&redis.policy));
    let advice = if evicts {
        "set maxmemory-policy to noeviction, raise maxmemory (`redis-cli config set maxmemory 2gb`), or add workers"
    } else {
        "raise maxmemory (`redis-cli config set maxmemory 2gb`), or add workers so that tasks are done sooner"
    };
    let figure = redis.map(|redis| percent(redis.used_bytes, redis.limit_bytes));
    finding(
        "redis_memory",
        REDIS,
        figure,
        "Redis runs out of memory",
        "queues overflow, or others use this Redis",
        advice,
    )
}

/// How often a source was found away in a row. Once may be a hiccup, or a server that asked for a pause; one that the next
/// attempt does not reach either is down.
fn sources(figures: &Figures) -> Finding {
    let away = figures.sources_away.as_deref();
    let worst = away.and_then(|away| away.iter().max_by_key(|source| source.times));
    let others = match away.map_or(0, <[_]>::len) {
        0 | 1 => String::new(),
        count => format!("; others that are left alone: {}", count - 1),
    };
    let (cause, advice) = worst.map_or_else(Default::default, |source| {
        (
            format!("source {} is left alone ({}){others}", source.name, source.reason),
            format!("mend it, then `automagik-spark sources resume {}`; its tasks wait and are not lost", source.name),
        )
    });
    let figure = away.map(|_| worst.map_or(0.0, |source| f64::from(source.times)));
    finding("sources", AWAY, figure, "A source is down, or asks to be left alone", cause, advice)
}

fn run_time(figures: &Figures) -> Finding {
    let recent = figures.recent;
    let oldest = figures.queues.as_ref().and_then(|queues| most(queues, |queue| queue.oldest_run_s));
    let oldest = oldest.map_or(0.0, |queue| queue.oldest_run_s);
    let mut found = finding(
        "run_time",
        RUN,
        Some(oldest),
        "Tasks run long",
        "workflows are slow",
        "`automagik-spark tasks list --status running`; make the flow quicker, or give slow flows a pool of their own",
    );
    // One in twenty that ended is what a 95th percentile looks at.
    if share(recent.over_10_min, recent.attempts) > 5.0 {
        found.level = Level::Critical;
    } else if share(recent.over_5_min, recent.attempts) > 5.0 {
        found.level = found.level.max(Level::Warning);
    }
    found
}

fn timeouts(figures: &Figures) -> Finding {
    finding(
        "timeouts",
        TIMEOUTS,
        Some(share(figures.recent.timed_out, figures.recent.attempts)),
        "Tasks time out",
        "workflows run longer than their limit",
        "raise soft_time_limit_s (and time_limit_s) of the pool, or make the flow quicker",
    )
}

fn schedules(figures: &Figures) -> Finding {
    finding(
        "schedules",
        OVERDUE,
        figures.overdue_s,
        "Schedules are late",
        "beat does not run, or PostgreSQL is slow",
        "see that a node runs `serve` or `beat start`, and its log",
    )
}

//! How long it takes after each fault until tasks start again. `make recovery` measures twenty of each and prints the
//! table of docs/GUARANTEES.md; in the suite a few of each hold the limits, with a margin for a busy machine.

use std::time::{Duration, Instant};

use automagik_spark::dev::Signal;
use serde_json::json;

use super::freeze::freeze;
use super::proxy_of_database;
use crate::harness::node::{SOON, TestNode, send};
use crate::harness::proxy::Traffic;
use crate::harness::stage::Stage;
use crate::harness::until;
use crate::lifecycle::alone;

/// Of each fault, in the suite.
const FEW: usize = 2;
/// What a busy machine may add in the suite: this many times the limit.
const MARGIN: u32 = 5;
/// How long a server stays frozen or cut off: long enough to be given up by everybody.
const AWAY: Duration = Duration::from_secs(5);
/// Tasks that wait when a server goes.
const BACKLOG: i64 = 20;
const LATENCY: Duration = Duration::from_millis(100);
const SLOTS: u64 = 8;

/// A fault with the limit that it is held to.
struct Measured {
    fault: &'static str,
    limit: Duration,
    took: Vec<Duration>,
}

impl Measured {
    fn new(fault: &'static str, limit: Duration, mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        println!("{fault}: {took:.3?}");
        Self { fault, limit, took }
    }

    fn median(&self) -> Duration {
        self.took[self.took.len() / 2]
    }

    fn worst(&self) -> Duration {
        self.took[self.took.len() - 1]
    }

    #[track_caller]
    fn assert_within(&self, limit: Duration) {
        assert!(self.worst() < limit, "{}: {:?} is over {limit:?}", self.fault, self.worst());
    }

    /// The suite's check.
    #[track_caller]
    fn assert_with_margin(&self) {
        self.assert_within(self.limit * MARGIN);
    }
}

/// Waits, and looks often, until the source was called so often.
async fn until_calls(stage: &Stage, total: u64) {
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    let called = async {
        while stage.source.calls().total < total {
            tick.tick().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(90), called).await;
    in_time.unwrap_or_else(|_| panic!("{} calls instead of {total}", stage.source.calls().total));
}

/// Sees to it that tasks wait.
async fn backlog(stage: &Stage, node: &TestNode, workflow: &str) {
    while stage.count("SELECT count(*) FROM tasks WHERE status = 'pending'").await < BACKLOG {
        node.run_many(workflow, BACKLOG as usize * 2).await;
    }
}

async fn until_all_have_ended(stage: &Stage) {
    until("all have ended", Duration::from_secs(60), async || {
        let open = "SELECT count(*) FROM tasks WHERE status NOT IN ('completed', 'cancelled')";
        (stage.count(open).await == 0).then_some(())
    })
    .await;
}

async fn cancel_all(stage: &Stage, node: &TestNode) {
    let rows = stage.rows("SELECT id::text FROM tasks WHERE status NOT IN ('completed', 'cancelled')", &[]).await;
    for row in rows {
        node.post(&format!("/api/v1/tasks/{}/cancel", row.get::<_, String>(0)), &json!({})).await;
    }
}

async fn children_killed(samples: usize) -> Measured {
    let stage = Stage::new(Duration::ZERO).await;
    // A single child, so that the task waits for its replacement. Each crash is the first one in its window.
    let node = stage.node(&[("worker.workers", "1"), ("worker.restart_window_s", "1")]).await;
    let workflow = node.workflow(&stage).await;
    let mut took = Vec::new();
    for _ in 0..samples {
        let calls = stage.source.calls().total;
        let task = node.run(&workflow, &json!({"input_data": "sleep:60"})).await;
        until_calls(&stage, calls + 1).await;
        let child = node.child_pids().await[0];
        let killed_at = Instant::now();
        send(child, Signal::KILL);
        until_calls(&stage, calls + 2).await;
        took.push(killed_at.elapsed());
        node.post(&format!("/api/v1/tasks/{task}/cancel"), &json!({})).await;
        let window = Duration::from_millis(1500);
        until("the crash is forgotten", SOON, async || (killed_at.elapsed() > window).then_some(())).await;
    }
    Measured::new("child killed", Duration::from_millis(200), took)
}

async fn services_killed(samples: usize) -> Measured {
    let stage = Stage::new(Duration::ZERO).await;
    let mut node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let mut took = Vec::new();
    for _ in 0..samples {
        let calls = stage.source.calls().total;
        node.run(&workflow, &json!({"input_data": "sleep:60"})).await;
        until_calls(&stage, calls + 1).await;
        let killed_at = Instant::now();
        node.kill().await;
        let runs_again = async {
            until_calls(&stage, calls + 2).await;
            killed_at.elapsed()
        };
        let (started, after) = tokio::join!(stage.node(&[]), runs_again);
        node = started;
        took.push(after);
        cancel_all(&stage, &node).await;
    }
    Measured::new("service killed, started again", Duration::from_secs(2), took)
}

async fn redis_flushed(samples: usize) -> Measured {
    let stage = Stage::new(LATENCY).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let client = redis::Client::open(stage.servers.redis_url.as_str()).expect("a url");
    let mut redis = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let mut took = Vec::new();
    for _ in 0..samples {
        backlog(&stage, &node, &workflow).await;
        let flushed_at = Instant::now();
        let _: () = redis::cmd("FLUSHALL").query_async(&mut redis).await.expect("emptied");
        // So many may have been taken out before.
        let calls = stage.source.calls().total + SLOTS;
        until_calls(&stage, calls + 1).await;
        took.push(flushed_at.elapsed());
        until_all_have_ended(&stage).await;
    }
    Measured::new("Redis emptied (FLUSHALL)", Duration::from_secs(3), took)
}

async fn redis_restarted(samples: usize) -> Measured {
    let mut stage = Stage::new(LATENCY).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let mut took = Vec::new();
    for _ in 0..samples {
        backlog(&stage, &node, &workflow).await;
        stage.servers.redis.stop().await.expect("it ends");
        node.until_idle().await;
        let calls = stage.source.calls().total;
        stage.servers.redis.start_again().await.expect("it comes back");
        let back_at = Instant::now();
        until_calls(&stage, calls + 1).await;
        took.push(back_at.elapsed());
        until_all_have_ended(&stage).await;
    }
    Measured::new("Redis restarted, empty", Duration::from_secs(3), took)
}

async fn redis_frozen(samples: usize) -> Measured {
    let stage = Stage::new(LATENCY).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let mut took = Vec::new();
    for _ in 0..samples {
        backlog(&stage, &node, &workflow).await;
        let frozen = freeze(stage.servers.redis.pid());
        let calls = after_away(&stage, &node).await;
        frozen.thaw();
        let back_at = Instant::now();
        until_calls(&stage, calls + 1).await;
        took.push(back_at.elapsed());
        until_all_have_ended(&stage).await;
    }
    Measured::new("Redis frozen for 5 s", Duration::from_secs(3), took)
}

/// Lets time pass until everybody has given a server up. Answers how often the source was called by then.
async fn after_away(stage: &Stage, node: &TestNode) -> u64 {
    let since = Instant::now();
    until("it is away for long", SOON, async || (since.elapsed() > AWAY).then_some(())).await;
    node.until_idle().await;
    stage.source.calls().total
}

async fn postgres_restarted(samples: usize) -> Measured {
    let mut stage = Stage::with_own_postgres(LATENCY).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let mut took = Vec::new();
    for _ in 0..samples {
        backlog(&stage, &node, &workflow).await;
        stage.servers.postgres().stop().await.expect("it ends");
        node.until_idle().await;
        let calls = stage.source.calls().total;
        stage.servers.postgres().start_again().await.expect("it comes back");
        let back_at = Instant::now();
        until_calls(&stage, calls + 1).await;
        took.push(back_at.elapsed());
        until_all_have_ended(&stage).await;
    }
    Measured::new("PostgreSQL restarted", Duration::from_secs(3), took)
}

async fn postgres_frozen(samples: usize) -> Measured {
    let mut stage = Stage::with_own_postgres(LATENCY).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let mut took = Vec::new();
    for _ in 0..samples {
        backlog(&stage, &node, &workflow).await;
        let frozen = freeze(stage.servers.postgres().pid());
        let calls = after_away(&stage, &node).await;
        frozen.thaw();
        let back_at = Instant::now();
        until_calls(&stage, calls + 1).await;
        took.push(back_at.elapsed());
        until_all_have_ended(&stage).await;
    }
    Measured::new("PostgreSQL frozen for 5 s", Duration::from_secs(3), took)
}

async fn postgres_cut_off(samples: usize) -> Measured {
    let stage = Stage::new(LATENCY).await;
    let (proxy, url) = proxy_of_database(&stage);
    let node = stage.node(&[("database.url", &url)]).await;
    let workflow = node.workflow(&stage).await;
    let mut took = Vec::new();
    for _ in 0..samples {
        backlog(&stage, &node, &workflow).await;
        proxy.set(Traffic::Stall);
        let calls = after_away(&stage, &node).await;
        proxy.set(Traffic::Pass);
        let back_at = Instant::now();
        until_calls(&stage, calls + 1).await;
        took.push(back_at.elapsed());
        until_all_have_ended(&stage).await;
    }
    Measured::new("PostgreSQL cut off for 5 s", Duration::from_secs(3), took)
}

async fn nodes_killed(samples: usize, lease: u64) -> Measured {
    let stage = Stage::new(Duration::ZERO).await;
    let (lease_s, heartbeat_s) = (lease.to_string(), (lease as f64 / 3.0).to_string());
    let settings = [("node.lease_s", lease_s.as_str()), ("node.heartbeat_s", &heartbeat_s), ("worker.threads", "16")];
    let survivor = stage.node(&settings).await;
    let workflow = survivor.workflow(&stage).await;
    let started_at = Instant::now();
    let mut took = Vec::new();
    for _ in 0..samples {
        let mut victim = stage.node(&settings).await;
        let pid = victim.pid().cast_signed();
        let theirs = || async {
            let sql = "SELECT count(*) FROM tasks t JOIN nodes n ON n.id = t.node_id
                       WHERE t.status = 'running' AND n.pid = $1";
            stage.rows(sql, &[&pid]).await[0].get::<_, i64>(0)
        };
        while theirs().await == 0 {
            let calls = stage.source.calls().total;
            survivor.run(&workflow, &json!({"input_data": "sleep:120"})).await;
            until_calls(&stage, calls + 1).await;
        }
        // Only then may the survivor judge others by their leases.
        let steady = Duration::from_secs(lease + 1);
        until("the survivor is steady", steady * 2, async || (started_at.elapsed() > steady).then_some(())).await;
        let calls = stage.source.calls().total;
        let left = theirs().await.unsigned_abs();
        let killed_at = Instant::now();
        victim.kill().await;
        until_calls(&stage, calls + left).await;
        took.push(killed_at.elapsed());
        cancel_all(&stage, &survivor).await;
    }
    Measured::new("node dead (lease, then a look)", Duration::from_secs(lease + 2), took)
}

#[tokio::test]
async fn an_attempt_of_a_killed_child_runs_again_at_once() {
    let _machine = alone().await;
    children_killed(FEW).await.assert_with_margin();
}

#[tokio::test]
async fn an_attempt_of_a_killed_service_runs_again_as_soon_as_it_is_started() {
    let _machine = alone().await;
    services_killed(FEW).await.assert_with_margin();
}

#[tokio::test]
async fn tasks_start_within_seconds_of_a_flushall() {
    let _machine = alone().await;
    redis_flushed(FEW).await.assert_with_margin();
}

#[tokio::test]
async fn tasks_start_within_seconds_of_the_return_of_redis() {
    let _machine = alone().await;
    redis_restarted(FEW).await.assert_with_margin();
    redis_frozen(1).await.assert_with_margin();
}

#[tokio::test]
async fn tasks_start_within_seconds_of_the_return_of_postgres() {
    let _machine = alone().await;
    postgres_restarted(FEW).await.assert_with_margin();
    postgres_frozen(1).await.assert_with_margin();
    postgres_cut_off(1).await.assert_with_margin();
}

#[tokio::test]
async fn tasks_of_a_dead_node_run_elsewhere_after_its_lease() {
    let _machine = alone().await;
    nodes_killed(1, 3).await.assert_with_margin();
}

#[tokio::test]
#[ignore = "takes a quarter of an hour: make recovery"]
async fn measure() {
    let _machine = alone().await;
    let samples = std::env::var("SAMPLES").ok().and_then(|samples| samples.parse().ok()).unwrap_or(20);
    let all = [
        children_killed(samples).await,
        services_killed(samples).await,
        redis_flushed(samples).await,
        redis_restarted(samples).await,
        redis_frozen(samples).await,
        postgres_restarted(samples).await,
        postgres_frozen(samples).await,
        postgres_cut_off(samples).await,
        nodes_killed(samples, 15).await,
    ];
    let load = std::fs::read_to_string("/proc/loadavg").expect("Linux");
    println!("\nTime until tasks start again, of {samples} each; load of the machine at the end: {load}");
    println!("| fault | limit | median | worst |\n| --- | --- | --- | --- |");
    for measured in &all {
        let Measured { fault, limit, .. } = measured;
        println!("| {fault} | {limit:?} | {:.2?} | {:.2?} |", measured.median(), measured.worst());
    }
    all.iter().for_each(|measured| measured.assert_within(measured.limit));
}

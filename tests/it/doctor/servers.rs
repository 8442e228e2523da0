//! PostgreSQL that is slow or has no connection left, and a Redis that is full.

use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use reqwest::Method;

use super::{LIMIT, QUICK, assert_named, assert_well, finding, says, until_well};
use crate::harness::node::TestNode;
use crate::harness::stage::{Stage, connect};
use crate::harness::until;

/// Asks so many times for what no lock on tasks holds up.
async fn ask_fast(node: &TestNode, times: usize) {
    let asked = futures_util::stream::iter(0..times).map(|_| node.get("/api/v1/sources"));
    asked.buffer_unordered(4).for_each(async |_| ()).await;
}

/// What calls of PostgreSQL took so far: their mean in seconds.
async fn mean_of_all(node: &TestNode) -> f64 {
    let metrics = node.get("/metrics").await;
    let of = |part: &str| {
        let name = format!("automagik_spark_database_query_seconds_{part} ");
        let line = metrics.as_str().expect("text").lines().find_map(|line| line.strip_prefix(&name));
        line.expect("it is told").parse::<f64>().expect("a number")
    };
    of("sum") / of("count")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_statements_that_wait_for_locks_are_seen_among_hundreds_of_fast_ones() {
    let stage = Stage::new(QUICK).await;
    let node = stage.node(&[]).await;
    ask_fast(&node, 600).await;
    until_well(&node, "queries").await;
    assert_well(&stage, &node).await;
    let locker = connect(&stage.servers.database_url).await;
    let mut rounds = 0;
    until("doctor sees slow queries", LIMIT, async || {
        rounds += 1;
        locker.batch_execute("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE").await.expect("locked");
        let ask = || node.get("/api/v1/tasks");
        let hold = locker.batch_execute("SELECT pg_sleep(0.8); COMMIT");
        let (held, ..) = tokio::join!(hold, ask(), ask(), ask(), ask(), ask_fast(&node, 40));
        held.expect("released");
        (finding(&node, "queries").await["level"] == "critical").then_some(())
    })
    .await;
    let mean = mean_of_all(&node).await;
    println!("seen after {rounds} locks; the mean of all calls is {:.1} ms", mean * 1000.0);
    assert!(mean < 0.1, "a mean would not have shown it: {mean} s");
    let found = assert_named(&stage, &node, "queries").await;
    says(&found, "cause", "something holds locks");
    says(&found, "advice", "pg_stat_activity");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_a_lock_holds_up_is_seen_while_it_waits() {
    let stage = Stage::new(QUICK).await;
    let node = stage.node(&[]).await;
    until_well(&node, "queries").await;
    assert_well(&stage, &node).await;
    let locker = connect(&stage.servers.database_url).await;
    locker.batch_execute("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE").await.expect("locked");
    let seen = async {
        let found = assert_named(&stage, &node, "queries").await;
        says(&found, "cause", "holds a lock");
        says(&found, "advice", "pg_blocking_pids");
        locker.batch_execute("ROLLBACK").await.expect("unlocked");
    };
    let (answer, ()) = tokio::join!(node.try_ask(Method::GET, "/api/v1/tasks", None), seen);
    answer.expect("the service answers").ok();
    until("nothing is stuck any more", LIMIT, async || {
        let found = finding(&node, "queries").await;
        (!found["cause"].as_str().unwrap_or_default().contains("stuck")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_for_a_connection_are_put_down_to_connections_that_run_out() {
    let stage = Stage::new(QUICK).await;
    let node = stage.node(&[("database.pool_size", "1"), ("database.max_overflow", "0")]).await;
    until("no call waits", LIMIT, async || (finding(&node, "connections").await["level"] != "critical").then_some(()))
        .await;
    let locker = connect(&stage.servers.database_url).await;
    locker.batch_execute("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE").await.expect("locked");
    until("a call waits for the connection", LIMIT, async || {
        (finding(&node, "connections").await["level"] == "critical").then_some(())
    })
    .await;
    let found = assert_named(&stage, &node, "connections").await;
    says(&found, "cause", "connections of this node are in use");
    says(&found, "advice", "PgBouncer");
    locker.batch_execute("ROLLBACK").await.expect("unlocked");
    until_well(&node, "connections").await;
}

async fn limit_memory(redis: &mut MultiplexedConnection, bytes: u64) {
    let set = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(bytes).query_async::<String>(redis).await;
    set.expect("it is set");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_full_is_put_down_to_its_memory() {
    let stage = Stage::new(QUICK).await;
    let node = stage.node(&[]).await;
    until_well(&node, "redis_memory").await;
    assert_well(&stage, &node).await;
    let client = redis::Client::open(stage.servers.redis_url.as_str()).expect("a url");
    let mut redis = client.get_multiplexed_async_connection().await.expect("reachable");
    let info: String = redis::cmd("INFO").arg("memory").query_async(&mut redis).await.expect("it says");
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a line").trim();
    limit_memory(&mut redis, used.parse::<u64>().expect("a number") + 4096).await;
    let found = assert_named(&stage, &node, "redis_memory").await;
    says(&found, "cause", "queues overflow");
    says(&found, "advice", "maxmemory");
    limit_memory(&mut redis, 0).await;
    until_well(&node, "redis_memory").await;
}

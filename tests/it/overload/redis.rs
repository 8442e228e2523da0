//! A Redis whose memory is too small: it throws ids away, or takes none. The service says so, and loses nothing.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde_json::Value;

use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::Stage;
use crate::harness::until;
use crate::lifecycle::alone;

const TASKS: usize = 3000;
/// Bytes that Redis may take on top of what it has; an id takes some 150.
const ROOM: u64 = 300_000;

async fn redis(stage: &Stage) -> MultiplexedConnection {
    let client = redis::Client::open(stage.servers.redis_url.as_str()).expect("a url");
    client.get_multiplexed_async_connection().await.expect("Redis answers")
}

async fn set(redis: &mut MultiplexedConnection, name: &str, value: &str) {
    let _: () = redis::cmd("CONFIG").arg("SET").arg(name).arg(value).query_async(redis).await.expect("taken");
}

/// What Redis counts under a name in a section of INFO.
async fn count(redis: &mut MultiplexedConnection, section: &str, name: &str) -> u64 {
    let info: String = redis::cmd("INFO").arg(section).query_async(redis).await.expect("told");
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("a line of it");
    line.trim().parse().expect("a number")
}

async fn until_health_warns(node: &TestNode, of: &str) {
    until(of, SOON, async || {
        let health = node.get("/health").await;
        let warning = &health["services"]["redis"]["warning"];
        warning.as_str().is_some_and(|warning| warning.contains(of)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_evicts_is_warned_of_and_every_task_runs_once() {
    let _machine = alone().await;
    let stage = Stage::new(Duration::from_millis(5)).await;
    let mut redis = redis(&stage).await;
    set(&mut redis, "maxmemory-policy", "allkeys-lru").await;
    let node = stage.node(&[("janitor.sweep_s", "0.5"), ("janitor.pending_grace_s", "0.5")]).await;
    until_health_warns(&node, "CONFIG SET maxmemory-policy noeviction").await;
    assert!(node.log().contains("has the maxmemory-policy allkeys-lru"), "{}", node.log());
    let workflow = node.workflow(&stage).await;
    // Room for a good part of the ids, and for what the clients' commands take; the mailbox is all there is to throw away.
    node.post("/api/v1/queues/celery/pause", &Value::Null).await;
    let used = count(&mut redis, "memory", "used_memory").await;
    set(&mut redis, "maxmemory", &(used + ROOM).to_string()).await;
    node.run_many(&workflow, TASKS).await;
    until("ids are thrown away", SOON, async || (count(&mut redis, "stats", "evicted_keys").await > 0).then_some(()))
        .await;
    node.post("/api/v1/queues/celery/resume", &Value::Null).await;
    stage.until_all_completed(TASKS, Duration::from_secs(120)).await;
    let evicted = count(&mut redis, "stats", "evicted_keys").await;
    println!("the mailbox was evicted {evicted} times");
    stage.assert_calls(TASKS, 0);
}

#[tokio::test]
async fn a_redis_that_is_full_is_warned_of_and_tasks_run_once_there_is_room() {
    let _machine = alone().await;
    let stage = Stage::new(Duration::from_millis(5)).await;
    let mut redis = redis(&stage).await;
    set(&mut redis, "maxmemory-policy", "noeviction").await;
    set(&mut redis, "maxmemory", "1").await;
    let node = stage.node(&[("janitor.sweep_s", "0.5"), ("janitor.pending_grace_s", "0.5")]).await;
    until_health_warns(&node, "Redis is full").await;
    let workflow = node.workflow(&stage).await;
    node.run_many(&workflow, 100).await;
    let pending = stage.count("SELECT count(*) FROM tasks WHERE status = 'pending'").await;
    assert_eq!(pending, 100, "accepted, and none is lost");
    assert!(node.log().contains("pending tasks wait in PostgreSQL"), "{}", node.log());
    set(&mut redis, "maxmemory", "0").await;
    stage.until_all_completed(100, Duration::from_secs(60)).await;
    stage.assert_calls(100, 0);
    until("the warning goes", SOON, async || {
        node.get("/health").await["services"]["redis"].get("warning").is_none().then_some(())
    })
    .await;
}

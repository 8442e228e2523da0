//! `doctor` at a real service: each symptom is brought about, and recognised.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::node::TestNode;
use crate::harness::stage::{API_KEY, Stage, connect};
use crate::harness::until;

/// A figure is measured every five seconds, and the machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);
const QUICK: Duration = Duration::from_millis(20);

/// What a check finds now.
async fn finding(node: &TestNode, check: &str) -> Value {
    let diagnosis = node.get("/api/v1/diagnosis").await;
    let items = diagnosis["items"].as_array().expect("a list");
    items.iter().find(|found| found["check"] == check).expect("the check").clone()
}

/// Waits until a check finds something wrong.
async fn until_wrong(node: &TestNode, check: &str) -> Value {
    until(&format!("doctor sees {check}"), LIMIT, async || {
        let found = finding(node, check).await;
        (found["level"] == "warning" || found["level"] == "critical").then_some(found)
    })
    .await
}

fn says(found: &Value, name: &str, words: &str) {
    assert!(found[name].as_str().is_some_and(|text| text.contains(words)), "{words} in {found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_wait_for_slots_are_seen_and_told_by_exit_code() {
    let stage = Stage::new(QUICK).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let mut slow = Vec::new();
    for _ in 0..9 {
        slow.push(node.run(&workflow, &json!({"input_data": "sleep:120"})).await);
    }
    let found = until_wrong(&node, "waiting").await;
    says(&found, "symptom", "queued but not executed");
    says(&found, "cause", "too few workers: all 8 slots");
    let mut doctor = tokio::process::Command::new(env!("CARGO_BIN_EXE_automagik-spark"));
    doctor.env_clear().current_dir(stage.directory()).stdin(Stdio::null());
    let told = doctor.args(["doctor", "--url", node.url(), "--api-key", API_KEY]).output().await.expect("it runs");
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert_eq!(told.status.code(), Some(3), "{text}{}", String::from_utf8_lossy(&told.stderr));
    assert!(text.contains("waiting") && text.contains("worker scale"), "{text}");
    for id in slow {
        node.post(&format!("/api/v1/tasks/{id}/cancel"), &json!({})).await;
    }
    node.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_time_out_are_seen() {
    let stage = Stage::new(QUICK).await;
    let node = stage.node(&[("worker.soft_time_limit_s", "1"), ("worker.time_limit_s", "5")]).await;
    let workflow = node.workflow(&stage).await;
    for _ in 0..6 {
        node.run(&workflow, &json!({"input_data": "sleep:30", "max_retries": 0})).await;
    }
    let found = until_wrong(&node, "timeouts").await;
    says(&found, "advice", "soft_time_limit_s");
    node.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_full_is_seen() {
    let stage = Stage::new(QUICK).await;
    let node = stage.node(&[]).await;
    let client = redis::Client::open(stage.servers.redis_url.as_str()).expect("a url");
    let mut redis = client.get_multiplexed_async_connection().await.expect("reachable");
    let info: String = redis::cmd("INFO").arg("memory").query_async(&mut redis).await.expect("it says");
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("a line").trim();
    let limit = used.parse::<u64>().expect("a number") + 4096;
    let set = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(limit).query_async::<String>(&mut redis).await;
    set.expect("it is set");
    let found = until_wrong(&node, "redis_memory").await;
    says(&found, "advice", "maxmemory");
}

#[tokio::test(flavor = "multi_thread")]
async fn children_that_are_replaced_for_their_memory_are_seen() {
    let stage = Stage::new(QUICK).await;
    // The least that may be set; an answer of some 10 MB passes it.
    let node = stage.node(&[("worker.max_memory_per_child_kb", "20000"), ("monitor.sample_ms", "200")]).await;
    let workflow = node.workflow(&stage).await;
    let found = until("a child is replaced for its memory", LIMIT, async || {
        node.run(&workflow, &json!({"input_data": "big:2000000", "max_retries": 0})).await;
        let found = finding(&node, "worker_memory").await;
        (found["level"] != "ok").then_some(found)
    })
    .await;
    says(&found, "advice", "max_tasks_per_child");
    node.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_a_lock_holds_up_are_seen() {
    let stage = Stage::new(QUICK).await;
    let node = stage.node(&[("database.pool_size", "1"), ("database.max_overflow", "0")]).await;
    let locker = connect(&stage.servers.database_url).await;
    // Again and again, each time until calls queue up behind the one connection: until the mean of a minute shows it.
    let found = until("doctor sees slow queries", LIMIT * 2, async || {
        locker.batch_execute("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE").await.expect("locked");
        let held_up = until("a call waits for the connection", LIMIT, async || {
            let found = finding(&node, "connections").await;
            (found["level"] == "critical").then_some(found)
        });
        says(&held_up.await, "advice", "PgBouncer");
        locker.batch_execute("ROLLBACK").await.expect("unlocked");
        let found = finding(&node, "queries").await;
        (found["level"] != "ok" && found["level"] != "unknown").then_some(found)
    });
    says(&found.await, "cause", "connections are exhausted");
}

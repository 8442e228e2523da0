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
    let mut node = stage.node(&[("monitor.sample_ms", "50")]).await;
    let workflow = node.workflow(&stage).await;
    let measured = node.run(&workflow, &json!("small")).await;
    node.until_task_is(&measured, "completed").await;
    let base = until("the children are measured", LIMIT, async || {
        let workers = node.get("/api/v1/workers").await;
        workers["items"]
            .as_array()?
            .iter()
            .map(|worker| worker["rss_kb"].as_u64())
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .max()
    })
    .await;
    node.stop(LIMIT).await;

    let ceiling = (base + 4_000).max(20_000).to_string();
    let node = stage.node(&[("monitor.sample_ms", "50"), ("worker.max_memory_per_child_kb", &ceiling)]).await;
    let found = until("a child is replaced for its memory", LIMIT, async || {
        // Some 500 KB each: a child passes its ceiling, and not twice of it.
        let input = json!("big:100000");
        futures_util::future::join_all((0..40).map(|_| node.run(&workflow, &input))).await;
        let found = finding(&node, "worker_memory").await;
        (found["level"] != "ok").then_some(found)
    })
    .await;
    says(&found, "advice", "max_tasks_per_child");
    until("all have completed", LIMIT, async || {
        (stage.count("SELECT count(*) FROM tasks WHERE status <> 'completed'").await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_a_lock_holds_up_uses_the_connections_up_which_is_seen() {
    let stage = Stage::new(QUICK).await;
    let node = stage.node(&[("database.pool_size", "1"), ("database.max_overflow", "0")]).await;
    let locker = connect(&stage.servers.database_url).await;
    locker.batch_execute("BEGIN; LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE").await.expect("locked");
    let found = until("a call waits for the connection", LIMIT, async || {
        let found = finding(&node, "connections").await;
        (found["level"] == "critical").then_some(found)
    })
    .await;
    says(&found, "advice", "PgBouncer");
    locker.batch_execute("ROLLBACK").await.expect("unlocked");
    until("it is over", LIMIT, async || (finding(&node, "connections").await["level"] == "ok").then_some(())).await;
}

//! What limits promise, by the source's own count.

use std::time::{Duration, Instant};

use automagik_spark::simulate::{self, SimulateOptions};
use serde_json::json;

use crate::harness::node::SOON;
use crate::harness::stage::Stage;
use crate::harness::until;
use crate::lifecycle::among_others;

fn slow_source(ms: u64) -> simulate::Simulated {
    simulate::start(SimulateOptions { latency: Duration::from_millis(ms), ..Default::default() }).expect("a source")
}

#[tokio::test]
async fn two_nodes_together_stay_within_the_concurrency_of_a_source_and_use_it_up() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::from_millis(100)).await;
    let (one, _other) = (stage.node(&[]).await, stage.node(&[]).await);
    let workflow = one.workflow(&stage).await;
    let source = one.get("/api/v1/sources").await["items"][0]["id"].as_str().expect("an id").to_owned();
    let limited = one.patch(&format!("/api/v1/sources/{source}"), &json!({"max_concurrency": 2})).await;
    assert_eq!(limited["max_concurrency"], 2);
    let begun = Instant::now();
    one.run_many(&workflow, 40).await;
    stage.until_all_completed(40, SOON).await;
    println!("40 runs of 0.1 s, two at a time, took {:?}", begun.elapsed());
    assert_eq!(stage.source.calls().max_in_flight, 2);
    stage.assert_calls(40, 0);
    let tries = "SELECT count(*) FROM tasks WHERE tries <> 1 OR failures <> 0 OR lost <> 0";
    assert_eq!(stage.count(tries).await, 0, "waiting uses up nothing");
    assert_eq!(stage.count("SELECT count(DISTINCT node_id) FROM task_attempts").await, 2, "both nodes worked");
}

#[tokio::test]
async fn tasks_that_wait_for_a_limit_are_in_nobodys_way() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let slow = slow_source(60_000);
    let node = stage.node(&[]).await;
    let free = node.workflow(&stage).await;
    let (limited, source) = node.workflow_of(&slow, &json!({"max_concurrency": 1})).await;
    // All of them are before the others, and more urgent.
    let urgent = (0..300).map(|_| json!({"input_data": "wait", "priority": 9}));
    for batch in urgent.collect::<Vec<_>>().chunks(30) {
        futures_util::future::join_all(batch.iter().map(|request| node.run(&limited, request))).await;
    }
    let begun = Instant::now();
    let others = node.run_many(&free, 50).await;
    for other in &others {
        node.until_task_is(other, "completed").await;
    }
    println!("50 others behind 300 that wait took {:?}", begun.elapsed());
    assert_eq!(slow.calls().total, 1);
    let queue = node.get("/api/v1/queues").await["items"][0].clone();
    assert_eq!((&queue["depth"], &queue["limited"], &queue["running"]), (&json!(299), &json!(299), &json!(1)));
    // Without the limit they all go, and nothing is left behind.
    let cancelled = node.post("/api/v1/tasks/cancel", &json!({"status": "running"})).await;
    assert_eq!(cancelled["changed"], 1, "{cancelled}");
    node.try_ask(reqwest::Method::DELETE, &format!("/api/v1/sources/{source}"), None).await.expect("answers").ok();
    assert_eq!(stage.count("SELECT count(*) FROM gates").await, 0);
}

#[tokio::test]
async fn those_that_wait_go_by_priority_and_age_and_at_once_when_there_is_room() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::from_millis(50)).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let path = format!("/api/v1/workflows/{workflow}");
    assert_eq!(node.patch(&path, &json!({"max_concurrency": 1})).await["max_concurrency"], 1);
    let first = node.run(&workflow, &json!("sleep:2")).await;
    node.until_task_is(&first, "running").await;
    let mut order = Vec::new();
    for (number, priority) in [(0, 5), (1, 5), (2, 9), (3, 0), (4, 5)] {
        order.push(node.run(&workflow, &json!({"input_data": format!("task {number}"), "priority": priority})).await);
    }
    for task in &order {
        node.until_task_is(task, "completed").await;
    }
    let rows =
        stage.rows("SELECT task_id::text, started_at, finished_at FROM task_attempts ORDER BY started_at", &[]).await;
    let ran: Vec<String> = rows.iter().skip(1).map(|row| row.get(0)).collect();
    assert_eq!(ran, [2, 0, 1, 4, 3].map(|number: usize| order[number].clone()));
    let times: Vec<(chrono::DateTime<chrono::Utc>, chrono::DateTime<chrono::Utc>)> =
        rows.iter().map(|row| (row.get(1), row.get(2))).collect();
    let longest = times.windows(2).map(|pair| (pair[1].0 - pair[0].1).num_milliseconds()).max().expect("some");
    println!("the longest wait for a room that there was: {longest} ms");
    assert!(longest < 1_000, "{longest} ms");
    assert_eq!(stage.source.calls().max_in_flight, 1);
}

#[tokio::test]
async fn two_nodes_together_keep_the_rate_of_a_source() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let (one, _other) = (stage.node(&[]).await, stage.node(&[]).await);
    let workflow = one.workflow(&stage).await;
    let source = one.get("/api/v1/sources").await["items"][0]["id"].as_str().expect("an id").to_owned();
    one.patch(&format!("/api/v1/sources/{source}"), &json!({"rate": "5/s"})).await;
    let begun = Instant::now();
    one.run_many(&workflow, 20).await;
    stage.until_all_completed(20, SOON).await;
    let took = begun.elapsed();
    println!("20 runs at 5/s took {took:?}");
    assert!(took >= Duration::from_millis(3_800), "{took:?}");
    let most = "SELECT max(near) FROM (SELECT count(*) OVER (ORDER BY started_at
        RANGE BETWEEN CURRENT ROW AND '900 ms' FOLLOWING) AS near FROM task_attempts) AS counted";
    assert!(stage.count(most).await <= 5, "in no second there were more than five");
}

#[tokio::test]
async fn slots_of_a_limit_that_a_killed_node_held_come_back() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let settings = [("node.lease_s", "3"), ("node.heartbeat_s", "1")];
    let mut killed = stage.node(&settings).await;
    let workflow = killed.workflow(&stage).await;
    killed.patch(&format!("/api/v1/workflows/{workflow}"), &json!({"max_concurrency": 2})).await;
    let held = [killed.run(&workflow, &json!("sleep:1")).await, killed.run(&workflow, &json!("sleep:1")).await];
    for task in &held {
        killed.until_task_is(task, "running").await;
    }
    let waiting = killed.run_many(&workflow, 6).await;
    until("the others wait", SOON, async || {
        (stage.count("SELECT count(*) FROM tasks WHERE parked AND status = 'pending'").await == 6).then_some(())
    })
    .await;
    killed.kill().await;
    let node = stage.node(&settings).await;
    stage.until_all_completed(8, SOON * 2).await;
    for task in waiting {
        assert_eq!(node.task(&task).await["tries"], 1);
    }
    assert_eq!(stage.count("SELECT count(*) FROM tasks WHERE parked").await, 0);
}

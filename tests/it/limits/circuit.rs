//! Sources that are down or ask to be left alone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use automagik_spark::simulate::{self, SimulateOptions};
use serde_json::json;

use crate::harness::node::SOON;
use crate::harness::stage::Stage;
use crate::harness::until;
use crate::lifecycle::among_others;

#[tokio::test]
async fn a_source_that_refuses_connections_is_left_alone_until_a_probe_gets_through() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let mut node = stage.node(&[]).await;
    let healthy = node.workflow(&stage).await;
    let source = simulate::start(SimulateOptions::default()).expect("a source");
    let address: SocketAddr = source.url().trim_start_matches("http://").parse().expect("an address");
    let (workflow, id) = node.workflow_of(&source, &json!({})).await;
    assert_eq!(node.circuit(&id).await, json!({"state": "closed", "until": null, "reason": null, "failures": 0}));
    source.stop().await;
    let tasks = node.run_many(&workflow, 40).await;
    let open = until("it is left alone", SOON, async || {
        let circuit = node.circuit(&id).await;
        (circuit["state"] == "open").then_some(circuit)
    })
    .await;
    assert!(open["failures"].as_u64() >= Some(5) && open["until"].is_string(), "{open}");
    assert!(open["reason"].as_str().expect("a reason").contains("can't be reached"), "{open}");
    let attempts = stage.count("SELECT count(*) FROM task_attempts").await;
    // Eight run at once; some begin while the first failures are still being noted.
    assert!(attempts <= 3 * 8, "those that were under way, and few others: {attempts}");
    // Nobody else notices.
    let other = node.run(&healthy, &json!("other")).await;
    node.until_task_is(&other, "completed").await;
    // A restart changes nothing of it.
    node.stop(SOON).await;
    let node = stage.node(&[]).await;
    assert_ne!(node.circuit(&id).await["state"], "closed");
    let back = simulate::start(SimulateOptions { bind: address, ..Default::default() }).expect("the port is free");
    for task in &tasks {
        node.until_task_is(task, "completed").await;
    }
    assert_eq!(node.circuit(&id).await["state"], "closed");
    assert_eq!(back.calls().distinct_sessions, 40);
    assert_eq!(stage.count("SELECT count(*) FROM gates").await, 0);
    let untouched = "SELECT count(*) FROM tasks WHERE failures = 0";
    assert!(stage.count(untouched).await >= 16, "many waited and used up no retry");
    assert_eq!(node.log().matches("is called again").count(), 1, "{}", node.log());
}

#[tokio::test]
async fn a_source_that_answers_429_is_left_alone_for_as_long_as_it_asks() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let id = node.get("/api/v1/sources").await["items"][0]["id"].as_str().expect("an id").to_owned();
    let busy = node.run(&workflow, &json!({"input_data": "status:429:3", "max_retries": 0})).await;
    node.until_task_is(&busy, "failed").await;
    let begun = Instant::now();
    until("it is left alone", SOON, async || (node.circuit(&id).await["state"] == "open").then_some(())).await;
    let tasks = node.run_many(&workflow, 10).await;
    for task in &tasks {
        node.until_task_is(task, "completed").await;
    }
    println!("a source that asked for 3 s was called again after {:?}", begun.elapsed());
    let rows = stage.rows("SELECT started_at FROM task_attempts ORDER BY started_at", &[]).await;
    let times: Vec<chrono::DateTime<chrono::Utc>> = rows.iter().map(|row| row.get(0)).collect();
    let wait = (times[1] - times[0]).num_milliseconds();
    assert!((3_000..5_500).contains(&wait), "{wait} ms");
    assert_eq!(stage.count("SELECT count(*) FROM tasks WHERE tries = 1").await, 11);
    until("it is called again", SOON, async || (node.circuit(&id).await["state"] == "closed").then_some(())).await;
}

#[tokio::test]
async fn an_operator_can_have_a_source_called_again_at_once() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let id = node.get("/api/v1/sources").await["items"][0]["id"].as_str().expect("an id").to_owned();
    let busy = node.run(&workflow, &json!({"input_data": "status:429:900", "max_retries": 0})).await;
    node.until_task_is(&busy, "failed").await;
    until("it is left alone", SOON, async || (node.circuit(&id).await["state"] == "open").then_some(())).await;
    let waiting = node.run(&workflow, &json!("waits")).await;
    until("it waits", SOON, async || (stage.count("SELECT count(*) FROM tasks WHERE parked").await == 1).then_some(()))
        .await;
    let resumed = node.post(&format!("/api/v1/sources/{id}/resume"), &json!({})).await;
    assert_eq!(resumed["circuit"]["state"], "closed");
    node.until_task_is(&waiting, "completed").await;
    assert_eq!(node.task(&waiting).await["tries"], 1);
}

#[tokio::test]
async fn a_flow_that_fails_again_and_again_pauses_nobody() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    for _ in 0..8 {
        let failing = node.run(&workflow, &json!({"input_data": "fail:a bug of the flow", "max_retries": 0})).await;
        node.until_task_is(&failing, "failed").await;
    }
    assert_eq!(stage.count("SELECT count(*) FROM gates").await, 0);
}

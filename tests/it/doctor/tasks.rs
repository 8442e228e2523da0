//! Tasks that wait, that time out, and whose source is away.

use std::net::SocketAddr;

use automagik_spark::simulate::{self, FLOW_ID, SimulateOptions};
use serde_json::json;

use super::{LIMIT, QUICK, assert_named, assert_well, says, until_well};
use crate::harness::stage::Stage;
use crate::harness::until;

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_wait_for_slots_are_put_down_to_too_few_workers() {
    let stage = Stage::new(QUICK).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    until_well(&node, "waiting").await;
    assert_well(&stage, &node).await;
    let mut slow = Vec::new();
    for _ in 0..9 {
        slow.push(node.run(&workflow, &json!({"input_data": "sleep:120"})).await);
    }
    let found = assert_named(&stage, &node, "waiting").await;
    says(&found, "symptom", "queued but not executed");
    says(&found, "cause", "too few workers: all 8 slots");
    says(&found, "advice", "worker scale");
    for id in slow {
        node.act(&format!("tasks/{id}/cancel")).await;
    }
    node.until_idle().await;
    until_well(&node, "waiting").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_time_out_are_put_down_to_long_workflows() {
    let stage = Stage::new(QUICK).await;
    let node = stage.node(&[("worker.soft_time_limit_s", "1"), ("worker.time_limit_s", "5")]).await;
    let workflow = node.workflow(&stage).await;
    until_well(&node, "timeouts").await;
    assert_well(&stage, &node).await;
    for _ in 0..6 {
        node.run(&workflow, &json!({"input_data": "sleep:30", "max_retries": 0})).await;
    }
    let found = assert_named(&stage, &node, "timeouts").await;
    says(&found, "cause", "run longer than their limit");
    says(&found, "advice", "soft_time_limit_s");
    node.until_idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_down_is_named_as_long_as_it_is() {
    let stage = Stage::new(QUICK).await;
    let node = stage.node(&[]).await;
    let source = simulate::start(SimulateOptions::default()).expect("a source");
    let address: SocketAddr = source.url().trim_start_matches("http://").parse().expect("an address");
    let body = json!({"source_type": "langflow", "url": source.url(), "api_key": "any", "name": "flows"});
    let id = node.post("/api/v1/sources", &body).await["id"].as_str().expect("an id").to_owned();
    let synced = node.post(&format!("/api/v1/workflows/sync/{FLOW_ID}"), &json!({"source_url": source.url()})).await;
    let workflow = synced["id"].as_str().expect("an id").to_owned();
    until_well(&node, "sources").await;
    assert_well(&stage, &node).await;
    source.stop().await;
    let tasks = node.run_many(&workflow, 40).await;
    let found = until("it was found down twice", LIMIT, async || {
        let found = super::finding(&node, "sources").await;
        (found["level"] == "critical").then_some(found)
    })
    .await;
    says(&found, "cause", "source flows is left alone");
    says(&found, "advice", "sources resume flows");
    // What waits for it is not put down to workers.
    let found = assert_named(&stage, &node, "waiting").await;
    says(&found, "cause", "source that is left alone");

    let _back = simulate::start(SimulateOptions { bind: address, ..Default::default() }).expect("the port is free");
    node.act(&format!("sources/{id}/resume")).await;
    for task in &tasks {
        node.until_task_is(task, "completed").await;
    }
    until_well(&node, "sources").await;
    until_well(&node, "waiting").await;
}

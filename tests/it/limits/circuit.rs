//! Sources that are down or ask to be left alone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use automagik_spark::simulate::{self, SimulateOptions};
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::harness::node::SOON;
use crate::harness::stage::{Stage, connect};
use crate::harness::until;
use crate::lifecycle::among_others;

/// The slots of a node here.
const SLOTS: i64 = 8;
/// Failures in a row that open a circuit.
const OPENS_AT: i64 = 5;
/// A slot whose attempt failed by its source is given away when that is noted. So each slot is used once, and once more
/// for each failure that does not open the circuit.
const MOST_BEFORE_IT_OPENS: i64 = SLOTS + OPENS_AT - 1;

async fn running(stage: &Stage) -> i64 {
    stage.count("SELECT count(*) FROM tasks WHERE status = 'running'").await
}

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
    until("those under way have ended", SOON, async || (running(&stage).await == 0).then_some(())).await;
    let until_then: DateTime<Utc> = open["until"].as_str().expect("a time").parse().expect("RFC 3339");
    let before = "SELECT count(*) FROM task_attempts WHERE started_at < $1";
    let attempts: i64 = stage.rows(before, &[&until_then]).await[0].get(0);
    assert!((OPENS_AT..=MOST_BEFORE_IT_OPENS).contains(&attempts), "{attempts} before the first probe");
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
    // Waits are 5, 10 and 20 s: three probes in vain would be more than half a minute for the restart.
    let untouched = stage.count("SELECT count(*) FROM tasks WHERE failures = 0").await;
    assert!(untouched >= 40 - MOST_BEFORE_IT_OPENS - 3, "{untouched} waited and used up no retry");
    assert_eq!(node.log().matches("is called again").count(), 1, "{}", node.log());
}

/// What broke: slots were given away while failures were being noted, so that many more tasks than there are slots called
/// a source that was down.
#[tokio::test]
async fn no_slot_of_a_failed_attempt_is_given_away_before_the_failure_is_noted() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let mut node = stage.node(&[]).await;
    let source = simulate::start(SimulateOptions::default()).expect("a source");
    let (workflow, id) = node.workflow_of(&source, &json!({})).await;
    source.stop().await;
    let mut locker = connect(&stage.servers.database_url).await;
    let lock = locker.transaction().await.expect("it begins");
    lock.batch_execute("LOCK TABLE gates IN SHARE MODE").await.expect("nothing can be noted");
    node.run_many(&workflow, 40).await;
    let ended = async || stage.count("SELECT count(*) FROM task_attempts").await;
    until("every slot was used", SOON, async || (ended().await >= SLOTS).then_some(())).await;
    // Two seconds later at the soonest.
    let again = "SELECT count(*) FROM tasks WHERE tries = 1 AND status = 'pending'";
    until("a retry is due", SOON, async || (stage.count(again).await > 0 || ended().await > SLOTS).then_some(())).await;
    assert_eq!((ended().await, running(&stage).await), (SLOTS, 0), "the slots wait");
    lock.rollback().await.expect("it ends");
    until("it is left alone", SOON, async || (node.circuit(&id).await["state"] == "open").then_some(())).await;
    until("those under way have ended", SOON, async || (running(&stage).await == 0).then_some(())).await;
    assert!(ended().await <= MOST_BEFORE_IT_OPENS);
    node.stop(SOON).await;
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

//! A stop finishes what runs, and what does not finish is given back.

use std::time::{Duration, Instant};

use automagik_spark::dev::Signal;
use serde_json::json;

use super::{alone, among_others};
use crate::harness::node::{SOON, TestNode, is_alive};
use crate::harness::stage::Stage;
use crate::harness::until;

#[tokio::test]
async fn a_stopped_service_finishes_what_runs_and_leaves_the_rest_to_its_next_start() {
    let _machine = alone().await;
    let stage = Stage::new(Duration::from_millis(150)).await;
    let mut node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    node.run_many(&workflow, 400).await;
    stage.until_some_completed(80).await;
    let children = node.child_pids().await;
    node.stop(SOON).await;
    assert!(children.iter().all(|pid| !is_alive(*pid)), "children end before their service");
    let statuses = stage.statuses().await;
    println!("after SIGTERM: {statuses:?}");
    assert_eq!(statuses.get("running"), None);
    assert_eq!(statuses["completed"] + statuses["pending"], 400, "{statuses:?}");
    assert!(statuses["pending"] > 0, "the stop came in the middle");
    assert_eq!(stage.count("SELECT count(*) FROM nodes").await, 0);
    // What was being claimed in the moment of the signal is given back before its source is called.
    let broken_off = "SELECT count(*) FROM task_attempts
                       WHERE status <> 'completed' AND (code, outcome_unknown) IS DISTINCT FROM ('not_started', false)";
    assert_eq!(stage.count(broken_off).await, 0);
    assert_eq!(stage.source.calls().total, statuses["completed"] as u64);

    let mut node = stage.node(&[]).await;
    stage.until_all_completed(400, Duration::from_secs(60)).await;
    stage.assert_calls(400, 0);
    node.stop(SOON).await;
}

/// Three flows that hang, running.
async fn hanging(stage: &Stage, settings: &[(&str, &str)]) -> (TestNode, Vec<String>) {
    let node = stage.node(settings).await;
    let workflow = node.workflow(stage).await;
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(node.run(&workflow, &json!("hang")).await);
    }
    until("the source is called", SOON, async || (stage.source.calls().total == 3).then_some(())).await;
    (node, tasks)
}

async fn assert_given_back(stage: &Stage) {
    let released = "SELECT count(*) FROM task_attempts WHERE status = 'released' AND outcome_unknown";
    assert_eq!(stage.count(released).await, 3);
    assert_eq!(stage.count("SELECT count(*) FROM task_attempts").await, 3);
    let pending = "SELECT count(*) FROM tasks WHERE status = 'pending' AND tries = 1 AND failures = 0 AND lost = 0";
    assert_eq!(stage.count(pending).await, 3);
    assert_eq!(stage.count("SELECT count(*) FROM nodes").await, 0);
}

#[tokio::test]
async fn a_second_signal_ends_the_grace_period() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let (mut node, _) = hanging(&stage, &[]).await;
    node.signal(Signal::TERM);
    until("the service drains", SOON, async || node.log().contains("stopping: 3 attempts run").then_some(())).await;
    let asked_at = Instant::now();
    node.stop(SOON).await;
    println!("a hurried stop took {:?}", asked_at.elapsed());
    assert!(asked_at.elapsed() < Duration::from_secs(5), "{}", node.log());
    assert_given_back(&stage).await;
}

#[tokio::test]
async fn what_does_not_finish_within_the_grace_period_is_given_back() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let (mut node, tasks) = hanging(&stage, &[("node.shutdown_grace_s", "1")]).await;
    let asked_at = Instant::now();
    node.stop(SOON).await;
    assert!(asked_at.elapsed() >= Duration::from_secs(1));
    assert_given_back(&stage).await;

    // The next start runs them again, and a task that is called off there counts no attempt as failed.
    let node = stage.node(&[]).await;
    until("they run again", SOON, async || (stage.source.calls().total == 6).then_some(())).await;
    for task in &tasks {
        node.post(&format!("/api/v1/tasks/{task}/cancel"), &json!({})).await;
    }
    assert_eq!(stage.source.calls().repeated.len(), 3, "the same sessions");
}

#[tokio::test]
async fn a_service_that_is_stopped_while_its_children_start_does_not_wait_for_the_grace_period() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    for _ in 0..3 {
        let command = stage.serve(&[("worker.workers", "6")]);
        let mut node = TestNode::launch(command, &stage.servers.database_url).await;
        let asked_at = Instant::now();
        node.stop(SOON).await;
        assert!(asked_at.elapsed() < Duration::from_secs(10), "{}", node.log());
    }
}

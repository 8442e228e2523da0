//! A pool gets another size under load.

use std::time::Duration;

use serde_json::{Value, json};

use super::assert_no_attempt_was_lost;
use crate::harness::node::{SOON, is_alive};
use crate::harness::stage::Stage;
use crate::harness::until;
use crate::lifecycle::{alone, among_others};

const TASKS: usize = 800;

fn slots(event: &Value) -> u64 {
    event["ready_slots"].as_u64().expect("a number")
}

#[tokio::test]
async fn a_pool_grows_and_shrinks_under_load_and_every_task_runs_once() {
    let _machine = alone().await;
    let stage = Stage::new(Duration::from_millis(60)).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let first_children = node.child_pids().await;
    let steps = async {
        stage.until_some_completed(40).await;
        let grown = node.resize(json!({"workers": 5})).await;
        let row = node.get("/api/v1/audit?action=pool.resize").await["items"][0].clone();
        assert_eq!((&row["entity_id"], &row["summary"]["changed"]), (&json!("celery"), &json!({"workers": 5})));
        assert_eq!((&grown["workers"], &grown["threads"]), (&json!(5), &json!(4)), "{grown}");
        assert_eq!(grown["configured"], json!({"workers": 2, "threads": 4}));
        assert_eq!((&grown["kept_on_restart"], grown["ready"].as_u64()), (&json!(false), Some(2)), "{grown}");
        let grown = node.until_pool_has(5).await;
        assert_eq!(grown["ready_slots"], 20);
        let history = node.history().await;
        let full = history.iter().position(|event| slots(event) == 8).expect("all served");
        assert!(history[full..].iter().all(|event| slots(event) >= 8), "growing costs nothing: {history:?}");

        stage.until_some_completed(150).await;
        let shrunk = node.resize(json!({"workers": 1, "threads": 2})).await;
        assert_eq!((&shrunk["workers"], &shrunk["threads"]), (&json!(1), &json!(2)));
        let shrunk = node.until_pool_has(1).await;
        assert_eq!(shrunk["ready_slots"], 2);

        stage.until_some_completed(250).await;
        let wide = node.resize(json!({"threads": 24})).await;
        assert_eq!((&wide["workers"], &wide["ready_slots"]), (&json!(1), &json!(24)), "at once: {wide}");
        stage.until_some_completed(400).await;
        // Back and forth, faster than children start and end.
        for workers in [4, 1, 6, 2, 5, 1, 3] {
            node.resize(json!({"workers": workers, "threads": 3})).await;
        }
        node.until_pool_has(3).await;
    };
    let (tasks, ()) = tokio::join!(node.run_many(&workflow, TASKS), steps);
    stage.until_all_completed(tasks.len(), Duration::from_secs(60)).await;

    stage.assert_calls(TASKS, 0);
    assert_no_attempt_was_lost(&stage).await;
    let history = node.history().await;
    let left: Vec<&Value> = history.iter().filter(|event| event["event"] == "draining").collect();
    assert!(left.len() >= 4 && left.iter().all(|event| event["reason"] != "shutdown"), "{left:?}");
    assert!(left.iter().any(|event| event["reason"] == "scaled_down"), "{left:?}");
    assert!(history.iter().all(|event| event["event"] != "killed" && event["reason"] != "crashed"), "{history:?}");
    let pool = node.until_pool_has(3).await;
    assert_eq!((&pool["workers"], &pool["threads"], &pool["ready_slots"]), (&json!(3), &json!(3), &json!(9)));
    // A spare may be among them, for children had their share meanwhile.
    let children = node.child_pids().await;
    assert_eq!(children.len() as u64, 3 + pool["spare"].as_u64().expect("a number"), "{pool}");
    for gone in first_children.iter().filter(|pid| !children.contains(pid)) {
        until("a retired child ends", SOON, async || (!is_alive(*gone)).then_some(())).await;
    }
    println!("slots over time: {:?}", history.iter().map(slots).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_runs_is_not_interrupted_and_nothing_is_started_beyond_the_new_size() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    for _ in 0..8 {
        node.run(&workflow, &json!("sleep:4")).await;
    }
    until("all slots are used", SOON, async || (stage.source.calls().total == 8).then_some(())).await;
    let shrunk = node.resize(json!({"workers": 1, "threads": 1})).await;
    assert_eq!((&shrunk["ready"], &shrunk["draining"], &shrunk["active"]), (&json!(1), &json!(1), &json!(8)));
    node.run_many(&workflow, 4).await;
    stage.until_all_completed(12, SOON).await;
    stage.assert_calls(12, 0);
    assert_no_attempt_was_lost(&stage).await;
    let overlaps = "SELECT max(n) FROM (SELECT (SELECT count(*) FROM task_attempts b WHERE b.started_at <= a.started_at
                                                AND b.finished_at > a.started_at) AS n
                    FROM task_attempts a JOIN tasks t ON t.id = a.task_id
                    WHERE t.input_data->>'value' LIKE 'task %' AND a.status = 'completed') AS starts";
    assert_eq!(stage.count(overlaps).await, 1, "one at a time, and only when the others had ended");
    node.until_idle().await;
}

#[tokio::test]
async fn a_restart_brings_back_the_configured_size() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let mut node = stage.node(&[]).await;
    node.resize(json!({"workers": 3, "threads": 4})).await;
    node.until_pool_has(3).await;
    let same = node.resize(json!({"workers": 2})).await;
    assert_eq!(same["kept_on_restart"], true, "{same}");
    node.resize(json!({"workers": 3})).await;
    node.stop(SOON).await;
    let node = stage.node(&[]).await;
    let pool = node.pool().await;
    assert_eq!((&pool["workers"], &pool["kept_on_restart"]), (&json!(2), &json!(true)));
}

//! Statements that are carried out and whose answer is lost.

use std::time::Duration;

use super::proxy_of_database;
use crate::harness::node::{SOON, TestNode};
use crate::harness::proxy::Traffic;
use crate::harness::stage::Stage;
use crate::harness::until;
use crate::lifecycle::among_others;

const TASKS: usize = 400;

/// How many tasks the node says to have completed.
async fn counted(node: &TestNode) -> f64 {
    let metrics = node.get("/metrics").await;
    let lines = metrics.as_str().expect("text").lines();
    let completed = lines
        .filter(|line| line.starts_with("automagik_spark_tasks_finished_total{") && line.contains("\"completed\""))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    completed.sum()
}

/// What broke: an end that was stored and had to be stored again counted as somebody else's, and nobody was told of it:
/// not the events, not the counters, not the circuit.
#[tokio::test]
async fn of_an_end_whose_storing_was_not_answered_everybody_is_told_once() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::from_millis(60)).await;
    let (proxy, url) = proxy_of_database(&stage);
    let node = stage.node(&[("database.url", &url), ("worker.max_lost", "10")]).await;
    let workflow = node.workflow(&stage).await;
    node.run_many(&workflow, TASKS).await;
    proxy.set(Traffic::LoseSome(9));
    stage.until_all_completed(TASKS, SOON * 3).await;
    proxy.set(Traffic::Pass);
    println!("{} of {TASKS} are counted at first", counted(&node).await);
    until("each is counted", SOON, async || (counted(&node).await >= TASKS as f64).then_some(())).await;
    assert_eq!(counted(&node).await, TASKS as f64);
    assert!(node.log().contains("ends of attempts wait for the database"), "no answer was lost: {}", node.log());
    stage.assert_calls(TASKS, 0);
}

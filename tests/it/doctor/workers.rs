//! Children that use much processor time, or much memory.

use std::fs;
use std::time::Duration;

use automagik_spark::fault::Point;
use reqwest::Method;
use serde_json::json;

use super::{QUICK, assert_named, assert_well, finding, says, until_well};
use crate::harness::ahead::Ahead;
use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::Stage;
use crate::harness::until;
use crate::lifecycle::alone;

/// A child burns all the processor time it gets, with more threads than there are processors: others that are busy leave
/// it more than the four fifths of one that are too much. An idle child has none, however busy the machine is, and that is
/// looked at before and after.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_computes_all_the_time_is_put_down_to_tasks_that_are_bound_by_the_cpu() {
    let _machine = alone().await;
    let stage = Stage::new(QUICK).await;
    let faults = tempfile::tempdir().expect("a directory");
    let mut command = stage.serve(&[]);
    command.env("SPARK_FAULTS", faults.path());
    let node = TestNode::launch(command, &stage.servers.database_url).await;
    node.until_children_are_ready().await;
    let workflow = node.workflow(&stage).await;
    until_well(&node, "worker_cpu").await;
    assert_well(&stage, &node).await;
    fs::write(faults.path().join(Point::BeforeCall.name()), "burn 10").expect("written");
    let ahead = Ahead::of_others();
    let task = node.run(&workflow, &json!("computes")).await;
    let found = assert_named(&stage, &node, "worker_cpu").await;
    says(&found, "cause", "bound by the CPU");
    drop(ahead);
    until_well(&node, "worker_cpu").await;
    node.until_task_is(&task, "completed").await;
}

/// The most that one of the children holds, in KB.
async fn largest(node: &TestNode) -> u64 {
    node.until_measured().await;
    node.executors().await.iter().filter_map(|executor| executor["rss_kb"].as_u64()).max().expect("there is one")
}

/// One child, which is measured often.
async fn with_one_child(stage: &Stage, settings: &[(&str, &str)]) -> TestNode {
    let node = stage.node(&[&[("monitor.sample_ms", "50")], settings].concat()).await;
    let one = json!({"workers": 1, "threads": 8});
    node.try_ask(Method::PATCH, "/api/v1/pools/celery", Some(&one)).await.expect("the service answers").ok();
    until("there is one", SOON, async || (node.executors().await.len() == 1).then_some(())).await;
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_passes_its_ceiling_is_put_down_to_memory_that_grows() {
    let stage = Stage::new(QUICK).await;
    let mut node = with_one_child(&stage, &[]).await;
    let workflow = node.workflow(&stage).await;
    let warm = node.run(&workflow, &json!("warm")).await;
    node.until_task_is(&warm, "completed").await;
    let base = largest(&node).await;
    node.stop(SOON).await;

    let ceiling = (base * 3 / 2).max(20_000).to_string();
    let node = with_one_child(&stage, &[("worker.max_memory_per_child_kb", &ceiling)]).await;
    until_well(&node, "worker_memory").await;
    until_well(&node, "worker_recycles").await;
    assert_well(&stage, &node).await;
    // A large input that is held while its attempt runs; one more until the child is too large and is being replaced. The
    // last may be given to the new one already, which has room for it.
    let input = format!("sleep:120.{}", "0".repeat(2_000_000));
    let mut held = Vec::new();
    let replaced = async || {
        let found = finding(&node, "worker_recycles").await;
        (found["level"] == "warning").then_some(())
    };
    let is_replaced = loop {
        assert!(held.len() < 8, "eight inputs of two megabytes are more than half of {base} KB");
        held.push(node.run(&workflow, &json!(input)).await);
        node.until_task_is(held.last().expect("one"), "running").await;
        let soon = tokio::time::timeout(Duration::from_millis(500), until("it is replaced", SOON, replaced));
        if soon.await.is_ok() {
            break finding(&node, "worker_recycles").await;
        }
    };
    says(&is_replaced, "advice", "max_tasks_per_child");
    let found = assert_named(&stage, &node, "worker_memory").await;
    println!("a child of {base} KB, with a ceiling of {ceiling} KB, held {} inputs", held.len());
    says(&found, "cause", "memory grows");
    says(&found, "advice", "max_tasks_per_child");
    for id in held {
        node.act(&format!("tasks/{id}/cancel")).await;
    }
    node.until_idle().await;
    until_well(&node, "worker_memory").await;
}

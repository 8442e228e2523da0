//! `load-test` against a running service.

use std::time::Duration;

use super::{Ended, program};
use crate::harness::node::TestNode;
use crate::harness::stage::{API_KEY, Stage};

fn load_test(stage: &Stage, node: &TestNode, args: &[&str]) -> Ended {
    let mut command = program(stage.directory());
    command.env("AUTOMAGIK_SPARK_REMOTE_URL", node.url()).env("AUTOMAGIK_SPARK_API_KEY", API_KEY);
    command.args(["load-test", automagik_spark::simulate::FLOW_ID]).args(args).output().expect("started").into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_test_tells_how_long_its_tasks_took() {
    let stage = Box::pin(Stage::new(Duration::from_millis(5))).await;
    let node = Box::pin(stage.node(&[])).await;
    let workflow = node.workflow(&stage).await;
    // One of somebody else's, which does not count.
    node.run(&workflow, &serde_json::json!({"input_data": "not of the test"})).await;

    let ended = load_test(&stage, &node, &["--tasks", "250", "--clients", "20", "-o", "json"]);
    let figures = ended.json();
    assert_eq!((ended.code, &figures["accepted"], &figures["completed"]), (0, &250.into(), &250.into()), "{figures}");
    assert!(figures["tasks_per_s"].as_f64().unwrap() > 0.0, "{figures}");
    for times in ["submit_ms", "wait_ms", "task_ms"] {
        let [p50, p99, max] = ["p50", "p99", "max"].map(|name| figures[times][name].as_f64().unwrap());
        assert!(p50 <= p99 && p99 <= max && max > 0.0, "{times}: {figures}");
    }
    assert!(figures["task_ms"]["p50"].as_f64().unwrap() >= 5.0, "no flow ends sooner than it takes: {figures}");

    let ended = load_test(&stage, &node, &["--tasks", "3"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for word in ["3 of 3", "p95", "tasks/s", "ends over time", "█"] {
        assert!(ended.stdout.contains(word), "{word}: {}", ended.stdout);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_test_whose_tasks_fail_or_are_refused_says_why() {
    let stage = Box::pin(Stage::new(Duration::ZERO)).await;
    let node = Box::pin(stage.node(&[("worker.max_retries", "0")])).await;
    node.workflow(&stage).await;
    let ended = load_test(&stage, &node, &["--tasks", "4", "--input", "fail:no room"]);
    assert_eq!(ended.code, 1);
    assert!(
        ended.stderr.contains("4 of 4 tasks did not complete") && ended.stderr.contains("no room"),
        "{}",
        ended.stderr
    );
    let ended = load_test(&stage, &node, &["--tasks", "2", "--queue", "no such name!", "--no-wait"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("2 of 2 tasks were not accepted"), "{}", ended.stderr);
    assert!(ended.stdout.contains("0 of 2"), "{}", ended.stdout);
}

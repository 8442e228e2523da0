//! Event streams of services: what another one does, what a stop does, and what is left without Redis.

use std::time::{Duration, Instant};

use automagik_spark::dev::Signal;
use reqwest::Method;
use serde_json::json;

use crate::harness::node::{SOON, TestNode};
use crate::harness::sse::EventStream;
use crate::harness::stage::Stage;
use crate::harness::until;

/// A service that only serves the API, and one that runs tasks.
async fn front_and_back(stage: &Stage) -> (TestNode, TestNode) {
    let mut command = stage.serve(&[("monitor.sample_ms", "200")]);
    command.args(["--roles", "api"]);
    let front = TestNode::launch(command, &stage.servers.database_url).await;
    let back = stage.node(&[("monitor.sample_ms", "200")]).await;
    (front, back)
}

/// How often nodes told one another anything.
async fn publishes(stage: &Stage) -> u64 {
    calls(stage, "publish").await
}

/// How often Redis was sent a command.
async fn calls(stage: &Stage, command: &str) -> u64 {
    let client = redis::Client::open(stage.servers.redis_url.as_str()).expect("a url");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let info: String = redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.expect("Redis tells");
    let prefix = format!("cmdstat_{command}:calls=");
    let calls = info.lines().find_map(|line| line.strip_prefix(&prefix)?.split(',').next());
    calls.map_or(0, |calls| calls.parse().expect("a number"))
}

/// Waits until both nodes have looked anew who listens: one that looks just while it begins to listen itself takes itself
/// for another, until it looks again.
async fn until_pinged(stage: &Stage) {
    const LOOK: &str = "pubsub|numsub";
    let before = calls(stage, LOOK).await;
    until("both have looked twice", SOON, async || (calls(stage, LOOK).await >= before + 6).then_some(())).await;
}

/// The batches of the hot path that a node has made.
async fn batches(node: &TestNode) -> u64 {
    let metrics = node.get("/metrics").await;
    let lines = metrics.as_str().expect("text").lines();
    let batches =
        lines.filter_map(|line| line.strip_prefix("automagik_spark_batches_total{stage=\"")?.split_once("\"} "));
    let batches = batches.filter(|(stage, _)| ["submit", "claim", "outcome"].contains(stage));
    batches.map(|(_, count)| count.parse::<u64>().expect("a number")).sum()
}

async fn watch(node: &TestNode, task: &str) -> EventStream {
    node.stream(&format!("/api/v1/tasks/{task}/events")).await
}

async fn states(stream: &mut EventStream) -> Vec<String> {
    stream.rest().await.iter().map(|told| told.what().to_owned()).collect()
}

#[tokio::test]
async fn what_another_node_does_is_told_at_once() {
    let stage = Stage::new(Duration::ZERO).await;
    let (front, _back) = front_and_back(&stage).await;
    let workflow = front.workflow(&stage).await;
    let mut all = front.stream("/api/v1/events").await;
    // The other one learns within its next ping that somebody listens, and says that it was not heard before.
    assert_eq!(all.next().await.expect("open").what(), "gap");
    let mut delays = Vec::new();
    for _ in 0..5 {
        let task = front.run(&workflow, &json!("sleep:0.3")).await;
        let mut watching = watch(&front, &task).await;
        assert_eq!(states(&mut watching).await.last().map(String::as_str), Some("completed"));
        let told_at = automagik_spark::domain::clock::now();
        let ended_at: chrono::DateTime<chrono::Utc> =
            front.task(&task).await["finished_at"].as_str().expect("ended").parse().expect("a time");
        delays.push((told_at - ended_at).num_milliseconds());
        let mut of_task = Vec::new();
        while of_task.len() < 3 {
            let told = all.next_task().await;
            assert_eq!(told.data["id"], task.as_str());
            of_task.push(told.what().to_owned());
        }
        // What two nodes tell may cross; what one tells does not.
        assert!(of_task.iter().any(|what| what == "pending"), "{of_task:?}");
        of_task.retain(|what| what != "pending");
        assert_eq!(of_task, ["running", "completed"]);
    }
    delays.sort_unstable();
    println!("ms from the end of a task on another node to its event: {delays:?}");
    assert!(delays[2] < 300, "{delays:?}: only the look once a second is slower");
    let waited = front.post(&format!("/api/v1/workflows/{workflow}/run?wait=20"), &json!("x")).await;
    assert_eq!(waited["status"], "completed");
}

#[tokio::test]
async fn without_redis_the_end_of_a_task_is_told_all_the_same() {
    let mut stage = Stage::new(Duration::ZERO).await;
    let (front, back) = front_and_back(&stage).await;
    let workflow = front.workflow(&stage).await;
    let task = front.run(&workflow, &json!("sleep:2")).await;
    back.until_task_is(&task, "running").await;
    let mut watching = watch(&front, &task).await;
    let mut all = front.stream("/api/v1/events").await;
    assert_eq!(watching.next().await.expect("the present state").what(), "running");
    stage.servers.redis.stop().await.expect("it ends");
    // The first gap may be that of the other node's first word.
    let gap = all.next().await.expect("goes on");
    assert_eq!((gap.what(), &gap.data["reason"]), ("gap", &json!("unheard")));
    assert_eq!(states(&mut watching).await, ["completed"]);
    let ended = front.task(&task).await;
    println!("ended at {}, told by {}", ended["finished_at"], automagik_spark::domain::clock::now());

    stage.servers.redis.start_again().await.expect("it comes back");
    // Nodes find one another again within a moment; what happens in that moment is a gap. So tasks come until one is told.
    let is_told = async {
        loop {
            let told = all.next().await.expect("goes on");
            if told.name == "task" && told.what() == "completed" && told.data["id"] != task.as_str() {
                return;
            }
        }
    };
    let tasks_come = until("a new task is told", SOON, async || {
        front.run(&workflow, &json!("x")).await;
        None::<()>
    });
    tokio::select! {
        () = is_told => {}
        () = tasks_come => {}
    }
    until("all have ended", SOON, async || {
        let left = stage.count("SELECT count(*) FROM tasks WHERE status IN ('pending', 'running')").await;
        (left == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stop_ends_open_streams_and_does_not_wait_for_them() {
    let stage = Stage::new(Duration::ZERO).await;
    let mut node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let (ends, stays) = (node.run(&workflow, &json!("sleep:1")).await, json!({"input_data": "x", "delay": 3600}));
    let stays = node.run(&workflow, &stays).await;
    node.until_task_is(&ends, "running").await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        streams.push(node.stream("/api/v1/events").await);
    }
    let (mut ending, mut staying) = (watch(&node, &ends).await, watch(&node, &stays).await);
    let asked_at = Instant::now();
    node.stop(SOON).await;
    println!("a stop with 22 open streams and a task of a second took {:?}", asked_at.elapsed());
    assert!(asked_at.elapsed() < Duration::from_secs(4), "{}", node.log());
    assert_eq!(states(&mut ending).await, ["running", "completed"], "the end came while the service drained");
    assert_eq!(states(&mut staying).await, ["pending", "shutdown"]);
    for stream in &mut streams {
        assert_eq!(states(stream).await, ["completed", "shutdown"]);
    }
}

#[tokio::test]
async fn a_redis_that_hangs_holds_up_no_stream_and_no_stop() {
    let stage = Stage::new(Duration::ZERO).await;
    let mut node = stage.node(&[("redis.response_timeout_ms", "500")]).await;
    let workflow = node.workflow(&stage).await;
    stage.servers.redis.signal(Signal::STOP);
    let mut all = node.stream("/api/v1/events").await;
    assert_eq!(all.next().await.expect("open").what(), "gap");
    let task = node.run(&workflow, &json!("x")).await;
    assert_eq!(all.next_task().await.data["id"], task.as_str());
    let mut watching = watch(&node, &task).await;
    assert_eq!(watching.next().await.expect("the present state").what(), "pending");
    node.try_ask(Method::POST, &format!("/api/v1/tasks/{task}/cancel"), None).await.expect("it answers").ok();
    assert_eq!(states(&mut watching).await, ["cancelled"]);
    stage.servers.redis.signal(Signal::CONT);
    node.stop(SOON).await;
}

#[tokio::test]
async fn redis_carries_events_only_to_other_nodes_that_listen() {
    let stage = Stage::new(Duration::ZERO).await;
    let (front, back) = front_and_back(&stage).await;
    let workflow = front.workflow(&stage).await;
    front.run_many(&workflow, 100).await;
    stage.until_all_completed(100, SOON).await;
    assert_eq!(publishes(&stage).await, 0, "nobody listens");
    let mut all = front.stream("/api/v1/events").await;
    assert_eq!(all.next().await.expect("open").what(), "gap", "the other node begins to tell");
    until_pinged(&stage).await;
    let before = (publishes(&stage).await, batches(&back).await);
    let ids = front.run_many(&workflow, 100).await;
    let mut completed = 0;
    while completed < ids.len() {
        completed += usize::from(all.next_task().await.what() == "completed");
    }
    let (told, made) = (publishes(&stage).await - before.0, batches(&back).await - before.1);
    println!("{told} messages for {made} batches of the node that ran 100 tasks; the other told nobody");
    assert!((1..=made).contains(&told));
}

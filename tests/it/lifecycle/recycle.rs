//! Children are replaced on time, and capacity never dips.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{alone, among_others};
use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::Stage;
use crate::harness::until;

const SLOTS: u64 = 8;
const THREADS: u64 = 4;
/// Above what a child of a debug build has by itself.
const CEILING_KB: &str = "35000";
/// An answer of 30 MB, which a child holds several times while it reads it.
const POISON: &str = "big:6000000";

fn number(event: &Value, field: &str) -> u64 {
    event[field].as_u64().unwrap_or_else(|| panic!("no {field} in {event}"))
}

/// From the moment all children first served, there were as many slots as configured, after every event.
fn assert_no_dip(history: &[Value], slots: u64) {
    let full = history.iter().position(|event| number(event, "ready_slots") == slots).expect("all children served");
    for event in &history[full..] {
        assert!(number(event, "ready_slots") >= slots, "capacity dipped at {event}");
    }
}

/// Tasks that each executor was given, whether it has ended or still runs.
async fn given(node: &TestNode, history: &[Value]) -> BTreeMap<u64, u64> {
    let ended = history.iter().filter(|event| event["event"] == "exited");
    let mut given: BTreeMap<u64, u64> =
        ended.map(|event| (number(event, "executor"), number(event, "tasks_done"))).collect();
    for executor in node.executors().await {
        given.entry(number(&executor, "id")).or_insert(number(&executor, "tasks_done"));
    }
    given
}

#[tokio::test]
async fn a_thousand_tasks_pass_through_children_that_are_replaced_after_a_hundred_each() {
    let _machine = alone().await;
    let stage = Stage::new(Duration::from_millis(40)).await;
    let node = stage.node(&[("worker.max_tasks_per_child", "100")]).await;
    let workflow = node.workflow(&stage).await;
    let started = Instant::now();
    node.run_many(&workflow, 1000).await;
    stage.until_all_completed(1000, Duration::from_secs(60)).await;
    println!("1000 tasks in {:?}", started.elapsed());
    stage.assert_calls(1000, 0);

    let replaced = settled_history(&node).await;
    assert_no_dip(&replaced, SLOTS);
    let drained: Vec<&Value> = replaced.iter().filter(|event| event["event"] == "draining").collect();
    // With the largest overshoot there are this many at least.
    assert!(drained.len() as u64 >= 1000 / (100 + THREADS) - 2, "too few were replaced: {drained:?}");
    for event in &drained {
        assert_eq!(event["reason"], "max_tasks");
        let done = number(event, "tasks_done");
        // More than its share only while its replacement is on its way.
        assert!((100..=100 + THREADS).contains(&done), "replaced after {done}: {event}");
    }
    println!("replaced after {:?}", drained.iter().map(|event| number(event, "tasks_done")).collect::<Vec<_>>());
    assert!(replaced.iter().all(|event| event["event"] != "killed" && event["reason"] != "crashed"));
    // What runs is shown as it was at the last sample.
    until("every task was given once", SOON, async || {
        let given: u64 = given(&node, &replaced).await.values().sum();
        assert!(given <= 1000, "{given}");
        (given == 1000).then_some(())
    })
    .await;
}

/// Waits until every executor that was retired or killed has ended; answers what happened until then.
async fn settled_history(node: &TestNode) -> Vec<Value> {
    until("retired children have ended", SOON, async || {
        let history = node.history().await;
        let of = |name: &str| history.iter().filter(|event| event["event"] == name).count();
        (of("exited") >= of("draining")).then_some(history)
    })
    .await
}

/// The largest resident memory of the children as it was sampled, once all were.
async fn resident_kb(node: &TestNode) -> u64 {
    until("the children are measured", SOON, async || {
        let sampled: Option<Vec<u64>> =
            node.executors().await.iter().map(|executor| executor["rss_kb"].as_u64()).collect();
        sampled?.into_iter().max()
    })
    .await
}

#[tokio::test]
async fn children_that_pass_their_memory_ceiling_are_replaced_without_a_dip() {
    let _machine = alone().await;
    let stage = Stage::new(Duration::ZERO).await;
    let mut node = stage.node(&[("monitor.sample_ms", "50")]).await;
    let workflow = node.workflow(&stage).await;
    node.run_many(&workflow, 20).await;
    stage.until_all_completed(20, SOON).await;
    let base = resident_kb(&node).await;
    node.stop(SOON).await;

    let ceiling = (base + 4_000).max(20_000).to_string();
    let node = stage.node(&[("monitor.sample_ms", "50"), ("worker.max_memory_per_child_kb", &ceiling)]).await;
    // Some 500 KB each; far below twice the ceiling however many come together.
    let big = json!("big:100000");
    let submit = |number: usize| {
        let (node, workflow, big) = (&node, &workflow, &big);
        async move {
            match number % 3 {
                0 => node.run(workflow, &json!(format!("small {number}"))).await,
                _ => node.run(workflow, big).await,
            }
        }
    };
    futures_util::future::join_all((0..980).map(submit)).await;
    stage.until_all_completed(1000, Duration::from_secs(120)).await;
    let history = settled_history(&node).await;
    let replaced: Vec<u64> = history
        .iter()
        .filter(|event| event["event"] == "draining" && event["reason"] == "max_memory")
        .map(|event| number(event, "tasks_done"))
        .collect();
    println!("{base} KB at first, a ceiling of {ceiling} KB: replaced after {replaced:?} tasks");
    assert!(!replaced.is_empty(), "{history:?}");
    assert!(history.iter().all(|event| event["event"] != "killed" && event["reason"] != "crashed"), "{history:?}");
    assert_no_dip(&history, SLOTS);
    stage.assert_calls(1000, 0);
}

#[tokio::test]
async fn a_child_that_passes_twice_its_ceiling_is_killed_and_its_neighbours_run_elsewhere() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let settings = [
        ("monitor.sample_ms", "50"),
        ("worker.workers", "1"),
        ("worker.max_memory_per_child_kb", CEILING_KB),
        ("worker.max_answer_bytes", "100000000"),
        // The neighbours may meet the poison again before it is called off.
        ("worker.max_lost", "20"),
    ];
    let node = stage.node(&settings).await;
    let workflow = node.workflow(&stage).await;
    let mut neighbours = Vec::new();
    for _ in 0..3 {
        neighbours.push(node.run(&workflow, &json!("sleep:6")).await);
    }
    until("they run", SOON, async || (stage.source.calls().total == 3).then_some(())).await;
    let poison = node.run(&workflow, &json!(POISON)).await;
    until("the child is killed", SOON, async || {
        let killed = |event: &Value| event["event"] == "killed" && event["reason"] == "memory_wall";
        node.history().await.iter().any(killed).then_some(())
    })
    .await;
    until("the poison is lost", SOON, async || {
        let lost = node.attempts(&poison).await.into_iter().find(|attempt| attempt["status"] != "running")?;
        assert_eq!((&lost["status"], &lost["code"]), (&json!("lost"), &json!("memory_wall")));
        assert_eq!(lost["outcome_unknown"], true);
        Some(())
    })
    .await;
    node.post(&format!("/api/v1/tasks/{poison}/cancel"), &json!({})).await;
    for neighbour in &neighbours {
        let completed = node.until_task_is(neighbour, "completed").await;
        assert_eq!(completed["result"], "SLEEP:6");
        let attempts = node.attempts(neighbour).await;
        let (last, lost) = attempts.split_last().expect("attempts");
        assert_eq!(last["status"], "completed");
        assert!(!lost.is_empty() && lost.iter().all(|attempt| attempt["code"] == "memory_wall"), "{attempts:?}");
    }
}

#[tokio::test]
async fn a_task_that_kills_its_child_again_and_again_fails_in_the_end() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let settings = [
        ("monitor.sample_ms", "50"),
        ("worker.workers", "1"),
        ("worker.threads", "1"),
        ("worker.max_memory_per_child_kb", CEILING_KB),
        ("worker.max_answer_bytes", "100000000"),
    ];
    let node = stage.node(&settings).await;
    let workflow = node.workflow(&stage).await;
    let poison = node.run(&workflow, &json!(POISON)).await;
    let innocent = node.run(&workflow, &json!("after it")).await;
    let failed = node.until_task_is(&poison, "failed").await;
    assert_eq!(failed["tries"], 3);
    println!("{}", failed["error"]);
    let attempts = node.attempts(&poison).await;
    assert!(attempts.len() == 3 && attempts.iter().all(|attempt| attempt["status"] == "lost"), "{attempts:?}");
    assert_eq!(node.until_task_is(&innocent, "completed").await["tries"], 1);
}

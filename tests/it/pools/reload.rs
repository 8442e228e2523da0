//! SIGHUP takes over what the configuration says of pools and circuits, and nothing of a configuration that can't be used.

use std::time::Duration;

use automagik_spark::domain::clock::now;
use chrono::{DateTime, Utc};
use serde_json::json;

use super::{assert_no_attempt_was_lost, started_by_file, write_configuration};
use crate::harness::node::SOON;
use crate::harness::stage::Stage;
use crate::harness::until;
use crate::lifecycle::{alone, among_others};

fn pool(rest: &str) -> String {
    format!("[[pools]]\nname = \"celery\"\n{rest}\n")
}

const DONE: &str = "the configuration is reloaded";

#[tokio::test]
async fn pools_take_over_a_new_configuration_under_load() {
    let _machine = alone().await;
    let stage = Stage::new(Duration::from_millis(60)).await;
    write_configuration(&stage, &pool("queues = [\"celery\"]\nworkers = 1\nthreads = 2"));
    let node = started_by_file(&stage).await;
    let workflow = node.workflow(&stage).await;
    let other_queue = node.run(&workflow, &json!({"input_data": "nobody serves it yet", "queue": "extra"})).await;
    let steps = async {
        stage.until_some_completed(20).await;
        let larger = pool("queues = [\"celery\", \"extra\"]\nworkers = 3\nthreads = 4\nmax_tasks_per_child = 30");
        write_configuration(&stage, &format!("{larger}\n[log]\nlevel = \"debug\"\n[worker]\nmax_retries = 7\n"));
        node.reload("what differs in log.level, worker.max_retries takes a restart").await;
        let grown = node.until_pool_has(3).await;
        assert_eq!((&grown["threads"], &grown["queues"]), (&json!(4), &json!(["celery", "extra"])));
        assert_eq!((&grown["configured"]["workers"], &grown["kept_on_restart"]), (&json!(3), &json!(true)));
        stage.until_some_completed(200).await;

        write_configuration(&stage, &pool("queues = [\"celery\", \"extra\"]\nworkers = 0\nthreads = 4"));
        node.reload("the configuration can't be reloaded, so everything stays as it is").await;
        assert!(node.log().contains("pools[0].workers"), "{}", node.log());
        assert_eq!(node.pool().await["workers"], 3);

        write_configuration(&stage, &pool("queues = [\"extra\", \"celery\"]\nworkers = 1\nthreads = 5"));
        node.reload(DONE).await;
        let shrunk = node.until_pool_has(1).await;
        assert_eq!((&shrunk["ready_slots"], &shrunk["queues"]), (&json!(5), &json!(["extra", "celery"])));
    };
    let (tasks, ()) = tokio::join!(node.run_many(&workflow, 400), steps);
    stage.until_all_completed(tasks.len() + 1, Duration::from_secs(60)).await;
    stage.assert_calls(401, 0);
    assert_no_attempt_was_lost(&stage).await;
    node.until_task_is(&other_queue, "completed").await;
    let history = node.history().await;
    assert!(history.iter().any(|event| event["reason"] == "max_tasks"), "the new share counts: {history:?}");
    assert!(history.iter().all(|event| event["event"] != "killed" && event["reason"] != "crashed"), "{history:?}");
}

#[tokio::test]
async fn a_reload_brings_back_the_configured_size_and_changes_limits_of_what_starts_then() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    write_configuration(&stage, &pool("queues = [\"celery\"]\nworkers = 1\nthreads = 2"));
    let node = started_by_file(&stage).await;
    let workflow = node.workflow(&stage).await;
    node.resize(json!({"workers": 2, "threads": 3})).await;
    node.until_pool_has(2).await;
    let children = node.child_pids().await;

    let limited = pool("queues = [\"celery\"]\nworkers = 1\nthreads = 2\nsoft_time_limit_s = 0.5");
    write_configuration(&stage, &format!("{limited}\n[[pools]]\nname = \"new\"\nqueues = [\"new\"]\n"));
    node.reload("pools (new is new) takes a restart").await;
    let pool = node.until_pool_has(1).await;
    assert_eq!((&pool["threads"], &pool["kept_on_restart"]), (&json!(2), &json!(true)));
    assert_eq!(node.get("/api/v1/pools").await["total"], 1);
    assert!(children.contains(&node.child_pids().await[0]), "nobody was replaced for it");
    let slow = node.run(&workflow, &json!({"input_data": "sleep:20", "max_retries": 0})).await;
    let failed = node.until_task_is(&slow, "failed").await;
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("0.5")), "{failed}");
    node.reload(DONE).await;
    assert!(node.log().contains("threads 3 -> 2"), "{}", node.log());
}

#[tokio::test]
async fn when_a_source_is_left_alone_can_be_configured_and_is_taken_over() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let after = |failures| format!("[sources]\ncircuit_max_failures = {failures}\ncircuit_wait_s = 200\n");
    write_configuration(&stage, &after(2));
    let node = started_by_file(&stage).await;
    let workflow = node.workflow(&stage).await;
    let source = async || node.get("/api/v1/sources").await["items"][0].clone();
    let fail_until = async |failures: u64| {
        let task = node.run(&workflow, &json!({"input_data": "status:502", "max_retries": 0})).await;
        node.until_task_is(&task, "failed").await;
        until("it is noted", SOON, async || {
            let source = source().await;
            (source["circuit"]["failures"] == failures).then_some(source)
        })
        .await
    };
    assert_eq!(fail_until(1).await["circuit"]["state"], "closed");
    let open = fail_until(2).await;
    assert_eq!(open["circuit"]["state"], "open");
    let until_then: DateTime<Utc> = open["circuit"]["until"].as_str().expect("a time").parse().expect("RFC 3339");
    assert!((150..=200).contains(&(until_then - now()).num_seconds()), "{open}");
    // Called again, and from now on one failure is enough.
    let resume = format!("/api/v1/sources/{}/resume", open["id"].as_str().expect("an id"));
    node.post(&resume, &json!({})).await;
    write_configuration(&stage, &after(1));
    node.reload(DONE).await;
    assert_eq!(fail_until(1).await["circuit"]["state"], "open");
}

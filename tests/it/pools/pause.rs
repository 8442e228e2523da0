//! Nothing is started from a paused queue, on any node; everything else goes on.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{assert_no_attempt_was_lost, started_by_file, write_configuration};
use crate::harness::node::SOON;
use crate::harness::stage::Stage;
use crate::harness::until;
use crate::lifecycle::{alone, among_others};

const TASKS: usize = 400;

impl Stage {
    /// Waits until every node was seen alive after a time; with the short heartbeats of these tests time has passed.
    async fn until_nodes_are_alive_after(&self, time: DateTime<Utc>) {
        until("nodes go on", SOON, async || {
            let rows = self.rows("SELECT min(heartbeat_at) > $1 FROM nodes", &[&time]).await;
            rows[0].get::<_, Option<bool>>(0).filter(|is_after| *is_after)
        })
        .await;
    }

    async fn until_nothing_runs(&self) {
        until("what runs ends", SOON, async || {
            (self.count("SELECT count(*) FROM tasks WHERE status = 'running'").await == 0).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_pause_under_load_holds_on_two_nodes_until_it_is_resumed() {
    let _machine = alone().await;
    let stage = Stage::new(Duration::from_millis(60)).await;
    let settings = [
        ("node.heartbeat_s", "0.5"),
        ("node.lease_s", "15"),
        ("janitor.sweep_s", "0.5"),
        ("janitor.pending_grace_s", "0.5"),
        ("worker.workers", "1"),
    ];
    let (one, other) = (stage.node(&settings).await, stage.node(&settings).await);
    let workflow = one.workflow(&stage).await;
    one.run_many(&workflow, TASKS).await;
    stage.until_some_completed(60).await;

    let paused = one.act_on_queue("celery", "pause").await;
    let paused_at = automagik_spark::domain::clock::now();
    assert_eq!((&paused["paused"], &paused["pools"]), (&json!(true), &json!(["celery"])), "{paused}");
    stage.until_nothing_runs().await;
    // Accepted, and made by beat.
    one.run_many(&workflow, 20).await;
    let rule =
        json!({"workflow_id": workflow, "schedule_type": "one-time", "schedule_expr": "now", "input_value": "x"});
    one.post("/api/v1/schedules", &rule).await;
    until("beat makes its task", SOON, async || {
        (stage.count("SELECT count(*) FROM tasks").await == TASKS as i64 + 21).then_some(())
    })
    .await;
    for node in [&one, &other] {
        until("every node knows", Duration::from_secs(3), async || {
            let worker = &node.get("/health").await["services"]["worker"];
            (worker["paused_queues"] == json!(["celery"])).then_some(())
        })
        .await;
        assert_eq!(node.get("/health").await["status"], "healthy");
        assert!(node.figure("automagik_spark_queue_paused{queue=\"celery\"}").await > 0.5);
    }

    // Some rounds of the janitors and the intakes later nothing was fed, popped or started.
    let work = async || {
        let mut work = Vec::new();
        for node in [&one, &other] {
            for stage in ["feed", "claim"] {
                work.push(node.figure(&format!("automagik_spark_batch_items_total{{stage=\"{stage}\"}}")).await);
            }
        }
        work
    };
    let some_seconds = async |seconds| {
        let later = automagik_spark::domain::clock::now() + TimeDelta::seconds(seconds);
        stage.until_nodes_are_alive_after(later).await;
    };
    // Beat feeds what became pending since its last look.
    some_seconds(2).await;
    let before = work().await;
    some_seconds(3).await;
    assert_eq!(work().await, before);
    let late = stage.rows("SELECT count(*) FROM tasks WHERE started_at > $1", &[&paused_at]).await;
    assert_eq!(late[0].get::<_, i64>(0), 0, "nothing was started after the pause was answered");
    let queue = other.queue("celery").await;
    let pending = stage.count("SELECT count(*) FROM tasks WHERE status = 'pending'").await;
    assert!(pending > 21, "the pause came in the middle");
    assert_eq!((queue["depth"].as_i64(), queue["running"].as_i64()), (Some(pending), Some(0)), "{queue}");
    assert!(queue["paused_at"].is_string() && queue["oldest_age_s"].as_f64() > Some(1.0), "{queue}");
    for node in [&one, &other] {
        let trouble = ["missing in their mailboxes", "no tasks are taken in"];
        assert!(!trouble.iter().any(|line| node.log().contains(line)), "{}", node.log());
    }

    let resumed = other.act_on_queue("celery", "resume").await;
    assert_eq!((&resumed["paused"], &resumed["paused_at"]), (&json!(false), &json!(null)));
    stage.until_all_completed(TASKS + 21, Duration::from_secs(60)).await;
    stage.assert_calls(TASKS + 21, 0);
    assert_no_attempt_was_lost(&stage).await;
    let rate = one.queue("celery").await["rate_per_min"].as_i64().expect("a number")
        + other.queue("celery").await["rate_per_min"].as_i64().expect("a number");
    assert_eq!(rate, TASKS as i64 + 21, "all of it was within a minute");
}

#[tokio::test]
async fn a_pause_ahead_of_the_first_task_survives_a_restart_and_a_flushed_redis_and_leaves_other_queues_alone() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    write_configuration(&stage, "[[pools]]\nname = \"celery\"\nqueues = [\"celery\", \"direct\"]\nworkers = 1\n");
    let mut node = started_by_file(&stage).await;
    let workflow = node.workflow(&stage).await;
    assert_eq!(node.act_on_queue("later", "pause").await["pools"], json!([]), "no pool serves it, no task is in it");
    node.act_on_queue("celery", "pause").await;
    let since = node.act_on_queue("celery", "pause").await["paused_at"].clone();
    let waiting = node.run(&workflow, &json!("waits")).await;
    node.stop(SOON).await;

    let node = started_by_file(&stage).await;
    let queue = node.queue("celery").await;
    assert_eq!((&queue["paused"], &queue["paused_at"], &queue["depth"]), (&json!(true), &since, &json!(1)));
    assert_eq!(node.get("/health").await["services"]["worker"]["paused_queues"], json!(["celery", "later"]));
    let direct = node.run(&workflow, &json!({"input_data": "flows", "queue": "direct"})).await;
    node.until_task_is(&direct, "completed").await;
    assert_eq!(node.task(&waiting).await["status"], "pending");
    // What Redis forgets meanwhile is found again when it is wanted.
    let client = redis::Client::open(stage.servers.redis_url.as_str()).expect("a url");
    let mut redis = client.get_multiplexed_async_connection().await.expect("reachable");
    let _: () = redis::cmd("FLUSHALL").query_async(&mut redis).await.expect("flushed");
    node.act_on_queue("celery", "resume").await;
    let resumed_at = std::time::Instant::now();
    node.until_task_is(&waiting, "completed").await;
    println!("resumed and run within {:?}", resumed_at.elapsed());
    assert_eq!(node.get("/health").await["services"]["worker"]["paused_queues"], json!(["later"]));
    node.act_on_queue("later", "resume").await;
    stage.assert_calls(2, 0);
}

#[tokio::test]
async fn an_attempt_that_runs_when_its_queue_is_paused_goes_on_and_its_retry_waits() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let running = node.run(&workflow, &json!("sleep:2")).await;
    let failing = node.run(&workflow, &json!("fail:503")).await;
    until("both were tried", SOON, async || (stage.source.calls().total == 2).then_some(())).await;
    node.act_on_queue("celery", "pause").await;
    node.until_task_is(&running, "completed").await;
    node.until_task_is(&failing, "pending").await;
    assert_eq!(stage.source.calls().total, 2, "the retry was due and waits");
    let cancelled = node.post(&format!("/api/v1/tasks/{failing}/cancel"), &json!({})).await;
    assert_eq!(cancelled["status"], "cancelled");
    node.act_on_queue("celery", "resume").await;
    let again = node.run(&workflow, &json!("next")).await;
    node.until_task_is(&again, "completed").await;
    assert_eq!(stage.source.calls().total, 3);
}

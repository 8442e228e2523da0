//! A stop while everything hangs, and a task that is wanted again before its last attempt is over.

use std::time::{Duration, Instant};

use automagik_spark::dev::Signal;
use serde_json::json;

use super::freeze::freeze;
use crate::harness::node::{SOON, send};
use crate::harness::stage::Stage;
use crate::harness::until;
use crate::lifecycle::among_others;

/// What broke: the second signal ended the grace period only; each later phase went on to its limit, 30 s in all.
#[tokio::test]
async fn a_second_signal_ends_every_phase_while_everything_hangs() {
    let _machine = among_others().await;
    let mut stage = Stage::with_own_postgres(Duration::ZERO).await;
    let mut node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    for _ in 0..4 {
        node.run(&workflow, &json!({"input_data": "sleep:60"})).await;
    }
    until("they run", SOON, async || (stage.source.calls().total == 4).then_some(())).await;
    let frozen = (freeze(stage.servers.postgres().pid()), freeze(stage.servers.redis.pid()));
    node.signal(Signal::TERM);
    until("the service drains", SOON, async || node.log().contains("stopping: 4 attempts run").then_some(())).await;
    let hurried_at = Instant::now();
    node.signal(Signal::TERM);
    let status = node.wait_exit(SOON).await;
    println!("a hurried stop with everything hanging took {:?}", hurried_at.elapsed());
    assert!(hurried_at.elapsed() < Duration::from_secs(15), "{}", node.log());
    assert_eq!(status.code(), Some(75), "{}", node.log());
    drop(frozen);

    let node = stage.node(&[]).await;
    until("they run again", SOON, async || (stage.source.calls().total == 8).then_some(())).await;
    let rows = stage.rows("SELECT id::text FROM tasks", &[]).await;
    for row in rows {
        node.post(&format!("/api/v1/tasks/{}/cancel", row.get::<_, String>(0)), &json!({})).await;
    }
    assert_eq!(stage.source.calls().repeated.len(), 4);
}

/// What broke: the id was taken out of the mailbox and passed over, for the cancelled attempt was still in flight here;
/// it took 2 to 10 s until somebody missed it.
#[tokio::test]
async fn a_task_that_is_cancelled_and_retried_at_once_runs_at_once() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    // Nobody who reconciles is to help.
    let node = stage.node(&[("janitor.pending_grace_s", "600")]).await;
    let workflow = node.workflow(&stage).await;
    let mut waits = Vec::new();
    for number in 1..=20 {
        let task = node.run(&workflow, &json!({"input_data": "sleep:60"})).await;
        until("it runs", SOON, async || (stage.source.calls().total == number * 2 - 1).then_some(())).await;
        node.post(&format!("/api/v1/tasks/{task}/cancel"), &json!({})).await;
        let retried_at = Instant::now();
        node.post(&format!("/api/v1/tasks/{task}/retry"), &json!({})).await;
        until("it runs again", SOON, async || (stage.source.calls().total == number * 2).then_some(())).await;
        waits.push(retried_at.elapsed());
        node.post(&format!("/api/v1/tasks/{task}/cancel"), &json!({})).await;
    }
    waits.sort_unstable();
    println!("retried tasks ran again after {waits:?}");
    assert!(waits[10] < Duration::from_secs(1), "{waits:?}");
}

/// What broke: a child that was wedged kept the slot of a cancelled attempt until its hard time limit, minutes later.
#[tokio::test]
async fn a_child_that_does_not_end_a_cancelled_attempt_is_replaced() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[("worker.workers", "1"), ("worker.threads", "1")]).await;
    let workflow = node.workflow(&stage).await;
    let task = node.run(&workflow, &json!({"input_data": "sleep:60"})).await;
    until("it runs", SOON, async || (stage.source.calls().total == 1).then_some(())).await;
    send(node.child_pids().await[0], Signal::STOP);
    node.post(&format!("/api/v1/tasks/{task}/cancel"), &json!({})).await;
    let cancelled_at = Instant::now();
    let next = node.run(&workflow, &json!({"input_data": "next"})).await;
    node.until_task_is(&next, "completed").await;
    println!("the slot of a wedged child was free again after {:?}", cancelled_at.elapsed());
    let task = node.task(&task).await;
    assert_eq!((&task["status"], &task["tries"]), (&json!("cancelled"), &json!(1)));
    assert_eq!(stage.source.calls().total, 2);
}

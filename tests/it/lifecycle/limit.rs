//! Time limits, retries, and changes by hand.

use std::time::{Duration, Instant};

use automagik_spark::dev::Signal;
use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use super::among_others;
use crate::harness::node::{SOON, TestNode, send};
use crate::harness::stage::Stage;
use crate::harness::until;

fn time(value: &Value) -> DateTime<Utc> {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    text.parse().expect("a time")
}

fn seconds_between(earlier: &Value, later: &Value) -> f64 {
    (time(later) - time(earlier)).as_seconds_f64()
}

async fn change(node: &TestNode, task: &str, what: &str) -> Value {
    node.post(&format!("/api/v1/tasks/{task}/{what}"), &json!({})).await
}

#[tokio::test]
async fn an_attempt_that_passes_its_soft_limit_is_cancelled_and_tried_again() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let task = node.run(&workflow, &json!({"input_data": "hang", "timeout": 1, "max_retries": 1})).await;
    let failed = node.until_task_is(&task, "failed").await;
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("soft_time_limit_s")), "{failed}");
    let attempts = node.attempts(&task).await;
    assert_eq!(attempts.len(), 2);
    for attempt in &attempts {
        assert_eq!((&attempt["status"], &attempt["code"]), (&json!("timed_out"), &json!("soft_time_limit")));
        assert_eq!(attempt["outcome_unknown"], true);
        let took = seconds_between(&attempt["started_at"], &attempt["finished_at"]);
        assert!((1.0..2.5).contains(&took), "{attempt}");
    }
    assert!(node.history().await.iter().all(|event| event["event"] != "killed"), "no child was harmed");
}

#[tokio::test]
async fn a_child_that_can_not_keep_a_soft_limit_is_killed_at_the_hard_one() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let limits = [("worker.workers", "1"), ("worker.soft_time_limit_s", "30"), ("worker.time_limit_s", "31")];
    let node = stage.node(&limits).await;
    let workflow = node.workflow(&stage).await;
    let mut neighbours = Vec::new();
    for _ in 0..3 {
        neighbours.push(node.run(&workflow, &json!("sleep:1.5")).await);
    }
    let victim = node.run(&workflow, &json!({"input_data": "hang", "timeout": 1, "max_retries": 0})).await;
    until("all run", SOON, async || (stage.source.calls().total == 4).then_some(())).await;
    let child = node.child_pids().await[0];
    send(child, Signal::STOP);
    let frozen_at = Instant::now();
    let failed = node.until_task_is(&victim, "failed").await;
    println!("a frozen child was killed {:?} after it froze; its hard limit was 2 s", frozen_at.elapsed());
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("time_limit_s")), "{failed}");
    let attempts = node.attempts(&victim).await;
    assert_eq!((&attempts[0]["status"], &attempts[0]["code"]), (&json!("timed_out"), &json!("hard_time_limit")));
    for neighbour in &neighbours {
        let completed = node.until_task_is(neighbour, "completed").await;
        assert_eq!(completed["tries"], 2);
        let attempts = node.attempts(neighbour).await;
        assert_eq!((&attempts[0]["status"], &attempts[0]["code"]), (&json!("lost"), &json!("neighbour_killed")));
        assert_eq!(attempts[1]["status"], "completed");
    }
    assert_ne!(node.child_pids().await, [child]);
}

#[tokio::test]
async fn a_transient_failure_is_retried_after_two_seconds_and_a_permanent_one_never() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let permanent = node.run(&workflow, &json!("status:404")).await;
    let transient = node.run(&workflow, &json!({"input_data": "fail:no luck", "max_retries": 1})).await;
    let failed = node.until_task_is(&permanent, "failed").await;
    assert_eq!((&failed["tries"], &failed["next_retry_at"]), (&json!(1), &Value::Null));
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("404")), "{failed}");

    let retrying = node.until_task_is(&transient, "retrying").await;
    assert!(retrying["error"].as_str().is_some_and(|error| error.contains("no luck")), "{retrying}");
    let attempts = node.attempts(&transient).await;
    let wait = seconds_between(&attempts[0]["finished_at"], &retrying["next_retry_at"]);
    assert!((1.75..=2.25).contains(&wait), "2 s within a tenth, not {wait}");
    let failed = node.until_task_is(&transient, "failed").await;
    assert_eq!(failed["tries"], 2);
    let attempts = node.attempts(&transient).await;
    let late = seconds_between(&retrying["next_retry_at"], &attempts[1]["started_at"]);
    println!("a retry began {late} s after it was due");
    assert!((0.0..1.5).contains(&late), "{late}");

    // The last one, for from then on the source is left alone.
    let asked_to_wait = node.run(&workflow, &json!("status:429:7")).await;
    let retrying = node.until_task_is(&asked_to_wait, "retrying").await;
    let attempts = node.attempts(&asked_to_wait).await;
    let wait = seconds_between(&attempts[0]["finished_at"], &retrying["next_retry_at"]);
    assert!((6.9..8.0).contains(&wait), "as long as the source asked for, not {wait}");
    assert_eq!(change(&node, &asked_to_wait, "cancel").await["status"], "cancelled");

    // By hand it starts afresh: the retries are unused again, the attempts are numbered on.
    assert_eq!(change(&node, &transient, "retry").await["status"], "pending");
    let retrying = node.until_task_is(&transient, "retrying").await;
    assert_eq!(retrying["tries"], 3);
    assert_eq!(change(&node, &transient, "cancel").await["status"], "cancelled");
    let calls = stage.source.calls();
    assert_eq!((calls.total, calls.repeated.get(&transient)), (5, Some(&3)));
}

#[tokio::test]
async fn a_task_is_cancelled_while_it_waits_and_while_it_runs() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[("worker.workers", "1"), ("worker.threads", "1")]).await;
    let workflow = node.workflow(&stage).await;
    let running = node.run(&workflow, &json!("hang")).await;
    until("it runs", SOON, async || (stage.source.calls().total == 1).then_some(())).await;
    let waiting = node.run(&workflow, &json!("behind the one that hangs")).await;
    let next = node.run(&workflow, &json!("next")).await;
    assert_eq!(change(&node, &waiting, "cancel").await["status"], "cancelled");
    assert_eq!(node.task(&running).await["status"], "running");

    let cancelled_at = Instant::now();
    let cancelled = change(&node, &running, "cancel").await;
    assert_eq!(cancelled["status"], "cancelled");
    node.until_task_is(&next, "completed").await;
    println!("the slot of a cancelled attempt was used {:?} later", cancelled_at.elapsed());
    node.until_idle().await;
    let attempts = node.attempts(&running).await;
    assert_eq!((attempts.len(), &attempts[0]["status"]), (1, &json!("cancelled")));
    assert_eq!(node.task(&running).await["finished_at"], cancelled["finished_at"], "its late outcome changed nothing");
    assert_eq!((node.attempts(&waiting).await.len(), node.task(&waiting).await["tries"].clone()), (0, json!(0)));
    assert_eq!(stage.source.calls().distinct_sessions, 2, "the one that waited was never run");

    let refused = node.try_ask(Method::POST, &format!("/api/v1/tasks/{next}/cancel"), Some(&json!({}))).await;
    assert_eq!(refused.expect("an answer").status, 400);
    let refused = node.try_ask(Method::POST, &format!("/api/v1/tasks/{next}/retry"), Some(&json!({}))).await;
    assert_eq!(refused.expect("an answer").status, 400);
    assert_eq!(change(&node, &waiting, "retry").await["status"], "pending");
    node.until_task_is(&waiting, "completed").await;
}

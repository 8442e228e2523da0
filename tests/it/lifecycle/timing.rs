//! What is due fires when it is due, once, however many services there are.

use std::time::{Duration, Instant};

use automagik_spark::dev::Signal;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{alone, among_others};
use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::Stage;
use crate::harness::until;

async fn schedule(node: &TestNode, workflow: &str, kind: &str, expr: &str) -> Value {
    let rule = json!({"workflow_id": workflow, "schedule_type": kind, "schedule_expr": expr, "input_value": "tick"});
    node.post("/api/v1/schedules", &rule).await
}

fn id(value: &Value) -> uuid::Uuid {
    value["id"].as_str().expect("an id").parse().expect("a UUID")
}

/// The occurrences of a schedule that made tasks: when they were due, and when their tasks were made.
async fn occurrences(stage: &Stage, schedule: &Value) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let sql = "SELECT scheduled_for, created_at FROM tasks WHERE schedule_id = $1 ORDER BY scheduled_for";
    stage.rows(sql, &[&id(schedule)]).await.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn disable(node: &TestNode, schedule: &Value) {
    node.post(&format!("/api/v1/schedules/{}/disable", id(schedule)), &json!({})).await;
}

#[tokio::test]
async fn a_one_time_now_runs_within_a_tenth_of_a_second() {
    let _machine = alone().await;
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let mut delays = Vec::new();
    for _ in 0..9 {
        let asked_at = automagik_spark::domain::clock::now();
        let schedule = schedule(&node, &workflow, "one-time", "now").await;
        let started_at: DateTime<Utc> = until("it has run", SOON, async || {
            let sql = "SELECT started_at FROM tasks WHERE schedule_id = $1 AND status = 'completed'";
            Some(stage.rows(sql, &[&id(&schedule)]).await.first()?.get(0))
        })
        .await;
        delays.push((started_at - asked_at).num_milliseconds());
        let schedule = node.get(&format!("/api/v1/schedules/{}", id(&schedule))).await;
        assert_eq!(schedule["status"], "completed");
    }
    delays.sort_unstable();
    println!("ms from the request to the start of the attempt: {delays:?}");
    assert!(delays[delays.len() / 2] < 100, "{delays:?}");
    stage.assert_calls(9, 0);
}

#[tokio::test]
async fn two_services_fire_each_second_once() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let (one, other) = tokio::join!(stage.node(&[]), stage.node(&[]));
    let workflow = one.workflow(&stage).await;
    let schedule = schedule(&one, &workflow, "interval", "1s").await;
    until("twelve occurrences", SOON, async || (occurrences(&stage, &schedule).await.len() >= 12).then_some(())).await;
    disable(&other, &schedule).await;
    let fired = occurrences(&stage, &schedule).await;
    for pair in fired.windows(2) {
        assert_eq!(pair[1].0 - pair[0].0, TimeDelta::seconds(1), "none is left out, none comes twice: {fired:?}");
    }
    let mut late: Vec<i64> = fired.iter().map(|(due, made)| (*made - *due).num_milliseconds()).collect();
    late.sort_unstable();
    println!("ms from the second to its task: {late:?}");
    assert!(late[0] >= 0 && late[late.len() / 2] < 200, "{late:?}");
    // What had not started when the schedule was disabled is called off, with a note.
    assert_eq!(stage.count("SELECT count(*) FROM schedule_skips WHERE reason <> 'paused'").await, 0);
    let count = stage.count("SELECT count(*) FROM tasks WHERE status <> 'cancelled'").await as usize;
    until("all have ended", SOON, async || {
        let open = "SELECT count(*) FROM tasks WHERE status NOT IN ('completed', 'cancelled')";
        (stage.count(open).await == 0).then_some(())
    })
    .await;
    stage.assert_calls(count, 0);
}

/// Two at once look for what a dead one left, and each finds all of it.
#[tokio::test]
async fn tasks_of_a_dead_service_are_taken_over_once_though_two_look_for_them() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let fast = [("node.lease_s", "2"), ("node.heartbeat_s", "0.5"), ("janitor.sweep_s", "0.2")];
    let mut dead = stage.node(&fast).await;
    let workflow = dead.workflow(&stage).await;
    for _ in 0..8 {
        dead.run(&workflow, &json!("sleep:5")).await;
    }
    until("all run", SOON, async || (stage.source.calls().total == 8).then_some(())).await;
    let _others = tokio::join!(stage.node(&fast), stage.node(&fast));
    dead.kill().await;
    stage.until_all_completed(8, SOON).await;
    stage.assert_calls(8, 8);
    let told = "SELECT count(*) FROM task_attempts WHERE (attempt, status, coalesce(code, ''))
                IN ((1, 'lost', 'node_dead'), (2, 'completed', ''))";
    assert_eq!(stage.count(told).await, 16);
    assert_eq!(stage.count("SELECT count(*) FROM task_attempts").await, 16);
}

/// Waits up to a minute, so it holds nobody up: how late it may be is generous.
#[tokio::test]
async fn a_cron_schedule_fires_at_the_minute() {
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let schedule = schedule(&node, &workflow, "cron", "* * * * *").await;
    let (due, made) =
        until("the minute", Duration::from_secs(70), async || occurrences(&stage, &schedule).await.first().copied())
            .await;
    disable(&node, &schedule).await;
    assert_eq!(due.timestamp() % 60, 0);
    let late = (made - due).num_milliseconds();
    println!("the minute's task was made {late} ms after it began");
    assert!((0..1000).contains(&late), "{late} ms");
    until("it has ended", SOON, async || {
        (stage.count("SELECT count(*) FROM tasks WHERE status IN ('pending', 'running')").await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_frozen_service_loses_its_tasks_to_another_and_changes_nothing_when_it_wakes() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let fast = [("node.lease_s", "2"), ("node.heartbeat_s", "0.5"), ("janitor.sweep_s", "0.5")];
    let frozen = stage.node(&fast).await;
    let workflow = frozen.workflow(&stage).await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        tasks.push(frozen.run(&workflow, &json!("sleep:6")).await);
    }
    until("all run", SOON, async || (stage.source.calls().total == 4).then_some(())).await;
    let other = stage.node(&fast).await;
    frozen.signal(Signal::STOP);
    let frozen_at = Instant::now();
    until("the other takes them over", SOON, async || (stage.source.calls().total == 8).then_some(())).await;
    println!("tasks of a frozen service with a lease of 2 s run elsewhere after {:?}", frozen_at.elapsed());
    frozen.signal(Signal::CONT);
    frozen.until_idle().await;
    for task in &tasks {
        let completed = other.until_task_is(task, "completed").await;
        assert_eq!((&completed["tries"], &completed["result"]), (&json!(2), &json!("SLEEP:6")));
        let attempts = other.attempts(task).await;
        let told: Vec<_> = attempts.iter().map(|attempt| (&attempt["attempt"], &attempt["status"])).collect();
        assert_eq!(told, [(&json!(1), &json!("lost")), (&json!(2), &json!("completed"))]);
        assert_eq!(attempts[0]["code"], "node_dead");
        assert_ne!(attempts[0]["node_id"], Value::Null);
    }
    assert_eq!(stage.source.calls().total, 8, "no task ran a third time");
    assert_eq!(stage.count("SELECT count(*) FROM nodes WHERE lease_until > now()").await, 2, "it is back");
}

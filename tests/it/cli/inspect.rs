//! `worker inspect`, against a running service.

use std::time::Duration;

use serde_json::json;

use super::{Ended, program};
use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::{API_KEY, Stage};
use crate::harness::until;

fn inspect(stage: &Stage, node: &TestNode, arguments: &[&str]) -> Ended {
    let mut command = program(stage.directory());
    command.env("AUTOMAGIK_SPARK_REMOTE_URL", node.url()).env("AUTOMAGIK_SPARK_API_KEY", API_KEY);
    command.args(["worker", "inspect"]).args(arguments).output().expect("started").into()
}

#[tokio::test]
async fn what_runs_waits_and_comes_later_is_told_apart() {
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[("worker.workers", "1"), ("worker.threads", "1")]).await;
    let workflow = node.workflow(&stage).await;
    let retried = node.run(&workflow, &json!({"input_data": "status:503", "max_retries": 9})).await;
    node.until_task_is(&retried, "retrying").await;
    let running = node.run(&workflow, &json!("sleep:30")).await;
    node.until_task_is(&running, "running").await;
    let waiting = node.run(&workflow, &json!("later")).await;
    let delayed = node.run(&workflow, &json!({"input_data": "much later", "delay": 3600})).await;
    let schedule = json!({"workflow_id": workflow, "schedule_type": "cron", "schedule_expr": "0 3 * * *"});
    let schedule = node.post("/api/v1/schedules", &schedule).await;

    let active = inspect(&stage, &node, &["active", "-o", "json"]).ok().json();
    assert_eq!((&active["total"], &active["items"][0]["id"]), (&json!(1), &json!(running)));
    let reserved = inspect(&stage, &node, &["reserved", "-o", "json"]).ok().json();
    let ids: Vec<_> = reserved["items"].as_array().expect("a list").iter().map(|task| &task["id"]).collect();
    assert!(ids.contains(&&json!(waiting)) && !ids.contains(&&json!(delayed)), "{reserved}");
    assert_eq!(reserved["total"], ids.len(), "{reserved}");
    let scheduled = inspect(&stage, &node, &["scheduled", "-o", "json"]).ok().json();
    assert_eq!(scheduled["schedules"]["items"][0]["id"], schedule["id"]);
    assert_eq!((&scheduled["delayed"]["total"], &scheduled["delayed"]["items"][0]["id"]), (&json!(1), &json!(delayed)));
    let later = inspect(&stage, &node, &["scheduled"]).ok().stdout;
    assert!(later.contains("schedule") && later.contains("in "), "{later}");
    let row = later.lines().find(|line| line.contains("delayed")).expect("the delayed one");
    assert!(row.starts_with("in 59 min") || row.starts_with("in 1 h") || row.starts_with("in 60 min"), "{row}");

    node.post(&format!("/api/v1/tasks/{running}/cancel"), &json!({})).await;
    node.until_task_is(&waiting, "completed").await;
    let child = node.child_pids().await[0];
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(child.cast_signed()).expect("a pid"),
        rustix::process::Signal::KILL,
    )
    .expect("it runs");
    until("the crash is counted and another child is ready", SOON, async || {
        let stats = inspect(&stage, &node, &["stats"]).ok().stdout;
        let pool = stats.lines().nth(1)?.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>();
        (pool.first() == Some(&"celery") && pool.get(2) == Some(&"1 of 1") && pool.last() == Some(&"1")).then_some(())
    })
    .await;
    for unfinished in [retried, delayed] {
        node.post(&format!("/api/v1/tasks/{unfinished}/cancel"), &json!({})).await;
    }
}

//! A PostgreSQL that accepts what is said to it and answers nothing: frozen, or behind a cable that was pulled.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::freeze::freeze;
use super::proxy_of_database;
use crate::harness::node::{SOON, TestNode, http_client};
use crate::harness::proxy::Traffic;
use crate::harness::stage::{API_KEY, Stage};
use crate::harness::until;
use crate::lifecycle::{alone, among_others};

/// Longest time that a request may wait while PostgreSQL does not answer: a second until it is asked, two until it is
/// known, three for a statement that is under way.
const REFUSED_WITHIN: Duration = Duration::from_secs(7);
/// What a busy machine may add.
const MARGIN: Duration = Duration::from_secs(4);

/// Asks for something that takes the database. Answers the status, the value of `Retry-After`, the code and the time it
/// took.
async fn ask(node: &TestNode, method: Method, path: &str) -> (u16, Option<String>, Value, Duration) {
    let asked_at = Instant::now();
    let request = http_client().request(method, format!("{}{path}", node.url())).header("X-API-Key", API_KEY);
    let response = request.json(&json!({"input_data": "not stored"})).send().await.expect("the service answers");
    let retry_after = response.headers().get("Retry-After").map(|value| value.to_str().expect("text").to_owned());
    let status = response.status().as_u16();
    let body: Value = response.json().await.expect("JSON");
    (status, retry_after, body["code"].clone(), asked_at.elapsed())
}

/// Every request is refused within seconds, and says when to come again.
async fn assert_refused_soon(node: &TestNode, workflow: &str, limit: Duration) {
    let run = format!("/api/v1/workflows/{workflow}/run");
    let asked = [(Method::POST, run.as_str()), (Method::GET, "/api/v1/tasks"), (Method::GET, "/api/v1/schedules")];
    let answers = asked.map(|(method, path)| ask(node, method, path));
    for (status, retry_after, code, took) in futures_util::future::join_all(answers).await {
        println!("refused after {took:?}");
        assert_eq!((status, &code), (503, &json!("database_unavailable")));
        assert!(retry_after.is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0)));
        assert!(took < limit, "{took:?}");
    }
}

/// Starts tasks of two seconds in every slot, and some that wait.
async fn busy(stage: &Stage, node: &TestNode, workflow: &str) {
    for _ in 0..12 {
        node.run(workflow, &json!({"input_data": "sleep:2"})).await;
    }
    until("all slots are busy", SOON, async || (stage.source.calls().total == 8).then_some(())).await;
}

#[tokio::test]
async fn a_frozen_postgres_holds_no_request_up_and_loses_no_outcome() {
    let _machine = alone().await;
    let mut stage = Stage::with_own_postgres(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    busy(&stage, &node, &workflow).await;
    let frozen = freeze(stage.servers.postgres().pid());
    assert_refused_soon(&node, &workflow, REFUSED_WITHIN + MARGIN).await;
    // Now it is known.
    assert_refused_soon(&node, &workflow, Duration::from_secs(2) + MARGIN).await;
    until("what ran has ended", SOON, async || {
        let workers = node.get("/api/v1/workers").await;
        let active = |executor: &Value| executor["active_attempts"] == 0;
        workers["items"].as_array().expect("a list").iter().all(active).then_some(())
    })
    .await;
    assert_eq!(stage.source.calls().total, 8, "nothing new is started");
    frozen.thaw();
    let back_at = Instant::now();
    stage.until_some_completed(8).await;
    println!("the outcomes that waited are stored {:?} after the thaw", back_at.elapsed());
    assert!(back_at.elapsed() < Duration::from_secs(3) + MARGIN);
    stage.until_all_completed(12, SOON).await;
    stage.assert_calls(12, 0);
    assert_eq!(stage.count("SELECT count(*) FROM task_attempts WHERE status = 'completed'").await, 12);
}

/// What was on its way when the cable was pulled arrives when it is plugged in, long after its sender has given it up.
#[tokio::test]
async fn statements_that_arrive_late_change_nothing_that_counts() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::from_millis(100)).await;
    let (proxy, url) = proxy_of_database(&stage);
    let node = stage.node(&[("database.url", &url), ("worker.max_lost", "10")]).await;
    let workflow = node.workflow(&stage).await;
    let mut submitted = 0;
    for _ in 0..3 {
        node.run_many(&workflow, 100).await;
        submitted += 100;
        stage.until_some_completed(submitted - 80).await;
        proxy.set(Traffic::Stall);
        until("it is noticed", SOON, async || {
            (node.get("/health").await["services"]["database"]["status"] == "unhealthy").then_some(())
        })
        .await;
        assert_refused_soon(&node, &workflow, REFUSED_WITHIN + MARGIN).await;
        proxy.set(Traffic::Pass);
        let back_at = Instant::now();
        let before = stage.source.calls().total;
        until("tasks start again", SOON, async || (stage.source.calls().total > before).then_some(())).await;
        println!("tasks start {:?} after the cable is plugged in", back_at.elapsed());
    }
    // A request that was refused may have been stored in the end: that one runs too.
    until("all have ended", Duration::from_secs(60), async || {
        let statuses = stage.statuses().await;
        let completed = statuses.get("completed").copied().unwrap_or(0);
        (completed >= 300 && statuses == BTreeMap::from([("completed".to_owned(), completed)])).then_some(())
    })
    .await;
    let calls = stage.source.calls();
    println!("{} calls, {:?} repeated", calls.total, calls.repeated);
    assert!(calls.repeated.is_empty(), "an attempt whose claim was given up never called: {:?}", calls.repeated);
    let odd = "SELECT count(*) FROM task_attempts WHERE status <> 'completed' AND code IS DISTINCT FROM 'not_started'";
    assert_eq!(stage.count(odd).await, 0);
}

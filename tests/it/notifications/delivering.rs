//! What running services send.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::receiver::Receiver;
use crate::harness::node::{SOON, TestNode};
use crate::harness::stage::Stage;
use crate::harness::until;

const PATH: &str = "/api/v1/notifications";

/// A notification about failed tasks; its id and its secret.
async fn add(node: &TestNode, name: &str, url: &str, more: Value) -> (String, String) {
    let mut body = json!({ "name": name, "url": url, "events": ["task.failed"] });
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let made = node.post(PATH, &body).await;
    let text = |field: &str| made[field].as_str().unwrap_or_default().to_owned();
    (text("id"), text("secret"))
}

async fn deliveries(node: &TestNode, id: &str) -> Vec<Value> {
    node.get(&format!("{PATH}/{id}/deliveries")).await["items"].as_array().unwrap().clone()
}

/// Waits until all deliveries are in a status; answers them.
async fn until_all(node: &TestNode, id: &str, status: &str) -> Vec<Value> {
    until(status, SOON, async || {
        let all = deliveries(node, id).await;
        (!all.is_empty() && all.iter().all(|delivery| delivery["status"] == status)).then_some(all)
    })
    .await
}

/// Moves what waits to be tried again to now.
async fn make_due(stage: &Stage) {
    stage.rows("UPDATE notification_deliveries SET next_try_at = now() WHERE next_try_at IS NOT NULL", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_failed_is_told_of_signed_and_again_until_it_arrives() {
    let (stage, receiver, other) = tokio::join!(Stage::new(Duration::ZERO), Receiver::start(), Receiver::start());
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let (id, secret) = add(&node, "on-call", &receiver.url(), json!({})).await;
    add(&node, "off", &other.url(), json!({ "status": "inactive" })).await;
    add(&node, "of-this-workflow", &other.url(), json!({ "workflow_id": workflow })).await;
    receiver.plan("500 Oops|{\"detail\": \"no disk\"}");
    receiver.plan("302 Found");

    let task = node.run(&workflow, &json!({"input_data": "status:404", "max_retries": 0})).await;
    let failed = node.until_task_is(&task, "failed").await;
    // One that completes is nobody's business.
    let fine = node.run(&workflow, &json!("fine")).await;
    node.until_task_is(&fine, "completed").await;

    let first = receiver.until_got(1).await.remove(0);
    first.assert_signed(&secret);
    let message = first.json();
    assert_eq!((message["type"].as_str(), &message["data"]["task_id"]), (Some("task.failed"), &json!(task)));
    assert_eq!(message["data"]["error"], failed["error"]);
    assert_eq!((&message["data"]["workflow_id"], &message["data"]["queue"]), (&json!(workflow), &json!("celery")));
    let log = until("it is tried again later", SOON, async || {
        let log = deliveries(&node, &id).await;
        (log[0]["last_status"] == 500).then_some(log)
    })
    .await;
    assert_eq!((&log[0]["status"], &log[0]["tries"], &log[0]["id"]), (&json!("pending"), &json!(1), &json!(first.id)));
    assert!(log[0]["last_error"].as_str().unwrap().contains("no disk"), "{log:?}");
    assert!(log[0]["next_try_at"].is_string() && log[0]["body"] == message);

    make_due(&stage).await;
    receiver.until_got(2).await;
    until("a redirect is not followed", SOON, async || {
        (deliveries(&node, &id).await[0]["last_status"] == 302).then_some(())
    })
    .await;
    make_due(&stage).await;
    let all = receiver.until_got(3).await;
    for again in &all {
        assert_eq!((&again.id, &again.text), (&first.id, &first.text), "the same message");
        again.assert_signed(&secret);
    }
    let log = until_all(&node, &id, "delivered").await;
    assert_eq!((log.len(), &log[0]["tries"], &log[0]["last_error"]), (1, &json!(3), &Value::Null));
    assert_eq!(other.until_got(1).await[0].json()["data"]["task_id"], json!(task));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_to_be_sent_outlives_its_node_and_is_sent_once_by_two() {
    const TASKS: usize = 30;
    let (stage, receiver) = tokio::join!(Stage::new(Duration::ZERO), Receiver::start());
    let mut first = stage.node(&[]).await;
    let workflow = first.workflow(&stage).await;
    let (id, secret) = add(&first, "on-call", &receiver.url(), json!({})).await;
    // The first try is answered by nobody; the node is killed while it waits for that.
    receiver.plan("hang");
    let task = first.run(&workflow, &json!({"input_data": "status:404", "max_retries": 0})).await;
    first.until_task_is(&task, "failed").await;
    receiver.until_got(1).await;
    first.kill().await;
    assert_eq!(stage.count("SELECT count(*) FROM notification_deliveries WHERE status = 'pending'").await, 1);

    let (second, third) = tokio::join!(stage.node(&[]), stage.node(&[]));
    // Its lease still runs; a minute later somebody else takes it.
    make_due(&stage).await;
    let again = receiver.until_got(2).await;
    assert_eq!(again[0].id, again[1].id);
    until_all(&second, &id, "delivered").await;

    for number in 0..TASKS {
        let node = if number % 2 == 0 { &second } else { &third };
        node.run(&workflow, &json!({"input_data": "status:404", "max_retries": 0})).await;
    }
    until("all have failed", SOON, async || {
        (stage.statuses().await.get("failed").copied() == Some(TASKS as i64 + 1)).then_some(())
    })
    .await;
    let all = receiver.until_got(2 + TASKS).await;
    let mut tasks: Vec<String> = all[1..].iter().map(|message| message.json()["data"]["task_id"].to_string()).collect();
    tasks.sort();
    tasks.dedup();
    assert_eq!(tasks.len(), TASKS + 1, "each is told of, none twice");
    let log = until_all(&third, &id, "delivered").await;
    assert_eq!(log.len(), TASKS + 1);
    all.iter().for_each(|message| message.assert_signed(&secret));
    assert_eq!(receiver.got().len(), 2 + TASKS);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_receiver_that_hangs_holds_nobody_up_and_a_test_is_tried_once() {
    let (stage, bad, good) = tokio::join!(Stage::new(Duration::ZERO), Receiver::start(), Receiver::start());
    let node = stage.node(&[("node.roles", "api")]).await;
    let (bad_id, _) = add(&node, "bad", &bad.url(), json!({})).await;
    let (good_id, secret) = add(&node, "good", &good.url(), json!({ "status": "inactive" })).await;
    for _ in 0..20 {
        bad.plan("hang");
        node.post(&format!("{PATH}/{bad_id}/test"), &Value::Null).await;
    }
    until("it hangs", SOON, async || (!bad.got().is_empty()).then_some(())).await;
    node.post(&format!("{PATH}/{good_id}/test"), &Value::Null).await;
    let got = good.until_got(1).await;
    got[0].assert_signed(&secret);
    assert_eq!(got[0].json()["data"]["notification_name"], "good");
    until_all(&node, &good_id, "delivered").await;
    assert!(bad.got().len() <= 4, "so many at one time");
    // The first ones are given up after their ten seconds.
    let log = until("it is given up", SOON, async || {
        let log = deliveries(&node, &bad_id).await;
        log.iter().find(|delivery| delivery["status"] == "given_up").cloned()
    })
    .await;
    assert_eq!(log["tries"], 1);
    assert!(log["last_error"].as_str().unwrap().contains("did not answer in time"), "{log}");

    let gone = node.try_ask(Method::DELETE, &format!("{PATH}/{bad_id}"), None).await.unwrap();
    assert_eq!(gone.status, 200);
    assert_eq!(stage.count("SELECT count(*) FROM notification_deliveries WHERE status <> 'delivered'").await, 0);
}

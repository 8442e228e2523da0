//! Tasks that wait: no more than may, and the memory that requests take.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::api::client::{KEY, TestApi};
use crate::harness::node::{SOON, TestNode, http_client};
use crate::harness::stage::{API_KEY, Stage};
use crate::harness::until;

/// What a submission was answered: status, code, `Retry-After` and the task's id or the error's text.
async fn submit(node: &TestNode, workflow: &str, queue: &str, key: Option<&str>) -> (u16, String, Option<u64>, String) {
    let url = format!("{}/api/v1/workflows/{workflow}/run", node.url());
    let mut request = http_client().post(url).header("X-API-Key", API_KEY);
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    let response = request.json(&json!({"input_data": "x", "queue": queue})).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let retry_after = headers.get("retry-after").map(|after| after.to_str().unwrap().parse().unwrap());
    let body: Value = response.json().await.unwrap();
    let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    (status, text("code"), retry_after, if status == 200 { text("id") } else { text("detail") })
}

#[tokio::test]
async fn a_full_backlog_takes_no_more_but_schedules_still_make_their_tasks() {
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[("api.max_pending", "3"), ("api.max_pending_per_queue", "2")]).await;
    let workflow = node.workflow(&stage).await;
    node.post("/api/v1/queues/celery/pause", &Value::Null).await;

    let (status, _, _, first) = submit(&node, &workflow, "celery", Some("the first")).await;
    assert_eq!(status, 200);
    assert_eq!(submit(&node, &workflow, "celery", None).await.0, 200);
    let (status, code, retry_after, detail) = submit(&node, &workflow, "celery", None).await;
    assert_eq!((status, code.as_str(), retry_after), (429, "backlog_full", Some(10)));
    assert!(detail.contains("queue celery has 2") && detail.contains("api.max_pending_per_queue"), "{detail}");

    // No pool serves it.
    assert_eq!(submit(&node, &workflow, "nobody-s", None).await.0, 200);
    let (status, code, retry_after, detail) = submit(&node, &workflow, "other", None).await;
    assert_eq!((status, code.as_str(), retry_after), (429, "backlog_full", Some(10)));
    assert!(detail.contains("3 tasks are pending") && detail.contains("api.max_pending"), "{detail}");

    // A key that made a task finds it, and a free one makes none.
    assert_eq!(submit(&node, &workflow, "celery", Some("the first")).await.3, first);
    assert_eq!(submit(&node, &workflow, "celery", Some("another")).await.0, 429);
    let rule =
        json!({"workflow_id": workflow, "schedule_type": "one-time", "schedule_expr": "now", "input_value": "x"});
    node.post("/api/v1/schedules", &rule).await;
    until("beat makes its task", SOON, async || (stage.count("SELECT count(*) FROM tasks").await == 4).then_some(()))
        .await;
    // Also a count taken anew keeps the door closed.
    assert_eq!(submit(&node, &workflow, "celery", None).await.0, 429);

    node.post("/api/v1/queues/celery/resume", &Value::Null).await;
    until("there is room again", SOON, async || {
        (submit(&node, &workflow, "celery", None).await.0 == 200).then_some(())
    })
    .await;
    until("what may run has run", SOON, async || {
        (stage.statuses().await == BTreeMap::from([("completed".to_owned(), 4), ("pending".to_owned(), 1)]))
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn of_many_submissions_at_once_no_more_are_accepted_than_may_wait() {
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[("api.max_pending", "10")]).await;
    let workflow = node.workflow(&stage).await;
    node.post("/api/v1/queues/celery/pause", &Value::Null).await;
    let answers = join_all((0..60).map(|_| submit(&node, &workflow, "celery", None))).await;
    let mut statuses = BTreeMap::new();
    for (status, ..) in answers {
        *statuses.entry(status).or_insert(0) += 1;
    }
    assert_eq!(statuses, BTreeMap::from([(200, 10), (429, 50)]));
    assert_eq!(stage.count("SELECT count(*) FROM tasks").await, 10);
}

/// Bodies that come in slowly hold what they brought, so the room for large ones can be used up; small ones pass.
#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_that_have_no_room_are_refused_and_small_ones_pass() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    let api = TestApi::with(|options| options.max_bodies_bytes = 1_000_000).await;
    let workflow = api.add_workflow().await;
    let path = format!("/api/v1/workflows/{workflow}/run");
    let headers = [("X-API-Key", KEY), ("Content-Type", "application/json")];
    // 600 kB of a body that never ends.
    let mut slow = TcpStream::connect(api.address()).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n\""
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.write_all(&[b'x'; 600_000]).await.unwrap();
    let large = json!("y".repeat(800_000)).to_string();
    let refused = until("the room is taken", SOON, async || {
        let answer = api.raw("POST", &path, &headers, large.as_bytes()).await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!((&refused.json()["code"], &*refused.headers["retry-after"]), (&json!("overloaded"), "2"));
    api.run(&workflow, "small").await;
    // Who waits for the rest of a body is told in the end; here the client leaves, and its room with it.
    drop(slow);
    until("there is room again", SOON, async || {
        (api.raw("POST", &path, &headers, large.as_bytes()).await.status == 200).then_some(())
    })
    .await;
    let mut rest = TcpStream::connect(api.address()).await.unwrap();
    rest.write_all(b"GET /health HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    rest.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A hundred answers of the largest size would be a gigabyte.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_too_large_says_how_many_rows_fit() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    api.execute(&format!(
        "INSERT INTO tasks (id, workflow_id, status, queue, priority, max_retries, tries, result, created_at, updated_at, pending_at)
         SELECT gen_random_uuid(), '{workflow}', 'completed', 'celery', 5, 0, 1, repeat('x', 10000000), now(), now(), now()
           FROM generate_series(1, 20)"
    ))
    .await;
    let refused = api.get("/api/v1/tasks").await;
    let said = refused.expect(400);
    assert_eq!(said["code"], "page_too_large");
    assert_eq!(said["detail"], "the page is larger than 128 MB; ask for 13 or fewer at a time (limit=13)");
    let page = api.get("/api/v1/tasks?limit=2").await.expect(200);
    assert_eq!((page["items"].as_array().map(Vec::len), &page["total"]), (Some(2), &json!(20)));
}

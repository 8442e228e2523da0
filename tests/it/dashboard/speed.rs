//! A million tasks: every page that shows tasks is there at once.

use std::time::{Duration, Instant};

use automagik_spark::simulate::FLOW_ID;
use serde_json::json;

use crate::api::client::{KEY, SOURCE_KEY, TestApi};

const TASKS: i64 = 1_000_000;
/// Six times what the slowest takes in a build that is not optimized.
const AT_ONCE: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_quick_with_a_million_tasks() {
    let api = TestApi::start().await;
    let source = json!({"source_type": "langflow", "url": api.source.url(), "api_key": SOURCE_KEY});
    api.post("/api/v1/sources", source).await.expect(201);
    let sync = json!({"source_url": api.source.url()});
    let workflow = api.post(&format!("/api/v1/workflows/sync/{FLOW_ID}"), sync).await.expect(200)["id"].clone();
    let workflow = workflow.as_str().unwrap();
    // One in a hundred failed, a text that none has is searched.
    api.execute(&format!(
        "INSERT INTO tasks (id, workflow_id, status, input_data, result, error, tries, max_retries, queue, priority, \
                            created_at, updated_at, started_at, finished_at, pending_at)
         SELECT gen_random_uuid(), '{workflow}', CASE WHEN n % 100 = 0 THEN 'failed' ELSE 'completed' END,
                jsonb_build_object('value', 'question ' || n)::json, 'answer ' || n,
                CASE WHEN n % 100 = 0 THEN 'it broke' END, 1, 3, 'celery', 5, at, at, at, at + interval '2 s', at
           FROM (SELECT n, now() - n * interval '1 s' AS at FROM generate_series(1, {TASKS}) AS n) AS made"
    ))
    .await;
    api.execute("ANALYZE tasks").await;
    let newest = &api.get("/api/v1/tasks?limit=1&queue=celery").await.expect(200)["items"][0];
    let task = format!("/dashboard/tasks/{}", newest["id"].as_str().unwrap());
    let workflow_page = format!("/dashboard/workflows/{workflow}");
    let mut slow = Vec::new();
    for path in [
        "/dashboard",
        "/dashboard/tasks",
        "/dashboard/tasks?status=failed",
        "/dashboard/tasks?status=running",
        "/dashboard/tasks?q=question+123",
        "/dashboard/tasks?q=what+nobody+asked",
        "/dashboard/tasks?queue=none",
        "/dashboard/workflows",
        &task,
        &workflow_page,
    ] {
        let started = Instant::now();
        let page = api.raw("GET", path, &[("X-API-Key", KEY)], b"").await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        let took = started.elapsed();
        println!("{took:>8.1?} {path}");
        if took > AT_ONCE {
            slow.push((path.to_owned(), took));
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
    let page = api.raw("GET", "/dashboard/tasks?q=what+nobody+asked", &[("X-API-Key", KEY)], b"").await;
    assert!(page.text().contains("Look further back"), "a search says where it ended");
}

use serde_json::{Value, json};

use super::client::{TestApi, fields, id};

const FIELDS: [&str; 18] = [
    "created_at",
    "error",
    "finished_at",
    "id",
    "input_data",
    "max_retries",
    "next_retry_at",
    "output_data",
    "pending_at",
    "priority",
    "queue",
    "result",
    "schedule_id",
    "started_at",
    "status",
    "tries",
    "updated_at",
    "workflow_id",
];

async fn begin(api: &TestApi, task: &str, attempt: i32) {
    let sql = format!("UPDATE tasks SET status = 'running', tries = {attempt}, started_at = now() WHERE id = '{task}'");
    assert_eq!(api.execute(&sql).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_paged_newest_first() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let mut tasks = Vec::new();
    for number in 0..5 {
        tasks.insert(0, api.run(&workflow, &format!("Input {number}")).await);
    }
    let page = api.get("/api/v1/tasks/?limit=2&offset=1").await.expect(200);
    assert_eq!(fields(&page), ["has_more", "items", "limit", "next_cursor", "offset", "total"]);
    assert_eq!(fields(&page["items"][0]), FIELDS);
    assert_eq!((&page["total"], &page["has_more"]), (&json!(5), &json!(true)));
    assert_eq!(ids(&page), tasks[1..3]);

    // New tasks do not shift the pages that a cursor gives.
    let mut seen = ids(&api.get("/api/v1/tasks?limit=2").await.expect(200));
    let mut cursor = api.get("/api/v1/tasks?limit=2").await.expect(200)["next_cursor"].clone();
    api.run(&workflow, "later").await;
    while let Some(after) = cursor.as_str() {
        let page = api.get(&format!("/api/v1/tasks?limit=2&cursor={after}")).await.expect(200);
        seen.extend(ids(&page));
        cursor = page["next_cursor"].clone();
    }
    assert_eq!(seen, tasks);

    api.execute(&format!("UPDATE tasks SET status = 'completed', result = 'Done 50%' WHERE id = '{}'", tasks[0])).await;
    let source = api.get("/api/v1/sources").await.expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    let nobody = "00000000-0000-4000-8000-000000000000";
    for (filter, total) in [
        ("status=success".to_owned(), 1),
        ("status=completed".to_owned(), 1),
        ("status=pending".to_owned(), 5),
        ("status=".to_owned(), 6),
        (format!("workflow_id={workflow}"), 6),
        (format!("workflow_id={nobody}"), 0),
        (format!("source_id={source}"), 6),
        (format!("source_id={nobody}"), 0),
        (format!("schedule_id={nobody}"), 0),
        ("queue=celery".to_owned(), 6),
        ("queue=other".to_owned(), 0),
        ("created_after=2020-01-01T00:00:00Z&created_before=2999-01-01".to_owned(), 6),
        ("created_before=2020-01-01".to_owned(), 0),
        ("q=input%203".to_owned(), 1),
        ("q=50%25".to_owned(), 1),
        ("q=_".to_owned(), 0),
        ("unknown=1".to_owned(), 6),
        ("offset=100".to_owned(), 6),
    ] {
        let page = api.get(&format!("/api/v1/tasks?{filter}")).await.expect(200);
        assert_eq!(page["total"], total, "{filter}");
    }
    let bad = "limit=101&offset=-1&status=done&workflow_id=x&created_after=y&queue=a%20b&cursor=z";
    let refused = api.get(&format!("/api/v1/tasks?{bad}")).await.expect(422);
    assert_eq!(refused["detail"].as_array().unwrap().len(), 7, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_task_is_cancelled_and_retried() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let task = api.run(&workflow, "x").await;
    let path = format!("/api/v1/tasks/{task}");
    let refusal = api.act(&format!("{path}/retry")).await;
    assert_eq!(refusal.expect(400)["code"], "task_state");
    let cancelled = api.act(&format!("{path}/cancel/")).await.expect(200);
    assert_eq!(cancelled["status"], "cancelled");
    assert!(cancelled["finished_at"].is_string());
    assert_eq!(api.act(&format!("{path}/cancel")).await.status, 400);
    let again = api.act(&format!("{path}/retry")).await.expect(200);
    assert_eq!((&again["status"], &again["finished_at"]), (&json!("pending"), &Value::Null));
    assert_eq!(api.get(&format!("{path}/attempts")).await.expect(200)["items"], json!([]));
    assert_eq!(api.act("/api/v1/tasks/00000000-0000-4000-8000-000000000000/cancel").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_task_is_cancelled_with_its_attempt() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let task = api.run(&workflow, "x").await;
    let path = format!("/api/v1/tasks/{task}");
    begin(&api, &task, 1).await;
    let running = api.get(&format!("{path}/attempts")).await.expect(200);
    assert_eq!((&running["items"][0]["status"], &running["total"]), (&json!("running"), &json!(1)));
    let mut aborts = api.dispatch.aborts();
    api.act(&format!("{path}/cancel")).await.expect(200);
    assert_eq!(aborts.recv().await.unwrap().task.to_string(), task);
    api.act(&format!("{path}/retry")).await.expect(200);
    begin(&api, &task, 2).await;
    let attempts = api.get(&format!("{path}/attempts?limit=1&offset=0")).await.expect(200);
    assert_eq!((&attempts["total"], &attempts["has_more"]), (&json!(2), &json!(true)));
    let first = &attempts["items"][0];
    assert_eq!(
        (&first["attempt"], &first["status"], &first["outcome_unknown"]),
        (&json!(1), &json!("cancelled"), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_deleted_with_its_history_and_a_running_one_is_stopped_first() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let task = api.run(&workflow, "x").await;
    let path = format!("/api/v1/tasks/{task}");
    begin(&api, &task, 1).await;
    for line in ["first", "second"] {
        let sql = "INSERT INTO task_logs (id, task_id, level, message, created_at) VALUES (gen_random_uuid(), $1, 'info', $2, clock_timestamp())";
        let id: uuid::Uuid = task.parse().unwrap();
        api.sql.execute(sql, &[&id, &line]).await.unwrap();
    }
    let log = api.get(&format!("{path}/logs?limit=1&offset=3")).await.expect(200);
    assert_eq!((&log["total"], &log["items"][0]["message"]), (&json!(4), &json!("second")));
    let mut aborts = api.dispatch.aborts();
    let deleted = api.call("DELETE", &path, None).await.expect(200);
    assert_eq!((id(&deleted), &deleted["status"]), (task.clone(), &json!("cancelled")));
    assert_eq!(aborts.recv().await.unwrap().task.to_string(), task);
    for table in ["tasks", "task_attempts", "task_logs"] {
        assert_eq!(api.count(table).await, 0, "{table}");
    }
    for missing in ["", "/logs", "/attempts"] {
        assert_eq!(api.get(&format!("{path}{missing}")).await.expect(404)["detail"], "Task not found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_python_service_are_shown() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let sql = format!(
        "INSERT INTO tasks (id, workflow_id, status, input_data, output_data, created_at, updated_at)
         VALUES (gen_random_uuid(), '{workflow}', 'completed', '\"plain\"', '\"text \\u0000\"', NULL, NULL)"
    );
    api.execute(&sql).await;
    let task = api.get("/api/v1/tasks").await.expect(200)["items"][0].clone();
    assert_eq!((&task["input_data"], &task["created_at"]), (&json!({"value": "plain"}), &Value::Null));
    assert_eq!(task["output_data"], "text \0");
}

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(id).collect()
}

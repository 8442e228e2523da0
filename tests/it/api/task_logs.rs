//! The log of a task: told from its history, with the lines that were stored in their places.

use serde_json::{Value, json};

use super::client::{TestApi, fields};

async fn log(api: &TestApi, task: &str, query: &str) -> Value {
    api.get(&format!("/api/v1/tasks/{task}/logs{query}")).await.expect(200)
}

fn lines(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|line| format!("{} {}", line["level"].as_str().unwrap(), line["message"].as_str().unwrap()))
        .collect()
}

/// A task that failed, was taken over from a dead node, and ran again; times are minutes after its making.
async fn a_life(api: &TestApi) -> String {
    let workflow = api.add_workflow().await;
    let task = api.run(&workflow, "x").await;
    let node = "0192f3a1-0000-7001-8000-00000000000a";
    let sql = format!(
        "UPDATE tasks SET created_at = '2026-01-01T00:00:00Z', status = 'failed', tries = 3 WHERE id = '{task}';
         INSERT INTO nodes (id, hostname, scope, pid, pid_started_at, version, roles, started_at, heartbeat_at, lease_until)
         VALUES ('{node}', 'spark-1', 's', 1, 1, '0', 'worker', now(), now(), now());
         INSERT INTO task_attempts
             (task_id, attempt, status, code, error, outcome_unknown, node_id, started_at, finished_at)
         VALUES ('{task}', 1, 'failed', 'source_5xx', 'HTTP 503', false, '{node}',
                 '2026-01-01T00:01:00Z', '2026-01-01T00:01:01.5Z'),
                ('{task}', 2, 'lost', 'node_dead', 'The node is gone.', true, gen_random_uuid(),
                 '2026-01-01T00:02:00Z', '2026-01-01T00:03:00Z'),
                ('{task}', 3, 'failed', 'source_4xx', 'HTTP 404', false, '{node}',
                 '2026-01-01T00:03:00Z', '2026-01-01T00:04:00Z');
         INSERT INTO task_logs (id, task_id, level, message, component_id, created_at)
         VALUES (gen_random_uuid(), '{task}', 'INFO', 'a line of the Python service', 'ChatInput-1',
                 '2026-01-01T00:01:01Z')"
    );
    api.sql.batch_execute(&sql).await.unwrap();
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_tells_the_history_in_the_order_of_time() {
    let api = TestApi::start().await;
    let task = a_life(&api).await;
    let page = log(&api, &task, "").await;
    assert_eq!(fields(&page["items"][0]), ["attempt", "component_id", "created_at", "id", "level", "message"]);
    let told = lines(&page);
    let expected = [
        "info Made, to wait in the queue celery.",
        "info Attempt 1 began on spark-1.",
        "INFO a line of the Python service",
        "warning Attempt 1 failed after 1.5 s: HTTP 503 [source_5xx]",
        "info Attempt 2 began on ",
        "warning Attempt 2 was lost after 60.0 s: The node is gone. [node_dead] The source may have run the flow.",
        "info Attempt 3 began on spark-1.",
        "error Attempt 3 failed after 60.0 s: HTTP 404 [source_4xx]",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (line, expected) in told.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}, not {expected}");
    }
    assert_eq!((&page["items"][2]["component_id"], &page["items"][3]["attempt"]), (&json!("ChatInput-1"), &json!(1)));
    assert!(page["items"][2]["id"].is_string() && page["items"][0]["id"].is_null());

    for (level, count) in [("debug", 8), ("info", 8), ("warning", 3), ("WARN", 3), ("error", 1)] {
        let page = log(&api, &task, &format!("?level={level}")).await;
        assert_eq!((page["total"].as_u64(), lines(&page).len()), (Some(count), count as usize), "{level}");
    }
    let page = log(&api, &task, "?level=warning&limit=1&offset=1").await;
    assert_eq!((&page["has_more"], lines(&page)[0].starts_with("warning Attempt 2")), (&json!(true), true));
    let refused = api.get(&format!("/api/v1/tasks/{task}/logs?level=loud")).await.expect(422);
    assert_eq!(refused["detail"][0]["loc"], json!(["query", "level"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_by_hand_leaves_a_line() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let task = api.run(&workflow, "x").await;
    let path = format!("/api/v1/tasks/{task}");
    api.act(&format!("{path}/cancel")).await.expect(200);
    api.act(&format!("{path}/retry")).await.expect(200);
    api.post("/api/v1/tasks/cancel", json!({"ids": [task]})).await.expect(200);
    api.post("/api/v1/tasks/retry", json!({"ids": [task]})).await.expect(200);
    api.execute("UPDATE tasks SET status = 'running', tries = 1, started_at = now()").await;
    api.act(&format!("{path}/cancel")).await.expect(200);
    let told = lines(&log(&api, &task, "").await);
    let expected = [
        "info Made, to wait in the queue celery.",
        "info Cancelled by hand while it was pending.",
        "info Made pending by hand; it was cancelled.",
        "info Cancelled by hand while it was pending.",
        "info Made pending by hand; it was cancelled.",
        "info Attempt 1 began.",
        "info Cancelled by hand while it was running.",
        "info Attempt 1 was cancelled after ",
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    assert!(told.iter().zip(expected).all(|(line, expected)| line.starts_with(expected)), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_waits_says_until_when_and_one_that_runs_that_it_does() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let task = api.run(&workflow, "x").await;
    api.execute("UPDATE tasks SET status = 'running', tries = 2, started_at = now()").await;
    assert_eq!(lines(&log(&api, &task, "").await).last().map(String::as_str), Some("info Attempt 2 began."));
    api.execute("UPDATE tasks SET status = 'retrying', next_retry_at = '2999-01-01T00:00:00Z', updated_at = now()")
        .await;
    let told = lines(&log(&api, &task, "").await);
    assert_eq!(told.last().map(String::as_str), Some("info Attempt 3 follows at 2999-01-01T00:00:00Z."));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_no_attempt_brought_is_told_too() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let task = api.run(&workflow, "x").await;
    api.act(&format!("/api/v1/tasks/{task}/cancel")).await.expect(200);
    let told = lines(&log(&api, &task, "").await);
    assert_eq!(told[1..], ["info Cancelled by hand while it was pending."], "told once");
    let failed = "status = 'failed', error = 'No such flow', finished_at = finished_at + interval '1 s'";
    api.execute(&format!("UPDATE tasks SET {failed} WHERE id = '{task}'")).await;
    let page = log(&api, &task, "?level=error").await;
    assert_eq!((lines(&page), &page["total"]), (vec!["error The task failed: No such flow".to_owned()], &json!(1)));
}

use automagik_spark::simulate::FLOW_ID;
use serde_json::{Value, json};

use super::client::{SOURCE_KEY, TestApi, fields, id};

const FIELDS: [&str; 15] = [
    "adapter",
    "circuit",
    "created_at",
    "id",
    "max_concurrency",
    "name",
    "rate",
    "source_type",
    "status",
    "tls_ca",
    "tls_verify",
    "unknown_policy",
    "updated_at",
    "url",
    "version_info",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_source_lives_from_post_to_delete() {
    let api = TestApi::start().await;
    let url = api.source.url();
    let body = json!({"source_type": "langflow", "url": format!("{url}//"), "api_key": SOURCE_KEY, "extra": 1});
    let answer = api.post("/api/v1/sources/", body).await;
    let source = answer.expect(201);
    assert_eq!(fields(&source), FIELDS);
    assert_eq!((&source["url"], &source["status"]), (&json!(url), &json!("active")));
    assert_eq!(source["name"], url.trim_start_matches("http://"));
    assert!(source["version_info"]["version"].is_string(), "{source}");
    assert!(source["created_at"].as_str().unwrap().ends_with('Z'));

    let path = format!("/api/v1/sources/{}", id(&source));
    let mut answers = vec![answer.text()];
    assert_eq!(api.get(&path).await.expect(200), source);
    let list = api.get("/api/v1/sources?status=active").await;
    assert_eq!(list.expect(200)["items"], json!([source]));
    assert_eq!(list.expect(200)["total"], 1);
    assert_eq!(api.get("/api/v1/sources?status=inactive").await.expect(200)["items"], json!([]));

    let renamed = api.call("PATCH", &path, Some(json!({"name": "Flows", "status": "inactive"}))).await;
    assert_eq!(renamed.expect(200)["name"], "Flows");
    assert_eq!(renamed.expect(200)["status"], "inactive");
    answers.extend([list.text(), renamed.text()]);
    assert!(answers.iter().all(|answer| !answer.contains(SOURCE_KEY)));
    let stored: String = api.sql.query_one("SELECT encrypted_api_key FROM workflow_sources", &[]).await.unwrap().get(0);
    assert!(stored.starts_with("gAAAA") && !stored.contains(SOURCE_KEY), "{stored}");

    assert_eq!(api.call("DELETE", &path, None).await.expect(200), json!({"message": "Source deleted successfully"}));
    assert_eq!(api.get(&path).await.status, 404);
    assert_eq!(api.call("DELETE", &path, None).await.expect(404)["detail"], "Source not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_does_not_answer_as_it_should_is_not_stored() {
    let api = TestApi::start().await;
    let wrong_key = json!({"source_type": "langflow", "url": api.source.url(), "api_key": "sk-wrong"});
    let nobody = json!({"source_type": "langflow", "url": "http://127.0.0.1:9"});
    for body in [wrong_key, nobody] {
        let refusal = api.post("/api/v1/sources", body).await;
        let detail = refusal.expect(400)["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with("Failed to validate source: "), "{detail}");
        assert!(!detail.contains("sk-wrong"), "{detail}");
    }
    assert_eq!(api.count("workflow_sources").await, 0);
    let source = api.add_source().await;
    let path = format!("/api/v1/sources/{}", id(&source));
    for change in [json!({"api_key": "sk-wrong", "name": "x"}), json!({"url": "http://127.0.0.1:9", "name": "x"})] {
        assert_eq!(api.call("PATCH", &path, Some(change)).await.status, 400);
        assert_eq!(api.get(&path).await.expect(200), source);
    }
    assert_eq!(api.call("PATCH", &path, Some(json!({"api_key": SOURCE_KEY}))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_is_taken_once_also_when_two_come_at_once() {
    let api = TestApi::start().await;
    let body = json!({"source_type": "langflow", "url": api.source.url(), "api_key": SOURCE_KEY});
    let both = tokio::join!(api.post("/api/v1/sources", body.clone()), api.post("/api/v1/sources", body.clone()));
    let mut statuses = [both.0.status, both.1.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 400]);
    let mut slashed = body;
    slashed["url"] = json!(format!("{}/", api.source.url()));
    assert_eq!(api.post("/api/v1/sources", slashed).await.expect(400)["code"], "source_duplicate");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_takes_all_that_is_its_own_along() {
    let api = TestApi::start().await;
    let source = id(&api.add_source().await);
    let workflow = api.sync(FLOW_ID).await;
    let running = api.run(&workflow, "a").await;
    api.run(&workflow, "b").await;
    let schedule = json!({"workflow_id": workflow, "schedule_type": "interval", "schedule_expr": "5m"});
    api.post("/api/v1/schedules", schedule).await.expect(201);
    api.execute(&format!("UPDATE tasks SET status = 'running', tries = 1 WHERE id = '{running}'")).await;
    api.execute(&format!(
        "INSERT INTO task_logs (id, task_id, level, message) VALUES (gen_random_uuid(), '{running}', 'info', 'x')"
    ))
    .await;
    let mut aborts = api.dispatch.aborts();
    api.call("DELETE", &format!("/api/v1/sources/{source}"), None).await.expect(200);
    for table in ["workflow_sources", "workflows", "schedules", "tasks", "task_logs", "task_attempts"] {
        assert_eq!(api.count(table).await, 0, "{table}");
    }
    assert_eq!(aborts.recv().await.unwrap().task.to_string(), running);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_a_source_is_answered_with_its_place() {
    let api = TestApi::start().await;
    for (body, loc) in [
        (json!({"url": "http://h"}), json!(["body", "source_type"])),
        (json!({"source_type": "langflow"}), json!(["body", "url"])),
        (json!({"source_type": "other", "url": "http://h"}), json!(["body", "source_type"])),
        (json!({"source_type": "langflow", "url": "h"}), json!(["body", "url"])),
        (json!({"source_type": "langflow", "url": "http://u:p@h"}), json!(["body", "url"])),
        (json!({"source_type": "langflow", "url": "http://h", "name": "x".repeat(300)}), json!(["body", "name"])),
        (json!([]), json!(["body"])),
    ] {
        let answer = api.post("/api/v1/sources", body.clone()).await.expect(422);
        let problem: &Value = &answer["detail"][0];
        assert_eq!(problem["loc"], loc, "{body}");
        assert_eq!(fields(problem), ["loc", "msg", "type"]);
    }
}

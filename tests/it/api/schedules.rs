use serde_json::{Value, json};

use super::client::{TestApi, fields, id};

const FIELDS: [&str; 19] = [
    "created_at",
    "expires_s",
    "id",
    "input_value",
    "jitter_s",
    "last_run_at",
    "missed_policy",
    "next_run_at",
    "overlap_policy",
    "params",
    "priority",
    "queue",
    "schedule_expr",
    "schedule_type",
    "status",
    "status_reason",
    "timezone",
    "updated_at",
    "workflow_id",
];

fn hourly(workflow: &str) -> Value {
    json!({"workflow_id": workflow, "schedule_type": "cron", "schedule_expr": "0 * * * *", "input_value": "Hi"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_lives_from_post_to_delete() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let schedule = api.post("/api/v1/schedules/", hourly(&workflow)).await.expect(201);
    assert_eq!(fields(&schedule), FIELDS);
    assert_eq!((&schedule["status"], &schedule["timezone"]), (&json!("active"), &json!("UTC")));
    assert_eq!((&schedule["input_value"], &schedule["missed_policy"]), (&json!("Hi"), &json!("last")));
    assert!(schedule["next_run_at"].as_str().unwrap().ends_with(":00:00Z"));
    let path = format!("/api/v1/schedules/{}", id(&schedule));
    assert_eq!(api.get(&path).await.expect(200), schedule);
    for (filter, total) in
        [(format!("workflow_id={workflow}"), 1), ("status=paused".to_owned(), 0), ("status=active".to_owned(), 1)]
    {
        assert_eq!(api.get(&format!("/api/v1/schedules?{filter}")).await.expect(200)["total"], total, "{filter}");
    }

    let patch = json!({"input_value": {"a": 1}, "timezone": "Europe/Berlin", "queue": "low_priority", "expires_s": 60});
    let patched = api.call("PATCH", &path, Some(patch)).await.expect(200);
    assert_eq!((&patched["input_value"], &patched["queue"]), (&json!({"a": 1}), &json!("low_priority")));
    let put = json!({"workflow_id": workflow, "schedule_type": "interval", "schedule_expr": "2H"});
    let replaced = api.call("PUT", &path, Some(put)).await.expect(200);
    assert_eq!((&replaced["input_value"], &replaced["queue"]), (&Value::Null, &json!("celery")));
    assert_ne!(replaced["next_run_at"], patched["next_run_at"]);

    let bad = json!({"workflow_id": workflow, "schedule_type": "cron", "schedule_expr": "0 0 30 2 *"});
    assert_eq!(
        api.call("PUT", &path, Some(bad)).await.expect(422)["detail"][0]["loc"],
        json!(["body", "schedule_expr"])
    );
    assert_eq!(api.get(&path).await.expect(200), replaced, "all or nothing");
    assert_eq!(api.call("PUT", &path, Some(json!({}))).await.expect(422)["detail"].as_array().unwrap().len(), 3);

    let task = api.act(&format!("{path}/trigger")).await.expect(200);
    assert_eq!((&task["schedule_id"], &task["input_data"]), (&replaced["id"], &json!({"value": "Hello World"})));
    assert_eq!(id(&api.call("DELETE", &path, None).await.expect(200)), id(&schedule));
    assert_eq!(api.get(&path).await.expect(404)["detail"], "Schedule not found");
    assert_eq!(api.count("tasks").await, 1, "its tasks stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_rule_is_taken_and_nonsense_is_not() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let post = |kind: &str, expr: &str| {
        let body = json!({"workflow_id": workflow, "schedule_type": kind, "schedule_expr": expr});
        let api = &api;
        async move { api.post("/api/v1/schedules", body).await }
    };
    for (kind, expr) in [
        ("cron", "*/5 9-17 * JAN-DEC MON-FRI"),
        ("cron", "@daily"),
        ("interval", "30s"),
        ("one-time", "now"),
        ("one-time", "2999-01-01 10:00"),
    ] {
        assert_eq!(post(kind, expr).await.status, 201, "{kind} {expr}");
    }
    for (kind, expr, status) in [
        ("cron", "* * * *", 422),
        ("cron", "* * * * * *", 422),
        ("interval", "0s", 422),
        ("interval", "5", 422),
        ("one-time", "2020-01-01 00:00", 400),
        ("one-time", "soon", 422),
        ("hourly", "1", 422),
    ] {
        assert_eq!(post(kind, expr).await.status, status, "{kind} {expr}");
    }
    for unknown in ["00000000-0000-4000-8000-000000000000", "no-uuid"] {
        assert_eq!(api.post("/api/v1/schedules", hourly(unknown)).await.expect(404)["detail"], "Workflow not found");
    }
    assert_eq!(api.count("schedules").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_schedule_starts_nothing_and_an_enabled_one_looks_ahead() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let schedule = api.post("/api/v1/schedules", hourly(&workflow)).await.expect(201);
    let path = format!("/api/v1/schedules/{}", id(&schedule));
    let waiting = id(&api.act(&format!("{path}/trigger")).await.expect(200));
    let running = id(&api.act(&format!("{path}/trigger")).await.expect(200));
    let own = api.run(&workflow, "not of the schedule").await;
    api.execute(&format!("UPDATE tasks SET status = 'running' WHERE id = '{running}'")).await;
    let disabled = api.act(&format!("{path}/disable")).await.expect(200);
    assert_eq!((&disabled["status"], &disabled["next_run_at"]), (&json!("paused"), &Value::Null));
    for (task, status) in [(waiting, "cancelled"), (running, "running"), (own, "pending")] {
        assert_eq!(api.get(&format!("/api/v1/tasks/{task}")).await.expect(200)["status"], status);
    }
    let enabled = api.act(&format!("{path}/enable")).await.expect(200);
    assert_eq!((&enabled["status"], &enabled["next_run_at"]), (&json!("active"), &schedule["next_run_at"]));
    assert_eq!(api.act(&format!("{path}/enable")).await.expect(200)["next_run_at"], schedule["next_run_at"]);

    api.execute("UPDATE schedules SET status = 'completed', next_run_at = NULL").await;
    assert_eq!(api.act(&format!("{path}/enable")).await.expect(400)["code"], "schedule_completed");
    let again = api.call("PATCH", &path, Some(json!({"schedule_expr": "30 * * * *"}))).await.expect(200);
    assert_eq!(again["status"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn occurrences_are_previewed_before_and_after() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let body = json!({"schedule_type": "cron", "schedule_expr": "0 12 * * *", "timezone": "Asia/Tokyo", "count": 3});
    let preview = api.post("/api/v1/schedules/preview", body).await.expect(200);
    let occurrences = preview["occurrences"].as_array().unwrap();
    assert_eq!(occurrences.len(), 3);
    assert!(occurrences[0]["utc"].as_str().unwrap().ends_with("T03:00:00Z"));
    assert!(occurrences[0]["local"].as_str().unwrap().ends_with("T12:00:00+09:00"));
    assert_eq!(occurrences[0]["clock_changed"], false);
    let schedule = api.post("/api/v1/schedules", hourly(&workflow)).await.expect(201);
    let path = format!("/api/v1/schedules/{}/preview", id(&schedule));
    let preview = api.get(&path).await.expect(200);
    assert_eq!(preview["occurrences"].as_array().unwrap().len(), 10);
    assert_eq!(preview["occurrences"][0]["utc"], schedule["next_run_at"]);
    assert_eq!(api.get(&format!("{path}?count=101")).await.status, 422);
    let past = json!({"schedule_type": "one-time", "schedule_expr": "2020-01-01 00:00"});
    assert_eq!(api.post("/api/v1/schedules/preview", past).await.status, 400);
}

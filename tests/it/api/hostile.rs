use serde_json::{Value, json};

use super::client::{KEY, TestApi};

const ID: &str = "00000000-0000-4000-8000-000000000000";

/// Whatever is sent, the answer is JSON of ours and never a 500.
#[tokio::test(flavor = "multi_thread")]
async fn no_input_gives_a_500() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let schedule = json!({"workflow_id": workflow, "schedule_type": "cron", "schedule_expr": "@daily"});
    let schedule = api.post("/api/v1/schedules", schedule).await.expect(201);
    let schedule = schedule["id"].as_str().unwrap();
    let source = api.get("/api/v1/sources").await.expect(200)["items"][0]["id"].as_str().unwrap().to_owned();
    let deep = "[".repeat(10_000);
    let nuls = r#"{"name":"a\u0000b","url":"\u0000","source_type":"langflow","input_data":{"k":["\u0000"]},"workflow_id":"\u0000","schedule_type":"cron","schedule_expr":"\u0000","timezone":"\u0000","source_url":"\u0000","input_value":"\u0000"}"#;
    let numbers = r#"{"name":1e999,"input_data":{"n":123456789012345678901234567890},"priority":1e40,"jitter_s":9223372036854775807,"expires_s":-9223372036854775808,"count":1e300,"delay":1e308,"timeout":4294967296}"#;
    let surrogate = r#"{"input_data":"\ud800","name":"\udfff"}"#;
    let bodies: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"{".to_vec(),
        b"null".to_vec(),
        b"\"\xff\xfe\"".to_vec(),
        b"\x00\x01".to_vec(),
        deep.into_bytes(),
        nuls.into(),
        numbers.into(),
        surrogate.into(),
        format!(r#"{{"input_data":"{}"}}"#, "é".repeat(100_000)).into(),
        json!({"name": "x".repeat(100_000), "session_id": "y".repeat(100_000), "schedule_expr": "*".repeat(100_000)})
            .to_string()
            .into(),
    ];
    let paths = [
        ("POST", "/api/v1/sources".to_owned()),
        ("PATCH", format!("/api/v1/sources/{source}")),
        ("POST", format!("/api/v1/workflows/{workflow}/run")),
        ("POST", format!("/api/v1/workflows/sync/{ID}")),
        ("POST", "/api/v1/schedules".to_owned()),
        ("PUT", format!("/api/v1/schedules/{schedule}")),
        ("PATCH", format!("/api/v1/schedules/{schedule}")),
        ("POST", "/api/v1/schedules/preview".to_owned()),
        ("POST", format!("/api/v1/schedules/{schedule}/trigger")),
        ("POST", format!("/api/v1/tasks/{ID}/retry")),
    ];
    let headers = [("X-API-Key", KEY), ("Content-Type", "application/json")];
    for (method, path) in &paths {
        for body in &bodies {
            let answer = api.raw(method, path, &headers, body).await;
            assert!(answer.status < 500, "{method} {path}: {} {}", answer.status, answer.text());
            let _: Value = answer.json();
        }
    }
    for path in [
        "/api/v1/tasks/%00",
        "/api/v1/tasks/%ff%fe",
        "/api/v1/tasks/..%2f..%2fetc",
        "/api/v1/workflows/%00",
        "/api/v1/workflows/%27%3bDROP",
        "/api/v1/workflows/%25%25%25%25",
        "/api/v1/workflows/____",
        "/api/v1/workflows/remote/%00?source_url=%00",
        "/api/v1/workflows/remote?source_url=%ff",
        "/api/v1/workflows?name=%00&source=%00&folder=%00",
        "/api/v1/workflows?name=%25&source=%27",
        "/api/v1/sources?status=%00",
        "/api/v1/sources?limit=99999999999999999999",
        "/api/v1/tasks?q=%00",
        "/api/v1/tasks?q=%5c%25_%27%22",
        "/api/v1/tasks?offset=9223372036854775807",
        "/api/v1/tasks?offset=9223372036854775808",
        "/api/v1/tasks?created_after=%2b262142-01-01T00:00:00Z",
        "/api/v1/tasks?created_after=-262143-01-01T00:00:00Z",
        "/api/v1/tasks?cursor=7fffffffffffffff-00000000000000000000000000000000",
        "/api/v1/tasks?status=PENDING&queue=%00",
        "/api/v1/tasks?&&&=&=x&%",
        "/api/v1/schedules?status=x&workflow_id=%00",
        "/api/v1/docs/..%2fCargo.toml",
        "/api/v1/docs/%00",
        "//api//v1//tasks//",
    ] {
        let answer = api.get(path).await;
        assert!(answer.status < 500, "{path}: {} {}", answer.status, answer.text());
        let _: Value = answer.json();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_or_no_json_are_refused_by_their_head() {
    let api = TestApi::with(|options| options.max_body_bytes = 1000).await;
    let path = format!("/api/v1/workflows/{ID}/run");
    let json_type = ("Content-Type", "application/json");
    let key = ("X-API-Key", KEY);
    let large = api.raw("POST", &path, &[key, json_type], &[b' '; 1001]).await;
    assert_eq!(large.expect(413)["code"], "body_too_large");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        assert_eq!(
            api.raw("POST", &path, &[key, ("Content-Type", kind)], b"\"x\"").await.expect(415)["code"],
            "media_type"
        );
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON", "application/problem+json"] {
        assert_eq!(api.raw("POST", &path, &[key, ("Content-Type", kind)], b"\"x\"").await.status, 404, "{kind}");
    }
    let key_header = api.raw("POST", &path, &[key, json_type, ("Idempotency-Key", "")], b"\"x\"").await;
    assert_eq!(key_header.expect(422)["detail"][0]["loc"], json!(["header", "Idempotency-Key"]));
}

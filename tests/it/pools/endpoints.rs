//! What the API refuses of pools and queues.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api::client::TestApi;
use crate::harness::stage::Stage;
use crate::lifecycle::among_others;

#[tokio::test]
async fn sizes_that_a_pool_can_t_have_are_refused_and_change_nothing() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let before = node.pool().await;
    for (size, field, telling) in [
        (json!({"workers": 0}), "workers", "from 1 to 1000"),
        (json!({"workers": 1001}), "workers", "from 1 to 1000"),
        (json!({"workers": -3, "threads": 3}), "workers", "from 1 to 1000"),
        (json!({"threads": 1025}), "threads", "from 1 to 1024"),
        (json!({"threads": 1.5}), "threads", "invalid type"),
        (json!({"threads": "4"}), "threads", "invalid type"),
        (json!({}), "", "name `workers`, `threads` or both"),
        (json!({"threads": null}), "", "name `workers`, `threads` or both"),
        (json!([]), "", "invalid"),
    ] {
        let (status, body) = node.patch_pool(&size).await;
        assert_eq!(status, 422, "{size}: {body}");
        let problem = &body["detail"][0];
        assert!(problem["msg"].as_str().is_some_and(|msg| msg.contains(telling)), "{size}: {body}");
        if !field.is_empty() {
            assert_eq!(problem["loc"], json!(["body", field]), "{size}");
        }
    }
    let (_, both) = node.patch_pool(&json!({"workers": 0, "threads": 0})).await;
    assert_eq!(both["detail"].as_array().map(Vec::len), Some(2), "all at once");
    assert_eq!(node.pool().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_pools_has_none_to_change() {
    let api = TestApi::start().await;
    let pools = api.get("/api/v1/pools").await.expect(200);
    assert_eq!((&pools["items"], pools["node"].is_string()), (&json!([]), true));
    let answer = api.call("PATCH", "/api/v1/pools/celery", Some(json!({"workers": 2}))).await;
    assert_eq!(answer.expect(404)["detail"], "Pool not found");
    assert_eq!(api.get("/api/v1/pools/celery").await.status, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_paused_by_any_valid_name_and_no_other() {
    let api = TestApi::start().await;
    for name in ["a%20b", "%2F", "x%00", &"x".repeat(65)] {
        let refused = api.act(&format!("/api/v1/queues/{name}/pause")).await.expect(422);
        assert_eq!(refused["detail"][0]["loc"], json!(["path", "queue"]), "{name}");
        api.act(&format!("/api/v1/queues/{name}/resume")).await.expect(422);
    }
    let never_paused = api.act("/api/v1/queues/q.1/resume").await.expect(200);
    assert_eq!((&never_paused["paused"], &never_paused["depth"]), (&json!(false), &json!(0)));
    let first: Value = api.act("/api/v1/queues/q.1/pause").await.expect(200);
    let again = api.act("/api/v1/queues/q.1/pause").await.expect(200);
    assert_eq!((&first["paused"], &first["paused_at"]), (&json!(true), &again["paused_at"]));
    assert_eq!(api.get("/api/v1/queues/q.1/pause").await.status, 405);
    api.execute("INSERT INTO paused_queues SELECT 'other-' || n, now() FROM generate_series(1, 999) n").await;
    assert_eq!(api.act("/api/v1/queues/q.2/pause").await.expect(400)["code"], "too_many_paused");
    api.act("/api/v1/queues/q.1/pause").await.expect(200);
    api.act("/api/v1/queues/other-7/resume").await.expect(200);
    api.act("/api/v1/queues/q.2/pause").await.expect(200);
}

//! Adapters over REST: what a request may name, and what is shown.

use super::*;
use crate::api::client::{TestApi, id};

#[tokio::test(flavor = "multi_thread")]
async fn the_adapters_are_listed() {
    let text = "description = \"Mine\"\n[list]\n[run]\n";
    let api = TestApi::with(|options| options.adapters = adapters("mine", text)).await;
    let list = api.get("/api/v1/adapters").await.expect(200);
    let items = list["items"].as_array().unwrap();
    let names: Vec<&str> = items.iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["mine", "n8n", "rest", "webhook"]);
    assert_eq!(items[0], json!({"name": "mine", "description": "Mine", "file": "test"}));
    assert_eq!(items[1]["file"], "built in");
    assert_eq!(api.raw("GET", "/api/v1/adapters", &[], b"").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_names_its_adapter_if_it_is_of_type_http_and_only_then() {
    let api = TestApi::start().await;
    for (kind, adapter, telling) in [
        ("http", Value::Null, "needs an adapter, one of n8n, rest, webhook"),
        ("http", json!("nope"), "no adapter \"nope\"; there are n8n, rest, webhook"),
        ("http", json!(""), "there are n8n"),
        ("langflow", json!("n8n"), "a source of type langflow has no adapter"),
    ] {
        let body = json!({"source_type": kind, "url": "http://127.0.0.1:9", "adapter": adapter});
        let answer = api.post("/api/v1/sources", body).await.expect(422);
        assert_eq!(answer["detail"][0]["loc"], json!(["body", "adapter"]));
        assert!(answer["detail"][0]["msg"].as_str().unwrap().contains(telling), "{answer}");
    }
    assert_eq!(api.count("workflow_sources").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_s_adapter_is_stored_shown_and_changed() {
    let api = TestApi::start().await;
    let script = Script::start();
    script.on("OPTIONS /", 204, &Value::Null);
    let body = json!({"source_type": "http", "url": script.url(), "adapter": "webhook", "api_key": KEY});
    let answer = api.post("/api/v1/sources", body).await;
    let source = answer.expect(201);
    assert_eq!((&source["source_type"], &source["adapter"]), (&json!("http"), &json!("webhook")));
    assert!(!answer.text().contains("the-key"));
    let path = format!("/api/v1/sources/{}", id(&source));
    assert_eq!(api.get(&path).await.expect(200), source);

    script.on("GET /workflows", 403, &json!({"detail": format!("not {KEY}")}));
    let refused = api.call("PATCH", &path, Some(json!({"adapter": "rest"}))).await;
    let detail = refused.expect(400)["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("Failed to validate source: ") && detail.ends_with("not ***"), "{detail}");
    assert_eq!(api.get(&path).await.expect(200), source);
    script.on("GET /workflows", 200, &json!({"items": []}));
    let patched = api.call("PATCH", &path, Some(json!({"adapter": "rest"}))).await.expect(200);
    assert_eq!(patched["adapter"], "rest");

    // A name is changed whatever became of the adapter; what asks the source is not.
    api.execute("UPDATE workflow_sources SET adapter = 'gone'").await;
    assert_eq!(api.call("PATCH", &path, Some(json!({"name": "x"}))).await.expect(200)["adapter"], "gone");
    assert_eq!(api.call("PATCH", &path, Some(json!({"api_key": "k"}))).await.status, 422);
    let list = api.get("/api/v1/workflows/remote").await;
    assert_eq!(list.expect(200), json!([]));
    assert!(list.headers["warnings"].contains("there is no adapter `gone`"), "{:?}", list.headers);

    let langflow =
        json!({"source_type": "langflow", "url": api.source.url(), "api_key": crate::api::client::SOURCE_KEY});
    assert_eq!(api.call("PATCH", &path, Some(langflow)).await.expect(200)["adapter"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_synced_with_what_takes_its_input() {
    let api = TestApi::start().await;
    let script = Script::start();
    script.on("GET /api/v1/workflows", 200, &json!({"data": [], "nextCursor": null}));
    let body = json!({"source_type": "http", "url": script.url(), "adapter": "n8n", "api_key": KEY});
    api.post("/api/v1/sources", body).await.expect(201);
    script.on("GET /api/v1/workflows/a1", 200, &n8n_workflow("a1", "orders/new", "POST"));
    let workflow = api.act(&format!("/api/v1/workflows/sync/a1?source_url={}", script.url())).await.expect(200);
    assert_eq!((&workflow["name"], &workflow["input_component"]), (&json!("Workflow a1"), &json!("orders/new")));
    assert_eq!(workflow["flow_raw_data"]["nodes"][0]["name"], "Note");
    script.on("GET /api/v1/workflows/zz", 404, &json!({"message": "Not Found"}));
    let path = format!("/api/v1/workflows/sync/zz?source_url={}", script.url());
    assert_eq!(api.act(&path).await.status, 404);
}

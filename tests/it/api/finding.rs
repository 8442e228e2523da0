//! Finding things by the beginning of their ids, or their names.

use serde_json::json;

use super::client::{TestApi, id};

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_narrowed_by_the_beginning_of_an_id() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let source = id(&api.get("/api/v1/sources").await.expect(200)["items"][0]);
    let body = json!({"workflow_id": workflow, "schedule_type": "interval", "schedule_expr": "1h"});
    let schedule = id(&api.post("/api/v1/schedules", body).await.expect(201));
    let task = api.run(&workflow, "x").await;
    for (path, id) in [("tasks", task), ("schedules", schedule), ("workflows", workflow), ("sources", source)] {
        let total = async |query: String| {
            let page = api.get(&format!("/api/v1/{path}?{query}")).await.expect(200);
            assert!(page["items"].as_array().unwrap().iter().all(|item| item["id"] == id.as_str()));
            page["total"].as_u64().unwrap()
        };
        for length in [1, 8, 9, 13, 36] {
            assert_eq!(total(format!("id_prefix={}", &id[..length])).await, 1, "{path} {length}");
        }
        let dense = id.replace('-', "").to_uppercase();
        assert_eq!(total(format!("id_prefix={}", &dense[..20])).await, 1, "{path}");
        assert_eq!(total("id_prefix=ffff".to_owned()).await, 0, "{path}");
        assert_eq!(total("id_prefix=".to_owned()).await, 1, "{path}");
        let refused = api.get(&format!("/api/v1/{path}?id_prefix=my-task")).await.expect(422);
        assert_eq!(refused["detail"][0]["loc"], json!(["query", "id_prefix"]), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_and_workflows_are_found_by_what_they_are_called() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let shown = api.get(&format!("/api/v1/workflows/{workflow}")).await.expect(200);
    let source = api.get("/api/v1/sources").await.expect(200)["items"][0].clone();
    let (name, url) = (source["name"].as_str().unwrap(), source["url"].as_str().unwrap());
    for (query, total) in [
        (format!("sources?named={name}"), 1),
        (format!("sources?named={url}//"), 1),
        (format!("sources?named={}", &url[..url.len() - 1]), 0),
        (format!("workflows?named={}", shown["name"].as_str().unwrap().replace(' ', "+")), 1),
        (format!("workflows?named={}", shown["remote_flow_id"].as_str().unwrap()), 1),
        ("workflows?named=Simulated".to_owned(), 0),
    ] {
        assert_eq!(api.get(&format!("/api/v1/{query}")).await.expect(200)["total"], total, "{query}");
    }
    // A path may name a workflow by a beginning of its id, too.
    assert_eq!(id(&api.get(&format!("/api/v1/workflows/{}", &workflow[..13])).await.expect(200)), workflow);
}

//! A Hive source over REST: what its flows are called, and that what the Python service synced stays what it is.

use serde_json::{Value, json};

use super::client::{TestApi, id};
use crate::hive::{KEY, agent_os};

#[tokio::test(flavor = "multi_thread")]
async fn flows_of_hive_have_ids_that_a_sync_takes() {
    let api = TestApi::start().await;
    let hive = agent_os();
    let add = |key: &str| json!({"source_type": "automagik-hive", "url": hive.url, "name": "hive", "api_key": key});
    let refused = api.post("/api/v1/sources", add("os-wrong")).await.expect(400);
    assert!(
        refused["detail"].as_str().unwrap().starts_with("Failed to validate source: the source refuses the api_key")
    );
    assert_eq!(api.post("/api/v1/sources", add(KEY)).await.expect(201)["version_info"]["version"], "3.1.10");

    // With all that the source says of them, and without, the ids are those that tell agents from teams.
    for simplified in [true, false] {
        let flows = api.get(&format!("/api/v1/workflows/remote?simplified={simplified}")).await.expect(200);
        let ids: Vec<&Value> = flows.as_array().unwrap().iter().map(|flow| &flow["id"]).collect();
        assert!(ids.contains(&&json!("agent:twin")) && ids.contains(&&json!("team:twin")), "{ids:?}");
    }
    let team = api.act("/api/v1/workflows/sync/team:twin?source_url=hive").await.expect(200);
    assert_eq!((&team["remote_flow_id"], &team["name"]), (&json!("team:twin"), &json!("Twin Team")));
    assert_eq!((&team["input_component"], &team["output_component"]), (&json!("message"), &json!("result")));
    assert_eq!(team["folder_name"], "Teams");

    let unknown = api.act("/api/v1/workflows/sync/agent:nope?source_url=hive").await.expect(404);
    assert!(unknown["detail"].as_str().unwrap().contains("agent:nope"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_of_the_python_service_is_brought_up_to_date_and_not_doubled() {
    let api = TestApi::start().await;
    let hive = agent_os();
    let source = json!({"source_type": "automagik-hive", "url": hive.url, "name": "hive", "api_key": KEY});
    api.post("/api/v1/sources", source).await.expect(201);
    let sync = "/api/v1/workflows/sync/echo-flow?source_url=hive";
    let workflow = api.act(sync).await.expect(200);
    assert_eq!(workflow["remote_flow_id"], "echo-flow");
    assert_eq!(id(&api.act(sync).await.expect(200)), id(&workflow));
    assert_eq!(api.count("workflows").await, 1);
}

//! Setting limits and policies over the API.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::harness::stage::Stage;
use crate::lifecycle::among_others;

#[tokio::test]
async fn limits_are_set_shown_taken_away_and_refused_with_the_reason() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let (workflow, source) = node.workflow_of(&stage.source, &json!({"max_concurrency": 3, "rate": "30/m"})).await;
    for (path, both) in [("sources", &source), ("workflows", &workflow)]
        .map(|(kind, id)| (format!("/api/v1/{kind}/{id}"), json!({"max_concurrency": 3, "rate": "30/m"})))
    {
        let set = node.patch(&path, &both).await;
        assert_eq!((&set["max_concurrency"], &set["rate"]), (&json!(3), &json!("30/m")));
        assert_eq!(node.get(&path).await["rate"], "30/m");
        let less = node.patch(&path, &json!({"rate": null})).await;
        assert_eq!((&less["max_concurrency"], &less["rate"]), (&json!(3), &json!(null)));
        for (bad, field) in [
            (json!({"max_concurrency": 0}), "max_concurrency"),
            (json!({"max_concurrency": -5}), "max_concurrency"),
            (json!({"max_concurrency": 1e9 as i64}), "max_concurrency"),
            (json!({"rate": "often"}), "rate"),
            (json!({"rate": "0/s"}), "rate"),
        ] {
            let refused = node.try_ask(Method::PATCH, &path, Some(&bad)).await.expect("the service answers");
            assert_eq!((refused.status, &refused.body["detail"][0]["loc"]), (422, &json!(["body", field])), "{bad}");
        }
        let none = node.patch(&path, &json!({"max_concurrency": null})).await;
        assert_eq!((&none["max_concurrency"], &none["rate"]), (&json!(null), &json!(null)));
    }
    assert_eq!(stage.count("SELECT count(*) FROM gates").await, 0);
}

#[tokio::test]
async fn a_workflow_may_have_another_policy_than_its_source() {
    let _machine = among_others().await;
    let stage = Stage::new(Duration::ZERO).await;
    let node = stage.node(&[]).await;
    let workflow = node.workflow(&stage).await;
    let path = format!("/api/v1/workflows/{workflow}");
    assert_eq!(node.get(&path).await["unknown_policy"], json!(null));
    assert_eq!(node.patch(&path, &json!({"unknown_policy": "fail"})).await["unknown_policy"], "fail");
    let once = node.run(&workflow, &json!("reset")).await;
    node.until_task_is(&once, "failed").await;
    assert_eq!(node.task(&once).await["tries"], 1);
    // A sync leaves it alone.
    let sync = format!("/api/v1/workflows/sync/{}", automagik_spark::simulate::FLOW_ID);
    node.post(&sync, &json!({"source_url": stage.source.url()})).await;
    assert_eq!(node.get(&path).await["unknown_policy"], "fail");
    assert_eq!(node.patch(&path, &json!({"unknown_policy": null})).await["unknown_policy"], json!(null));
    let again = node.run(&workflow, &json!("reset")).await;
    node.until_task_is(&again, "retrying").await;
    node.post(&format!("/api/v1/tasks/{again}/cancel"), &json!({})).await;
    let refused = node.try_ask(Method::PATCH, &path, Some(&json!({"unknown_policy": "maybe"}))).await.expect("answers");
    assert_eq!(refused.status, 422);
}

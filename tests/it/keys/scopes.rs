//! What each scope may do.

use automagik_spark::simulate::FLOW_ID;
use serde_json::{Value, json};

use super::{ask, make, text};
use crate::api::client::{TestApi, id};

const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// A path of the description with ids that are nobody's.
fn concrete(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { NOBODY } else { part }).collect::<Vec<_>>().join("/")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_too_small_is_refused_everywhere() {
    let api = TestApi::start().await;
    let scopes = ["read", "run", "admin"];
    let keys = [text(&make(&api, "reader", "read").await), text(&make(&api, "runner", "run").await)];
    let document = api.raw("GET", "/api/v1/openapi.json", &[], b"").await.expect(200);
    let mut refused = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let Some(needed) = operation["x-scope"].as_str() else { continue };
            let least = scopes.iter().position(|scope| *scope == needed).expect("a scope");
            for (scope, key) in scopes.iter().zip(&keys).take(least) {
                let answer = ask(&api, key, &method.to_uppercase(), &concrete(path), None).await;
                let body = answer.expect(403);
                assert_eq!(body["code"], "scope_too_small", "{method} {path}");
                let detail = answer.detail();
                assert!(detail.contains(&format!("of the scope {needed},")) && detail.contains(scope), "{detail}");
                assert!(operation["responses"].get("403").is_some(), "{method} {path} is described with 403");
                refused += 1;
            }
        }
    }
    assert!(refused > 30, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_that_is_large_enough_passes() {
    let api = TestApi::start().await;
    let [reader, runner, admin] = [
        text(&make(&api, "reader", "read").await),
        text(&make(&api, "runner", "run").await),
        text(&make(&api, "chief", "admin").await),
    ];
    let source = json!({"source_type": "langflow", "url": api.source.url(), "api_key": crate::api::client::SOURCE_KEY});
    let source = id(&ask(&api, &admin, "POST", "/api/v1/sources", Some(source)).await.expect(201));
    let sync = format!("/api/v1/workflows/sync/{FLOW_ID}?source_url={}", api.source.url());
    let workflow = id(&ask(&api, &admin, "POST", &sync, None).await.expect(200));
    let rule = json!({"workflow_id": workflow, "schedule_type": "interval", "schedule_expr": "1h"});
    let schedule = id(&ask(&api, &admin, "POST", "/api/v1/schedules", Some(rule.clone())).await.expect(201));

    let run = format!("/api/v1/workflows/{workflow}/run");
    for key in [&runner, &admin] {
        let task = id(&ask(&api, key, "POST", &run, Some(json!("Hello"))).await.expect(200));
        ask(&api, key, "POST", &format!("/api/v1/tasks/{task}/cancel"), None).await.expect(200);
        ask(&api, key, "POST", &format!("/api/v1/tasks/{task}/retry"), None).await.expect(200);
        ask(&api, key, "POST", &format!("/api/v1/schedules/{schedule}/trigger"), None).await.expect(200);
        ask(&api, key, "POST", "/api/v1/schedules/preview", Some(rule.clone())).await.expect(200);
    }
    for key in [&reader, &runner, &admin] {
        for path in [
            "/",
            "/api/v1/sources",
            &format!("/api/v1/sources/{source}"),
            "/api/v1/workflows/remote",
            &format!("/api/v1/schedules/{schedule}/preview"),
            "/api/v1/tasks/",
            "/api/v1/workers",
            "/api/v1/queues",
        ] {
            ask(&api, key, "GET", path, None).await.expect(200);
        }
    }
    for path in ["/api/v1/keys", "/api/v1/audit"] {
        ask(&api, &admin, "GET", path, None).await.expect(200);
    }
    ask(&api, &admin, "DELETE", &format!("/api/v1/sources/{source}"), None).await.expect(200);
}

/// What would break: the router reads a path with escapes and double slashes as the route it means, so the rule must too.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_path_slips_past_its_rule() {
    let api = TestApi::start().await;
    let reader = text(&make(&api, "reader", "read").await);
    for path in ["/api/v1/%6beys", "/api/v1/key%73/", "/api/v1//keys", "//api/v1/keys", "/api/v1/%61udit?limit=1"] {
        assert_eq!(ask(&api, &reader, "GET", path, None).await.status, 403, "{path}");
        assert_eq!(api.get(path).await.status, 200, "{path} is the route");
    }
    for path in ["/api/v1/KEYS", "/api/v1/keys%2f", "/api/v1/x/../keys", "/api/v1/keys/x/y"] {
        assert_eq!(ask(&api, &reader, "GET", path, None).await.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_to_be_so_whatever_the_scope() {
    let api = TestApi::start().await;
    let reader = text(&make(&api, "reader", "read").await);
    let nothing = ask(&api, &reader, "POST", "/api/v1/nothing", None).await.expect(404);
    assert_eq!(nothing, json!({"detail": "Not Found", "code": "not_found"}));
    for method in ["PUT", "HEAD", "OPTIONS"] {
        let answer = ask(&api, &reader, method, "/api/v1/sources", None).await;
        assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, "GET, POST"), "{method}");
    }
}

/// Metrics that are not open take a key, like everything else.
#[tokio::test(flavor = "multi_thread")]
async fn closed_metrics_take_any_key() {
    let api = TestApi::with(|options| options.open_metrics = false).await;
    let reader = text(&make(&api, "reader", "read").await);
    assert_eq!(api.raw("GET", "/metrics", &[], b"").await.status, 401);
    assert_eq!(ask(&api, &reader, "GET", "/metrics", None).await.status, 200);
    let described: Value = api.raw("GET", "/api/v1/openapi.json", &[], b"").await.expect(200);
    assert_eq!(described["paths"]["/api/v1/keys"]["post"]["x-scope"], "admin");
}

//! The resource itself.

use serde_json::{Value, json};

use crate::api::client::{TestApi, id};
use crate::keys::{make, text};

const PATH: &str = "/api/v1/notifications";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_once_and_stored_sealed() {
    let api = TestApi::start().await;
    let body = json!({ "name": "on-call", "url": "http://127.0.0.1:9/x", "events": ["task.failed", "source.down", "task.failed"] });
    let made = api.post(PATH, body.clone()).await.expect(201);
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"));
    assert_eq!(made["events"], json!(["task.failed", "source.down"]));
    api.post(PATH, body).await.expect(409);
    let own = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let given = json!({ "name": "other", "url": "http://127.0.0.1:9/x", "events": ["task.failed"], "secret": own });
    assert_eq!(api.post(PATH, given).await.expect(201).get("secret"), None);
    let page = api.get(PATH).await.expect(200);
    assert_eq!((&page["total"], page["items"][1].get("secret")), (&json!(2), None));
    let rows = "SELECT string_agg(n::text, ' ') || (SELECT string_agg(a::text, ' ') FROM audit a) FROM notifications n";
    let rows: String = api.sql.query_one(rows, &[]).await.unwrap().get(0);
    assert!(!rows.contains(&secret) && !rows.contains(own) && rows.contains("gAAAA"), "{rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_leaves_the_rest_and_null_takes_away() {
    let api = TestApi::start().await;
    let workflow = api.add_workflow().await;
    let body = json!({
        "name": "on-call", "url": "http://127.0.0.1:9/x", "events": ["queue.over"], "queue_depth": 5, "queue_age_s": 9,
        "workflow_id": workflow,
    });
    let one = format!("{PATH}/{}", id(&api.post(PATH, body).await.expect(201)));
    let patch = async |body: Value| api.call("PATCH", &one, Some(body)).await;
    let changed = patch(json!({ "workflow_id": null, "queue_age_s": null, "status": "inactive" })).await.expect(200);
    assert_eq!(
        (&changed["workflow_id"], &changed["queue_age_s"], &changed["queue_depth"], &changed["status"]),
        (&Value::Null, &Value::Null, &json!(5), &json!("inactive"))
    );
    for bad in [
        json!({ "queue_depth": null }),
        json!({ "workflow_id": "00000000-0000-7000-8000-000000000000" }),
        json!({ "events": ["task.started"] }),
        json!({ "queue_depth": 99_999_999_999_i64 }),
    ] {
        patch(bad.clone()).await.expect(422);
    }
    assert_eq!(api.get(&one).await.expect(200)["queue_depth"], 5);
    // It goes with its workflow, if it was of one.
    patch(json!({ "workflow_id": workflow })).await.expect(200);
    api.call("DELETE", &format!("/api/v1/workflows/{workflow}"), None).await.expect(200);
    api.get(&one).await.expect(404);
    api.get(&format!("{PATH}/x/deliveries")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_of_a_receiver_which_may_be_its_secret_is_shown_to_admins_only() {
    let api = TestApi::start().await;
    let url = "https://hooks.example.com/services/T0/B0/the-receivers-secret?token=x";
    let body = json!({ "name": "on-call", "url": url, "events": ["task.failed"] });
    let one = format!("{PATH}/{}", id(&api.post(PATH, body).await.expect(201)));
    for (scope, shown) in [("read", "https://hooks.example.com/***"), ("admin", url)] {
        let key = text(&make(&api, scope, scope).await);
        let get = async |path: &str| api.raw("GET", path, &[("X-API-Key", &key)], b"").await.expect(200);
        assert_eq!(get(&one).await["url"], shown, "{scope}");
        assert_eq!(get(PATH).await["items"][0]["url"], shown, "{scope}");
    }
}

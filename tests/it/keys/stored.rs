//! The life of a stored key.

use std::time::Duration;

use automagik_spark::domain::clock;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{NOBODYS, ask, make, text};
use crate::api::client::{Answer, TestApi, fields, id};
use crate::harness::until;

const SOON: Duration = Duration::from_secs(10);
const TASKS: &str = "/api/v1/tasks";

#[track_caller]
fn assert_refused(answer: &Answer) {
    assert_eq!(answer.expect(401), json!({"detail": "Invalid API key", "code": "api_key_invalid"}));
    assert_eq!(answer.headers["www-authenticate"], "ApiKey");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_shown_once_and_listed_without_it() {
    let api = TestApi::start().await;
    let made = make(&api, "ci", "run").await;
    let key = text(&made);
    assert!(key.starts_with("spk_") && key.len() == 47 && key.starts_with(made["prefix"].as_str().unwrap()), "{made}");
    assert_eq!((&made["created_by"], &made["status"]), (&json!("configured key"), &json!("active")));
    assert_eq!(ask(&api, &key, "GET", TASKS, None).await.status, 200);
    let page = api.get("/api/v1/keys").await.expect(200);
    assert_eq!(fields(&page), ["has_more", "items", "limit", "offset", "total"]);
    let item = &page["items"][0];
    assert_eq!(fields(item).len() + 1, fields(&made).len(), "all but the key: {item}");
    assert!(!page.to_string().contains(&key[12..]), "{page}");
    until("the use is noted", SOON, async || {
        let page = api.get("/api/v1/keys").await.expect(200);
        page["items"][0]["last_used_at"].as_str().map(str::to_owned)
    })
    .await;
    let other = make(&api, "other", "read").await;
    assert_ne!(text(&other), key);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_opens_nothing_from_then_on() {
    let api = TestApi::start().await;
    let made = make(&api, "ci", "admin").await;
    let (key, path) = (text(&made), format!("/api/v1/keys/{}", id(&made)));
    for _ in 0..20 {
        assert_eq!(ask(&api, &key, "GET", TASKS, None).await.status, 200);
    }
    let revoked = ask(&api, &key, "DELETE", &path, None).await.expect(200);
    assert_eq!(revoked["status"], "revoked");
    for _ in 0..20 {
        assert_refused(&ask(&api, &key, "GET", TASKS, None).await);
    }
    assert_eq!(api.call("DELETE", &path, None).await.expect(400)["code"], "key_revoked");
    assert_eq!(api.get("/api/v1/keys").await.expect(200)["total"], 0);
    assert_eq!(api.get("/api/v1/keys?revoked=true").await.expect(200)["items"][0]["status"], "revoked");
    let again = make(&api, "ci", "read").await;
    assert_eq!(ask(&api, &text(&again), "GET", TASKS, None).await.status, 200, "its name is free again");
    for id in ["x", "00000000-0000-4000-8000-000000000000"] {
        assert_eq!(
            api.call("DELETE", &format!("/api/v1/keys/{id}"), None).await.expect(404)["detail"],
            "Key not found"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_when_its_time_is_over() {
    let api = TestApi::start().await;
    let end = clock::now() + TimeDelta::milliseconds(1500);
    let made = json!({"name": "brief", "scope": "read", "expires_at": end});
    let made = api.post("/api/v1/keys", made).await.expect(201);
    let key = text(&made);
    assert_eq!(ask(&api, &key, "GET", TASKS, None).await.status, 200);
    let refused = until("it has ended", SOON, async || {
        let answer = ask(&api, &key, "GET", TASKS, None).await;
        assert!(answer.status == 200 || clock::now() >= end, "not before its time");
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_refused(&refused);
    assert_eq!(api.get("/api/v1/keys").await.expect(200)["items"][0]["status"], "expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_is_refused() {
    let api = TestApi::start().await;
    let key = text(&make(&api, "ci", "run").await);
    let other_case = key.to_uppercase();
    for wrong in ["x", NOBODYS, &key[..46], &format!("{key}A"), &other_case] {
        assert_refused(&ask(&api, wrong, "GET", TASKS, None).await);
    }
    let missing = ask(&api, " ", "GET", TASKS, None).await;
    assert_eq!(missing.expect(401)["detail"], "X-API-Key header is missing");
    assert_eq!(missing.headers["www-authenticate"], "ApiKey");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_can_not_be_made_says_why() {
    let api = TestApi::start().await;
    make(&api, "ci", "run").await;
    let taken = api.post("/api/v1/keys", json!({"name": "ci", "scope": "read"})).await;
    assert_eq!(taken.expect(409)["code"], "key_name_taken");
    for (body, field) in [
        (json!({"name": "a b", "scope": "run"}), "name"),
        (json!({"name": "configured key", "scope": "run"}), "name"),
        (json!({"name": "x".repeat(65), "scope": "run"}), "name"),
        (json!({"name": "x"}), "scope"),
        (json!({"name": "x", "scope": "root"}), "scope"),
        (json!({"name": "x", "scope": "run", "expires_at": "90d"}), "expires_at"),
        (json!({"name": "x", "scope": "run", "expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
    ] {
        let answer = api.post("/api/v1/keys", body).await.expect(422);
        assert_eq!(answer["detail"][0]["loc"], json!(["body", field]), "{answer}");
    }
    assert_eq!(api.count("api_keys").await, 1);
    api.execute(
        "INSERT INTO api_keys (id, name, prefix, hash, scope, created_by, created_at)
         SELECT gen_random_uuid(), 'k' || n, 'spk_', int4send(n), 'read', 'test', now() FROM generate_series(1, 999) n",
    )
    .await;
    let full = api.post("/api/v1/keys", json!({"name": "one-more", "scope": "read"})).await;
    assert_eq!(full.expect(400)["code"], "key_limit");
    api.execute("DELETE FROM api_keys WHERE name = 'k999'").await;
    let many = futures_util::future::join_all((0..8).map(|n| {
        let api = &api;
        async move { api.post("/api/v1/keys", json!({"name": format!("late-{n}"), "scope": "read"})).await.status }
    }));
    let made = many.await.into_iter().filter(|status| *status == 201).count();
    assert_eq!((made, api.count("api_keys WHERE revoked_at IS NULL").await), (1, 1000), "at once, too");
}

/// Without a configured key everything is open, until there is a stored one; taking it away opens nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_of_an_open_service_closes_it_for_good() {
    let api = TestApi::with(|options| options.api_keys.clear()).await;
    let open = |method: &'static str, path: &'static str, body: Value| {
        let api = &api;
        let body = body.to_string();
        async move { api.raw(method, path, &[("Content-Type", "application/json")], body.as_bytes()).await }
    };
    assert_eq!(open("GET", "/api/v1/keys", Value::Null).await.status, 200);
    let refused = open("POST", "/api/v1/keys", json!({"name": "ci", "scope": "run"})).await;
    assert_eq!(refused.expect(400)["code"], "key_first_admin");
    let ends = json!({"name": "chief", "scope": "admin", "expires_at": "2999-01-01T00:00:00Z"});
    assert_eq!(open("POST", "/api/v1/keys", ends).await.expect(400)["code"], "key_first_admin");
    assert_eq!(open("GET", "/api/v1/keys", Value::Null).await.status, 200, "nothing was made");
    let made = open("POST", "/api/v1/keys", json!({"name": "chief", "scope": "admin"})).await.expect(201);
    assert_eq!(made["created_by"], "anonymous (no key configured)");
    assert_eq!(open("GET", TASKS, Value::Null).await.expect(401)["detail"], "X-API-Key header is missing");
    let key = text(&made);
    assert_eq!(ask(&api, &key, "GET", TASKS, None).await.status, 200);
    ask(&api, &key, "POST", "/api/v1/keys", Some(json!({"name": "ci", "scope": "run"}))).await.expect(201);
    // The last key that can manage keys for ever stays, also where another one can for a while.
    let revoke = format!("/api/v1/keys/{}", id(&made));
    let ends = json!({"name": "deputy", "scope": "admin", "expires_at": "2999-01-01T00:00:00Z"});
    ask(&api, &key, "POST", "/api/v1/keys", Some(ends)).await.expect(201);
    assert_eq!(ask(&api, &key, "DELETE", &revoke, None).await.expect(400)["code"], "key_last_admin");
    ask(&api, &key, "POST", "/api/v1/keys", Some(json!({"name": "second", "scope": "admin"}))).await.expect(201);
    ask(&api, &key, "DELETE", &revoke, None).await.expect(200);
    assert_eq!(open("GET", TASKS, Value::Null).await.status, 401);
    assert_refused(&ask(&api, &key, "GET", TASKS, None).await);
}

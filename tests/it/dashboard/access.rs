//! Who gets in, and what a browser is told to keep out.

use serde_json::json;

use crate::api::client::{Answer, KEY, TestApi};
use crate::harness::node::http_client;
use crate::keys::{make, text};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const OWN: (&str, &str) = ("Sec-Fetch-Site", "same-origin");
const JSON: (&str, &str) = ("Content-Type", "application/json");

async fn login(api: &TestApi, key: &str) -> Answer {
    let form = format!("key={key}&next=%2Fdashboard%2Ftasks");
    api.raw("POST", "/dashboard/login", &[FORM, OWN], form.as_bytes()).await
}

/// The cookie of a login, as a browser sends it back.
fn cookie(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.headers["set-cookie"].split(';').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_the_pages_until_the_session_ends() {
    let api = TestApi::start().await;
    let away = api.raw("GET", "/dashboard/tasks?q=a%20b", &[], b"").await;
    assert_eq!(
        (away.status, away.headers["location"].as_str()),
        (303, "/dashboard/login?next=%2Fdashboard%2Ftasks%3Fq%3Da%2520b")
    );
    let form = api.raw("GET", "/dashboard/login", &[], b"").await;
    assert!(form.status == 200 && form.text().contains("API key"), "{}", form.text());

    let wrong = login(&api, "wrong").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.text().contains("Invalid API key") && !wrong.headers.contains_key("set-cookie"));
    let right = login(&api, KEY).await;
    assert_eq!(right.headers["location"], "/dashboard/tasks");
    let set = &right.headers["set-cookie"];
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Strict") && !set.contains(KEY), "{set}");
    let session = cookie(&right);
    let page = api.raw("GET", "/dashboard", &[("Cookie", &session)], b"").await;
    assert!(page.status == 200 && page.text().contains("Overview"), "{}", page.text());
    let policy = &page.headers["content-security-policy"];
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for inline in ["<style", " style=", "<script>", " onclick="] {
        assert!(!page.text().contains(inline), "{inline}");
    }
    let out = api.raw("POST", "/dashboard/logout", &[("Cookie", &session), OWN], b"").await;
    assert!(out.status == 303 && out.headers["set-cookie"].contains("Max-Age=0"), "{:?}", out.headers);
    let copy = api.raw("GET", "/dashboard", &[("Cookie", &session)], b"").await;
    assert_eq!(copy.status, 303, "a copy of its cookie is worth nothing");
    assert_eq!(api.raw("GET", "/api/v1/tasks", &[("Cookie", &session)], b"").await.status, 401);
    let forged = api.raw("GET", "/dashboard", &[("Cookie", "spark_session=gAAAAA")], b"").await;
    assert_eq!(forged.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_key_and_is_no_wider_than_it() {
    let api = TestApi::start().await;
    let reader = make(&api, "reader", "read").await;
    let session = cookie(&login(&api, &text(&reader)).await);
    let page = api.raw("GET", "/dashboard/schedules", &[("Cookie", &session)], b"").await;
    assert!(page.status == 200 && !page.text().contains("New schedule"), "{}", page.text());
    let headers = [("Cookie", session.as_str()), OWN, JSON];
    let refused = api.raw("POST", "/api/v1/queues/celery/pause", &headers, b"").await;
    assert_eq!(refused.status, 403);
    api.call("DELETE", &format!("/api/v1/keys/{}", reader["id"].as_str().unwrap()), None).await.expect(200);
    assert_eq!(api.raw("GET", "/dashboard", &[("Cookie", &session)], b"").await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_pages_can_not_use_a_session() {
    let api = TestApi::start().await;
    let session = cookie(&login(&api, KEY).await);
    let change = async |extra: &[(&str, &str)]| {
        let mut headers = vec![("Cookie", session.as_str()), JSON];
        headers.extend(extra);
        api.raw("POST", "/api/v1/queues/celery/pause", &headers, b"").await.status
    };
    assert_eq!(change(&[]).await, 403);
    assert_eq!(change(&[("Sec-Fetch-Site", "cross-site")]).await, 403);
    assert_eq!(change(&[("Sec-Fetch-Site", "same-site"), ("Origin", "http://127.0.0.1:1")]).await, 403);
    assert_eq!(change(&[("Origin", "http://evil.example")]).await, 403);
    assert_eq!(change(&[OWN]).await, 200);
    let rows = api.get("/api/v1/audit").await.expect(200);
    assert_eq!((&rows["total"], &rows["items"][0]["actor"]), (&json!(1), &json!("configured key")));
    let foreign = api.raw("POST", "/dashboard/login", &[FORM, ("Origin", "http://evil.example")], b"key=x").await;
    assert_eq!(foreign.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_are_slowed_down() {
    let api = TestApi::start().await;
    for _ in 0..10 {
        assert_eq!(login(&api, "guess").await.status, 401);
    }
    let slowed = login(&api, "guess").await;
    assert!(slowed.status == 429 && slowed.text().contains("wait a minute"), "{}", slowed.text());
    assert_eq!(slowed.headers.get("retry-after").map(String::as_str), Some("60"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_key_nobody_logs_in_and_no_foreign_name_is_answered() {
    let api = TestApi::with(|options| options.api_keys.clear()).await;
    let page = api.raw("GET", "/dashboard", &[], b"").await;
    assert!(page.status == 200 && page.text().contains("anonymous"), "{}", page.text());
    let login = api.raw("GET", "/dashboard/login", &[], b"").await;
    assert_eq!((login.status, login.headers["location"].as_str()), (303, "/dashboard"));
    let url = format!("http://{}/dashboard", api.address());
    let rebound = http_client().get(url).header("Host", "evil.example").send().await.unwrap();
    assert_eq!(rebound.status(), 403);
}

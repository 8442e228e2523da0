//! What answers say to browsers and caches.

use crate::api::client::{Answer, KEY, TestApi};

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", String::as_str)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_hardened_and_names_no_software() {
    let api = TestApi::start().await;
    let key = ("X-API-Key", KEY);
    let origin = ("Origin", "http://localhost:3000");
    let preflight = ("Access-Control-Request-Method", "POST");
    for (method, path, headers, status) in [
        ("GET", "/health", vec![], 200),
        ("GET", "/metrics", vec![], 200),
        ("GET", "/api/v1/tasks", vec![key], 200),
        ("GET", "/api/v1/tasks", vec![], 401),
        ("GET", "/api/v1/nothing", vec![key], 404),
        ("PUT", "/api/v1/tasks", vec![key], 405),
        ("POST", "/api/v1/sources", vec![key], 422),
        ("OPTIONS", "/api/v1/tasks", vec![origin, preflight], 204),
        ("GET", "/api/v1/openapi.json", vec![], 200),
        ("GET", "/api/v1/docs", vec![], 200),
        ("GET", "/api/v1/docs/swagger-ui-bundle.js", vec![], 200),
    ] {
        let answer = api.raw(method, path, &headers, b"").await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header(&answer, "x-frame-options"), "DENY", "{path}");
        assert!(header(&answer, "content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        let cached = if path.ends_with(".js") { "public, max-age=3600" } else { "no-store" };
        assert_eq!(header(&answer, "cache-control"), cached, "{path}");
        assert!(!answer.headers.contains_key("server") && !answer.headers.contains_key("x-powered-by"), "{path}");
    }
}

/// The policy of pages lets scripts come from files of ours only.
#[tokio::test(flavor = "multi_thread")]
async fn swagger_ui_has_no_script_that_its_policy_forbids() {
    let api = TestApi::start().await;
    let answer = api.raw("GET", "/api/v1/docs", &[], b"").await;
    let page = answer.text();
    let scripts: Vec<&str> =
        page.split("<script").skip(1).map(|rest| rest.split_once("</script>").unwrap().0).collect();
    assert!(!scripts.is_empty());
    for script in scripts {
        let (tag, inline) = script.split_once('>').unwrap();
        assert!(tag.contains("src=\"/api/v1/docs/") && inline.trim().is_empty(), "{script}");
    }
    assert!(header(&answer, "content-security-policy").starts_with("default-src 'self'"));
}

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{KEY, TestApi, fields};
use crate::harness::node::{SOON, http_client};
use crate::harness::servers::TestServers;
use crate::harness::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_asked_for_where_it_is_needed() {
    let api = TestApi::start().await;
    for path in ["/", "/api/v1/tasks", "/api/v1/sources/", "/api/v1/nothing"] {
        for headers in [&[][..], &[("X-API-Key", "")]] {
            let answer = api.raw("GET", path, headers, b"").await;
            assert_eq!(answer.expect(401)["detail"], "X-API-Key header is missing", "{path}");
            assert_eq!(answer.headers["www-authenticate"], "ApiKey");
        }
        let answer = api.raw("GET", path, &[("X-API-Key", "another")], b"").await;
        assert_eq!(answer.expect(401)["detail"], "Invalid API key", "{path}");
        assert_eq!(answer.headers["www-authenticate"], "ApiKey");
    }
    for path in [
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/api/v1/openapi.json",
        "/api/v1/docs",
        "/api/v1/redoc",
    ] {
        assert_eq!(api.raw("GET", path, &[], b"").await.status, 200, "{path}");
        assert_eq!(api.raw("GET", &format!("{path}/"), &[], b"").await.status, 200, "{path}/");
    }
    assert_eq!(api.raw("GET", "/", &[("Accept", "text/html,*/*")], b"").await.status, 303);
    let greeting = api.get("/").await.expect(200);
    assert_eq!((&greeting["status"], &greeting["service"]), (&json!("online"), &json!("Spark API")));
    assert!(greeting["docs_url"].as_str().unwrap().ends_with("/api/v1/docs"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_methods_say_so_in_the_one_form() {
    let api = TestApi::start().await;
    assert_eq!(api.get("/nothing").await.expect(404), json!({"detail": "Not Found", "code": "not_found"}));
    assert_eq!(api.get("/api/v1/nothing/at/all").await.expect(404)["detail"], "Not Found");
    let answer = api.call("PUT", "/api/v1/sources", None).await;
    assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, "GET, POST"));
    let answer = api.call("POST", "/health/", None).await;
    assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, "GET, HEAD"));
    for (entity, path) in
        [("Task", "tasks"), ("Source", "sources"), ("Schedule", "schedules"), ("Workflow", "workflows")]
    {
        for id in ["no-uuid", "00000000-0000-4000-8000-000000000000"] {
            let answer = api.get(&format!("/api/v1/{path}/{id}/")).await;
            assert_eq!(answer.expect(404)["detail"], format!("{entity} not found"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_allowed_origins_may_read_every_answer() {
    let api = TestApi::start().await;
    let origin = ("Origin", "http://localhost:3000");
    for (path, status) in [("/health", 200), ("/api/v1/tasks", 401), ("/nothing", 404)] {
        let answer = api.raw("GET", path, &[origin], b"").await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["access-control-allow-origin"], "http://localhost:3000", "{path}");
        assert_eq!(answer.headers["access-control-allow-credentials"], "true");
        let other = api.raw("GET", path, &[("Origin", "http://evil.example")], b"").await;
        assert_eq!(other.status, status);
        assert!(!other.headers.contains_key("access-control-allow-origin"));
    }
    let asks = [origin, ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "x-api-key")];
    let preflight = api.raw("OPTIONS", "/api/v1/sources", &asks, b"").await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.headers["access-control-allow-headers"], "x-api-key");
    assert!(preflight.headers["access-control-allow-methods"].contains("DELETE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_pages_of_other_sites_change_nothing() {
    let api = TestApi::with(|options| options.api_keys.clear()).await;
    assert_eq!(api.raw("GET", "/api/v1/tasks", &[], b"").await.status, 200);
    let post = |origin: &'static str| {
        let headers = vec![("Origin", origin)];
        let api = &api;
        async move { api.raw("POST", "/api/v1/schedules/x/trigger", &headers, b"").await.status }
    };
    assert_eq!(post("http://evil.example").await, 403);
    assert_eq!(post("http://localhost:3000").await, 404);
    // A page whose own name leads here is of the same origin, for the browser.
    let named = |method: Method| {
        let request = http_client().request(method, format!("http://{}/api/v1/keys", api.address));
        request.header("Host", "evil.example:8883").header("Origin", "http://evil.example:8883").send()
    };
    for method in [Method::GET, Method::POST] {
        let refused = named(method).await.unwrap();
        assert_eq!(refused.status(), 403);
        assert_eq!(refused.json::<Value>().await.unwrap()["code"], "host_refused");
    }
    // Where a key is asked for, it protects under every name.
    api.post("/api/v1/keys", json!({"name": "chief", "scope": "admin"})).await.expect(201);
    assert_eq!(named(Method::GET).await.unwrap().status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_answer_while_the_database_hangs() {
    let mut api = TestApi::over(TestServers::with_own_postgres().await, |_| {}).await;
    let report = api.raw("GET", "/health", &[], b"").await.expect(200);
    assert_eq!(report["status"], "healthy");
    assert_eq!(fields(&report["services"]), ["api", "beat", "database", "redis", "worker"]);
    assert_eq!(fields(&report["services"]["worker"]), ["active_workers", "available_tasks", "paused_queues", "status"]);
    api.servers.postgres().stop().await.unwrap();
    let begun = Instant::now();
    let answer = api.get("/api/v1/tasks").await;
    let body = answer.expect(503);
    assert_eq!(body["code"], "database_unavailable");
    assert!(!answer.text().contains("127.0.0.1"), "{body}");
    assert!(answer.headers["retry-after"].parse::<u32>().is_ok());
    assert!(begun.elapsed() < Duration::from_secs(10));
    api.dispatch.health().set_database(false);
    let begun = Instant::now();
    assert_eq!(api.raw("GET", "/health", &[], b"").await.expect(200)["status"], "degraded");
    assert_eq!(api.raw("GET", "/health/ready", &[], b"").await.expect(503)["status"], "no_database");
    assert_eq!(api.raw("GET", "/health/live", &[], b"").await.status, 200);
    let metrics = api.raw("GET", "/metrics", &[], b"").await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert!(metrics.text().contains("spark_database_up 0"), "{}", metrics.text());
    assert!(metrics.headers["content-type"].starts_with("text/plain; version=0.0.4"));
    assert!(!metrics.text().contains("# EOF"));
    let open = api.raw("GET", "/metrics", &[("Accept", "application/openmetrics-text; version=1.0.0")], b"").await;
    assert!(
        open.text().ends_with("# EOF\n") && open.headers["content-type"].starts_with("application/openmetrics-text")
    );
}

/// Asks for everything that the description names and checks that the answer is one it names, too.
#[tokio::test(flavor = "multi_thread")]
async fn the_description_matches_the_routes() {
    let api = TestApi::start().await;
    let document = api.raw("GET", "/api/v1/openapi.json", &[], b"").await.expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let concrete = path.replace("{id}", "00000000-0000-4000-8000-000000000000").replace("{flow_id}", "x");
        for (method, operation) in operations.as_object().unwrap() {
            // A stream of all tasks goes on until the service stops.
            let stop = async {
                if path == "/api/v1/events" {
                    let is_open = async || (api.dispatch.events().streams() == 1).then_some(());
                    until("the stream is open", SOON, is_open).await;
                    api.dispatch.events().close();
                }
            };
            let method_name = method.to_uppercase();
            let (answer, ()) = tokio::join!(api.call(&method_name, &concrete, None), stop);
            let named: &Value = &operation["responses"][answer.status.to_string()];
            assert!(named.is_object(), "{method} {path} answered {}: {}", answer.status, answer.text());
            assert!(answer.status != 405 && answer.detail() != "Not Found", "{method} {path}");
            asked += 1;
        }
    }
    assert!(asked > 30, "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_needs_nothing_from_elsewhere() {
    let api = TestApi::start().await;
    let page = api.raw("GET", "/api/v1/docs", &[], b"").await;
    let html = page.text();
    assert!(page.headers["content-type"].starts_with("text/html"));
    let files: Vec<&str> = html
        .split('"')
        .filter(|part| part.ends_with(".js") || part.ends_with(".css") || part.ends_with(".png"))
        .collect();
    assert!(files.len() >= 4, "{html}");
    for file in files {
        assert!(file.starts_with("/api/v1/docs/"), "{file}");
        let answer = api.raw("GET", file, &[], b"").await;
        assert!(answer.status == 200 && !answer.body.is_empty(), "{file}");
    }
    let initializer = api.raw("GET", "/api/v1/docs/swagger-initializer.js", &[], b"").await.text();
    assert!(initializer.contains("/api/v1/openapi.json"), "{initializer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_and_queues_are_shown() {
    let api = TestApi::start().await;
    assert_eq!(api.get("/api/v1/workers").await.expect(200), json!({"items": [], "total": 0, "pools": []}));
    let workflow = api.add_workflow().await;
    api.run(&workflow, "one").await;
    api.run(&workflow, "two").await;
    let later = json!({"input_data": "later", "delay": 600});
    api.post(&format!("/api/v1/workflows/{workflow}/run"), later).await.expect(200);
    api.execute("UPDATE tasks SET status = 'running' WHERE input_data->>'value' = 'two'").await;
    let queues = api.raw("GET", "/api/v1/queues", &[("X-API-Key", KEY)], b"").await.expect(200);
    let queue = &queues["items"][0];
    assert_eq!((&queue["name"], &queue["depth"], &queue["running"]), (&json!("celery"), &json!(1), &json!(1)));
    assert_eq!(queue["delayed"], 1);
    assert!(queue["oldest_age_s"].as_f64().unwrap() >= 0.0);
}

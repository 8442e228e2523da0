//! One walk through every operation of the API; its answers are the snapshot beside this file.

use std::collections::{BTreeMap, BTreeSet};

use automagik_spark::simulate;
use chrono::DateTime;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::client::{SOURCE_KEY, TestApi, id};
use super::contract::{operation, operations};

/// Answers by operation, and what became known on the way.
struct Walk {
    api: TestApi,
    answers: BTreeMap<String, Value>,
    walked: BTreeSet<(String, String)>,
}

impl Walk {
    /// Sends a request that must succeed, and keeps its answer.
    async fn step(&mut self, method: &str, path: &str, body: Option<Value>) -> Value {
        let answer = self.api.call(method, path, body).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {} {}", answer.status, answer.text());
        let (template, _) = operation(method, path).unwrap_or_else(|| panic!("{method} {path} is not described"));
        let kind = answer.headers.get("content-type").map(String::as_str).unwrap_or_default();
        let body = if kind.starts_with("application/json") { answer.json() } else { Value::Null };
        let shown = json!({ "status": answer.status, "body": self.steady(body.clone()) });
        self.answers.insert(format!("{method} {template}"), shown);
        self.walked.insert((method.to_owned(), template));
        body
    }

    async fn get(&mut self, path: &str) -> Value {
        self.step("GET", path, None).await
    }

    async fn post(&mut self, path: &str, body: Value) -> Value {
        self.step("POST", path, Some(body)).await
    }

    async fn act(&mut self, path: &str) -> Value {
        self.step("POST", path, None).await
    }

    async fn delete(&mut self, path: &str) -> Value {
        self.step("DELETE", path, None).await
    }

    /// What is the same in every run: ids, times and addresses are not.
    fn steady(&self, value: Value) -> Value {
        match value {
            Value::Object(object) => {
                let steady = |(name, value): (String, Value)| {
                    let is_id = Uuid::parse_str(&name).is_ok();
                    (if is_id { "[id]".to_owned() } else { name }, self.steady(value))
                };
                Value::Object(object.into_iter().map(steady).collect::<Map<_, _>>())
            }
            // The points of a chart are one as the other.
            Value::Array(items) if items.len() > 50 => json!([self.steady(items[0].clone())]),
            Value::Array(items) => items.into_iter().map(|item| self.steady(item)).collect(),
            Value::String(text) if Uuid::parse_str(&text).is_ok() && text != simulate::FLOW_ID => "[id]".into(),
            Value::String(text) if text.starts_with("spk_") => "[key]".into(),
            Value::String(text) if DateTime::parse_from_rfc3339(&text).is_ok() => "[time]".into(),
            Value::String(text) => {
                let host = self.api.source.url().trim_start_matches("http://").to_owned();
                without_ports(&text.replace(&host, "[source]")).into()
            }
            Value::Number(number) if number.is_f64() => "[number]".into(),
            other => other,
        }
    }
}

/// Takes out the ports of this machine's addresses.
fn without_ports(text: &str) -> String {
    let mut parts = text.split("127.0.0.1:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |done, part| format!("{done}[host]{}", part.trim_start_matches(|c: char| c.is_ascii_digit())))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_as_the_contract_says() {
    let api = TestApi::start().await;
    let url = api.source.url().to_owned();
    let mut walk = Walk { api, answers: BTreeMap::new(), walked: BTreeSet::new() };

    for path in ["/", "/health", "/health/live", "/health/ready", "/metrics"] {
        walk.get(path).await;
    }
    let source = json!({ "source_type": "langflow", "url": url, "name": "flow", "api_key": SOURCE_KEY });
    let source = id(&walk.post("/api/v1/sources", source).await);
    walk.get("/api/v1/sources").await;
    walk.get("/api/v1/adapters").await;
    walk.get(&format!("/api/v1/sources/{source}")).await;
    walk.step("PATCH", &format!("/api/v1/sources/{source}"), Some(json!({ "name": "renamed" }))).await;

    walk.act(&format!("/api/v1/sources/{source}/resume")).await;
    walk.get(&format!("/api/v1/workflows/remote?source_url={url}")).await;
    walk.get(&format!("/api/v1/workflows/remote/{}?source_url={url}", simulate::FLOW_ID)).await;
    let sync = format!("/api/v1/workflows/sync/{}?source_url={url}", simulate::FLOW_ID);
    let workflow = id(&walk.act(&sync).await);
    walk.get("/api/v1/workflows").await;
    walk.get(&format!("/api/v1/workflows/{workflow}")).await;
    let limits = json!({"max_concurrency": 100, "rate": "1000/s"});
    walk.step("PATCH", &format!("/api/v1/workflows/{workflow}"), Some(limits)).await;

    let run = json!({ "input_data": "good morning", "session_id": "one", "priority": 7, "max_retries": 1 });
    let task = id(&walk.post(&format!("/api/v1/workflows/{workflow}/run"), run).await);
    walk.get("/api/v1/tasks").await;
    walk.get(&format!("/api/v1/tasks/{task}")).await;
    walk.act(&format!("/api/v1/tasks/{task}/cancel")).await;
    walk.act(&format!("/api/v1/tasks/{task}/retry")).await;
    walk.get(&format!("/api/v1/tasks/{task}/attempts")).await;
    walk.get(&format!("/api/v1/tasks/{task}/logs")).await;
    walk.post("/api/v1/tasks/cancel", json!({ "ids": [task] })).await;
    walk.get(&format!("/api/v1/tasks/{task}/events")).await;
    walk.post("/api/v1/tasks/retry", json!({ "workflow_id": workflow, "status": "cancelled" })).await;
    walk.post("/api/v1/tasks/delete", json!({ "status": "completed" })).await;

    let rule = json!({
        "workflow_id": workflow, "schedule_type": "cron", "schedule_expr": "0 9 * * MON-FRI",
        "timezone": "Asia/Kolkata", "input_value": "good morning",
    });
    let schedule = id(&walk.post("/api/v1/schedules", rule.clone()).await);
    let one = format!("/api/v1/schedules/{schedule}");
    walk.get("/api/v1/schedules").await;
    walk.get(&one).await;
    walk.step("PUT", &one, Some(rule)).await;
    walk.step("PATCH", &one, Some(json!({ "overlap_policy": "skip", "jitter_s": 5 }))).await;
    walk.act(&format!("{one}/trigger")).await;
    walk.act(&format!("{one}/disable")).await;
    walk.act(&format!("{one}/enable")).await;
    walk.get(&format!("{one}/preview?count=1")).await;
    walk.get(&format!("{one}/occurrences")).await;
    let rule = json!({ "schedule_type": "one-time", "schedule_expr": "2999-01-01 09:00", "timezone": "Asia/Kolkata" });
    walk.post("/api/v1/schedules/preview", rule).await;

    walk.get("/api/v1/workers").await;
    walk.get("/api/v1/workers/history").await;
    walk.get("/api/v1/pools").await;
    // Of a queue without tasks: what a minute holds depends on when it begins.
    walk.get("/api/v1/stats?window=hour&by=workflow&queue=none").await;
    walk.act("/api/v1/queues/low_priority/pause").await;
    walk.get("/api/v1/queues").await;
    walk.get("/api/v1/diagnosis").await;
    walk.act("/api/v1/queues/low_priority/resume").await;

    let key = id(&walk.post("/api/v1/keys", json!({ "name": "ci", "scope": "run" })).await);
    walk.get("/api/v1/keys").await;
    walk.delete(&format!("/api/v1/keys/{key}")).await;
    walk.get("/api/v1/audit?action=key.create").await;

    walk.delete(&one).await;
    walk.delete(&format!("/api/v1/tasks/{task}")).await;
    walk.delete(&format!("/api/v1/workflows/{workflow}")).await;
    walk.delete(&format!("/api/v1/sources/{source}")).await;

    // A pool needs a node, and a stream of everything does not end: tests/it/pools and tests/it/events go there.
    let elsewhere = [("PATCH", "/api/v1/pools/{name}"), ("GET", "/api/v1/events")];
    let mut left: BTreeSet<_> = operations().into_iter().collect();
    left.retain(|(method, path)| !walk.walked.contains(&(method.clone(), path.clone())));
    let left: BTreeSet<_> = left.iter().map(|(method, path)| (method.as_str(), path.as_str())).collect();
    assert_eq!(left, BTreeSet::from(elsewhere), "the walk comes by everything else");
    insta::assert_json_snapshot!("walk", walk.answers);
}

//! What the service writes and answers, in good days and in bad ones.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use automagik_spark::dev::Signal;
use automagik_spark::simulate::{FLOW_ID, SimulateOptions};
use reqwest::Method;
use serde_json::{Value, json};

use super::scene::{SOURCE_KEY, Secrets, WEBHOOK_SECRET, WRONG_KEY, serve, telltale};
use crate::harness::node::{SOON, TestNode, http_client};
use crate::harness::servers::TestServers;
use crate::harness::stage::{API_KEY, Stage};
use crate::harness::until;

const SOURCES: &str = "/api/v1/sources";

/// A service under watch.
struct Watched {
    node: TestNode,
    secrets: Secrets,
    stdout: PathBuf,
}

impl Watched {
    async fn start(stage: &Stage, faults: &std::path::Path) -> Self {
        let (mut command, stdout) = serve(stage, &[("worker.max_retries", "0")]);
        command.env("SPARK_FAULTS", faults);
        let node = TestNode::launch(command, &stage.servers.database_url).await;
        node.until_children_are_ready().await;
        Self { node, secrets: Secrets::of(stage), stdout }
    }

    /// Sends a request and looks through its whole answer.
    async fn ask(&self, key: &str, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}{path}", self.node.url());
        let mut request = http_client().request(method.clone(), url).header("X-API-Key", key);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), format!("{:?}", answer.headers()));
        let text = answer.text().await.unwrap();
        self.secrets.assert_not_in(&format!("{method} {path} ({status})"), format!("{headers}\n{text}").as_bytes());
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.ask(API_KEY, "POST", path, Some(&body)).await
    }

    /// What a task of a workflow came to, with all that is told of it.
    async fn fail(&self, workflow: &str, input: &str, code: &str) {
        let (_, task) = self.post(&format!("/api/v1/workflows/{workflow}/run"), json!({ "input_data": input })).await;
        let task = task["id"].as_str().unwrap();
        self.node.until_task_is(task, "failed").await;
        for of_it in ["", "/attempts", "/logs"] {
            self.ask(API_KEY, "GET", &format!("/api/v1/tasks/{task}{of_it}"), None).await;
        }
        let attempts = self.node.attempts(task).await;
        assert_eq!(attempts[0]["code"], code, "{input}: {attempts:?}");
    }

    /// Looks through every answer to a GET that the API describes, of all that there is.
    async fn look_everywhere(&self) {
        let (_, document) = self.ask(API_KEY, "GET", "/api/v1/openapi.json", None).await;
        let mut asked = 0;
        for (path, operations) in document["paths"].as_object().unwrap() {
            if operations.get("get").is_none() || path.ends_with("/events") {
                continue;
            }
            for concrete in self.concrete(path).await {
                let (status, _) = self.ask(API_KEY, "GET", &concrete, None).await;
                assert!(status == 200 || concrete.contains("remote"), "{status} {concrete}");
                asked += 1;
            }
        }
        assert!(asked > 30, "{asked}");
        for path in ["/metrics", "/health", "/dashboard", "/dashboard/sources", "/dashboard/tasks", "/api/v1/docs"] {
            self.ask(API_KEY, "GET", path, None).await;
        }
    }

    /// A path with the id of each thing of its kind in the place of `{id}`.
    async fn concrete(&self, path: &str) -> Vec<String> {
        let Some((list, rest)) = path.split_once("/{") else { return vec![path.to_owned()] };
        let (_, rest) = rest.split_once('}').unwrap();
        if list.ends_with("remote") {
            return vec![format!("{list}/{FLOW_ID}{rest}")];
        }
        let items = self.node.get(list).await["items"].as_array().unwrap().clone();
        assert!(!items.is_empty(), "there is none of {list}");
        items.iter().map(|item| format!("{list}/{}{rest}", item["id"].as_str().unwrap())).collect()
    }

    fn look_at_its_output(&self) {
        let log = self.node.log();
        assert!(log.contains(" DEBUG "), "everything is logged");
        self.secrets.assert_not_in("the log", log.as_bytes());
        self.secrets.assert_not_in("stdout", &fs::read(&self.stdout).unwrap());
    }
}

/// All that the database holds, as text.
async fn dump(stage: &Stage) -> String {
    let mut text = String::new();
    for table in stage.rows("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'", &[]).await {
        let table: String = table.get(0);
        let rows = stage.rows(&format!("SELECT t::text FROM \"{table}\" t"), &[]).await;
        text.extend(rows.iter().map(|row| format!("{table}: {}\n", row.get::<_, String>(0))));
    }
    text
}

async fn stage() -> Stage {
    let servers = TestServers::with_own_postgres().await;
    let key = automagik_spark::domain::source::Secret::new(SOURCE_KEY);
    Stage::with(servers, SimulateOptions { api_key: key, ..SimulateOptions::default() })
}

#[tokio::test]
async fn no_secret_is_written_or_answered_whatever_happens() {
    let mut stage = Box::pin(stage()).await;
    let faults = tempfile::tempdir().unwrap();
    let watched = Box::pin(Watched::start(&stage, faults.path())).await;
    let telltale = telltale();

    // What goes well.
    let good = json!({ "source_type": "langflow", "url": stage.source.url(), "api_key": SOURCE_KEY });
    assert_eq!(watched.post(SOURCES, good).await.0, 201);
    let sync = json!({ "source_url": stage.source.url() });
    let (_, workflow) = watched.post(&format!("/api/v1/workflows/sync/{FLOW_ID}"), sync).await;
    let workflow = workflow["id"].as_str().unwrap();
    let (_, task) = watched.post(&format!("/api/v1/workflows/{workflow}/run?wait=20"), json!("hello")).await;
    assert_eq!(task["status"], "completed", "{task}");
    let rule = json!({ "workflow_id": workflow, "schedule_type": "interval", "schedule_expr": "1h" });
    watched.post("/api/v1/schedules", rule).await;
    let hook = format!("{}/hook", telltale.url);
    let notification = json!({ "name": "on-call", "url": hook, "events": ["task.failed"], "secret": WEBHOOK_SECRET });
    assert_eq!(watched.post("/api/v1/notifications", notification).await.0, 201);

    // A source that tells what it was sent, in each way of failing.
    let loud = json!({ "source_type": "http", "adapter": "webhook", "url": telltale.url, "api_key": SOURCE_KEY });
    assert_eq!(watched.post(SOURCES, loud).await.0, 201);
    let sync = json!({ "source_url": telltale.url });
    let (_, told) = watched.post("/api/v1/workflows/sync/webhook", sync).await;
    let told = told["id"].as_str().unwrap();
    for (input, code) in [
        ("as a refusal", "source_http_401"),
        ("as a redirect", "source_redirect"),
        ("as a failure of its own", "source_http_503"),
    ] {
        watched.fail(told, input, code).await;
    }
    let (_, task) = watched.post(&format!("/api/v1/workflows/{told}/run?wait=20"), json!("as a result")).await;
    assert!(task["status"] == "completed" && task["result"].as_str().unwrap().contains("***"), "{task}");
    assert!(telltale.requests().iter().any(|request| request.contains(SOURCE_KEY)), "the source was sent its key");
    watched.fail(workflow, "fail:a component broke", "source_http_500").await;

    // Wrong keys: of the API, and of a source.
    assert_eq!(watched.ask(WRONG_KEY, "GET", SOURCES, None).await.0, 401);
    let wrong = json!({ "source_type": "langflow", "url": format!("{}/", stage.source.url()), "api_key": WRONG_KEY });
    assert_eq!(watched.post(SOURCES, wrong).await.0, 400);
    let misplaced = json!({ "source_type": "http", "url": 7, "api_key": [SOURCE_KEY], "name": { "a": SOURCE_KEY } });
    assert_eq!(watched.post(SOURCES, misplaced).await.0, 422);

    // Panics: of a child while it holds the source's key, and of the service while it carries a request out.
    fs::write(faults.path().join("before_call"), "panic").unwrap();
    watched.fail(told, "panic", "adapter_panicked").await;
    let (_, later) =
        watched.post(&format!("/api/v1/workflows/{workflow}/run"), json!({ "input_data": "x", "delay": 3600 })).await;
    fs::write(faults.path().join("after_cancel_stored"), "panic").unwrap();
    watched.post(&format!("/api/v1/tasks/{}/cancel", later["id"].as_str().unwrap()), json!({})).await;
    assert_eq!(watched.node.log().matches("a test has planned this panic").count(), 2, "both panicked");

    watched.look_everywhere().await;
    watched.secrets.assert_not_in("the database", dump(&stage).await.as_bytes());

    // The database away, and back.
    stage.servers.postgres().signal(Signal::KILL);
    until("the database is away", SOON, async || {
        let (_, health) = watched.ask(API_KEY, "GET", "/health", None).await;
        (health["services"]["database"]["status"] != "healthy").then_some(())
    })
    .await;
    for path in [SOURCES, "/api/v1/tasks", "/dashboard", "/metrics", "/api/v1/diagnosis"] {
        watched.ask(API_KEY, "GET", path, None).await;
    }
    watched.post(&format!("/api/v1/workflows/{workflow}/run"), json!("hello")).await;
    stage.servers.postgres().start_again().await.unwrap();
    until("the database is back", SOON, async || {
        let (_, health) = watched.ask(API_KEY, "GET", "/health", None).await;
        (health["services"]["database"]["status"] == "healthy").then_some(())
    })
    .await;
    watched.look_at_its_output();
    tokio::time::timeout(Duration::from_secs(60), stop(watched)).await.expect("it stops");
}

async fn stop(mut watched: Watched) {
    watched.node.stop(SOON).await;
    watched.look_at_its_output();
}

//! Sources of kind `http` on the wire: the shipped adapters, and what goes wrong with them.

mod api;
mod run;
mod service;

use automagik_spark::domain::adapter::{Adapter, Adapters};
use automagik_spark::domain::outcome::{Answer, Failure, FailureClass, Outcome};
use automagik_spark::domain::source::{Endpoint, Secret, SourceKind, Trust};
use automagik_spark::sources::{Error, HttpClient, HttpOptions, RunRequest, WorkflowSource, connect};
use serde_json::{Value, json};

use crate::cli::script::Script;

const KEY: &str = "the-key/of ours";

/// The adapters of the service, and one more.
fn adapters(name: &str, text: &str) -> Adapters {
    let mut adapters = Adapters::default();
    adapters.insert(Adapter::read(name, "test", text).expect("an adapter"));
    adapters
}

fn try_source(url: &str, adapter: &str, key: &str, adapters: &Adapters) -> Result<Box<dyn WorkflowSource>, Error> {
    let adapter = Some(adapter.to_owned());
    let endpoint = Endpoint {
        kind: SourceKind::Http,
        url: url.to_owned(),
        api_key: Secret::new(key),
        adapter,
        trust: Trust::default(),
    };
    connect(endpoint, HttpClient::new(HttpOptions::default()).unwrap(), adapters)
}

fn source(url: &str, adapter: &str) -> Box<dyn WorkflowSource> {
    try_source(url, adapter, KEY, &Adapters::default()).unwrap()
}

fn request(flow: &str, input: &str) -> RunRequest {
    RunRequest {
        task_id: "task-1".to_owned(),
        flow_id: flow.to_owned(),
        input: input.to_owned(),
        session_id: "session-1".to_owned(),
        input_component: None,
        output_component: None,
    }
}

async fn completed(source: &dyn WorkflowSource, run: &RunRequest) -> Answer {
    match source.run(run).await {
        Outcome::Completed(answer) => answer,
        other => panic!("{other:?}"),
    }
}

async fn failed(source: &dyn WorkflowSource, run: &RunRequest) -> Failure {
    match source.run(run).await {
        Outcome::Failed(failure) => {
            assert!(!failure.message.contains("the-key") && !failure.message.contains("of ours"), "{failure:?}");
            failure
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_shipped_files_are_built_in() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config/adapters")).unwrap();
    let mut names: Vec<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap().replace(".toml", "")).collect();
    names.sort();
    assert_eq!(names.join(", "), Adapters::shipped().names());
}

fn n8n_workflow(id: &str, path: &str, method: &str) -> Value {
    json!({
        "id": id, "name": format!("Workflow {id}"), "active": true, "connections": {},
        "nodes": [
            {"name": "Note", "type": "n8n-nodes-base.stickyNote", "parameters": {"path": "no"}},
            {"name": "Webhook", "type": "n8n-nodes-base.webhook", "parameters": {"path": path, "httpMethod": method}},
        ],
    })
}

#[tokio::test]
async fn n8n_is_listed_page_by_page_and_run_by_its_webhook() {
    let script = Script::start();
    let source = source(&format!("{}/base", script.url()), "n8n");
    let first = n8n_workflow("a1", "orders/new", "POST");
    script.on("GET /base/api/v1/workflows?limit=1", 200, &json!({"data": [first], "nextCursor": "c"}));
    assert_eq!(source.validate().await.unwrap(), json!({}));
    assert_eq!(script.asked()[0].header("x-n8n-api-key"), Some(KEY));

    let all = "active=true&excludePinnedData=true&limit=100";
    script.on(&format!("GET /base/api/v1/workflows?{all}"), 200, &json!({"data": [first], "nextCursor": "c+/="}));
    let second = json!({"data": [n8n_workflow("b2", "x", "GET")], "nextCursor": null});
    script.on(&format!("GET /base/api/v1/workflows?{all}&cursor=c%2B%2F%3D"), 200, &second);
    let flows = source.list().await.unwrap();
    let shown: Vec<_> = flows.iter().map(|flow| (&*flow.id, &*flow.name, flow.input_component.as_deref())).collect();
    assert_eq!(shown, [("a1", "Workflow a1", Some("orders/new")), ("b2", "Workflow b2", None)]);

    script.on("GET /base/api/v1/workflows/a1", 200, &first);
    let flow = source.get("a1").await.unwrap();
    assert_eq!((flow.components.len(), flow.components[0].name.as_str()), (1, "Webhook"));

    script.on("POST /base/webhook/orders/new", 200, &json!([{"output": "HELLO"}]));
    let run = RunRequest { input_component: flow.input_component, ..request("a1", r#"{"order": 7}"#) };
    let answer = completed(&*source, &run).await;
    assert_eq!((answer.text.as_str(), answer.output.get()), ("HELLO", r#"[{"output":"HELLO"}]"#));
    let asked = script.asked().pop().unwrap();
    assert_eq!(asked.body, json!({"input": {"order": 7}, "session_id": "session-1", "task_id": "task-1"}));
    assert_eq!(asked.header("content-type"), Some("application/json"));

    let failure = failed(&*source, &request("b2", "x")).await;
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Permanent, "source_request"));
    assert!(failure.message.contains("no input_component"), "{}", failure.message);
}

#[tokio::test]
async fn n8n_s_refusals_are_told_apart() {
    let script = Script::start();
    let source = source(&script.url(), "n8n");
    let wrong = json!({"message": format!("unauthorized: {KEY}")});
    for _ in 0..3 {
        script.on("GET /api/v1/workflows", 401, &wrong);
    }
    script.on("GET /api/v1/workflows/x", 401, &wrong);
    for error in [
        source.validate().await.unwrap_err(),
        source.list().await.unwrap_err(),
        source.validate().await.unwrap_err(),
        source.get("x").await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Unauthorized(_)), "{error:?}");
        assert!(error.to_string().contains("***") && !error.to_string().contains("the-key"), "{error}");
    }
    script.on("GET /api/v1/workflows/nope", 404, &json!({"message": "Not Found"}));
    assert!(matches!(source.get("nope").await, Err(Error::NotFound(_))));
    assert!(matches!(source.get("..").await, Err(Error::NotFound(_))));
    script.on_raw("GET /api/v1/workflows", 200, "content-type: text/html\r\n", "<html>the editor</html>");
    assert!(source.validate().await.unwrap_err().to_string().contains("the editor"));
    script.on("GET /api/v1/workflows", 200, &json!({"other": 1}));
    assert!(source.validate().await.unwrap_err().to_string().contains("/data"));

    let run = RunRequest { input_component: Some("hook".to_owned()), ..request("a1", "x") };
    script.on("POST /webhook/hook", 404, &json!({"code": 404, "message": "the webhook is not registered"}));
    let failure = failed(&*source, &run).await;
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Permanent, "source_http_404"));
    script.on("POST /webhook/hook", 500, &json!({"code": 0, "message": "Error in workflow"}));
    let failure = failed(&*source, &run).await;
    assert_eq!((failure.class, failure.outcome_unknown), (FailureClass::Transient, false));
    assert!(failure.message.contains("Error in workflow"), "{}", failure.message);
}

#[tokio::test]
async fn a_webhook_is_one_workflow_at_the_source_s_own_url() {
    let script = Script::start();
    let source = source(&format!("{}/hooks/7", script.url()), "webhook");
    script.on("OPTIONS /hooks/7", 405, &Value::Null);
    assert_eq!(source.validate().await.unwrap(), json!({}));
    for (status, unauthorized) in [(401, true), (403, true), (502, false)] {
        script.on("OPTIONS /hooks/7", status, &Value::Null);
        let error = source.validate().await.unwrap_err();
        assert_eq!(matches!(error, Error::Unauthorized(_)), unauthorized, "{error:?}");
    }
    let flows = source.list().await.unwrap();
    assert_eq!((flows.len(), flows[0].id.as_str()), (1, "webhook"));
    assert_eq!(source.get("webhook").await.unwrap(), flows[0]);
    assert!(matches!(source.get("other").await, Err(Error::NotFound(_))));
    assert_eq!(failed(&*source, &request("other", "x")).await.code, "flow_not_found");

    let run = request("webhook", "hi \"you\"\n");
    script.on("POST /hooks/7", 200, &json!({"result": 5, "more": [1]}));
    let answer = completed(&*source, &run).await;
    assert_eq!((answer.text.as_str(), answer.output.get()), ("5", r#"{"result":5,"more":[1]}"#));
    let asked = script.asked().pop().unwrap();
    assert_eq!(asked.body["input"], "hi \"you\"\n");
    assert_eq!(asked.header("authorization"), Some(&*format!("Bearer {KEY}")));
    script.on_raw("POST /hooks/7", 202, "content-type: text/plain\r\n", "accepted");
    let answer = completed(&*source, &run).await;
    assert_eq!((answer.text.as_str(), answer.output.get()), ("accepted", r#"{"result":"accepted"}"#));
    script.on_raw("POST /hooks/7", 204, "", "");
    let answer = completed(&*source, &run).await;
    assert_eq!((answer.text.as_str(), answer.output.get()), ("", r#"{"result":""}"#));
}

#[tokio::test]
async fn a_key_in_the_query_is_shown_nowhere() {
    let text = "description = \"x\"\n[auth]\ntype = \"query\"\nname = \"token\"\n[list]\n[run]\npath = \"/run\"\n";
    let adapters = adapters("mine", text);
    let script = Script::start();
    let source = try_source(&script.url(), "mine", KEY, &adapters).unwrap();
    let signed = "?token=the-key%2Fof+ours";
    let echo = |status: u16, line: &str| {
        let body = format!("{status} at {line}{signed} for {KEY}");
        script.on_raw(&format!("{line}{signed}"), status, "location: http://127.0.0.1:9/x?token=the-key\r\n", &body);
    };
    for status in [200, 302, 403, 500] {
        echo(status, "GET /");
        let error = source.validate().await.unwrap_err().to_string();
        assert!(!error.contains("the-key") && !error.contains("of ours"), "{error}");
        echo(status, "POST /run");
        failed(&*source, &request("a", "x")).await;
    }
    let long = "x".repeat(490) + " " + KEY;
    script.on_raw("POST /run", 500, "", &long);
    failed(&*source, &request("a", "x")).await;
    drop(script);
    for error in [source.validate().await.unwrap_err(), source.list().await.unwrap_err()] {
        assert!(matches!(error, Error::Unreachable(_)) && !error.to_string().contains("the-key"), "{error}");
    }
    assert_eq!(failed(&*source, &request("a", "x")).await.code, "source_unreachable");
}

#[tokio::test]
async fn an_adapter_that_is_gone_is_an_error_that_says_what_to_do() {
    let error = try_source("http://h", "gone", "", &Adapters::default()).err().expect("refused");
    let text = error.to_string();
    assert_eq!((error.code(), error.is_transient()), ("source_adapter", false));
    for telling in ["`gone`", "gone.toml", "sources.adapters_dir", "n8n, rest, webhook"] {
        assert!(text.contains(telling), "{text}");
    }
    // As in a database of the Python service.
    let endpoint = Endpoint {
        kind: SourceKind::Http,
        url: "http://h".to_owned(),
        api_key: Secret::default(),
        adapter: None,
        trust: Trust::default(),
    };
    let client = HttpClient::new(HttpOptions::default()).unwrap();
    let error = connect(endpoint, client, &Adapters::default()).err().expect("refused");
    assert!(error.to_string().contains("names no adapter: give it one of n8n, rest, webhook"), "{error}");
}

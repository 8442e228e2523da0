//! The adapter of Automagik Agents on the wire, against recorded answers on a scripted server.

use automagik_spark::domain::adapter::Adapters;
use automagik_spark::domain::outcome::{Failure, FailureClass, Outcome};
use automagik_spark::domain::source::{Endpoint, Secret, SourceKind, Trust};
use automagik_spark::sources::{Error, HttpClient, HttpOptions, WorkflowSource, connect};
use serde_json::{Value, json};

use crate::langflow::scripted::{Scripted, http};
use crate::langflow::{completed, request};

const KEY: &str = "am-the-right-key";

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../fixtures/agents/", $name, ".json"))
    };
}

fn source_with(url: &str, key: &str) -> Box<dyn WorkflowSource> {
    let endpoint = Endpoint {
        kind: SourceKind::AutomagikAgents,
        url: url.to_owned(),
        api_key: Secret::new(key),
        adapter: None,
        trust: Trust::default(),
    };
    connect(endpoint, HttpClient::new(HttpOptions::default()).unwrap(), &Adapters::default()).unwrap()
}

fn source(url: &str) -> Box<dyn WorkflowSource> {
    source_with(url, KEY)
}

fn ok(body: &str) -> Vec<u8> {
    http("200 OK", "", body)
}

fn agents() -> Scripted {
    Scripted::answering(|_, request| {
        let route = request.split(" HTTP/").next().unwrap();
        if !matches!(route, "GET /health" | "GET /") && !request.contains(&format!("x-api-key: {KEY}\r\n")) {
            return http("401 Unauthorized", "", r#"{"detail":"Invalid API Key"}"#);
        }
        match route {
            "GET /health" => ok(r#"{"status":"healthy","version":"0.6.19","environment":"development"}"#),
            "GET /" => ok(r#"{"status":"online","name":"Automagik API","description":"d","version":"0.6.19"}"#),
            "GET /api/v1/agents" => ok(recorded!("agents")),
            "GET /api/v1/agent/simple" | "GET /api/v1/agent/6" => ok(recorded!("agent")),
            "POST /api/v1/agent/simple/run" if request.contains("fail:boom") => ok(recorded!("run_failed")),
            "POST /api/v1/agent/simple/run" => ok(recorded!("run")),
            "POST /api/v1/agent/nope/run" => http("404 Not Found", "", r#"{"detail":"Agent 'nope' not found"}"#),
            _ => http("404 Not Found", "", r#"{"detail":"Agent not found: nope"}"#),
        }
    })
}

async fn failed(source: &dyn WorkflowSource, flow: &str, input: &str) -> Failure {
    match source.run(&request(flow, input)).await {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_source_with_the_right_key_is_accepted_and_its_agents_are_read() {
    let server = agents();
    let source = source(&server.url);
    let version =
        json!({"version": "0.6.19", "name": "Automagik API", "description": "d", "environment": "development"});
    assert_eq!(source.validate().await.unwrap(), version);
    assert!(!server.requests()[0].contains(KEY), "the health check needs no key");
    assert!(server.requests().iter().all(|request| !request.to_lowercase().contains("authorization:")));

    let flows = source.list().await.unwrap();
    assert_eq!(flows.iter().map(|flow| flow.id.as_str()).collect::<Vec<_>>(), ["simple", "simple_agno"]);
    // By name or by number; the id is the name.
    for id in ["simple", "6"] {
        let flow = source.get(id).await.unwrap();
        assert_eq!((flow.id.as_str(), flow.input_component.as_deref()), ("simple", Some("message")));
        assert_eq!(flow.data.unwrap()["model"], "openai:gpt-4o-mini");
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_shown_nowhere() {
    let server = agents();
    for key in ["", "am-mine-and-wrong"] {
        let source = source_with(&server.url, key);
        let errors = [
            source.validate().await.unwrap_err(),
            source.list().await.unwrap_err(),
            source.get("x").await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, Error::Unauthorized(_)) && !error.to_string().contains("am-mine"), "{error:?}");
        }
        assert_eq!(failed(&*source, "simple", "x").await.code, "source_http_401");
    }
}

#[tokio::test]
async fn a_run_names_its_session_and_gives_text() {
    let server = agents();
    let answer = completed(&*source(&server.url), request("simple", r#"{"a":1}"#)).await;
    assert_eq!(answer.text, "HELLO");
    let sent = server.requests().remove(0);
    let body: Value = serde_json::from_str(sent.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(
        (&body["message_content"], &body["session_name"]),
        (&json!(r#"{"a":1}"#), &json!(r#"session of {"a":1}"#))
    );
    assert_eq!(body["session_origin"], "automagik-spark");
}

#[tokio::test]
async fn failures_and_unknown_agents_are_told_apart() {
    let server = agents();
    let source = source(&server.url);
    let failure = failed(&*source, "simple", "fail:boom").await;
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Transient, "flow_failed"));

    let unknown = failed(&*source, "nope", "x").await;
    assert_eq!((unknown.class, unknown.code.as_str()), (FailureClass::Permanent, "source_http_404"));
    assert_eq!(unknown.message, "the source answered 404: Agent 'nope' not found");
    assert_eq!(failed(&*source, "..", "x").await.code, "flow_not_found");
    for id in ["nope", "", ".."] {
        assert!(matches!(source.get(id).await, Err(Error::NotFound(_))), "{id}");
    }
}

#[tokio::test]
async fn other_servers_are_refused_with_what_they_say() {
    let cases = [
        (vec![ok(r#"{"status":"ok"}"#)], r#"{"status":"ok"}"#),
        (vec![http("404 Not Found", "", r#"{"detail":"Not Found"}"#)], "404"),
        (vec![ok(r#"{"status":"healthy"}"#), ok("<html>app</html>")], "<html>app</html>"),
        (vec![ok(r#"{"status":"healthy"}"#), http("404 Not Found", "", "gone")], "404 gone"),
    ];
    for (answers, part) in cases {
        let error = source(&Scripted::start(answers).url).validate().await.unwrap_err();
        assert!(matches!(error, Error::WrongServer { .. }) && error.to_string().contains(part), "{error:?}");
    }
}

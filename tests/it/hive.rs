//! The Hive adapter on the wire, against recorded answers of AgentOS on a scripted server. Against the real one:
//! `make test-sources-agentos`.

use automagik_spark::domain::adapter::Adapters;
use automagik_spark::domain::outcome::{Failure, FailureClass, Outcome};
use automagik_spark::domain::source::{Endpoint, Secret, SourceKind, Trust};
use automagik_spark::sources::{Error, HttpClient, HttpOptions, WorkflowSource, connect};
use serde_json::Value;

use crate::langflow::scripted::{Scripted, http};
use crate::langflow::{completed, request};

pub(crate) const KEY: &str = "os-the-right-key";

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../fixtures/hive/", $name, ".json"))
    };
}

fn source_with(kind: SourceKind, url: &str, key: &str) -> Box<dyn WorkflowSource> {
    let endpoint =
        Endpoint { kind, url: url.to_owned(), api_key: Secret::new(key), adapter: None, trust: Trust::default() };
    connect(endpoint, HttpClient::new(HttpOptions::default()).unwrap(), &Adapters::default()).unwrap()
}

fn source(url: &str) -> Box<dyn WorkflowSource> {
    source_with(SourceKind::AutomagikHive, url, KEY)
}

fn ok(body: &str) -> Vec<u8> {
    http("200 OK", "", body)
}

/// The first line of a request: method and path.
fn route(request: &str) -> &str {
    request.split(" HTTP/").next().unwrap()
}

/// An AgentOS of agno 3 with a key.
pub(crate) fn agent_os() -> Scripted {
    Scripted::answering(|_, request| {
        let is_open = matches!(route(request), "GET /health" | "GET /" | "GET /info");
        if !is_open && !request.contains(&format!("authorization: Bearer {KEY}\r\n")) {
            return http("401 Unauthorized", "", r#"{"detail":"Invalid authentication token"}"#);
        }
        match route(request) {
            "GET /health" => ok(r#"{"status":"ok","instantiated_at":"2026-11-24T07:44:35Z"}"#),
            "GET /" => ok(r#"{"name":"My OS","health":"/health","info":"/info"}"#),
            "GET /info" => ok(r#"{"os_id":"os","name":"My OS","os_version":"1.0.0","agno_version":"3.1.10"}"#),
            "GET /config" => ok(r#"{"os_id":"os","agents":[],"teams":[],"workflows":[]}"#),
            "GET /agents" => ok(recorded!("agno3_agents")),
            "GET /teams" => ok(recorded!("agno3_teams")),
            "GET /workflows" => ok(recorded!("agno2_workflows")),
            "GET /workflows/echo-flow" => ok(recorded!("agno3_workflow_detail")),
            "GET /teams/twin" => ok(r#"{"id":"twin","name":"Twin Team","members":[]}"#),
            "POST /agents/echo-agent/runs"
                if request.ends_with("message=fail%3Aboom&stream=false&session_id=session+of+fail%3Aboom") =>
            {
                ok(recorded!("agno3_agent_failed"))
            }
            "POST /agents/echo-agent/runs" => ok(recorded!("agno3_agent")),
            "POST /teams/twin/runs" => ok(recorded!("agno3_team")),
            "POST /workflows/echo-flow/runs" => ok(recorded!("agno3_workflow")),
            "POST /agents/nope/runs" => http("404 Not Found", "", r#"{"detail":"Agent not found"}"#),
            _ => http("404 Not Found", "", r#"{"detail":"Not Found"}"#),
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
async fn a_source_with_the_right_key_is_accepted_and_its_flows_are_read() {
    let server = agent_os();
    let source = source(&server.url);
    let version = source.validate().await.unwrap();
    assert_eq!((&version["version"], &version["name"]), (&Value::from("3.1.10"), &Value::from("My OS")));
    let requests = server.requests();
    for open in requests.iter().filter(|request| request.contains("/health ")) {
        assert!(!open.contains(KEY), "who listens there is not known yet");
    }
    let keyed = requests.iter().find(|request| route(request) == "GET /config").unwrap();
    assert!(keyed.contains(&format!("authorization: Bearer {KEY}")) && keyed.contains(&format!("x-api-key: {KEY}")));

    let flows = source.list().await.unwrap();
    let ids: Vec<_> = flows.iter().map(|flow| flow.id.as_str()).collect();
    let all =
        ["agent:echo-agent", "agent:twin", "team:echo-team", "team:twin", "workflow:echo-flow", "workflow:json-flow"];
    assert_eq!(ids, all);

    let flow = source.get("workflow:echo-flow").await.unwrap();
    assert_eq!((flow.input_component.as_deref(), flow.output_component.as_deref()), (Some("message"), Some("result")));
    assert_eq!(flow.data.unwrap()["steps"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_shown_nowhere() {
    let server = agent_os();
    for key in ["", "os-mine-and-wrong"] {
        let source = source_with(SourceKind::AutomagikHive, &server.url, key);
        for error in [source.validate().await.unwrap_err(), source.list().await.unwrap_err()] {
            assert!(matches!(error, Error::Unauthorized(_)), "{error:?}");
            assert!(error.to_string().contains("401") && !error.to_string().contains("os-mine"), "{error}");
        }
        for flow in ["agent:echo-agent", "echo-agent"] {
            let failure = failed(&*source, flow, "x").await;
            assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Permanent, "source_http_401"));
        }
    }
}

#[tokio::test]
async fn a_run_is_a_form_with_a_session_of_its_own() {
    let server = agent_os();
    let source = source(&server.url);
    let object = r#"{"a":"b & c"}"#;
    for (flow, text) in [("agent:echo-agent", "HELLO"), ("team:twin", "HELLO"), ("workflow:echo-flow", "HELLO!")] {
        let answer = completed(&*source, request(flow, object)).await;
        assert_eq!(answer.text, text);
        let output: Value = serde_json::from_str(answer.output.get()).unwrap();
        assert_eq!((&output["result"], &output["status"]), (&Value::from(text), &Value::from("COMPLETED")));
    }
    for sent in server.requests() {
        assert!(sent.contains("content-type: application/x-www-form-urlencoded\r\n"), "{sent}");
        let message = "%7B%22a%22%3A%22b+%26+c%22%7D";
        assert!(sent.ends_with(&format!("message={message}&stream=false&session_id=session+of+{message}")), "{sent}");
    }
}

#[tokio::test]
async fn ids_without_a_kind_are_looked_up_and_kept() {
    let server = agent_os();
    let source = source(&server.url);
    // An id that the Python service synced.
    let flow = source.get("echo-flow").await.unwrap();
    assert_eq!((flow.id.as_str(), flow.folder_name.as_deref()), ("echo-flow", Some("Workflows")));
    assert_eq!(completed(&*source, request("echo-flow", "hello")).await.text, "HELLO!");
    let routes: Vec<_> = server.requests().iter().map(|request| route(request).to_owned()).collect();
    let looked_up = ["GET /agents/echo-flow", "GET /teams/echo-flow", "GET /workflows/echo-flow"];
    assert_eq!(routes[..3], looked_up);
    assert_eq!(routes[3..], [looked_up.as_slice(), &["POST /workflows/echo-flow/runs"]].concat());
}

#[tokio::test]
async fn unknown_flows_are_told_apart_from_other_trouble() {
    let server = agent_os();
    let source = source(&server.url);
    for id in ["nope", "agent:nope", "agent:echo-flow", "", "..", "agent:", "team:..", "a/b?c"] {
        let error = source.get(id).await.unwrap_err();
        assert!(matches!(error, Error::NotFound(_)), "{id}: {error:?}");
    }
    for (id, code) in [("agent:nope", "source_http_404"), ("nope", "flow_not_found"), ("team:..", "flow_not_found")] {
        let failure = failed(&*source, id, "x").await;
        assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Permanent, code));
        assert!(!failure.outcome_unknown);
    }
}

#[tokio::test]
async fn a_failing_flow_may_be_tried_again_and_says_why() {
    let server = agent_os();
    let failure = failed(&*source(&server.url), "agent:echo-agent", "fail:boom").await;
    assert_eq!((failure.class, failure.outcome_unknown), (FailureClass::Transient, false));
    assert_eq!((failure.code.as_str(), failure.message.as_str()), ("flow_failed", "the flow failed: boom"));

    // How agno 2 and Hive 0.2 say it.
    for (headers, body, text) in [
        ("content-type: application/json\r\n", r#"{"detail":"boom"}"#, "boom"),
        ("content-type: text/plain\r\n", "Internal Server Error", "Internal Server Error"),
    ] {
        let server = Scripted::start(vec![http("500 Internal Server Error", headers, body)]);
        let failure = failed(&*source(&server.url), "agent:x", "x").await;
        assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Transient, "source_http_500"));
        assert_eq!(failure.message, format!("the source answered 500: {text}"));
    }
}

#[tokio::test]
async fn only_a_run_that_was_sent_leaves_its_outcome_unknown() {
    // The lookup breaks: nothing ran.
    let broken = Scripted::start(vec![vec![]]);
    let failure = failed(&*source(&broken.url), "plain", "x").await;
    assert_eq!((failure.code.as_str(), failure.outcome_unknown), ("source_reset", false), "{}", failure.message);
    // The run breaks.
    let failure = failed(&*source(&broken.url), "agent:x", "x").await;
    assert_eq!((failure.code.as_str(), failure.outcome_unknown), ("source_reset", true), "{}", failure.message);
    let pending =
        Scripted::start(vec![http("202 Accepted", "", r#"{"run_id":"r","session_id":"s","status":"PENDING"}"#)]);
    let failure = failed(&*source(&pending.url), "agent:x", "x").await;
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Transient, "flow_unfinished"));
    assert!(failure.outcome_unknown);
}

#[tokio::test]
async fn older_servers_and_other_servers_are_told_apart() {
    let gone = || http("404 Not Found", "", r#"{"detail":"Not Found"}"#);
    // Answers to: Hive's health, AgentOS's health, /config, /agents. The rest is 404. Last, what a refusal says.
    let cases = [
        (r#"{"status":"success"}"#, "", "{}", "", None),
        (r#"{"status":"success"}"#, "", "", "[]", None),
        ("", r#"{"status":"ok"}"#, "", "[]", None),
        (r#"{"status":"degraded"}"#, r#"{"status":"ok"}"#, "{}", "", None),
        (r#"{"status":"degraded"}"#, r#"{"status":"starting"}"#, "{}", "[]", Some(r#""starting""#)),
        ("", r#"{"status":"ok"}"#, "<html>app</html>", "<html>app</html>", Some("<html>app</html>")),
        ("", r#"{"status":"ok"}"#, "", "", Some("404")),
    ];
    for (own, health, config, agents, expected) in cases {
        let server = Scripted::answering(move |_, request| {
            let body = match route(request) {
                "GET /api/v1/health" => own,
                "GET /health" => health,
                "GET /config" => config,
                "GET /agents" => agents,
                _ => "",
            };
            if body.is_empty() { gone() } else { ok(body) }
        });
        match (source(&server.url).validate().await, expected) {
            (Ok(version), None) => assert!(version.is_object()),
            (Err(error @ Error::WrongServer { .. }), Some(part)) => {
                assert!(error.to_string().contains(part), "{error}");
                assert!(!own.contains("degraded") || error.to_string().contains("degraded"), "both are told: {error}");
            }
            other => panic!("{other:?}"),
        }
    }
    // One that has neither teams nor workflows still lists its agents.
    let agents = Scripted::answering(move |_, request| match route(request) {
        "GET /agents" => ok(recorded!("agno2_agents")),
        _ => gone(),
    });
    assert_eq!(source(&agents.url).list().await.unwrap().len(), 2);
}

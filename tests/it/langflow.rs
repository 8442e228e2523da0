//! The LangFlow adapter on the wire: against the simulated source, against recorded answers of the real one, and against
//! listeners that misbehave below HTTP.

pub(crate) mod scripted;

use std::net::TcpListener;
use std::time::Duration;

use automagik_spark::domain::adapter::Adapters;
use automagik_spark::domain::outcome::{Answer, Failure, FailureClass, Outcome};
use automagik_spark::domain::source::{Endpoint, Secret, SourceKind, Trust};
use automagik_spark::simulate::{self, FLOW_ID, SimulateOptions, Simulated, TEXT_FLOW_ID};
use automagik_spark::sources::{Error, HttpClient, HttpOptions, RunRequest, WorkflowSource, connect};
use serde_json::Value;

use crate::harness;

use scripted::{Scripted, http};

const KEY: &str = "sk-the-right-key";

pub(crate) fn simulated() -> Simulated {
    simulate::start(SimulateOptions { api_key: Secret::new(KEY), ..SimulateOptions::default() }).unwrap()
}

fn options() -> HttpOptions {
    HttpOptions { max_answer_bytes: 1_000_000, ..HttpOptions::default() }
}

fn source_with(url: &str, key: &str, options: HttpOptions) -> Box<dyn WorkflowSource> {
    let api_key = Secret::new(key);
    let endpoint =
        Endpoint { kind: SourceKind::Langflow, url: url.to_owned(), api_key, adapter: None, trust: Trust::default() };
    connect(endpoint, HttpClient::new(options).unwrap(), &Adapters::default()).unwrap()
}

pub(crate) fn source(url: &str) -> Box<dyn WorkflowSource> {
    source_with(url, KEY, options())
}

pub(crate) fn request(flow: &str, input: &str) -> RunRequest {
    RunRequest {
        task_id: format!("task of {input}"),
        flow_id: flow.to_owned(),
        input: input.to_owned(),
        session_id: format!("session of {input}"),
        input_component: None,
        output_component: None,
    }
}

pub(crate) async fn completed(source: &dyn WorkflowSource, run: RunRequest) -> Answer {
    match source.run(&run).await {
        Outcome::Completed(answer) => answer,
        other => panic!("{other:?}"),
    }
}

async fn failed(source: &dyn WorkflowSource, input: &str) -> Failure {
    match source.run(&request(FLOW_ID, input)).await {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// Waits for a condition, with a limit.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    harness::until(what, Duration::from_secs(10), async || condition().then_some(())).await;
}

#[tokio::test]
async fn a_source_with_the_right_key_is_accepted_and_its_flows_are_read() {
    let server = simulated();
    let source = source(&server.url());
    assert_eq!(source.validate().await.unwrap()["version"], "1.13.0");

    let flows = source.list().await.unwrap();
    let names: Vec<_> = flows.iter().map(|flow| (flow.name.as_str(), flow.folder_name.as_deref())).collect();
    let folder = Some("Simulated project");
    assert_eq!(names, [("Simulated flow", folder), ("Simulated text flow", folder)]);

    let flow = source.get(TEXT_FLOW_ID).await.unwrap();
    assert_eq!(flow.input_component.as_deref(), Some("TextInput-sim01"));
    assert_eq!(flow.output_component.as_deref(), Some("TextOutput-sim02"));
    assert_eq!(flow.components.len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_shown_nowhere() {
    let server = simulated();
    for key in ["", "sk-mine-and-wrong"] {
        let source = source_with(&server.url(), key, options());
        let errors = [
            source.validate().await.unwrap_err(),
            source.list().await.unwrap_err(),
            source.get("x").await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, Error::Unauthorized(_)), "{error:?}");
            assert!(error.to_string().contains("403") && !error.to_string().contains("sk-"), "{error}");
        }
        let failure = failed(&*source, "x").await;
        assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Permanent, "source_http_403"));
    }
}

#[tokio::test]
async fn a_run_brings_the_text_and_the_whole_answer() {
    let server = simulated();
    let source = source(&server.url());
    for flow in [FLOW_ID, TEXT_FLOW_ID] {
        let input = "hällo \"spark\"\n\u{1f600}";
        let answer = completed(&*source, request(flow, input)).await;
        assert_eq!(answer.text, input.to_uppercase());
        let output: Value = serde_json::from_str(answer.output.get()).unwrap();
        assert_eq!(output["session_id"], format!("session of {input}"));
    }
    assert_eq!(server.calls().total, 2);
}

#[tokio::test]
async fn unknown_flows_are_told_apart_from_other_trouble() {
    let server = simulated();
    let source = source(&server.url());
    for id in ["00000000-0000-4000-8000-000000000000", "no-uuid", "", "..", "a/b?c"] {
        let error = source.get(id).await.unwrap_err();
        assert!(matches!(error, Error::NotFound(_)), "{id}: {error:?}");
    }
    let Outcome::Failed(failure) = source.run(&request("no-such-flow", "x")).await else { panic!("ran") };
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Permanent, "source_http_404"));
    assert!(failure.message.contains("no-such-flow"), "{}", failure.message);
}

#[tokio::test]
async fn refusals_have_their_class_their_text_and_their_wait() {
    let server = simulated();
    let source = source(&server.url());
    let failing = failed(&*source, "fail:boom \"quoted\"").await;
    assert_eq!((failing.class, failing.outcome_unknown), (FailureClass::Transient, false));
    assert!(failing.message.ends_with("Error building Component Simulated: boom \"quoted\""), "{}", failing.message);

    let cases = [
        ("status:429:7", FailureClass::Transient, "source_http_429", Some(7)),
        ("status:503:Thu, 01 Jan 1970 00:00:00 GMT", FailureClass::Transient, "source_http_503", Some(0)),
        ("status:500:7", FailureClass::Transient, "source_http_500", None),
        ("status:408", FailureClass::Transient, "source_http_408", None),
        ("status:422", FailureClass::Permanent, "source_http_422", None),
        ("status:307", FailureClass::Permanent, "source_redirect", None),
        ("status:304", FailureClass::Permanent, "source_http_304", None),
        ("status:204", FailureClass::Permanent, "unusable_answer", None),
        ("html", FailureClass::Permanent, "unusable_answer", None),
        ("big:1000000", FailureClass::Permanent, "answer_too_large", None),
    ];
    for (input, class, code, wait) in cases {
        let failure = failed(&*source, input).await;
        assert_eq!((failure.class, failure.code.as_str()), (class, code), "{input}: {}", failure.message);
        assert_eq!(failure.retry_after, wait.map(Duration::from_secs), "{input}");
        assert!(!failure.outcome_unknown, "{input}");
    }
    assert!(failed(&*source, "status:307").await.message.contains(&format!("{}/elsewhere", server.url())));
    // The connection is as good as before.
    assert_eq!(completed(&*source, request(FLOW_ID, "after all that")).await.text, "AFTER ALL THAT");
}

#[tokio::test]
async fn whether_a_request_was_sent_is_known() {
    let server = simulated();
    let url = server.url();
    let live = source(&url);
    let reset = failed(&*live, "reset").await;
    assert_eq!((reset.class, reset.code.as_str()), (FailureClass::Transient, "source_reset"), "{}", reset.message);
    assert!(reset.outcome_unknown);
    server.stop().await;

    let refused = failed(&*live, "x").await;
    assert_eq!((refused.class, refused.code.as_str()), (FailureClass::Transient, "source_unreachable"));
    assert!(!refused.outcome_unknown);
    assert_eq!(
        refused.message,
        format!("{url} can't be reached: tcp connect error: Connection refused (os error 111)")
    );
    let error = live.validate().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)) && error.is_transient());

    let nowhere = failed(&*source("http://spark-has-no-such-host.invalid"), "x").await;
    assert_eq!((nowhere.code.as_str(), nowhere.outcome_unknown), ("source_unreachable", false));
}

#[tokio::test]
async fn a_dropped_run_leaves_the_server() {
    let server = simulated();
    let source = source(&server.url());
    let hanging = request(FLOW_ID, "hang");
    tokio::select! {
        outcome = source.run(&hanging) => panic!("{outcome:?}"),
        () = until("the run began", || server.calls().total == 1) => {}
    }
    let both = [request(FLOW_ID, "sleep:0.05"), request(FLOW_ID, "sleep:0.06")];
    tokio::join!(source.run(&both[0]), source.run(&both[1]));
    let counts = server.calls();
    assert_eq!((counts.total, counts.distinct_sessions), (3, 3));
    assert!(counts.max_in_flight >= 2, "{counts:?}");
    until("the hanging run ended", || {
        server.forget_calls();
        server.calls().max_in_flight == 0
    })
    .await;
}

#[tokio::test]
async fn a_server_that_answers_nothing_is_a_timeout_of_management_calls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let source = source_with(&url, KEY, HttpOptions { request_timeout: Duration::from_millis(100), ..options() });
    let error = source.validate().await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("did not answer in time"), "{error}");
}

#[tokio::test]
async fn redirects_are_followed_within_the_origin_only_and_keep_the_key_there() {
    let elsewhere = Scripted::start(vec![http("200 OK", "", "[]")]);
    let moved = format!("location: {}/stolen\r\n", elsewhere.url);
    let server = Scripted::start(vec![
        http("200 OK", "", r#"{"status":"ok"}"#),
        http("307 Temporary Redirect", "location: /api/v1/folders/\r\n", ""),
        http("307 Temporary Redirect", &moved, ""),
    ]);
    let error = source(&server.url).validate().await.unwrap_err();
    assert!(matches!(error, Error::Url(_)) && error.to_string().contains("/stolen"), "{error:?}");
    let requests = server.requests();
    assert!(!requests[0].contains(KEY), "the health check needs no key");
    assert!(requests[1].starts_with("GET /api/v1/projects/ ") && requests[1].contains(KEY));
    assert!(requests[2].starts_with("GET /api/v1/folders/ ") && requests[2].contains(KEY));
    assert!(requests.iter().all(|request| !request.to_lowercase().contains("authorization:")));
    assert!(elsewhere.requests().is_empty());

    let circle = Scripted::start(vec![http("307 Temporary Redirect", "location: /health\r\n", "")]);
    assert!(matches!(source(&circle.url).validate().await, Err(Error::Url(_))));
    assert_eq!(circle.requests().len(), 6);
}

#[tokio::test]
async fn older_servers_and_other_servers_are_told_apart() {
    let ok = || http("200 OK", "", r#"{"status":"ok"}"#);
    let projects = || http("200 OK", "", include_str!("../fixtures/langflow/projects.json"));
    let page = || http("200 OK", "", "<html>app</html>");
    let gone = || http("404 Not Found", "", r#"{"detail":"Not Found"}"#);
    let cases: Vec<(Vec<Vec<u8>>, Option<&str>)> = vec![
        (vec![ok(), gone(), projects(), gone()], None),
        (vec![ok(), page(), projects(), page()], None),
        (vec![ok(), gone()], Some("404")),
        (vec![ok(), page()], Some("<html>app</html>")),
        (vec![page()], Some("<html>app</html>")),
        (vec![http("200 OK", "", r#"{"status":"starting"}"#)], Some("starting")),
        (vec![gone()], Some("404")),
    ];
    for (answers, wrong) in cases {
        let server = Scripted::start(answers);
        match (source(&server.url).validate().await, wrong) {
            (Ok(version), None) => assert!(version.is_object()),
            (Err(error @ Error::WrongServer { .. }), Some(part)) => {
                assert!(error.to_string().contains(part), "{error}")
            }
            (other, expected) => panic!("{other:?}, expected {expected:?}"),
        }
    }
}

#[tokio::test]
async fn recorded_answers_of_the_real_server_are_understood() {
    let answer = |status, body| Scripted::start(vec![http(status, "", body)]);
    let server = answer("200 OK", include_str!("../fixtures/langflow/run_debug.json"));
    let run = RunRequest { output_component: Some("ChatOutput-bbbbb".to_owned()), ..request("flow", "hello spark") };
    assert_eq!(completed(&*source(&server.url), run).await.text, "HELLO SPARK");
    assert!(server.requests()[0].ends_with(
        r#"{"input_value":"hello spark","input_type":"any","output_type":"chat","session_id":"session of hello spark"}"#
    ));

    let server = answer("200 OK", include_str!("../fixtures/langflow/run_silent.json"));
    assert_eq!(completed(&*source(&server.url), request("flow", "x")).await.text, "");

    let cases = [
        ("500 Internal Server Error", include_str!("../fixtures/langflow/run_failed.json"), "Component Probe: boom"),
        ("403 Forbidden", include_str!("../fixtures/langflow/run_wrong_key.json"), "Invalid or missing API key"),
        ("404 Not Found", include_str!("../fixtures/langflow/run_unknown_flow.json"), "not found"),
        ("422 Unprocessable", include_str!("../fixtures/langflow/run_bad_body.json"), "body.15: JSON decode error"),
    ];
    for (status, body, text) in cases {
        let failure = failed(&*source(&answer(status, body).url), "x").await;
        assert!(failure.message.ends_with(text), "{}", failure.message);
    }
    let server = answer("404 Not Found", include_str!("../fixtures/langflow/flow_unknown.json"));
    assert!(matches!(source(&server.url).get("x").await, Err(Error::NotFound(_))));
    let server = answer("422 Unprocessable", include_str!("../fixtures/langflow/flow_no_uuid.json"));
    assert!(matches!(source(&server.url).get("x").await, Err(Error::NotFound(_))));
    let server = answer("403 Forbidden", include_str!("../fixtures/langflow/projects_wrong_key.json"));
    assert!(matches!(source(&server.url).list().await, Err(Error::Unauthorized(_))));
}

#[tokio::test]
async fn broken_answers_leave_the_outcome_unknown_and_endless_ones_are_cut() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"outputs\":[".to_vec();
    let failure = failed(&*source(&Scripted::start(vec![cut]).url), "x").await;
    assert_eq!((failure.code.as_str(), failure.outcome_unknown), ("source_reset", true), "{}", failure.message);

    let closed = failed(&*source(&Scripted::start(vec![vec![]]).url), "x").await;
    assert_eq!((closed.code.as_str(), closed.outcome_unknown), ("source_reset", true), "{}", closed.message);

    let mut endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..40 {
        endless.extend_from_slice(b"10000\r\n");
        endless.extend_from_slice(&[b' '; 0x10000]);
        endless.extend_from_slice(b"\r\n");
    }
    let failure = failed(&*source(&Scripted::start(vec![endless]).url), "x").await;
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Permanent, "answer_too_large"));
}

#[tokio::test]
async fn an_answer_is_measured_after_decompression() {
    // 2 MB of spaces, gzipped by `head -c 2000000 /dev/zero | tr '\0' ' ' | gzip -9`: 2 kB.
    let bomb = include_bytes!("../fixtures/langflow/spaces_2mb.gz");
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len()).into_bytes();
    answer.extend_from_slice(bomb);
    let failure = failed(&*source(&Scripted::start(vec![answer]).url), "x").await;
    assert_eq!(failure.code, "answer_too_large");
}

#[tokio::test]
async fn no_secret_gets_into_a_message() {
    let echo = http("500 Internal Server Error", "", &format!(r#"{{"detail":"you sent {KEY}"}}"#));
    let server = Scripted::start(vec![echo]);
    let url = server.url.replace("http://", "http://user:hush@");
    let failure = failed(&*source(&url), "x").await;
    assert!(failure.message.ends_with("you sent ***"), "{}", failure.message);

    // A server that repeats its request answers 200, is cut where an error is long, or sends the key along elsewhere.
    let padding = "x".repeat(500 - KEY.len() / 2);
    for (answer, kept) in [
        (http("200 OK", "", &format!(r#"{{"x-api-key":"{KEY}"}}"#)), r#""x-api-key":"***""#),
        (http("500 Internal Server Error", "", &format!("{padding}{KEY}")), "x***..."),
        (http("302 Found", &format!("location: http://other.test/{KEY}\r\n"), ""), "http://other.test/***,"),
    ] {
        let failure = failed(&*source(&Scripted::start(vec![answer]).url), "x").await;
        assert!(failure.message.contains(kept), "{}", failure.message);
        assert!(!failure.message.contains(&KEY[..KEY.len() / 2]), "{}", failure.message);
    }
    let [ok, list] = [r#"{"status":"ok"}"#, "[]"].map(|body| http("200 OK", "", body));
    let version = http("200 OK", "", &format!(r#"{{"version":"1.5","sent":["{KEY}"]}}"#));
    let version = source(&Scripted::start(vec![ok, list, version]).url).validate().await.unwrap();
    assert_eq!(version, serde_json::json!({"version": "1.5", "sent": ["***"]}));

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = failed(&*source(&format!("http://user:hush@{nobody}/?token=hush")), "x").await;
    assert!(failure.message.contains("can't be reached") && !failure.message.contains("hush"), "{}", failure.message);
}

#[tokio::test]
async fn certificates_are_checked() {
    // Plain HTTP where TLS is expected: the handshake fails before anything is sent.
    let server = Scripted::start(vec![http("200 OK", "", "{}")]);
    let failure = failed(&*source(&server.url.replace("http://", "https://")), "x").await;
    assert_eq!((failure.code.as_str(), failure.outcome_unknown), ("source_unreachable", false), "{}", failure.message);
}

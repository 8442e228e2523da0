//! Runs that go on after the answer, and are asked about until they are over.

use super::*;

/// The shipped adapter, in a hurry.
fn rest() -> Adapters {
    let text = include_str!("../../../config/adapters/rest.toml");
    adapters("rest", &text.replace("every_s = 2", "every_s = 0.1"))
}

fn source_at(script: &Script) -> Box<dyn WorkflowSource> {
    try_source(&script.url(), "rest", KEY, &rest()).unwrap()
}

#[tokio::test]
async fn a_rest_engine_is_asked_until_the_run_is_over() {
    let script = Script::start();
    let source = source_at(&script);
    let flow = json!({"id": "f 1", "name": "First", "description": "d"});
    script.on("GET /workflows", 200, &json!({"items": [flow]}));
    source.validate().await.unwrap();
    script.on("GET /workflows", 200, &json!({"items": [flow]}));
    assert_eq!(source.list().await.unwrap()[0].description, "d");
    script.on("GET /workflows/f%201", 200, &flow);
    assert_eq!(source.get("f 1").await.unwrap().name, "First");

    script.on("POST /workflows/f%201/runs", 202, &json!({"id": 7, "status": "queued"}));
    script.on("GET /runs/7", 200, &json!({"id": 7, "status": "running"}));
    script.on_raw("GET /runs/7", 503, "", "busy");
    let over = json!({"id": 7, "status": "completed", "result": {"sum": 3}});
    script.on("GET /runs/7", 200, &over);
    let answer = completed(&*source, &request("f 1", r#"{"a":1}"#)).await;
    assert_eq!(answer.text, r#"{"sum":3}"#);
    assert_eq!(answer.output.get(), over.to_string());
    let asked = script.asked();
    assert_eq!(asked[3].body, json!({"input": {"a": 1}, "session_id": "session-1"}));
    assert!(asked[3..].iter().all(|asked| asked.header("authorization") == Some(&format!("Bearer {KEY}"))));
}

#[tokio::test]
async fn a_run_that_is_over_at_once_is_not_asked_about() {
    let script = Script::start();
    let source = source_at(&script);
    script.on("POST /workflows/f/runs", 200, &json!({"status": "succeeded", "output": "now"}));
    assert_eq!(completed(&*source, &request("f", "x")).await.text, "now");
    script.on("POST /workflows/f/runs", 200, &json!({"status": "failed", "error": {"message": format!("no {KEY}")}}));
    let failure = failed(&*source, &request("f", "x")).await;
    assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Transient, "flow_failed"));
    assert_eq!((failure.message.as_str(), failure.outcome_unknown), ("the flow failed: no ***", false));
}

#[tokio::test]
async fn a_run_that_fails_later_is_told_from_one_that_is_lost_sight_of() {
    let script = Script::start();
    let source = source_at(&script);
    let begin = || script.on("POST /workflows/f/runs", 202, &json!({"id": "r", "status": "queued"}));
    begin().on("GET /runs/r", 200, &json!({"status": "error", "error": "boom"}));
    let failure = failed(&*source, &request("f", "x")).await;
    assert_eq!((failure.message.as_str(), failure.outcome_unknown), ("the flow failed: boom", false));
    begin().on("GET /runs/r", 404, &json!({"detail": "gone"}));
    let failure = failed(&*source, &request("f", "x")).await;
    assert_eq!((failure.code.as_str(), failure.outcome_unknown), ("source_http_404", true));
    assert_eq!(failure.class, FailureClass::Permanent);
    begin().on_raw("GET /runs/r", 200, "", "<html>");
    let failure = failed(&*source, &request("f", "x")).await;
    assert_eq!((failure.code.as_str(), failure.outcome_unknown), ("unusable_answer", true));
    begin();
    for _ in 0..11 {
        script.on_raw("GET /runs/r", 502, "", "proxy");
    }
    let failure = failed(&*source, &request("f", "x")).await;
    assert_eq!((failure.code.as_str(), failure.outcome_unknown), ("source_http_502", true));
    script.on("POST /workflows/f/runs", 202, &json!({"status": "queued"}));
    let failure = failed(&*source, &request("f", "x")).await;
    assert!(failure.outcome_unknown && failure.message.contains("no run id at /id"), "{failure:?}");
    for id in ["..", ""] {
        script.on("POST /workflows/f/runs", 202, &json!({"id": id, "status": "queued"}));
        assert_eq!(failed(&*source, &request("f", "x")).await.code, "source_request");
    }
}

#[tokio::test]
async fn a_run_is_asked_about_at_its_url_on_the_source_s_server_only() {
    let text = "description = \"x\"\n[auth]\ntype = \"query\"\nname = \"k\"\n[list]\n[run]\npath = \"/a/run\"\n\
                status = \"/s\"\nsuccess = \"ok\"\nfailure = \"bad\"\n[run.poll]\nurl = \"/href\"\nevery_s = 0.1\n";
    let adapters = adapters("mine", text);
    let script = Script::start();
    let source = try_source(&script.url(), "mine", "k1", &adapters).unwrap();
    let elsewhere = Script::start();
    for (href, asked) in [
        ("../runs/7?x=1", "GET /runs/7?x=1&k=k1"),
        ("/runs/8", "GET /runs/8?k=k1"),
        (&format!("{}/runs/9", script.url()), "GET /runs/9?k=k1"),
    ] {
        script.on("POST /a/run?k=k1", 202, &json!({"href": href}));
        script.on(asked, 200, &json!({"s": "ok"}));
        completed(&*source, &request("f", "x")).await;
    }
    for href in
        [format!("{}/runs/7", elsewhere.url()), "http://".to_owned(), "file:///etc/passwd".to_owned(), String::new()]
    {
        script.on("POST /a/run", 202, &json!({"href": href}));
        let failure = failed(&*source, &request("f", "x")).await;
        assert_eq!((failure.code.as_str(), failure.outcome_unknown), ("unusable_answer", true), "{href}");
    }
    assert!(elsewhere.asked().is_empty());
}

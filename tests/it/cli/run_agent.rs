//! `sources run-agent`: what it asks for, and in which order.

use serde_json::{Value, json};

use super::script::Script;
use super::{TASK, WORKFLOW, ask, page, task, workflows};

fn source(kind: &str) -> Value {
    json!({"id": "0192f3a3-0000-7001-8000-0000000000cc", "name": "hive", "source_type": kind, "url": "http://hive:8886"})
}

fn ended(status: &str) -> Value {
    let mut task = task(status);
    task["result"] = "HELLO".into();
    task["error"] = if status == "failed" { "the flow failed: boom".into() } else { Value::Null };
    task
}

#[test]
fn an_agent_becomes_a_workflow_and_is_run_to_its_end() {
    let cases = [("automagik-agents", "simple", "simple"), ("automagik-hive", "echo", "agent:echo")];
    for (kind, typed, flow) in cases {
        let script = Script::start();
        script.on("GET /api/v1/sources", 200, &page(&[source(kind)]));
        script.on(&format!("POST /api/v1/workflows/sync/{flow}"), 200, &json!({"id": WORKFLOW}));
        script.on(&format!("POST /api/v1/workflows/{WORKFLOW}/run"), 200, &task("pending"));
        script.on(&format!("GET /api/v1/tasks/{TASK}"), 200, &ended("completed"));
        script.on("GET /api/v1/workflows", 200, &workflows());
        script.on(&format!("GET /api/v1/tasks/{TASK}/attempts"), 200, &page(&[]));
        let said = ask(&script, &["sources", "run-agent", "hive", typed, "-i", "hello", "-s", "talk-1"]).ok();
        assert!(said.stdout.contains("RESULT\nHELLO"), "{}", said.stdout);
        let asked = script.asked();
        assert_eq!(asked[1].body, json!({"source_url": "http://hive:8886"}));
        assert_eq!(asked[2].body, json!({"input_data": "hello", "session_id": "talk-1"}));
    }
}

#[test]
fn an_agent_that_fails_is_a_failure_and_other_sources_have_none() {
    let script = Script::start();
    script.on("GET /api/v1/sources", 200, &page(&[source("automagik-agents")]));
    script.on("POST /api/v1/workflows/sync/simple", 200, &json!({"id": WORKFLOW}));
    script.on(&format!("POST /api/v1/workflows/{WORKFLOW}/run"), 200, &ended("failed"));
    ask(&script, &["-o", "json", "sources", "run-agent", "hive", "simple", "-i", "x"]).failed_with(1, &["boom"]);

    script.on("GET /api/v1/sources", 200, &page(&[source("langflow")]));
    ask(&script, &["sources", "run-agent", "hive", "simple", "-i", "x"]).failed_with(2, &["langflow has no agents"]);
    script.on("GET /api/v1/sources", 200, &page(&[]));
    ask(&script, &["sources", "run-agent", "hive", "simple", "-i", "x"]).failed_with(1, &["no source is `hive`"]);
}

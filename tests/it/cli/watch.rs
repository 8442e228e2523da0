//! `tasks watch`.

use serde_json::{Value, json};

use super::script::Script;
use super::{TASK, WORKFLOW, ask, page, task, workflows};

const STREAM: &str = "content-type: text/event-stream\r\n";

fn told(name: &str, id: &str, data: &Value) -> String {
    format!("event: {name}\nid: {id}\ndata: {data}\n\n")
}

fn change(status: &str, attempt: u32) -> Value {
    json!({"id": TASK, "workflow_id": WORKFLOW, "schedule_id": null, "status": status, "attempt": attempt,
        "queue": "celery", "at": "2026-01-02T03:04:05Z", "error": null})
}

fn end(status: &str) -> Value {
    let mut data = change(status, 1);
    data["task"] = task(status);
    data
}

#[test]
fn one_task_is_watched_to_its_end_over_a_stream_that_breaks() {
    let script = Script::start();
    let path = format!("GET /api/v1/tasks/{TASK}/events");
    script.on_raw(&path, 200, STREAM, &(told("task", "0-1", &change("pending", 0)) + "event: task\nid: 1-2\nda"));
    script.on(&path, 503, &json!({"detail": "the service is stopping", "code": "stopping"}));
    script.on_raw(
        &path,
        200,
        STREAM,
        &(told("task", "1-2", &change("running", 1)) + &told("task", "1-3", &end("failed"))),
    );
    let ended = ask(&script, &["tasks", "watch", TASK]).failed_with(1, &["ended as failed", "connecting again"]);
    let states: Vec<&str> = ended.stdout.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert_eq!(states, ["pending", "running", "failed"], "{}", ended.stdout);
    assert!(ended.stdout.starts_with("03:04:05.000  "), "{}", ended.stdout);
    let ids: Vec<_> = script.asked().iter().map(|asked| asked.header("last-event-id").map(str::to_owned)).collect();
    assert_eq!(ids, [None, Some("0-1".to_owned()), Some("0-1".to_owned())]);
}

#[test]
fn all_tasks_are_watched_as_json_lines() {
    let script = Script::start();
    script.on("GET /api/v1/workflows", 200, &workflows());
    let gap = json!({"reason": "slow", "detail": "load anew"});
    let text = told("task", "n-1", &change("running", 1))
        + &told("gap", "n-2", &gap)
        + &told("task", "n-3", &change("completed", 1));
    script.on_raw("GET /api/v1/events", 200, STREAM, &text);
    script.on("GET /api/v1/events", 401, &json!({"detail": "Invalid API key"}));
    let ended = ask(&script, &["-o", "json", "tasks", "watch", "--workflow", "Greeter", "--queue", "celery"])
        .failed_with(1, &["something is missing here: load anew", "Invalid API key"]);
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines, [change("running", 1), change("completed", 1)]);
    let asked = script.asked();
    assert_eq!(asked[1].line, format!("GET /api/v1/events?workflow_id={WORKFLOW}&queue=celery"));
    assert_eq!(asked[2].header("last-event-id"), Some("n-3"));
}

#[test]
fn what_can_not_be_watched_is_said() {
    let script = Script::start();
    script.on("GET /api/v1/tasks", 200, &page(&[]));
    ask(&script, &["tasks", "watch", "0192ffff"]).failed_with(1, &["0192ffff"]);
    ask(&script, &["tasks", "watch", TASK, "--queue", "x"]).failed_with(2, &["--queue"]);
}

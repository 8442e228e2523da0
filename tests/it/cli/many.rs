//! Changes of many tasks, occurrences, logs.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::script::Script;
use super::{TASK, WORKFLOW, ask, page, run, task, workflows};

const SCHEDULE: &str = "0192f3a2-0000-7001-8000-0000000000bb";

fn found(total: u64) -> Value {
    let mut found = page(&[task("failed")]);
    found["total"] = total.into();
    found
}

fn tally(counts: [u64; 3], next: Option<&str>) -> Value {
    let [matched, changed, skipped] = counts;
    json!({"matched": matched, "changed": changed, "skipped": skipped, "has_more": next.is_some(), "next_cursor": next})
}

#[test]
fn all_failed_tasks_of_a_workflow_are_retried_in_parts() {
    let script = Script::start();
    script.on("GET /api/v1/workflows?named=Greeter&limit=5", 200, &workflows());
    script.on(&format!("GET /api/v1/tasks?limit=1&workflow_id={WORKFLOW}&status=failed"), 200, &found(3000));
    script.on("POST /api/v1/tasks/retry", 200, &tally([2000, 1990, 10], Some(TASK)));
    script.on("POST /api/v1/tasks/retry", 200, &tally([1000, 1000, 0], None));
    let ended = ask(&script, &["tasks", "retry", "--all", "--status", "failed", "--workflow", "Greeter", "--yes"]).ok();
    let said = "2990 of 3000 tasks are retried, 10 were in a state that does not allow it\n";
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", said));
    let bodies: Vec<Value> = script.asked().into_iter().skip(2).map(|asked| asked.body).collect();
    let first = json!({"workflow_id": WORKFLOW, "status": "failed", "all": true, "limit": 2000});
    let mut second = first.clone();
    second["cursor"] = TASK.into();
    assert_eq!(bodies, [first, second]);
}

#[test]
fn a_script_says_yes_beforehand_and_none_is_no_question() {
    let script = Script::start();
    script.on("GET /api/v1/tasks?limit=1", 200, &found(3));
    ask(&script, &["tasks", "delete", "--all"]).failed_with(2, &["3 tasks", "--yes", "delete"]);
    script.on("GET /api/v1/tasks?limit=1&queue=x", 200, &found(0));
    let ended = ask(&script, &["tasks", "cancel", "--all", "--queue", "x", "-o", "json"]).ok();
    assert_eq!(ended.json(), json!({"matched": 0, "changed": 0, "skipped": 0}));
    script.on("GET /api/v1/tasks?limit=1", 200, &found(3));
    script.on("POST /api/v1/tasks/cancel", 200, &tally([2000, 7, 1993], Some(TASK)));
    script.on("POST /api/v1/tasks/cancel", 503, &json!({"detail": "the database is away"}));
    ask(&script, &["tasks", "cancel", "--all", "-y"])
        .failed_with(69, &["7 tasks are cancelled before this", "the database is away"]);
}

#[test]
fn one_task_or_all_of_them_not_both() {
    for args in [
        &["tasks", "retry"][..],
        &["tasks", "retry", TASK, "--all"],
        &["tasks", "retry", "--status", "failed"],
        &["tasks", "delete", TASK, "--yes"],
        &["tasks", "delete", TASK, "--status", "failed", "--url", "http://127.0.0.1:1"],
    ] {
        assert!(!run(args).failed_with(2, &[]).stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn occurrences_are_listed_with_their_reasons() {
    let script = Script::start();
    let occurrences = [
        json!({"scheduled_for": "2026-01-02T04:00:00Z", "status": "made", "task_id": TASK, "task_status": "completed",
            "reason": null, "detail": null, "earlier": 0, "noted_at": "2026-01-02T04:00:00Z"}),
        json!({"scheduled_for": "2026-01-02T03:00:00Z", "status": "missed", "task_id": null, "task_status": null,
            "reason": "paused", "detail": "The schedule was paused.", "earlier": 12, "noted_at": "2026-01-02T04:00:00Z"}),
        json!({"scheduled_for": "2026-01-02T02:00:00Z", "status": "skipped", "task_id": null, "task_status": null,
            "reason": "overlap", "detail": "Another ran.", "earlier": 0, "noted_at": "2026-01-02T02:00:00Z"}),
    ];
    let line = format!("GET /api/v1/schedules/{SCHEDULE}/occurrences");
    script.on(&format!("{line}?status=missed&after=2026-01-01&limit=2"), 200, &page(&occurrences));
    let args = ["schedules", "occurrences", SCHEDULE, "--status", "missed", "--after", "2026-01-01", "-n", "2"];
    assert_snapshot!(ask(&script, &args).ok().stdout, @r"
    DUE                   WHEN              STATUS   TASK           TASK STATUS  REASON
    2026-01-02T04:00:00Z  2026-01-02 04:00  made     0192f3a1-7b2c  completed
    2026-01-02T03:00:00Z  2026-01-02 03:00  missed                               and 12 before it: The schedule was paused.
    2026-01-02T02:00:00Z  2026-01-02 02:00  skipped                              Another ran.
    ");
    script.on(&line, 200, &page(&[]));
    assert_eq!(ask(&script, &["schedules", "occurrences", SCHEDULE]).ok().stderr, "no occurrences\n");
}

#[test]
fn a_log_is_read_from_a_level_on() {
    let script = Script::start();
    let entry = json!({"level": "warning", "message": "Attempt 1 failed", "created_at": "2026-01-02T03:04:05Z"});
    let mut answer = page(&[entry]);
    (answer["total"], answer["has_more"]) = (3.into(), true.into());
    script.on(&format!("GET /api/v1/tasks/{TASK}/logs?level=warning&limit=1"), 200, &answer);
    let ended = ask(&script, &["tasks", "logs", TASK, "--level", "warning", "-n", "1"]).ok();
    assert_eq!(ended.stdout, "2026-01-02T03:04:05Z WARNING Attempt 1 failed\n");
    assert_eq!(ended.stderr, "1 of 3 shown; --offset 1 shows more\n");
}

#[test]
fn a_list_in_json_carries_the_logs_that_were_asked_for_and_changes_nothing_else() {
    let script = Script::start();
    let mut task = task("failed");
    task["output_data"] = json!({"n": 0});
    let precise = page(&[task]).to_string().replace(r#"{"n":0}"#, r#"{"n":12345678901234567890123.50}"#);
    script.on_raw("GET /api/v1/tasks?limit=50", 200, "content-type: application/json\r\n", &precise);
    let notes =
        page(&[json!({"level": "warning", "message": "Attempt 1 failed", "created_at": "2026-01-02T03:04:05Z"})]);
    script.on(&format!("GET /api/v1/tasks/{TASK}/logs"), 200, &notes);
    let ended = ask(&script, &["tasks", "list", "--show-logs", "-o", "json"]).ok();
    let printed = ended.json();
    assert_eq!((&printed["total"], &printed["items"][0]["id"]), (&json!(1), &json!(TASK)));
    assert_eq!(printed["items"][0]["logs"], notes);
    assert!(ended.stdout.contains("12345678901234567890123.50"), "{}", ended.stdout);
}

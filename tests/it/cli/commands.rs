//! Each command: the request it makes and what it prints of the answer.

use insta::assert_snapshot;
use serde_json::json;

use super::script::Script;
use super::{TASK, WORKFLOW, ask, page, run, task, workflows};

const SCHEDULE: &str = "0192f3a2-0000-7001-8000-0000000000bb";
const SOURCE: &str = "0192f3a3-0000-7001-8000-0000000000cc";

fn lines(script: &Script) -> Vec<String> {
    script.asked().into_iter().map(|asked| asked.line).collect()
}

fn schedule() -> serde_json::Value {
    json!({"id": SCHEDULE, "workflow_id": WORKFLOW, "schedule_type": "cron", "schedule_expr": "0 8 * * *",
        "input_value": {"value": "Hi"}, "params": {}, "status": "active", "timezone": "Europe/Berlin",
        "next_run_at": "2026-01-03T07:00:00Z", "last_run_at": null, "created_at": "2026-01-02T03:04:04Z"})
}

fn source() -> serde_json::Value {
    json!({"id": SOURCE, "name": "flow", "source_type": "langflow", "url": "http://flow:7860", "status": "active",
        "version_info": {"version": "1.4.2"}, "created_at": "2026-01-02T03:04:04Z"})
}

#[test]
fn tasks_are_listed() {
    let script = Script::start();
    let mut failed = task("failed");
    failed["id"] = "0192f3a1-7b2d-7001-8000-000000000002".into();
    failed["workflow_id"] = "ffffffff-0000-7001-8000-000000000009".into();
    failed["error"] = format!("the source\u{1b}[31m said\nno{}", "!".repeat(80)).into();
    let mut answer = page(&[task("completed"), failed]);
    (answer["total"], answer["has_more"], answer["offset"]) = (json!(9), json!(true), json!(4));
    script.on("GET /api/v1/tasks?status=failed&queue=celery&limit=2&offset=4", 200, &answer);
    script.on("GET /api/v1/workflows", 200, &workflows());
    let ended =
        ask(&script, &["tasks", "list", "--status", "failed", "--queue", "celery", "-n", "2", "--offset", "4"]).ok();
    assert_snapshot!(ended.stdout, @r"
    ID             WORKFLOW  STATUS     TRIES  QUEUE   CREATED           DURATION  ERROR
    0192f3a1-7b2c  Greeter   completed  1      celery  2026-01-02 03:04  6.5 s
    0192f3a1-7b2d  ffffffff  failed     1      celery  2026-01-02 03:04  6.5 s     the source�[31m said no!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!…
    ");
    assert_eq!(ended.stderr, "2 of 9 shown; --offset 6 shows more\n");
}

#[test]
fn json_is_printed_as_it_came() {
    let script = Script::start();
    let text = r#"{"items":[{"id":"x","output_data":{"n":1.0e3,"big":123456789012345678901234567890}}],"total":1}"#;
    script.on_raw("GET /api/v1/tasks", 200, "", text);
    let ended = ask(&script, &["tasks", "list", "-o", "json"]).ok();
    assert_eq!(ended.stdout.split_whitespace().collect::<String>(), text);
    assert!(ended.stdout.contains("\n  \"items\": [\n") && ended.stderr.is_empty(), "{}", ended.stdout);
}

#[test]
fn an_empty_list_leaves_stdout_empty() {
    let script = Script::start();
    script.on("GET /api/v1/tasks", 200, &page(&[]));
    let ended = ask(&script, &["tasks", "list"]).ok();
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", "no tasks\n"));
}

#[test]
fn a_task_is_viewed_with_its_attempts() {
    let script = Script::start();
    let mut failed = task("failed");
    failed["error"] = "LangFlow answered 500".into();
    let attempts = [
        json!({"attempt": 1, "status": "failed", "code": "source_status", "error": "LangFlow answered 500",
            "outcome_unknown": false, "started_at": "2026-01-02T03:04:05Z", "finished_at": "2026-01-02T03:04:06Z"}),
        json!({"attempt": 2, "status": "lost", "code": "child_lost", "error": null, "outcome_unknown": true,
            "started_at": "2026-01-02T03:04:08Z", "finished_at": "2026-01-02T03:04:08.020Z"}),
    ];
    script.on(&format!("GET /api/v1/tasks/{TASK}"), 200, &failed);
    script.on("GET /api/v1/workflows", 200, &workflows());
    script.on(&format!("GET /api/v1/tasks/{TASK}/attempts"), 200, &page(&attempts));
    let ended = ask(&script, &["tasks", "view", TASK]).ok();
    assert_snapshot!(ended.stdout, @r"
    id           0192f3a1-7b2c-7001-8000-000000000001
    workflow     Greeter (0192f3a0-0000-7001-8000-0000000000aa)
    status       failed
    tries        1
    max retries  3
    queue        celery
    priority     5
    created      2026-01-02 03:04:04 +00:00
    started      2026-01-02 03:04:05 +00:00
    finished     2026-01-02 03:04:11 +00:00
    duration     6.5 s

    INPUT
    Hi

    ERROR
    LangFlow answered 500

    ATTEMPTS
    #  STATUS  STARTED           DURATION  CODE           ERROR
    1  failed  2026-01-02 03:04  1.0 s     source_status  LangFlow answered 500
    2  lost    2026-01-02 03:04  20 ms     child_lost
    ");
}

#[test]
fn a_service_without_attempts_still_shows_the_task() {
    let script = Script::start();
    script.on(&format!("GET /api/v1/tasks/{TASK}"), 200, &task("completed"));
    script.on("GET /api/v1/workflows", 200, &workflows());
    script.on(&format!("GET /api/v1/tasks/{TASK}/attempts"), 404, &json!({"detail": "Not Found"}));
    assert!(ask(&script, &["tasks", "view", TASK]).ok().stdout.contains("Greeter"));
}

#[test]
fn a_beginning_of_an_id_is_completed_by_the_service() {
    let script = Script::start();
    let mut other = task("failed");
    other["id"] = "0192f3a1-7b2d-7001-8000-000000000002".into();
    script.on("GET /api/v1/tasks?id_prefix=0192F3A1-7b2c&limit=5", 200, &page(&[task("failed")]));
    script.on(&format!("POST /api/v1/tasks/{TASK}/retry"), 200, &task("pending"));
    script.on("GET /api/v1/workflows", 200, &workflows());
    let ended = ask(&script, &["tasks", "retry", "0192F3A1-7b2c"]).ok();
    assert!(ended.stdout.contains(TASK) && ended.stdout.contains("pending"), "{}", ended.stdout);
    script.on("GET /api/v1/tasks?id_prefix=0192f3a1&limit=5", 200, &page(&[other, task("failed")]));
    ask(&script, &["tasks", "retry", "0192f3a1"]).failed_with(1, &["fits 2 tasks", TASK]);
}

#[test]
fn tasks_are_cancelled_deleted_and_their_logs_read() {
    let script = Script::start();
    script.on(&format!("POST /api/v1/tasks/{TASK}/cancel"), 409, &json!({"detail": "Task has already ended"}));
    ask(&script, &["tasks", "cancel", TASK]).failed_with(1, &["Task has already ended"]);
    script.on(&format!("DELETE /api/v1/tasks/{TASK}"), 200, &task("cancelled"));
    let ended = ask(&script, &["tasks", "delete", TASK]).ok();
    assert_eq!((ended.stdout.as_str(), ended.stderr), ("", format!("task {TASK} is deleted\n")));
    let entry = json!({"level": "info", "message": "called the source", "created_at": "2026-01-02T03:04:05Z"});
    script.on(&format!("GET /api/v1/tasks/{TASK}/logs"), 200, &json!([entry]));
    assert_eq!(ask(&script, &["tasks", "logs", TASK]).ok().stdout, "2026-01-02T03:04:05Z INFO called the source\n");
}

#[test]
fn a_workflow_is_run_and_followed_to_its_end() {
    let script = Script::start();
    script.on("GET /api/v1/workflows?named=Greeter&limit=5", 200, &workflows());
    script.on(&format!("POST /api/v1/workflows/{WORKFLOW}/run"), 200, &task("pending"));
    script.on(&format!("GET /api/v1/tasks/{TASK}"), 200, &task("running"));
    script.on_raw(&format!("GET /api/v1/tasks/{TASK}"), 503, "", r#"{"detail":"restarting"}"#);
    script.on(&format!("GET /api/v1/tasks/{TASK}"), 200, &task("retrying"));
    let mut done = task("completed");
    (done["result"], done["tries"]) = (json!("Hello\nyou"), json!(2));
    script.on(&format!("GET /api/v1/tasks/{TASK}"), 200, &done);
    script.on("GET /api/v1/workflows?limit=100", 200, &workflows());
    script.on(&format!("GET /api/v1/tasks/{TASK}/attempts"), 200, &page(&[]));
    let args =
        ["workflows", "run", "Greeter", "--input", "- Hi", "--wait", "--queue", "high_priority", "--max-retries", "0"];
    let ended = ask(&script, &[&args[..], &["--idempotency-key", "k1"]].concat()).ok();
    assert!(ended.stdout.contains("RESULT\nHello\nyou\n"), "{}", ended.stdout);
    assert!(ended.stderr.contains("running, attempt 1") && ended.stderr.contains("retrying"), "{}", ended.stderr);
    let asked = &script.asked()[1];
    assert_eq!(asked.body, json!({"input_data": "- Hi", "queue": "high_priority", "max_retries": 0}));
    assert_eq!(asked.header("idempotency-key"), Some("k1"));
}

#[test]
fn a_flow_s_own_id_is_a_workflow_too() {
    let script = Script::start();
    let flow = "5a1e7c9e-1111-4222-8333-444455556666";
    script.on(&format!("GET /api/v1/workflows/{flow}"), 200, &workflows()["items"][0]);
    script.on(&format!("POST /api/v1/workflows/{WORKFLOW}/run"), 200, &task("pending"));
    ask(&script, &["-o", "json", "workflows", "run", flow, "--input", "x"]).ok();
}

#[test]
fn input_is_read_from_stdin() {
    let script = Script::start();
    script.on(&format!("POST /api/v1/workflows/{WORKFLOW}/run"), 200, &task("pending"));
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("letter"), "Dear\n\"you\"\n").expect("written");
    let input = std::fs::File::open(directory.path().join("letter")).expect("open");
    let mut command = super::program(directory.path());
    command.args(["--url", &script.url(), "-o", "json", "workflows", "run", WORKFLOW, "--input", "-"]).stdin(input);
    super::Ended::from(command.output().expect("started")).ok();
    assert_eq!(script.asked()[0].body, json!({"input_data": "Dear\n\"you\""}));
}

#[test]
fn a_followed_task_that_fails_is_one() {
    let script = Script::start();
    script.on(&format!("POST /api/v1/workflows/{WORKFLOW}/run"), 200, &task("pending"));
    let mut failed = task("failed");
    failed["error"] = "no such flow".into();
    script.on(&format!("GET /api/v1/tasks/{TASK}"), 200, &failed);
    let ended = ask(&script, &["tasks", "create", WORKFLOW, "--input-data", "x", "--run", "-o", "json"]);
    let ended = ended.failed_with(1, &["ended as failed: no such flow"]);
    assert_eq!(ended.json()["status"], "failed");
}

#[test]
fn workflows_are_listed_synced_and_deleted() {
    let script = Script::start();
    script.on("GET /api/v1/workflows?source=flow&folder=f&limit=50", 200, &workflows());
    let ended = ask(&script, &["workflows", "list", "--folder", "f", "--source", "flow"]).ok();
    assert_snapshot!(ended.stdout, @r"
    ID        NAME     LATEST RUN  TASKS (FAILED)  SOURCE            FOLDER  LIMITS  UPDATED
    0192f3a0  Greeter  NEW         2 (1)           http://flow:7860                  2026-01-02 03:04
    ");
    script.on("GET /api/v1/sources", 200, &page(&[source()]));
    script.on("POST /api/v1/workflows/sync/flow-a", 200, &workflows()["items"][0]);
    assert!(ask(&script, &["workflows", "sync", "flow-a"]).ok().stdout.contains(WORKFLOW));
    assert_eq!(script.asked()[2].body, json!({"source_url": "http://flow:7860"}));
    script.on("GET /api/v1/workflows", 200, &workflows());
    script.on(&format!("PATCH /api/v1/workflows/{WORKFLOW}"), 200, &workflows()["items"][0]);
    let update =
        ["workflows", "update", "flow-a", "--max-concurrency", "2", "--rate", "none", "--unknown-policy", "source"];
    ask(&script, &update).ok();
    let changed = json!({"max_concurrency": 2, "rate": null, "unknown_policy": null});
    assert_eq!(script.asked().last().expect("asked").body, changed);
    script.on("GET /api/v1/workflows", 200, &workflows());
    script.on(&format!("DELETE /api/v1/workflows/{WORKFLOW}"), 200, &json!({"success": true}));
    assert_eq!(ask(&script, &["workflows", "delete", "flow-a", "-o", "json"]).ok().json(), json!({"success": true}));
}

#[test]
fn sync_without_a_flow_lists_what_sources_offer() {
    let script = Script::start();
    let flow = |id: &str| {
        json!({"id": id, "name": "Greeter", "description": "Says\nhello",
        "origin": {"instance": "flow", "source_url": "http://flow:7860"}, "components": []})
    };
    let flows = json!([flow("flow-a"), flow("flow-b")]).to_string();
    script.on("GET /api/v1/sources", 200, &page(&[source()]));
    let line = "GET /api/v1/workflows/remote?simplified=true&source_url=http%3A%2F%2Fflow%3A7860";
    script.on_raw(line, 200, "warnings: http://hive can't be reached\r\n", &flows);
    let ended = ask(&script, &["workflows", "sync", "--source", "flow", "--page-size", "1", "--page", "2"]).ok();
    assert_snapshot!(ended.stdout, @r"
    FLOW ID  NAME     SOURCE            DESCRIPTION
    flow-b   Greeter  http://flow:7860  Says hello
    ");
    assert!(ended.stderr.contains("warning: http://hive") && ended.stderr.contains("1 of 2 flows"), "{}", ended.stderr);
}

#[test]
fn several_sources_need_a_choice() {
    let script = Script::start();
    let mut other = source();
    (other["id"], other["name"]) = (json!("0192f3a3-0000-7001-8000-0000000000dd"), json!("second"));
    script.on("GET /api/v1/sources", 200, &page(&[source(), other]));
    ask(&script, &["workflows", "sync", "flow-a"]).failed_with(2, &["--source", "flow, second"]);
}

#[test]
fn a_source_of_type_http_names_its_adapter() {
    let script = Script::start();
    let mut http = source();
    (http["source_type"], http["adapter"]) = (json!("http"), json!("n8n"));
    script.on("POST /api/v1/sources", 201, &http);
    let url = "http://flow:7860";
    let add = ["sources", "add", "-t", "http", "-a", "n8n", "-u", url, "--unknown-policy", "fail"];
    assert!(ask(&script, &add).ok().stdout.contains("http (n8n)"));
    let asked = json!({"source_type": "http", "adapter": "n8n", "url": url, "unknown_policy": "fail"});
    assert_eq!(script.asked()[0].body, asked);
    script.on(&format!("PATCH /api/v1/sources/{SOURCE}"), 200, &http);
    ask(&script, &["sources", "update", SOURCE, "--adapter", "rest", "--unknown-policy", "fail"]).ok();
    assert_eq!(script.asked()[1].body, json!({"adapter": "rest", "unknown_policy": "fail"}));
    let adapters = json!({"items": [{"name": "n8n", "description": "Workflows of n8n", "file": "built in"}]});
    script.on("GET /api/v1/adapters", 200, &adapters);
    assert_snapshot!(ask(&script, &["sources", "adapters"]).ok().stdout, @r"
    NAME  DESCRIPTION       FILE
    n8n   Workflows of n8n  built in
    ");
}

#[test]
fn sources_are_added_listed_and_changed() {
    let script = Script::start();
    script.on("POST /api/v1/sources", 201, &source());
    let mut inactive = source();
    inactive["status"] = "inactive".into();
    script.on(&format!("PATCH /api/v1/sources/{SOURCE}"), 200, &inactive);
    let add =
        ["sources", "add", "-n", "flow", "-t", "langflow", "-u", "http://flow:7860", "-k", "s3cret", "-s", "inactive"];
    assert_snapshot!(ask(&script, &add).ok().stdout, @r"
    ID                                    NAME  TYPE      URL               STATUS    LIMITS  VERSION  CREATED
    0192f3a3-0000-7001-8000-0000000000cc  flow  langflow  http://flow:7860  inactive          1.4.2    2026-01-02 03:04
    ");
    let created = json!({"source_type": "langflow", "url": "http://flow:7860", "name": "flow", "api_key": "s3cret"});
    assert_eq!(script.asked()[0].body, created);
    assert_eq!(script.asked()[0].header("x-api-key"), None, "the source's key is not the service's");

    script.on("GET /api/v1/sources?status=active&limit=100", 200, &json!([source()]));
    assert!(ask(&script, &["sources", "list", "--status", "active"]).ok().stdout.contains("1.4.2"));
    script.on("GET /api/v1/sources", 200, &page(&[source()]));
    script.on(&format!("PATCH /api/v1/sources/{SOURCE}"), 200, &source());
    ask(&script, &["sources", "update", "http://flow:7860/", "--url", "http://new"]).ok();
    assert_eq!(script.asked()[4].body, json!({"url": "http://new"}));
}

#[test]
fn a_source_with_workflows_is_deleted_only_by_force() {
    let script = Script::start();
    script.on(&format!("GET /api/v1/sources/{SOURCE}"), 200, &source());
    script.on("GET /api/v1/workflows?source=http%3A%2F%2Fflow%3A7860&limit=1", 200, &workflows());
    ask(&script, &["sources", "delete", SOURCE]).failed_with(1, &["1 workflow(s)", "--force"]);
    script.on(&format!("GET /api/v1/sources/{SOURCE}"), 200, &source());
    script.on(&format!("DELETE /api/v1/sources/{SOURCE}"), 200, &json!({"message": "Source deleted successfully"}));
    assert!(ask(&script, &["sources", "delete", SOURCE, "--force"]).ok().stderr.contains("is deleted"));
}

#[test]
fn schedules_are_made_listed_and_changed() {
    let script = Script::start();
    script.on("POST /api/v1/schedules", 201, &schedule());
    script.on("GET /api/v1/workflows", 200, &workflows());
    let create =
        ["schedules", "create", "-w", WORKFLOW, "-t", "cron", "-e", "0 8 * * *", "--timezone", "Europe/Berlin"];
    assert_snapshot!(ask(&script, &create).ok().stdout, @r"
    ID                                    WORKFLOW  TYPE  RULE                     STATUS  NEXT RUN          LAST RUN  INPUT
    0192f3a2-0000-7001-8000-0000000000bb  Greeter   cron  0 8 * * * Europe/Berlin  active  2026-01-03 07:00            Hi
    ");
    let body = json!({"workflow_id": WORKFLOW, "schedule_type": "cron", "schedule_expr": "0 8 * * *", "timezone": "Europe/Berlin"});
    assert_eq!(script.asked()[0].body, body);

    for (action, line, body) in [
        (&["pause"][..], "POST /disable", json!(null)),
        (&["stop"], "POST /disable", json!(null)),
        (&["resume"], "POST /enable", json!(null)),
        (&["set-expression", "*/5 * * * *"], "PATCH ", json!({"schedule_expr": "*/5 * * * *"})),
        (&["set-input", "-5"], "PATCH ", json!({"input_value": "-5"})),
        (&["delete"], "DELETE ", json!(null)),
    ] {
        let (method, rest) = line.split_once(' ').expect("two parts");
        let line = format!("{method} /api/v1/schedules/{SCHEDULE}{rest}");
        script.on(&line, 200, &schedule());
        ask(&script, &[&["-o", "json", "schedules", "update", SCHEDULE], action].concat()).ok();
        let asked = script.asked().pop().expect("asked");
        assert_eq!((asked.line, asked.body), (line, body));
    }
    script.on("GET /api/v1/schedules?id_prefix=0192&limit=5", 200, &page(&[schedule()]));
    script.on(&format!("DELETE /api/v1/schedules/{SCHEDULE}"), 200, &schedule());
    assert!(ask(&script, &["schedules", "delete", "0192"]).ok().stderr.contains(SCHEDULE));
    assert_eq!(lines(&script).len(), 10);
}

#[test]
fn without_a_terminal_a_schedule_names_what_is_missing() {
    run(&["schedules", "create", "--type", "cron"]).failed_with(2, &["--workflow, --expr"]);
}

#[test]
fn workers_are_shown() {
    let script = Script::start();
    let worker = json!({"id": 3, "pool": "celery", "queues": ["celery", "direct"], "pid": 4711, "state": "ready",
        "tasks_done": 41, "active_attempts": 2, "rss_bytes": 52_428_800, "cpu_percent": 12.4,
        "started_at": "2026-01-02T03:04:05Z", "last_recycle_reason": "max_tasks_per_child"});
    script.on("GET /api/v1/workers", 200, &page(&[worker]));
    assert_snapshot!(ask(&script, &["worker", "status"]).ok().stdout, @r"
    ID  POOL    STATE  PID   QUEUES          ACTIVE  DONE  MEMORY  CPU   STARTED           LAST RECYCLED
    3   celery  ready  4711  celery, direct  2       41    50 MB   12 %  2026-01-02 03:04  max_tasks_per_child
    ");
}

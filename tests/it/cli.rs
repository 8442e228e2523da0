//! The command line, run as a process against a scripted service: what it asks, what it prints, how it ends.

mod commands;
mod completion;
mod daemon;
mod doctor;
mod inspect;
mod live;
mod load_test;
mod logs;
mod many;
mod operations;
mod run_agent;
pub(crate) mod script;
mod spelling;
mod terminal;
mod top;
mod tune;
mod watch;

use std::io::Read;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use script::Script;

const TASK: &str = "0192f3a1-7b2c-7001-8000-000000000001";
const WORKFLOW: &str = "0192f3a0-0000-7001-8000-0000000000aa";

/// The program in an empty directory, without any setting of whoever runs the tests.
fn program(directory: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_automagik-spark"));
    command.env_clear().env("TZ", "UTC").current_dir(directory).stdin(Stdio::null());
    command
}

/// How a command ended.
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("no signal"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Ended {
    #[track_caller]
    fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    fn failed_with(self, code: i32, telling: &[&str]) -> Self {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        for part in telling {
            assert!(self.stderr.contains(part), "no `{part}` in: {}", self.stderr);
        }
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// Runs without a service.
fn run(args: &[&str]) -> Ended {
    let directory = tempfile::tempdir().expect("a directory");
    program(directory.path()).args(args).output().expect("started").into()
}

/// Runs against the scripted service.
fn ask(script: &Script, args: &[&str]) -> Ended {
    run(&[&["--url", &script.url()], args].concat())
}

fn task(status: &str) -> Value {
    json!({
        "id": TASK, "workflow_id": WORKFLOW, "schedule_id": null, "status": status,
        "input_data": {"value": "Hi"}, "output_data": null, "result": null, "error": null, "tries": 1,
        "max_retries": 3, "next_retry_at": null, "queue": "celery", "priority": 5,
        "started_at": "2026-01-02T03:04:05Z", "finished_at": "2026-01-02T03:04:11.5Z",
        "created_at": "2026-01-02T03:04:04Z", "updated_at": "2026-01-02T03:04:11.5Z",
    })
}

fn page(items: &[Value]) -> Value {
    json!({"items": items, "total": items.len(), "limit": 100, "offset": 0, "has_more": false})
}

fn workflows() -> Value {
    page(&[json!({"id": WORKFLOW, "name": "Greeter", "remote_flow_id": "flow-a", "source": "http://flow:7860",
        "latest_run": "NEW", "task_count": 2, "failed_task_count": 1, "folder_name": null,
        "updated_at": "2026-01-02T03:04:04Z"})])
}

#[test]
fn nothing_answers() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let url = format!("http://user:s3cret@127.0.0.1:{port}/");
    let ended =
        run(&["tasks", "list", "--url", &url]).failed_with(69, &["no Spark service answers", "automagik-spark dev"]);
    assert!(ended.stdout.is_empty() && !ended.stderr.contains("s3cret"), "{}", ended.stderr);
}

#[test]
fn what_answers_is_something_else() {
    let script = Script::start();
    script.on_raw("GET /api/v1/sources", 200, "content-type: text/html\r\n", "<html>hello</html>");
    ask(&script, &["sources", "list"]).failed_with(1, &["no Spark service", "--url"]);
    script.on_raw("GET /api/v1/sources", 302, "location: https://elsewhere/\r\n", "");
    ask(&script, &["sources", "list"]).failed_with(1, &["redirects to https://elsewhere/"]);
}

#[test]
fn a_missing_and_a_wrong_key_tell_where_to_give_it() {
    let script = Script::start();
    script.on("GET /api/v1/tasks", 401, &json!({"detail": "X-API-Key header is missing"}));
    ask(&script, &["tasks", "list"]).failed_with(1, &["header is missing", "--api-key", "AUTOMAGIK_SPARK_API_KEY"]);
    script.on("GET /api/v1/tasks", 401, &json!({"detail": "Invalid API key"}));
    let ended = ask(&script, &["--debug", "tasks", "list", "--api-key", "s3cret"]).failed_with(1, &["Invalid API key"]);
    assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
    assert_eq!(script.asked()[1].header("x-api-key"), Some("s3cret"));
}

#[test]
fn the_service_s_own_words_are_shown() {
    let script = Script::start();
    script.on(
        "GET /api/v1/tasks",
        422,
        &json!({"detail": [{"loc": ["query", "status"], "msg": "is unknown", "type": "x"}]}),
    );
    ask(&script, &["tasks", "list", "--status", "x"]).failed_with(1, &["query.status: is unknown"]);
    script.on_raw("GET /api/v1/tasks", 503, "retry-after: 7\r\n", r#"{"detail":"too busy"}"#);
    ask(&script, &["tasks", "list"]).failed_with(69, &["too busy (try again in 7 s)"]);
}

#[test]
fn usage_errors_are_two() {
    for args in [
        &["tasks", "nonsense"][..],
        &[],
        &["--url", "localhost:8883", "tasks", "list"],
        &["tasks", "list", "--limit", "101"],
        &["workflows", "run", "x"],
        &["sources", "update", "x"],
        &["sources", "add", "--type", "ftp", "--url", "http://x"],
        &["schedules", "update", "x", "explode"],
        &["simulate", "--failure-rate", "2"],
        &["db", "current"],
        &["db", "current", "--database-url", "mysql://x/y"],
        &["db", "clear", "--database-url", "postgresql://u:p@127.0.0.1:1/x"],
    ] {
        let ended = run(args).failed_with(2, &[]);
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_database_that_is_away_is_unavailable() {
    run(&["db", "current", "--database-url", "postgresql://u:s3cret@127.0.0.1:1/x"])
        .failed_with(69, &["can't be reached"]);
}

#[test]
fn settings_come_from_flags_then_the_environment_then_the_file() {
    let script = Script::start();
    let directory = tempfile::tempdir().expect("a directory");
    let file = format!("AUTOMAGIK_SPARK_REMOTE_URL={}\nAUTOMAGIK_SPARK_API_KEY=file\n", script.url());
    std::fs::write(directory.path().join(".env"), file).expect("written");
    let mut keys = Vec::new();
    for (environment, flag) in
        [(None, None), (Some("environment"), None), (Some("environment"), Some("flag")), (Some(""), None)]
    {
        script.on("GET /api/v1/sources", 200, &page(&[]));
        let mut command = program(directory.path());
        command.args(["sources", "list"]);
        if let Some(value) = environment {
            command.env("AUTOMAGIK_SPARK_API_KEY", value);
        }
        if let Some(value) = flag {
            command.args(["--api-key", value]);
        }
        Ended::from(command.output().expect("started")).ok();
        keys.push(script.asked().last().and_then(|asked| asked.header("x-api-key").map(str::to_owned)));
    }
    assert_eq!(keys, [Some("file".to_owned()), Some("environment".to_owned()), Some("flag".to_owned()), None]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let script = Script::start();
    let many: Vec<Value> = (0..100)
        .map(|number| {
            let mut one = task("completed");
            one["id"] = format!("0192f3a1-7b2c-7001-8000-{number:012}").into();
            one["result"] = "x".repeat(5_000).into();
            one
        })
        .collect();
    script.on("GET /api/v1/tasks", 200, &page(&many));
    let directory = tempfile::tempdir().expect("a directory");
    let mut child = program(directory.path())
        .args(["--url", &script.url(), "-o", "json", "tasks", "list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut first = [0; 1];
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut first).expect("a byte");
    drop(stdout);
    let ended = Ended::from(child.wait_with_output().expect("ended")).ok();
    assert!(ended.stderr.is_empty(), "{}", ended.stderr);
}

#[test]
fn help_version_and_completions_need_nothing() {
    assert!(run(&["--version"]).ok().stdout.starts_with("automagik-spark 0."));
    let help = run(&["--help"]).ok().stdout;
    assert!(help.contains("schedules") && !help.contains("executor"), "{help}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(run(&["completions", shell]).ok().stdout.contains("automagik-spark"), "{shell}");
    }
    assert_eq!(run(&["-o", "json", "telemetry", "status"]).ok().json(), json!({"enabled": false}));
}

#[test]
fn called_by_its_short_name_it_completes_that() {
    let directory = tempfile::tempdir().expect("a directory");
    let link = directory.path().join("spark");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_automagik-spark"), &link).expect("linked");
    let ended = Ended::from(Command::new(link).args(["completions", "bash"]).output().expect("started")).ok();
    assert!(ended.stdout.contains("complete -F _spark"), "{}", &ended.stdout[..200]);
}

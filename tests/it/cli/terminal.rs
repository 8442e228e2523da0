//! On a terminal, which `script` of util-linux makes: widths, questions, progress.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use super::script::Script;
use super::{TASK, WORKFLOW, page, program, task, workflows};

/// Everything a terminal of that width shows, and the exit code.
fn shown(width: u16, input: &str, environment: &[(&str, &str)], args: &[&str]) -> (String, i32) {
    let directory = tempfile::tempdir().expect("a directory");
    let quoted: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
    let line =
        format!("stty cols {width} rows 24 -echo; exec {} {}", env!("CARGO_BIN_EXE_automagik-spark"), quoted.join(" "));
    let mut terminal = program(directory.path());
    terminal = {
        let mut script = std::process::Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env_clear().current_dir(directory.path());
        script.envs(terminal.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script
    };
    terminal
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .envs(environment.iter().copied());
    let mut process = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script runs");
    let mut stdin = process.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("read");
    let output = process.wait_with_output().expect("it ends");
    drop(stdin);
    let text = String::from_utf8(output.stdout).expect("UTF-8").replace('\r', "");
    (text, output.status.code().expect("no signal"))
}

/// Without the sequences that colour.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut parts = text.split("\u{1b}[");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        plain.push_str(part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest));
    }
    plain
}

/// The columns that a line takes: East Asian characters and emoji take two.
fn columns(line: &str) -> usize {
    line.chars().map(|c| if matches!(c, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ff60}' | '\u{1f300}'..='\u{1faff}') { 2 } else { 1 }).sum()
}

fn wide_workflow() -> Value {
    let mut page = workflows();
    page["items"][0]["name"] = "日本語のワークフロー 🚀 with a name that goes on and on".into();
    page["items"][0]["folder_name"] = "レポート".into();
    page
}

#[test]
fn every_list_fits_narrow_usual_and_wide_terminals() {
    let schedule = json!({"id": TASK, "workflow_id": WORKFLOW, "schedule_type": "cron", "schedule_expr": "0 8 * * 1-5",
        "input_value": {"value": "入力テキスト".repeat(9)}, "status": "active", "timezone": "America/Argentina/Buenos_Aires",
        "next_run_at": "2026-01-03T07:00:00Z", "last_run_at": "2026-01-02T07:00:00Z"});
    let source = json!({"id": TASK, "name": "流れ".repeat(20), "source_type": "automagik-agents", "status": "active",
        "url": format!("https://flows.example.org/{}", "path/".repeat(12)), "version_info": {"version": "1.4.2"},
        "created_at": "2026-01-02T03:04:04Z"});
    let worker = json!({"id": 3, "pool": "high_priority", "queues": ["high_priority", "celery", "low_priority", "direct"],
        "pid": 4_194_304, "state": "draining", "tasks_done": 41, "active_attempts": 2, "rss_kb": 52_428, "cpu_percent": 12.4,
        "started_at": "2026-01-02T03:04:05Z", "last_recycle_reason": "max_memory"});
    let mut failed = task("failed");
    failed["error"] = format!("接続できません {}", "x".repeat(90)).into();
    for width in [60, 80, 200] {
        for (path, answer, args) in [
            ("GET /api/v1/tasks", page(std::slice::from_ref(&failed)), &["tasks", "list"][..]),
            ("GET /api/v1/workflows", wide_workflow(), &["workflows", "list"]),
            ("GET /api/v1/schedules", page(std::slice::from_ref(&schedule)), &["schedules", "list"]),
            ("GET /api/v1/sources", page(std::slice::from_ref(&source)), &["sources", "list"]),
            ("GET /api/v1/workers", page(std::slice::from_ref(&worker)), &["worker", "status"]),
        ] {
            let script = Script::start();
            script.on(path, 200, &answer);
            if ["tasks", "schedules"].contains(&args[0]) {
                script.on("GET /api/v1/workflows", 200, &wide_workflow());
            }
            let url = script.url();
            let (text, code) = shown(width, "", &[], &[&["--url", url.as_str()], args].concat());
            let text = plain(&text);
            assert_eq!((code, text.trim_end().lines().count()), (0, 2), "{width}, {args:?}:\n{text}");
            for line in text.lines() {
                assert!(columns(line) <= usize::from(width), "{width}, {args:?}: {} columns:\n{text}", columns(line));
            }
        }
    }
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    for (environment, expected) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let script = Script::start();
        script.on("GET /api/v1/tasks", 200, &page(&[task("completed")]));
        script.on("GET /api/v1/workflows", 200, &workflows());
        let (text, _) = shown(80, "", environment, &["--url", &script.url(), "tasks", "list"]);
        assert_eq!(text.contains('\u{1b}'), expected, "{text:?}");
    }
}

#[test]
fn questions_are_asked_and_answered() {
    let away = "postgresql://u:p@127.0.0.1:1/x";
    let (text, code) = shown(80, "n\n", &[], &["db", "clear", "--database-url", away]);
    assert!(text.contains("[y/N]: ") && text.contains("nothing was removed") && code == 1, "{code}: {text}");

    let script = Script::start();
    script.on("GET /api/v1/workflows", 200, &workflows());
    script.on("POST /api/v1/schedules", 201, &json!({"id": TASK, "workflow_id": WORKFLOW}));
    let url = script.url();
    let answers = "1\n2\n0 8 * * *\nHi\n";
    let (text, code) = shown(80, answers, &[], &["--url", &url, "-o", "json", "schedules", "create"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Greeter (http://flow:7860)") && text.contains("Cron expression [0 8 * * *]"), "{text}");
    let body =
        json!({"workflow_id": WORKFLOW, "schedule_type": "cron", "schedule_expr": "0 8 * * *", "input_value": "Hi"});
    assert_eq!(script.asked()[1].body, body);
}

#[test]
fn what_takes_longer_than_a_second_shows_how_far_it_is() {
    let script = Script::start();
    script.on(&format!("POST /api/v1/workflows/{WORKFLOW}/run"), 200, &task("pending"));
    // The pauses between these looks add up to more than a second.
    for _ in 0..5 {
        script.on(&format!("GET /api/v1/tasks/{TASK}"), 200, &task("running"));
    }
    script.on(&format!("GET /api/v1/tasks/{TASK}"), 200, &task("completed"));
    script.on("GET /api/v1/workflows?limit=100", 200, &workflows());
    script.on(&format!("GET /api/v1/tasks/{TASK}/attempts"), 200, &page(&[]));
    let url = script.url();
    let args = ["--url", &url, "workflows", "run", WORKFLOW, "--input", "x", "--wait"];
    let (text, code) = shown(80, "", &[], &args);
    let state = format!("task {TASK}: running, attempt 1");
    assert_eq!(code, 0, "{text}");
    assert!(text.matches(&state).count() > 1, "said once, and shown while it lasts: {text:?}");
    assert!(text.contains("\u{1b}[2K") || text.contains("\u{1b}[K"), "the line goes: {text:?}");
}

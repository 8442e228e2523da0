//! Adapters in the whole service: from a file in its directory to a task's result.

use std::process::Command;
use std::time::Duration;

use super::*;
use crate::harness::stage::Stage;

const FILE: &str = r#"
description = "An engine of ours"
[auth]
type = "basic"
user = "spark"
[list]
path = "/flows"
[run]
path = "/flows/{{flow_id}}"
query = { task = "{{task_id}}" }
body = '{ "text": "<{{input}}>", "in": "{{input_json}}" }'
result = "/answer"
"#;

#[tokio::test]
async fn a_task_of_an_http_source_runs_and_without_its_adapter_it_fails_for_good() {
    let stage = Stage::new(Duration::ZERO).await;
    let directory = stage.directory().join("adapters");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("ours.toml"), FILE).unwrap();
    std::fs::write(directory.join("README.md"), "not an adapter").unwrap();
    let directory = directory.display().to_string();
    let mut node = stage.node(&[("sources.adapters_dir", &directory)]).await;

    let script = Script::start();
    let flows = json!([{"id": "f/1", "name": "First"}]);
    script.on("GET /flows", 200, &flows).on("GET /flows", 200, &flows);
    let body = json!({"source_type": "http", "url": script.url(), "adapter": "ours", "api_key": KEY});
    node.post("/api/v1/sources", &body).await;
    let sync = format!("/api/v1/workflows/sync/f%2F1?source_url={}", script.url());
    let workflow = node.post(&sync, &json!({})).await;
    let run = format!("/api/v1/workflows/{}/run?wait=30", workflow["id"].as_str().unwrap());

    script.on("POST /flows/f%2F1", 200, &json!({"answer": "42", "more": [null]}));
    let task = node.post(&run, &json!({"input_data": {"a": "\"}"}})).await;
    assert_eq!((&task["status"], &task["result"]), (&json!("completed"), &json!("42")), "{task}");
    assert_eq!(task["output_data"], json!({"answer": "42", "more": [null]}));
    let asked = script.asked().pop().unwrap();
    assert_eq!(asked.body, json!({"text": r#"<{"a":"\"}"}>"#, "in": {"a": "\"}"}}));
    assert!(asked.line.ends_with(&format!("?task={}", task["id"].as_str().unwrap())), "{}", asked.line);
    assert!(asked.header("authorization").is_some_and(|header| header.starts_with("Basic ")));

    script.on("POST /flows/f%2F1", 422, &json!({"detail": format!("no such {KEY}")}));
    let task = node.post(&run, &json!("x")).await;
    assert_eq!(task["status"], "failed");
    assert!(task["error"].as_str().unwrap().ends_with("no such ***"), "{task}");
    node.stop(Duration::from_secs(30)).await;

    let node = stage.node(&[]).await;
    let task = node.post(&run, &json!("x")).await;
    assert_eq!((&task["status"], &task["tries"]), (&json!("failed"), &json!(1)), "{task}");
    let error = task["error"].as_str().unwrap();
    assert!(error.contains("there is no adapter `ours`") && error.contains("sources.adapters_dir"), "{error}");
}

#[test]
fn everything_wrong_with_adapter_files_is_told_at_once() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("adapters");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(home.path().join("spark.toml"), "[worker]\nthreads = \"none\"\n").unwrap();
    std::fs::write(directory.join("one.toml"), FILE.replace("path = \"/flows\"", "pth = \"/flows\"")).unwrap();
    std::fs::write(directory.join("two.toml"), "description = 5\n").unwrap();
    std::fs::write(directory.join("Big Name.toml"), FILE).unwrap();
    std::fs::write(directory.join("four.toml"), "x".repeat(70_000)).unwrap();
    let check = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_automagik-spark"));
        command.env_clear().current_dir(home.path()).args(["config", "check"]).output().unwrap()
    };
    let ended = check();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{told}");
    for telling in [
        "worker.threads (spark.toml): must be",
        "list.pth (adapters/one.toml): there is no such key; did you mean `path`?",
        "description (adapters/two.toml): must be a text",
        "run (adapters/two.toml): is missing",
        "adapters/Big Name.toml: the file's name",
        "adapters/four.toml: is larger than",
    ] {
        assert!(told.contains(telling), "no `{telling}` in {told}");
    }
    for name in ["one", "two", "Big Name", "four"] {
        std::fs::remove_file(directory.join(format!("{name}.toml"))).unwrap();
    }
    std::fs::write(home.path().join("spark.toml"), "[sources]\nadapters_dir = \"elsewhere\"\n").unwrap();
    let told = String::from_utf8(check().stderr).unwrap();
    assert!(told.contains("sources.adapters_dir (spark.toml): elsewhere can't be read"), "{told}");
    std::fs::write(home.path().join("spark.toml"), "").unwrap();
    assert!(check().status.success());
}
